"""Quality marks faces that are tiny, blurred, turned or cut off, and leaves the others alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import mien

pytest.importorskip("pyarrow")

from mien.datasets.formats import photos
from mien.images import load as load_image
from mien.recognition.detection.detect import Detection
from mien.recognition.quality import measure, share_inside, sharpness, turn
from mien.results import Box

FRONTAL = ((80.0, 90.0), (120.0, 90.0), (100.0, 110.0), (84.0, 130.0), (116.0, 130.0))
FACE = Detection(Box(60, 55, 80, 100), 0.9, FRONTAL)


def turned(degrees: float) -> tuple[tuple[float, float], ...]:
    """The same face as a camera sees it when the head turns: eyes and mouth draw together, the nose moves aside."""
    angle = np.radians(degrees)
    flat = [(100 + (x - 100) * np.cos(angle), y) for x, y in FRONTAL]
    flat[2] = (100 + 20 * np.sin(angle), 110.0)  # half of the 40 pixels between the eyes
    return tuple((float(x), float(y)) for x, y in flat)


@pytest.fixture(scope="module")
def photo(examples_photo: Path) -> np.ndarray:
    return load_image(examples_photo)


@pytest.fixture(scope="module")
def examples_photo() -> Path:
    return Path(__file__).parents[2] / "examples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def recognizer() -> mien.Recognizer:
    return mien.load()


def reasons(recognizer: mien.Recognizer, pixels: np.ndarray) -> tuple[str, ...]:
    quality = recognizer.predict(pixels).faces[0].quality
    assert quality is not None
    assert quality.good == (not quality.reasons)
    given: tuple[str, ...] = quality.reasons
    return given


def test_a_good_photo_is_good(recognizer: mien.Recognizer, photo: np.ndarray) -> None:
    (face,) = recognizer.predict(photo).faces
    assert face.quality is not None
    assert face.quality.good
    assert face.quality.size == pytest.approx((face.box.width * face.box.height) ** 0.5)
    assert face.quality.turn is not None
    assert face.quality.turn < 25
    assert face.to_dict()["quality"] == {
        "size": face.quality.size,
        "sharpness": face.quality.sharpness,
        "turn": face.quality.turn,
        "inside": face.quality.inside,
        "reasons": [],
        "good": True,
    }


def test_a_tiny_a_blurred_and_a_cut_off_face(recognizer: mien.Recognizer, photo: np.ndarray) -> None:
    (face,) = recognizer.predict(photo).faces
    assert face.quality is not None
    factor = 20 / face.quality.size
    assert "tiny" in reasons(recognizer, cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))
    assert "blurred" in reasons(recognizer, cv2.GaussianBlur(photo, (0, 0), 2 * face.quality.size / 48))
    assert "blurred" not in reasons(recognizer, cv2.GaussianBlur(photo, (0, 0), 0.4 * face.quality.size / 48))
    middle = round(face.box.left + 0.45 * face.box.width)
    assert reasons(recognizer, np.ascontiguousarray(photo[:, middle:])) == ("cut off",)


@pytest.mark.parametrize("degrees", [0, 15, 40, 60])
def test_the_turn_of_a_head_is_read_from_its_landmarks(degrees: float) -> None:
    assert turn(turned(degrees)) == pytest.approx(degrees, abs=0.1)
    assert turn(turned(-degrees)) == pytest.approx(degrees, abs=0.1)
    crop = np.random.default_rng(0).integers(0, 256, (60, 60), np.uint8)
    found = measure((200, 200), replace(FACE, landmarks=turned(degrees)), crop)
    assert ("turned" in found.reasons) == (degrees > 35)


def test_a_tilted_head_is_not_turned() -> None:
    matrix = cv2.getRotationMatrix2D((100, 100), 30, 1)
    tilted = np.array(FRONTAL) @ matrix[:, :2].T + matrix[:, 2]
    assert turn([(float(x), float(y)) for x, y in tilted]) == pytest.approx(0, abs=1e-6)


def test_odd_landmarks() -> None:
    assert turn(None) is None
    assert turn(((5.0, 5.0),) * 5) == 90.0


def test_the_share_inside_counts_what_the_box_leaves_out() -> None:
    assert share_inside((200, 200), FACE) == 1.0
    cut = Detection(Box(0, 55, 56, 100), 0.9, tuple((x - 84, y) for x, y in FRONTAL))  # 84 pixels gone at the left
    assert share_inside((200, 200), cut) == pytest.approx(56 / 80)
    assert share_inside((200, 200), replace(FACE, landmarks=None)) == 1.0
    assert share_inside((200, 100), Detection(Box(60, 55, 80, 100), 0.9, None)) == pytest.approx(0.5)
    assert share_inside((200, 200), Detection(Box(0, 0, 0, 0), 0.9, None)) == 0.0


def test_sharpness_knows_neither_size_nor_contrast_nor_colour(photo: np.ndarray, recognizer: mien.Recognizer) -> None:
    box = recognizer.predict(photo).faces[0].box
    crop = photo[int(box.top) : int(box.top + box.height), int(box.left) : int(box.left + box.width)]
    crop = crop[: crop.shape[1]]
    double = np.asarray(cv2.resize(crop, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR), np.uint8)
    assert sharpness(double) == pytest.approx(sharpness(crop), rel=0.1)
    assert sharpness((crop * 0.5).astype(np.uint8)) == pytest.approx(sharpness(crop), rel=0.05)
    assert sharpness(np.full((50, 50), 90, np.uint8)) == 0.0


@pytest.mark.data
def test_the_limits_leave_portraits_alone_and_mark_blurred_ones(data_dir: Path, recognizer: mien.Recognizer) -> None:
    """docs/predict.md: 0 % of plain photos are marked, 99 % of those blurred by 2 pixels of 48."""
    faces = [load_image(each.content) for each in list(photos.read(data_dir / "kdef_frontal350.zip"))[::40]]
    plain = [reasons(recognizer, pixels) for pixels in faces]
    assert sum(map(bool, plain)) == 0
    hazy = [
        recognizer.predict(np.asarray(cv2.GaussianBlur(pixels, (0, 0), 2 * 305 / 48), np.uint8)).faces
        for pixels in faces
    ]
    marked = [bool(found[0].quality and "blurred" in found[0].quality.reasons) for found in hazy if found]
    assert len(marked) >= 0.8 * len(faces)
    assert np.mean(marked) > 0.9
