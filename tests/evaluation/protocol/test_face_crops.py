"""Crops are those of ``mien predict``; from the cache they give a network the very same input."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from corpora import face, png
from support import noise

pytest.importorskip("pyarrow")

from mien import images
from mien.datasets.protocol import PROTOCOL, Material, Sample
from mien.errors import DataError
from mien.evaluation.protocol import face_crops
from mien.preprocess import PreprocessSpec, apply
from mien.recognition.crop import CropSpec, cut
from mien.recognition.detection.detect import Detection, Limits, get_detector
from mien.results import Box

SPECS = (
    PreprocessSpec(size=24),
    PreprocessSpec(size=24, clahe=True),
    PreprocessSpec(size=32, grey=False, channels=3, clahe=True, standardise="fixed", mean=0.4, std=0.2),
    PreprocessSpec(size=32, grey=True, channels=3, standardise="none"),
)


@dataclass
class Finder:
    """Two boxes, the larger one second, in pictures that are wide enough; counts how often it is asked."""

    name: str = "finder"
    crop: CropSpec = field(default_factory=lambda: CropSpec(1.1, -0.05, True))
    limits: Limits = field(default_factory=lambda: Limits(0.5))
    asked: int = 0

    def detect(self, pixels: np.ndarray) -> tuple[Detection, ...]:
        self.asked += 1
        height, width = pixels.shape[:2]
        if width < 40:
            return ()
        eyes = tuple((width * x, height * y) for x, y in ((0.4, 0.4), (0.6, 0.45), (0.5, 0.5), (0.4, 0.7), (0.6, 0.7)))
        return (
            Detection(Box(1, 1, 8, 8), 0.99, None),
            Detection(Box(width * 0.2, height * 0.2, width * 0.6, height * 0.6), 0.9, eyes),
        )


@pytest.fixture
def material() -> Material:
    pictures = (noise(60, 80, 1), noise(50, 50, 2), np.repeat(face(3, 70)[..., None], 3, 2), noise(30, 30, 4))
    samples = [Sample(f"{number}.png", "fear", png(pixels)) for number, pixels in enumerate(pictures)]
    samples.append(Sample("fer.csv:2", "anger", face(5)))
    return Material(PROTOCOL[0], "validation", tuple(samples), 5, {})


def test_the_largest_face_is_cut_out_and_the_rest_is_taken_whole(material: Material) -> None:
    finder = Finder()
    crops = face_crops.cut_out(material.samples, "detector", finder)
    assert crops.detected.tolist() == [True, True, True, False, True]
    first = images.load(material.samples[0].image)
    largest = finder.detect(first)[1]
    np.testing.assert_array_equal(crops.pixels[0], cut(first, largest.box, largest.landmarks, finder.crop))
    np.testing.assert_array_equal(crops.pixels[3], images.load(material.samples[3].image))
    assert crops.pixels[2].ndim == crops.pixels[4].ndim == 2  # grey in three channels is kept as one


def test_the_corpuss_own_frame_asks_no_detector(material: Material, tmp_path: Path) -> None:
    finder = Finder()
    crops = face_crops.collect(material, "own", finder, tmp_path)
    assert (finder.asked, list(tmp_path.iterdir())) == (0, [])
    assert not crops.detected.any()
    np.testing.assert_array_equal(crops.pixels[1], images.load(material.samples[1].image))


def test_cached_crops_give_the_identical_input_without_detecting(material: Material, tmp_path: Path) -> None:
    finder = Finder()
    fresh = face_crops.collect(material, "detector", finder, tmp_path / "new")
    asked = finder.asked
    cached = face_crops.collect(material, "detector", finder, tmp_path / "new")
    assert (finder.asked, fresh.cached, cached.cached) == (asked, False, True)
    for ours, theirs in zip(fresh.pixels, cached.pixels, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(fresh.detected, cached.detected)
    whole = [np.repeat(crop[..., None], 3, 2) if crop.ndim == 2 else crop for crop in fresh.pixels]
    for spec in SPECS:  # a grey picture kept as one channel is what predict makes of three
        np.testing.assert_array_equal(apply(whole, spec), apply(cached.pixels, spec))


@pytest.mark.parametrize(
    "other",
    [
        Finder(name="another"),
        Finder(crop=CropSpec(1.2, -0.05, True)),
        Finder(limits=Limits(0.6)),
    ],
    ids=["detector", "crop", "limits"],
)
def test_another_way_of_cutting_is_not_answered_from_the_cache(
    other: Finder, material: Material, tmp_path: Path
) -> None:
    face_crops.collect(material, "detector", Finder(), tmp_path)
    assert not face_crops.collect(material, "detector", other, tmp_path).cached
    assert len(list(tmp_path.iterdir())) == 2


def test_another_picture_is_not_answered_from_the_cache(material: Material, tmp_path: Path) -> None:
    face_crops.collect(material, "detector", Finder(), tmp_path)
    changed = replace(material.samples[0], image=png(noise(60, 80, 7)))
    assert not face_crops.collect(
        replace(material, samples=(changed, *material.samples[1:])), "detector", Finder(), tmp_path
    ).cached
    relabelled = replace(material.samples[0], label="sadness")
    assert face_crops.collect(
        replace(material, samples=(relabelled, *material.samples[1:])), "detector", Finder(), tmp_path
    ).cached


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + bytes(18)])
def test_a_damaged_cache_is_named(content: bytes, material: Material, tmp_path: Path) -> None:
    face_crops.collect(material, "detector", Finder(), tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"rafdb-\w+\.npz is not a cache of crops: .*Delete it"):
        face_crops.collect(material, "detector", Finder(), tmp_path)


def test_a_cache_of_another_number_of_crops_is_named(material: Material, tmp_path: Path) -> None:
    face_crops.collect(material, "detector", Finder(), tmp_path)
    (path,) = tmp_path.iterdir()
    fewer = tmp_path / "fewer"
    face_crops.collect(replace(material, samples=material.samples[:2]), "detector", Finder(), fewer)
    path.write_bytes(next(fewer.iterdir()).read_bytes())
    with pytest.raises(DataError, match="holds 2 crops; expected 5"):
        face_crops.collect(material, "detector", Finder(), tmp_path)


def test_the_shipped_detectors_tell_their_limits() -> None:
    assert get_detector("yunet", threshold=0.6, max_faces=2).limits == Limits(0.6, 0, 2)  # type: ignore[attr-defined]
    assert get_detector("whole", min_size=3).limits == Limits(0.0, 3, None)  # type: ignore[attr-defined]
