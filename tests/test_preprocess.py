"""The one pixel path, checked against NumPy and against its own promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support import gradient, noise

from mien.errors import ImageError, ModelError, OptionError
from mien.preprocess import PreprocessSpec, apply

PLAIN = PreprocessSpec(standardise="none")


def test_luminance_is_bt601() -> None:
    primaries = [np.full((48, 48, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    batch = apply(primaries, PLAIN)
    assert batch.mean(axis=(1, 2, 3)) == pytest.approx([0.299, 0.587, 0.114], abs=0.5 / 255)


def test_grey_and_rgb_of_the_same_picture_agree() -> None:
    grey = noise(60, 50)[:, :, 0]
    rgb = np.repeat(grey[:, :, None], 3, axis=2)
    for spec in (PLAIN, PreprocessSpec(clahe=True), PreprocessSpec(grey=False, channels=3)):
        one, two = apply([grey, rgb], spec)
        assert np.allclose(one, two, atol=1e-6)


def test_shape_dtype_and_layout() -> None:
    for spec in (PLAIN, PreprocessSpec(size=32, channels=3), PreprocessSpec(grey=False, channels=3)):
        batch = apply([noise(10, 90), noise(200, 33), noise(1, 1)], spec)
        assert batch.shape == (3, spec.channels, spec.size, spec.size)
        assert batch.dtype == np.float32
        assert batch.flags.c_contiguous
    assert apply([], PLAIN).shape == (0, 1, 48, 48)


def test_pseudo_rgb_repeats_the_grey_plane() -> None:
    batch = apply([noise(48, 48)], PreprocessSpec(channels=3))[0]
    assert np.array_equal(batch[0], batch[1])
    assert np.array_equal(batch[0], batch[2])


def test_colour_order_is_rgb() -> None:
    red = np.zeros((48, 48, 3), np.uint8)
    red[:, :, 0] = 255
    batch = apply([red], PreprocessSpec(grey=False, channels=3, standardise="none"))[0]
    assert batch.mean(axis=(1, 2)).tolist() == [1, 0, 0]


def test_image_standardisation_forgets_exposure_and_contrast() -> None:
    face = gradient(48, 48)
    dim = (face // 2 + 20).astype(np.uint8)
    bright, dark = apply([face, dim], PreprocessSpec())
    assert bright.mean() == pytest.approx(0, abs=1e-5)
    assert bright.std() == pytest.approx(1, abs=1e-4)
    assert np.abs(bright - dark).max() < 0.03


def test_blank_crop_is_finite() -> None:
    assert not apply([np.full((30, 30), 7, np.uint8)], PreprocessSpec()).any()


def test_fixed_standardisation() -> None:
    spec = PreprocessSpec(standardise="fixed", mean=0.5, std=0.25)
    assert np.allclose(apply([noise(48, 48)], spec), (apply([noise(48, 48)], PLAIN) - 0.5) / 0.25, atol=1e-6)


def test_area_averages_where_bicubic_samples() -> None:
    stripes = np.zeros((480, 480), np.uint8)
    stripes[:, np.arange(480) % 10 < 3] = 255
    area = apply([stripes], replace(PLAIN, interpolation="area"))
    bicubic = apply([stripes], replace(PLAIN, interpolation="bicubic"))
    assert np.abs(area - 0.3).max() < 0.01
    assert np.abs(bicubic - 0.3).max() > 0.2


def test_own_size_is_not_resampled() -> None:
    grey = noise(48, 48)[:, :, 0]
    assert np.array_equal(np.round(apply([grey], PLAIN)[0, 0] * 255).astype(np.uint8), grey)


def test_clahe_raises_local_contrast() -> None:
    dull = (gradient(96, 96) // 8 + 100).astype(np.uint8)
    assert apply([dull], replace(PLAIN, clahe=True)).std() > 1.5 * apply([dull], PLAIN).std()


def test_input_is_left_alone() -> None:
    crop = noise(48, 48)
    before = crop.copy()
    apply([crop], PreprocessSpec(clahe=True, grey=False, channels=3))
    assert np.array_equal(crop, before)


@pytest.mark.parametrize(
    "crop",
    [np.zeros((5, 5)), np.zeros((5, 5, 4), np.uint8), np.zeros((0, 5), np.uint8), np.zeros(5, np.uint8), "face"],
    ids=["float", "four", "empty", "flat", "text"],
)
def test_refuses_other_crops(crop: object) -> None:
    with pytest.raises(ImageError, match="expected uint8"):
        apply([crop], PLAIN)  # type: ignore[list-item]


def test_spec_travels() -> None:
    spec = PreprocessSpec(size=64, clahe=True, standardise="fixed", mean=0.1, std=0.3)
    assert PreprocessSpec.from_dict(spec.to_dict()) == spec
    with pytest.raises(ModelError, match="gamma"):
        PreprocessSpec.from_dict({**spec.to_dict(), "gamma": 2})
    with pytest.raises(ModelError, match="clahe"):
        PreprocessSpec.from_dict({key: value for key, value in spec.to_dict().items() if key != "clahe"})


@pytest.mark.parametrize(
    "wrong",
    [{"channels": 2}, {"grey": False}, {"size": 4}, {"std": 0}, {"interpolation": "nearest"}, {"standardise": "z"}],
)
def test_spec_refuses_impossible_values(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        PreprocessSpec(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", ""), ("scale", {}), ("scale", float("nan")), ("scale", 0.0), ("scale", True), ("mean", "../../etc"),
        ("mean", None), ("std", [1]), ("std", float("inf")), ("size", 48.5), ("channels", "1"), ("clahe_tiles", 8.0),
        ("clahe_clip", "2"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused_by_its_name(name: str, value: object) -> None:
    with pytest.raises(OptionError, match=name):
        PreprocessSpec.from_dict({**PreprocessSpec().to_dict(), name: value})
