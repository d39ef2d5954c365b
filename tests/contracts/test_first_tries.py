"""What users of fer, DeepFace, ultralytics and py-feat type first works, or one error names the right call.

Each test's docstring is what is typed. The photo is ``examples/astronaut.jpg``, which shows one face.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mien
from mien import images
from mien.cli import main
from mien.errors import ImageError, MienError, OptionError


@pytest.fixture(scope="module")
def recognizer(model: Path) -> Iterator[Any]:
    with mien.load(model, threads=1) as recognizer:
        yield recognizer


@pytest.fixture(scope="module")
def photo(examples: Path) -> str:
    return str(examples / "astronaut.jpg")


def test_fer_detector() -> None:
    """``from fer import FER; detector = FER(mtcnn=True)``"""
    with pytest.raises(AttributeError, match=r'Write: recognizer = mien.load\(\).*detector="mtcnn"'):
        mien.FER  # noqa: B018
    with pytest.raises(OptionError, match='Write: detector="mtcnn"'):
        mien.load(mtcnn=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["detect_emotions", "top_emotion", "batch_detect_emotions"])
def test_fer_detect_emotions(recognizer: Any, name: str) -> None:
    """``detector.detect_emotions(img)``"""
    with pytest.raises(AttributeError, match=r"Write: .*recognizer.predict\("):
        getattr(recognizer, name)


def test_fer_result(recognizer: Any, photo: str) -> None:
    """``result[0]["emotions"]["happy"]``, ``result[0]["box"]``"""
    result = recognizer.predict(photo)
    with pytest.raises(OptionError, match=r"Write: face.probabilities"):
        result[0]["emotions"]
    with pytest.raises(OptionError, match=r"Write: face.box"):
        result[0]["box"]


def test_fer_video(model: Path) -> None:
    """``from fer import Video; Video("film.mp4").analyze(detector)``"""
    video = mien.Video("film.mp4", model=model)
    with pytest.raises(AttributeError, match=r"Write: for frame in video: .*person.emotion"):
        _ = video.analyze  # type: ignore[attr-defined]


def test_deepface_analyze(recognizer: Any, photo: str) -> None:
    """``DeepFace.analyze(img_path="photo.jpg", actions=["emotion"])``"""
    for name in ("DeepFace", "analyze"):
        with pytest.raises(AttributeError, match=r'Write: mien.predict\("photo.jpg"\)'):
            getattr(mien, name)
    with pytest.raises(OptionError, match=r"takes no 'actions'. Write: leave it out"):
        recognizer.predict(photo, actions=["emotion"])


@pytest.mark.parametrize("keyword", ["enforce_detection", "detector_backend", "align", "silent", "img_path"])
def test_deepface_keywords(recognizer: Any, photo: str, keyword: str) -> None:
    """``analyze(photo, enforce_detection=False, detector_backend="opencv", silent=True)``"""
    with pytest.raises(OptionError, match=rf"predict\(\) takes no '{keyword}'\. Write: "):
        recognizer.predict(photo, **{keyword: False})


def test_deepface_result(recognizer: Any, photo: str) -> None:
    """``result[0]["dominant_emotion"]``, ``result["emotion"]``, ``face.region``"""
    result = recognizer.predict(photo)
    with pytest.raises(OptionError, match=r"Write: face.emotion"):
        result[0]["dominant_emotion"]
    with pytest.raises(OptionError, match=r"Write: result.largest.emotion"):
        result["dominant_emotion"]
    with pytest.raises(AttributeError, match=r"Write: face.box"):
        _ = result[0].region


def test_deepface_of_opencv(recognizer: Any, photo: str) -> None:
    """``DeepFace.analyze(cv2.imread("photo.jpg"))``: an array, though of OpenCV's colours"""
    assert len(recognizer.predict(images.load(photo)[:, :, ::-1])) == 1


def test_ultralytics_yolo(recognizer: Any, photo: str) -> None:
    """``model = YOLO("best.pt"); results = model("photo.jpg")``"""
    with pytest.raises(AttributeError, match=r"Write: mien.load\("):
        mien.YOLO  # noqa: B018
    with pytest.raises(MienError, match=r"\.onnx file"):
        mien.load("best.pt")
    assert recognizer(photo) == recognizer.predict(photo)


@pytest.mark.parametrize("keyword", ["conf", "save", "stream", "device", "imgsz", "verbose", "show", "max_det"])
def test_ultralytics_keywords(recognizer: Any, photo: str, keyword: str) -> None:
    """``model.predict("photo.jpg", conf=0.5, save=True, stream=True, device=0, imgsz=640)``"""
    with pytest.raises(OptionError, match=rf"takes no '{keyword}'\. Write: "):
        recognizer.predict(photo, **{keyword: 1})


