"""From photo to emotions: each way to the same probabilities."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from PIL import Image
from support import Nobody, Quarters, linear_weights, little_memory, noise, write_model

import mien
from mien import preprocess
from mien.errors import FileMissingError, ImageError, ModelError, OptionError, OutOfMemoryError
from mien.labels import FER2013, LabelSet
from mien.preprocess import PreprocessSpec
from mien.recognition import classifier
from mien.recognition.crop import cut
from mien.recognition.detection.detect import Detection
from mien.recognition.recognizer import Recognizer, load

if TYPE_CHECKING:
    from numpy.typing import NDArray


@pytest.fixture(scope="session")
def whole(model: Path) -> Recognizer:
    return load(model, detector="whole", threads=1)


def expected(crop: NDArray[np.uint8], temperature: float = 2.0) -> NDArray[np.float64]:
    """Softmax of the tiny network, by NumPy."""
    spec = PreprocessSpec(size=16)
    logits = preprocess.apply([crop], spec).reshape(1, -1).astype(float) @ linear_weights(spec, 7)
    powers = np.exp(logits[0] / temperature - (logits / temperature).max())
    return np.asarray(powers / powers.sum())


def test_probabilities_are_those_of_numpy(whole: Recognizer) -> None:
    picture = noise(40, 30)
    face = whole.predict(picture).faces[0]
    assert face.values == pytest.approx(expected(picture), abs=1e-5)
    assert face.labels == whole.labels == FER2013.labels
    assert sum(face.values) == pytest.approx(1, abs=1e-12)
    assert face.uncertain == (face.confidence < 0.4)
    assert whole.classify([picture])[0] == pytest.approx(face.values, abs=1e-6)


def test_temperature_and_threshold_come_from_the_file(tmp_path: Path) -> None:
    picture = noise(40, 30)
    write_model(tmp_path / "a.onnx", temperature=50.0, uncertain_below=0.9)
    write_model(tmp_path / "b.onnx", temperature=0.1, uncertain_below=0.0)
    flat, sharp = (load(tmp_path / name, detector="whole").predict(picture).faces[0] for name in ("a.onnx", "b.onnx"))
    assert flat.values == pytest.approx(expected(picture, 50), abs=1e-5)
    assert flat.confidence < sharp.confidence
    assert (flat.uncertain, sharp.uncertain) == (True, False)
    assert flat.emotion == sharp.emotion


def test_same_picture_in_every_form(whole: Recognizer, tmp_path: Path) -> None:
    picture = noise(20, 20)
    path = tmp_path / "é.png"
    Image.fromarray(picture).save(path)
    first = whole.predict(path)
    assert (first.source, first.width, first.height) == (str(path), 20, 20)
    for way in (str(path), path.read_bytes(), Image.fromarray(picture), picture):
        result = whole.predict(way)
        assert result.faces == first.faces
        assert result.source in (None, str(path))


def test_a_list_is_predicted_as_each_alone(model: Path) -> None:
    recognizer = load(model, detector=Quarters(), threads=1)
    pictures = [noise(40 + 2 * seed, 60, seed) for seed in range(5)]
    together = recognizer.predict(pictures)
    assert recognizer.predict([]) == []
    for one, alone in zip(together, map(recognizer.predict, pictures), strict=True):
        assert [(f.box, f.score) for f in one.faces] == [(f.box, f.score) for f in alone.faces]
        assert np.allclose([f.values for f in one.faces], [f.values for f in alone.faces], atol=1e-5)
    assert len(together[0].faces) == 4
    assert recognizer.predict(iter(pictures)) == together


def test_faces_keep_their_own_probabilities(model: Path) -> None:
    picture = noise(40, 60)
    result = load(model, detector=Quarters()).predict(picture)
    for face in result.faces:
        assert face.values == pytest.approx(expected(cut(picture, face.box, None, Quarters.crop)), abs=1e-5)


def test_no_face_is_a_result(model: Path) -> None:
    recognizer = load(model, detector=Nobody())
    result = recognizer.predict(noise(20, 30))
    assert (result.faces, result.width, result.height) == ((), 30, 20)
    assert (result.model, result.detector) == ("tiny", "quarters")
    mixed = recognizer.predict([noise(20, 30), noise(9, 9)])
    assert [one.faces for one in mixed] == [(), ()]


def test_keep_pixels(whole: Recognizer) -> None:
    picture = noise(20, 30)
    kept = whole.predict(picture)
    assert kept.pixels is not None
    assert np.array_equal(kept.pixels, picture)
    assert whole.predict(picture, keep_pixels=False).pixels is None
    assert whole.predict(picture, keep_pixels=False) == kept


def test_classify(whole: Recognizer, monkeypatch: pytest.MonkeyPatch) -> None:
    crops = np.stack([noise(20, 20, seed) for seed in range(9)])
    rows = whole.classify(crops)
    assert (rows.shape, rows.dtype.name) == ((9, 7), "float32")
    assert np.abs(rows.sum(axis=1, dtype=float) - 1).max() < 1e-6
    assert np.allclose(whole.classify(list(crops)), rows, atol=1e-6)
    assert np.allclose(whole.classify(crops[:, :, :, 0]), whole.classify([crop[:, :, 0] for crop in crops]))
    assert whole.classify([]).shape == whole.classify(crops[:0]).shape == (0, 7)
    monkeypatch.setattr(classifier, "BATCH", 4)
    assert np.allclose(whole.classify(crops), rows, atol=1e-6)


def test_a_run_never_exceeds_the_batch(model: Path) -> None:
    recognizer = load(model, detector="whole")
    session, sizes = recognizer._classifier.session, []

    class Counting:
        def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
            sizes.append(len(batch))
            return session.logits(batch)

    recognizer._classifier = replace(recognizer._classifier, session=Counting())
    assert recognizer.classify(np.zeros((600, 8, 8), np.uint8)).shape == (600, 7)
    assert sizes == [256, 256, 88]


def test_extreme_logits_stay_finite(model: Path) -> None:
    recognizer = load(model, detector="whole")

    class Extreme:
        def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.tile(np.array([1e30, -1e30, 0, 0, 0, 0, 0], np.float32), (len(batch), 1))

    recognizer._classifier = replace(recognizer._classifier, session=Extreme())
    assert recognizer.classify([noise(9, 9)])[0].tolist() == [1, 0, 0, 0, 0, 0, 0]


def test_threads_share_a_recognizer(model: Path) -> None:
    recognizer = load(model, detector=Quarters(), threads=1)
    pictures = [noise(30, 30, seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(recognizer.predict, pictures)) == [recognizer.predict(picture) for picture in pictures]


def test_refusals(whole: Recognizer, model: Path, tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match="none"):
        whole.predict([noise(9, 9), tmp_path / "none.jpg"])
    for single in ("photo.jpg", noise(9, 9), 3):
        with pytest.deprecated_call(), pytest.raises(ImageError, match="expected a list of pictures"):
            whole.read_many(single)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=r"Pass \[crop\]"):
        whole.classify(noise(20, 20))
    with pytest.raises(ImageError, match="expected uint8"):
        whole.classify(np.zeros((2, 20, 20)))  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="with a detector object"):
        load(model, detector=Quarters(), max_faces=1)
    with pytest.raises(OptionError, match="Did you mean 'yunet'"):
        load(model, detector="yunett")


def test_description_and_graph_must_agree(tmp_path: Path) -> None:
    written = write_model(tmp_path / "seven.onnx")
    write_model(tmp_path / "two.onnx", graph=written.graph, labels=LabelSet("two", ("a", "b")))
    with pytest.raises(ModelError, match=r"'logits'.*2"):
        load(tmp_path / "two.onnx", detector="whole")
    write_model(tmp_path / "size.onnx", graph=written.graph, preprocess=PreprocessSpec(size=48))
    with pytest.raises(ModelError, match=r"'crops'.*48"):
        load(tmp_path / "size.onnx", detector="whole")


def test_the_photo_end_to_end(model: Path, examples: Path) -> None:
    result = mien.load(model, threads=1, max_faces=1).predict(examples / "astronaut.jpg")
    assert len(result.faces) == 1
    assert result.faces[0].landmarks is not None
    assert result.detector == "yunet"
    assert result.draw().size == (512, 512)


@pytest.mark.parametrize("detector", ["yunet", "haar", "whole"])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_recognizer_can_be_copied_and_handed_to_other_processes(
    model: Path, examples: Path, detector: str, copied: Callable[[mien.Recognizer], mien.Recognizer]
) -> None:
    options = {"threshold": 0.5, "max_faces": 1} if detector != "whole" else {}
    recognizer = mien.load(model, detector=detector, threads=1, classes="happiness,sadness,anger", **options)  # type: ignore[arg-type]
    again = copied(recognizer)
    photo = examples / "astronaut.jpg"
    assert again.predict(photo) == recognizer.predict(photo)
    assert again.labels == ("happiness", "sadness", "anger")


def test_memory_that_an_engine_lacks_is_said_as_such(model: Path) -> None:
    """OpenCV and ONNX Runtime raise errors of their own: a server answered 500, a script saw a damaged model."""

    class Greedy(Quarters):
        def detect(self, pixels: NDArray[np.uint8]) -> tuple[Detection, ...]:
            with little_memory(1_000_000_000):
                cv2.copyMakeBorder(pixels, 0, 2_000_000_000, 0, 0, cv2.BORDER_CONSTANT)
            return ()

    reader = load(model, detector=Greedy(), threads=1)
    with pytest.raises(OutOfMemoryError, match=r"No memory left to find faces in 60×40 pixels"):
        reader.predict(noise(40, 60))


def test_other_errors_of_an_engine_stay_what_they_are(model: Path) -> None:
    class Wrong(Quarters):
        def detect(self, pixels: NDArray[np.uint8]) -> tuple[Detection, ...]:
            cv2.resize(pixels, (0, 0))
            return ()

    with pytest.raises(cv2.error, match="resize"):
        load(model, detector=Wrong(), threads=1).predict(noise(40, 60))
