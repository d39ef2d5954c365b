"""Algorithm 1: crops, what was not detected, and that a second run redoes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("pyarrow")

from mien.datasets import index, landmarks, manifest, prepare
from mien.datasets.faces import FaceSet
from mien.errors import OptionError
from mien.recognition.crop import CropSpec
from mien.recognition.detect import Detection
from mien.results import Box
from tests import corpora


@dataclass
class Bright:
    """Finds the left half of images whose mean is above a threshold."""

    least: float = 0.0
    seen: list[np.ndarray] = field(default_factory=list)
    name: str = "bright"
    crop: CropSpec = prepare.BOX

    def detect(self, pixels: np.ndarray) -> tuple[Detection, ...]:
        self.seen.append(pixels)
        found = Detection(Box(4, 4, 24, 24), 0.9, None)
        return (found,) if pixels.mean() >= self.least else ()


@pytest.fixture
def faces(tmp_path: Path) -> manifest.Manifest:
    source = corpora.write_zip(corpora.bars({"Training": 2}), tmp_path / "faces.zip")
    return manifest.read(index.index([source], tmp_path / "faces.parquet").path)


def test_crop_is_clahe_then_box_then_bicubic(faces: manifest.Manifest, tmp_path: Path) -> None:
    found = prepare.prepare(faces, tmp_path / "out", Bright(), size=48)
    made = manifest.read(found.manifest)
    assert (found.detected, found.undetected, len(made)) == (14, 0, 14)
    assert made.column("label") == faces.column("label")
    equalised = cv2.createCLAHE(2.0, (8, 8)).apply(faces.pixels([3])[0])
    expected = cv2.resize(equalised[4:28, 4:28], (48, 48), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(made.pixels([3])[0], expected)


def test_without_clahe_the_pixels_are_the_images(faces: manifest.Manifest, tmp_path: Path) -> None:
    found = prepare.prepare(faces, tmp_path / "out", Bright(), clahe=False, size=24)
    assert np.array_equal(manifest.read(found.manifest).pixels([5])[0], faces.pixels([5])[0][4:28, 4:28])


def test_second_run_looks_at_nothing(faces: manifest.Manifest, tmp_path: Path) -> None:
    first = prepare.prepare(faces, tmp_path / "out", Bright())
    again = Bright()
    second = prepare.prepare(faces, tmp_path / "out", again)
    assert (first.fresh, second.fresh, again.seen) == (14, 0, [])
    assert second.detected == 14


def test_interrupted_run_goes_on(faces: manifest.Manifest, tmp_path: Path) -> None:
    prepare.prepare(faces, tmp_path / "out", Bright())
    journal = tmp_path / "out" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:6]) + lines[6][:20])
    assert prepare.prepare(faces, tmp_path / "out", Bright()).fresh == 9
    assert prepare.prepare(faces, tmp_path / "out", Bright()).fresh == 0


def test_undetected_are_counted_and_listed(faces: manifest.Manifest, tmp_path: Path) -> None:
    means = sorted(prepare.equalised(image, clahe=True).mean() for image in faces.pixels(range(14)))
    found = prepare.prepare(faces, tmp_path / "out", Bright(least=float(means[5])))
    assert (found.detected, found.undetected) == (9, 5)
    assert len(found.listed.read_text().splitlines()) == 6
    whole = prepare.prepare(faces, tmp_path / "kept", Bright(least=float(means[5])), keep_undetected=True)
    kept = manifest.read(whole.manifest)
    assert (len(kept), int(kept.flagged(prepare.UNDETECTED).sum()), whole.undetected) == (14, 5, 5)


def test_other_settings_are_refused(faces: manifest.Manifest, tmp_path: Path) -> None:
    prepare.prepare(faces, tmp_path / "out", Bright())
    with pytest.raises(OptionError, match="another folder"):
        prepare.prepare(faces, tmp_path / "out", Bright(), clahe=False)


@dataclass
class Pointing(Bright):
    """As ``Bright``, and says where eyes, nose and mouth are."""

    def detect(self, pixels: np.ndarray) -> tuple[Detection, ...]:
        points = ((10.0, 12.0), (22.0, 13.0), (16.0, 18.0), (12.0, 23.0), (20.0, 23.0))
        return tuple(Detection(Box(4, 6, 32, 18), one.score, points) for one in super().detect(pixels))


def test_boxes_and_landmarks_are_columns_of_the_manifest(faces: manifest.Manifest, tmp_path: Path) -> None:
    means = sorted(prepare.equalised(image, clahe=True).mean() for image in faces.pixels(range(14)))
    half = Pointing(least=float(means[7]))
    made = manifest.read(prepare.prepare(faces, tmp_path / "out", half, size=96, keep_undetected=True).manifest)
    seen = ~made.flagged(prepare.UNDETECTED)
    assert 0 < seen.sum() < 14
    assert {value for value, there in zip(made.column("box_width"), seen, strict=True) if there} == {32.0}
    assert made.column("box_height")[int(np.flatnonzero(~seen)[0])] is None
    found = landmarks.of_columns(FaceSet.from_manifest(made))
    # The square has a side of 24, half of the picture's, and its corner at (8, 3).
    np.testing.assert_allclose(
        found[seen][0], (np.array([[10, 12], [22, 13], [16, 18], [12, 23], [20, 23]]) - (8, 3)) * 4
    )
    assert np.isnan(found[~seen]).all()
    assert "nose_x" not in manifest.read(prepare.prepare(faces, tmp_path / "bare", Bright()).manifest).own_columns
