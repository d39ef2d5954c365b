"""A photo that lies on its side or stands on its head is read as the upright one, though its file does not say so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mien
from mien import images
from mien.recognition.crop import cut
from mien.recognition.detection import turned
from mien.recognition.detection.detect import Detection, get_detector
from mien.results import Box


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("size", [512, 1000])
def test_a_turned_photo_is_read_as_the_upright_one(examples: Path, quarters: int, size: int) -> None:
    pixels = images.load(examples / "astronaut.jpg")
    canvas = np.full((size, size + 100, 3), 90, np.uint8)
    canvas[:512, 60:572] = pixels
    recognizer = mien.load("fer2013-four-block", threads=1)
    upright = recognizer.predict(canvas).faces[0]
    result = recognizer.predict(np.rot90(canvas, quarters))
    face = result.faces[0]
    assert (result.width, result.height) == ((size + 100, size) if quarters == 2 else (size, size + 100))
    assert len(result.faces) == 1
    assert face.emotion == upright.emotion
    assert face.values == pytest.approx(upright.values, abs=0.05)
    assert face.landmarks is not None
    assert upright.landmarks is not None
    width, height = size + 100, size
    x, y = upright.landmarks[2]
    nose = {1: (y, width - x), 2: (width - x, height - y), 3: (height - y, x)}[quarters]
    assert face.landmarks[2] == pytest.approx(nose, abs=3)
    box = face.box
    assert box.left < nose[0] < box.left + box.width
    assert box.top < nose[1] < box.top + box.height


@pytest.mark.data
def test_turned_portraits_are_read_as_well_as_upright_ones(data_dir: Path) -> None:
    pytest.importorskip("pyarrow")
    from mien.datasets.formats.photos import read

    photos = list(read(data_dir / "kdef_frontal350.zip"))[::40]
    recognizer = mien.load("fer2013-four-block", threads=1)
    shares = []
    for quarters in range(4):
        results = [recognizer.predict(np.rot90(images.load(photo.content), quarters)) for photo in photos]
        assert all(len(result.faces) == 1 for result in results)
        shares.append(np.mean([r.faces[0].emotion == p.label for r, p in zip(results, photos, strict=True)]))
    assert min(shares) >= shares[0] - 0.06
    assert shares[0] > 0.6


class Fixed:
    """A detector that knows the faces of some pictures, by their shape."""

    name, upright_score = "fixed", 0.9

    def __init__(self, found: dict[tuple[int, ...], tuple[Detection, ...]]) -> None:
        self.crop, self.found, self.calls = get_detector("yunet").crop, found, 0

    def detect(self, pixels: np.ndarray) -> tuple[Detection, ...]:
        self.calls += 1
        return self.found.get(pixels.shape[:2], ())


def test_a_sure_face_costs_no_second_search() -> None:
    face = Detection(Box(10, 10, 20, 20), 0.95, None)
    detector = Fixed({(40, 60): (face,)})
    assert turned.detect(detector, np.zeros((40, 60, 3), np.uint8)) == (face,)
    assert detector.calls == 1


def test_a_picture_without_faces_stays_without() -> None:
    assert turned.detect(Fixed({}), np.zeros((40, 60, 3), np.uint8)) == ()


def test_boxes_come_back_to_the_photo_as_it_is() -> None:
    face = Detection(Box(5, 8, 10, 20), 0.95, ((7.0, 12.0), (13.0, 12.0), (10.0, 17.0), (8.0, 22.0), (12.0, 22.0)))
    detector = Fixed({(60, 40): (face,)})  # the first of the two ways to lie on its side wins
    (moved,) = turned.detect(detector, np.zeros((40, 60, 3), np.uint8))
    assert moved.box == Box(32, 5, 20, 10)
    assert moved.landmarks is not None
    assert moved.landmarks[0] == (48, 7)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_face_is_cut_out_upright(quarters: int) -> None:
    y, x = np.mgrid[0:200, 0:240]
    picture = np.stack([x, y, (x + y) // 2], axis=2).astype(np.uint8)
    marks = ((90.0, 80.0), (130.0, 84.0), (109.0, 100.0), (90.0, 120.0), (125.0, 124.0))
    face = Detection(Box(70, 50, 80, 100), 1.0, marks)
    spec = get_detector("yunet").crop
    turned_picture = np.ascontiguousarray(np.rot90(picture, quarters))
    moved = turned._turned_back(face, 4 - quarters, turned_picture.shape[:2])
    upright = cut(picture, face.box, marks, spec).astype(int)
    again = cut(turned_picture, moved.box, moved.landmarks, spec).astype(int)
    assert upright.shape == again.shape
    assert np.abs(upright - again).max() <= 2
