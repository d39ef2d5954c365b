"""One geometry for every corpus: what is searched, which detection counts, and where the crop is cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
from corpora import face

from mien import images
from mien.datasets.framing import BORDER, ENLARGED, frame, is_close_up
from mien.preprocess import rgb
from mien.recognition.crop import CropSpec, cut
from mien.recognition.detection.detect import Detection, get_detector
from mien.results import Box, Point

UPRIGHT = ((60.0, 80.0), (180.0, 80.0), (120.0, 130.0), (80.0, 180.0), (160.0, 180.0))


@dataclass
class Stub:
    """Detects what it is told to, in pixels of the picture that it is shown."""

    answers: tuple[Detection, ...] = ()
    seen: list[np.ndarray] = field(default_factory=list)
    name: str = "stub"
    crop: CropSpec = field(default_factory=lambda: CropSpec(scale=1.0, shift=0.0, align=True))

    def detect(self, pixels: np.ndarray) -> tuple[Detection, ...]:
        self.seen.append(pixels)
        return self.answers


def in_bordered(box: Box, marks: tuple[Point, ...] | None = UPRIGHT) -> Detection:
    """A detection given in pixels of the enlarged image, as a detector reports it on the bordered one."""
    shifted = marks and tuple((x + BORDER, y + BORDER) for x, y in marks)
    return Detection(Box(box.left + BORDER, box.top + BORDER, box.width, box.height), 0.9, shifted)


@pytest.mark.parametrize("image", [face(1), rgb(face(2, 112))], ids=["grey 48", "colour 112"])
def test_ready_made_crop_is_searched_enlarged_with_a_border(image: np.ndarray) -> None:
    detector = Stub()
    frame(image, detector)
    (seen,) = detector.seen
    enlarged = rgb(np.asarray(cv2.resize(image, (ENLARGED, ENLARGED), interpolation=cv2.INTER_CUBIC), np.uint8))
    assert seen.shape == (ENLARGED + 2 * BORDER, ENLARGED + 2 * BORDER, 3)
    np.testing.assert_array_equal(seen[BORDER:-BORDER, BORDER:-BORDER], enlarged)
    np.testing.assert_array_equal(seen[:BORDER, BORDER:-BORDER], np.repeat(enlarged[:1], BORDER, axis=0))


def test_crop_is_cut_from_the_enlarged_image_and_the_box_told_in_the_images_pixels() -> None:
    image = face(3)
    framed = frame(image, Stub((in_bordered(Box(30, 20, 160, 160)),)))
    enlarged = cv2.resize(image, (ENLARGED, ENLARGED), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(framed.crop, enlarged[20:180, 30:190])
    assert framed.face is not None
    assert framed.face.box == Box(6, 4, 32, 32)
    assert framed.face.landmarks is not None
    assert framed.face.landmarks[0] == (12, 16)


UPSIDE_DOWN = tuple((x, 240 - y) for x, y in UPRIGHT)


@pytest.mark.parametrize(
    "detection",
    [
        in_bordered(Box(90, 90, 60, 60)),
        in_bordered(Box(-60, 40, 160, 160)),
        in_bordered(Box(40, 130, 160, 160)),
        in_bordered(Box(40, 40, 160, 160), UPSIDE_DOWN),
        in_bordered(Box(40, 40, 160, 160), tuple((240 - x, y) for x, y in UPRIGHT)),
    ],
    ids=["narrow", "off to the left", "off below", "upside down", "eyes exchanged"],
)
def test_implausible_detection_leaves_the_own_frame(detection: Detection) -> None:
    image = face(4)
    framed = frame(image, Stub((detection,)))
    assert framed.face is None
    np.testing.assert_array_equal(framed.crop, image)
    good = in_bordered(Box(45, 40, 150, 150))
    chosen = frame(image, Stub((detection, good))).face
    assert chosen is not None
    assert chosen.box == Box(9, 8, 30, 30)


def test_largest_plausible_detection_counts_with_and_without_landmarks() -> None:
    small, large = in_bordered(Box(60, 60, 100, 100), None), in_bordered(Box(40, 40, 160, 160), None)
    chosen = frame(face(5), Stub((small, large))).face
    assert chosen is not None
    assert chosen.box == Box(8, 8, 32, 32)


def test_photo_is_searched_as_it_is_and_any_face_counts() -> None:
    photo = rgb(face(6, 300))
    detector = Stub((Detection(Box(5, 5, 30, 30), 0.9, None), Detection(Box(200, 200, 60, 50), 0.8, None)))
    framed = frame(photo, detector)
    assert detector.seen[0] is photo
    assert framed.face == detector.answers[1]
    np.testing.assert_array_equal(framed.crop, cut(photo, Box(200, 200, 60, 50), None, detector.crop))
    np.testing.assert_array_equal(frame(photo[:, 20:280], Stub()).crop, photo[20:280, 20:280])


@pytest.mark.parametrize(("shape", "expected"), [((48, 48), True), ((239, 239, 3), True), ((240, 240), False), ((100, 90), False)])  # fmt: skip # noqa: E501
def test_which_images_are_ready_made_crops(shape: tuple[int, ...], expected: bool) -> None:
    assert is_close_up(np.zeros(shape, np.uint8)) is expected


def between_the_eyes(crop: np.ndarray) -> tuple[float, float, float]:
    """Where the point between the eyes lies in a crop and how far apart they are, as shares of its side."""
    bordered = cv2.copyMakeBorder(cv2.resize(crop, (240, 240)), 60, 60, 60, 60, cv2.BORDER_REPLICATE)
    (found, *_) = get_detector("yunet").detect(rgb(np.asarray(bordered, np.uint8)))
    assert found.landmarks is not None
    (x0, y0), (x1, y1) = found.landmarks[:2]
    return ((x0 + x1) / 2 - 60) / 240, ((y0 + y1) / 2 - 60) / 240, (x1 - x0) / 240


@pytest.mark.parametrize(("side", "size"), [(150, 48), (120, 100), (190, 112)], ids=["FER2013", "RAF-DB", "AffectNet"])
def test_ready_made_crop_is_framed_as_predict_frames_the_photo(examples: Path, side: int, size: int) -> None:
    """However tight a corpus cut the face out of its photo: the eyes end up where ``predict`` puts them."""
    photo, detector = images.load(examples / "astronaut.jpg"), get_detector("yunet")
    (whole, *_) = detector.detect(photo)
    expected = between_the_eyes(cut(photo, whole.box, whole.landmarks, detector.crop))
    corner = np.array([223, 118]) - side // 2  # the middle of the astronaut's face
    ready = photo[max(corner[1], 0) : corner[1] + side, corner[0] : corner[0] + side]
    framed = frame(np.asarray(cv2.resize(ready, (size, size), interpolation=cv2.INTER_AREA), np.uint8), detector)
    assert framed.face is not None
    np.testing.assert_allclose(between_the_eyes(framed.crop), expected, atol=0.06)


def test_a_ready_made_crop_that_is_taken_whole_stays_as_it_is() -> None:
    from mien.recognition.detection.detect import get_detector

    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    framed = frame(image, get_detector("whole"))
    assert framed.face is not None
    np.testing.assert_array_equal(framed.crop, image)
