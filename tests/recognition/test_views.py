"""Several views of a face: which they are, and that a recognizer takes the mean of their answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mien
from mien.errors import OptionError
from mien.recognition import views


@pytest.fixture(params=[(48, 48), (72, 60, 3)])
def crop(request: pytest.FixtureRequest) -> np.ndarray:
    pixels: np.ndarray = np.random.default_rng(0).integers(0, 256, request.param, np.uint8)
    return pixels


def test_ten_views_are_the_crop_and_four_moved_ones_each_with_its_mirror_image(crop: np.ndarray) -> None:
    found = views.of(crop, "crops")
    assert len(found) == len({view.tobytes() for view in found}) == views.KINDS["crops"]
    assert all(view.shape == crop.shape and view.flags.c_contiguous for view in found)
    down, right = (round(side / 24) for side in crop.shape[:2])
    np.testing.assert_array_equal(found[0], crop)
    np.testing.assert_array_equal(found[1][down:, right:], crop[:-down, :-right])
    np.testing.assert_array_equal(found[4][:-down, :-right], crop[down:, right:])
    np.testing.assert_array_equal(found[1][0], found[1][down])  # what enters repeats the edge
    for view, mirrored in zip(found[:5], found[5:], strict=True):
        np.testing.assert_array_equal(mirrored, view[:, ::-1])


@pytest.mark.parametrize(("kind", "count"), views.KINDS.items())
def test_every_kind_begins_with_the_crop_itself(kind: str, count: int, crop: np.ndarray) -> None:
    found = views.of(crop, kind)
    assert len(found) == count
    assert found[0] is crop


@pytest.mark.parametrize("kind", ["flip", "crops"])
def test_a_recognizer_answers_the_mean(kind: str) -> None:
    crops = list(np.random.default_rng(1).integers(0, 256, (30, 48, 48), np.uint8))
    single, several = mien.load(detector="whole"), mien.load(detector="whole", views=kind)
    expected = [single.classify(views.of(crop, kind)).mean(0) for crop in crops]
    np.testing.assert_allclose(several.classify(crops), expected, atol=1e-5)
    assert several.classify([]).shape == (0, len(several.labels))


def test_a_photo_and_its_mirror_image_are_read_alike(examples: Path) -> None:
    recognizer = mien.load(views="flip")
    (crop,) = np.random.default_rng(2).integers(0, 256, (1, 48, 48), np.uint8)
    both = recognizer.classify([crop, crop[:, ::-1].copy()])
    np.testing.assert_allclose(both[0], both[1], atol=1e-6)
    assert recognizer.predict(examples / "astronaut.jpg").faces[0].emotion == "happiness"


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(OptionError, match=r"views = 'flop': expected one of single, flip, crops\. Did you mean 'flip'"):
        mien.load(views="flop")