def test_ultralytics_results(recognizer: Any, photo: str) -> None:
    """``for r in results: print(r.boxes.xyxy, r.probs)``, ``results[0].plot()``, ``results[0].show()``"""
    result = recognizer.predict(photo)
    for face in result:
        with pytest.raises(AttributeError, match=r"Write: face.box.xyxy"):
            _ = face.boxes
        assert face.box.xyxy.left < face.box.xyxy.right
    with pytest.raises(AttributeError, match=r"for face in result"):
        _ = result.boxes
    for name in ("plot", "show", "save"):
        with pytest.raises(AttributeError, match=rf"Write: result.{name}\("):
            getattr(result[0], name)
    assert result.plot().shape == (512, 512, 3)


def test_ultralytics_tables(recognizer: Any, photo: str) -> None:
    """``results[0].to_df()``, ``result.tojson()``, ``model.names``"""
    result = recognizer.predict(photo)
    for name, call in {"to_df": r"result.to_pandas\(\)", "tojson": r"result.to_json\(\)"}.items():
        with pytest.raises(AttributeError, match=f"Write: {call}"):
            getattr(result, name)
    with pytest.raises(AttributeError, match=r"Write: recognizer.labels"):
        _ = recognizer.names


def test_py_feat(recognizer: Any, photo: str) -> None:
    """``fex = Detector().detect_image("photo.jpg"); fex.aus; fex.faceboxes; fex.poses; fex.valence``"""
    with pytest.raises(AttributeError, match=r"Write: mien.load\(\)"):
        mien.Detector  # noqa: B018
    with pytest.raises(AttributeError, match=r"Write: recognizer.predict\(photo\)"):
        _ = recognizer.detect_image
    result = recognizer.predict(photo)
    for name, call in {
        "faceboxes": "face.box.xywh",
        "poses": "face.pose",
        "plot_detections": r"result.show\(\)",
    }.items():
        with pytest.raises(AttributeError, match=f"Write: .*{call}"):
            getattr(result, name)
    for name in ("aus", "valence", "arousal"):
        for owner in (result, result[0]):
            with pytest.raises(AttributeError, match="no action units, valence or arousal"):
                getattr(owner, name)


def test_ultralytics_folder_and_list(recognizer: Any, photo: str) -> None:
    """``model.predict("photos/")``, ``model.predict([a, b])``"""
    assert len(recognizer.predict([photo, photo])) == 2
    assert all(result.faces for result in recognizer.predict(str(Path(photo).parent)) if "astronaut" in result.source)


def test_ultralytics_camera_and_film(recognizer: Any, tmp_path: Path) -> None:
    """``model.predict(0)``, ``model.predict("film.mp4")``"""
    with pytest.raises(ImageError, match=r"recognizer.stream\(mien.Film\(0\)\)"):
        recognizer.predict(0)
    film = tmp_path / "film.mp4"
    film.write_bytes(b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41")
    with pytest.raises(ImageError, match=r"mien video '.*film.mp4'; in Python: recognizer.stream\(mien.Film\('"):
        recognizer.predict(film)


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["photo.jpg"], "For photos: mien predict photo.jpg"),
        (["film.mp4"], "For a film: mien video film.mp4"),
        (["analyze", "photo.jpg"], "Did you mean 'predict'?"),
        (["predict", "source=photo.jpg"], "mien predict photo.jpg"),
        (["predict", "examples/astronaut.jpg", "--device", "gpu"], "expected one of auto, cpu, cuda"),
        (["predict", "photo.jpg", "--conf", "0.5"], "Did you mean '--threshold'?"),
        (["predict", "https://example.org/a.jpg"], "--allow-urls"),
    ],
)
def test_on_the_command_line(arguments: list[str], answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    """``yolo predict source=photo.jpg``, ``mien photo.jpg``, options of other programs"""
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert answer in error
    assert error.count("\n") == 1


def test_names_that_nobody_has_are_pythons_own_errors(recognizer: Any, photo: str) -> None:
    """Typing mistakes"""
    with pytest.raises(TypeError, match=r"predict\(\) got an unexpected keyword argument 'keep_pixel'"):
        recognizer.predict(photo, keep_pixel=True)
    with pytest.raises(AttributeError, match=r"^A recognizer has no attribute 'predikt'$"):
        _ = recognizer.predikt
    with pytest.raises(ImageError, match=r"expected a path"):
        recognizer.predict(np.float64(3))
