"""A classifier of which only some classes are distinguished, and how these are named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mien
from mien import labels
from mien.cli import main
from mien.errors import DataError, OptionError
from mien.preprocess import PreprocessSpec, apply
from mien.recognition.classifier import Classifier

WORDS = ("happiness", "sadness", "anger")


class Fixed:
    """Logits 0.0, 0.1, 0.2 … in the order of the columns, the same for every face."""

    def logits(self, batch: np.ndarray) -> np.ndarray:
        return np.tile(np.arange(7, dtype=np.float32) / 10, (len(batch), 1))


MODEL = Classifier("fixed", "", labels.FER2013, PreprocessSpec(), 2.0, Fixed())
CROPS = np.zeros((2, 48, 48), np.uint8)


def test_the_others_probability_is_divided_among_those_that_stay() -> None:
    few = MODEL.narrow(labels.choose("sad,happy"))
    columns = [labels.FER2013.index(label) for label in ("sadness", "happiness")]
    kept = MODEL.classify(CROPS)[:, columns]
    np.testing.assert_allclose(few.classify(CROPS), kept / kept.sum(1, keepdims=True), rtol=1e-12)
    assert few.label_set.labels == ("sadness", "happiness")
    assert few.logits(CROPS).flags.c_contiguous


def test_all_ways_to_probabilities_agree() -> None:
    expected = MODEL.classify(CROPS)
    np.testing.assert_array_equal(MODEL.to_probabilities(MODEL.logits(CROPS)), expected)
    np.testing.assert_array_equal(MODEL.classify_inputs(apply(CROPS, MODEL.preprocess)), expected)
    np.testing.assert_allclose(expected, [np.exp(np.arange(7) / 20) / np.exp(np.arange(7) / 20).sum()] * 2, rtol=1e-6)


@pytest.mark.parametrize("wanted", ["happy, sad,angry", ["happiness", "sad", "AN"]])
def test_emotions_are_taken_in_anybodys_words(wanted: str | list[str]) -> None:
    assert labels.choose(wanted).labels == WORDS


def test_a_label_set_is_taken_by_its_name() -> None:
    assert labels.choose("fer2013") == labels.FER2013


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        ("fer2031", OptionError, "Did you mean 'fer2013'"),
        ("happiness", OptionError, "two emotions"),
        (["happy"], OptionError, "two or more different"),
        ("happy,joy", OptionError, "two or more different"),
        ("", OptionError, "two or more different"),
        ("happy,bored", DataError, "Unknown emotion 'bored'"),
    ],
)
def test_what_cannot_be_told_apart(wanted: str | list[str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        labels.choose(wanted)


def test_classes_that_the_model_does_not_know() -> None:
    with pytest.raises(OptionError, match=r"does not know contempt; it knows anger, .*Leave them out"):
        MODEL.narrow(labels.FERPLUS)


def test_a_recognizer_and_the_command_line(examples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = examples / "astronaut.jpg"
    (whole,) = mien.load().predict(photo).faces
    recognizer = mien.load(classes=WORDS)
    assert recognizer.labels == WORDS
    (face,) = recognizer.predict(photo).faces
    assert face.labels == WORDS
    shares = np.array([whole.probabilities[label] for label in WORDS])
    np.testing.assert_allclose(face.values, shares / shares.sum(), rtol=1e-9)
    assert main(["predict", str(photo), "--classes", "happy,sad,angry", "--format", "json"]) == 0
    (printed,) = json.loads(capsys.readouterr().out)
    assert printed["faces"][0]["probabilities"] == face.probabilities
