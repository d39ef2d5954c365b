"""Predictions are the session's answers with the temperature; a mirrored view is the mean of two."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from corpora import bars

from mien.errors import DataError

pytest.importorskip("pyarrow")

from mien.evaluation.evaluate import average_views, predict, report
from mien.labels import FER2013, KDEF
from mien.preprocess import PreprocessSpec, apply
from mien.recognition import views
from mien.recognition.classifier import Classifier, softmax

SPEC = PreprocessSpec(size=16)


@dataclass
class Linear:
    """Logits of one matrix."""

    calls: int = 0

    def logits(self, batch: np.ndarray) -> np.ndarray:
        self.calls += len(batch)
        matrix = np.random.default_rng(0).normal(0, 0.3, (256, 7))
        return (batch.reshape(len(batch), -1) @ matrix).astype(np.float32)


def model() -> Classifier:
    return Classifier("linear", "0" * 64, FER2013, SPEC, 2.0, Linear())


def test_predictions_are_the_softmax_of_the_answers_over_the_temperature() -> None:
    faces = bars({"Training": 45})  # more than one batch
    found = predict(model(), faces, None)
    expected = softmax(Linear().logits(apply(faces.pixels, SPEC)), 2.0)
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-12)
    assert (found.about.model, found.about.temperature, found.about.views) == ("linear", 2.0, 1)
    assert not found.copy.any()


def test_copies_of_training_faces_are_marked_and_scored_apart() -> None:
    faces = bars({"Training": 2, "PrivateTest": 2})
    pixels = np.array(faces.pixels)
    pixels[14:17] = pixels[:3]
    faces = replace(faces, pixels=pixels)
    found = predict(model(), faces.part("PrivateTest"), faces.part("Training"))
    assert found.copy.tolist() == [True] * 3 + [False] * 11
    figures = report(found, copies=True)
    assert (figures["faces"], figures["without_training_copies"]["faces"]) == (14, 11)
    assert "without_training_copies" not in report(found)
    assert "without_training_copies" not in report(found.where(found.copy), copies=True)


def test_a_mirrored_view_is_averaged_in_and_the_single_one_not_computed_again() -> None:
    faces, ours = bars({"PrivateTest": 2}), model()
    single = predict(ours, faces, None)
    both = average_views(ours, faces, single, "flip")
    assert ours.session.calls == 2 * len(faces)  # type: ignore[attr-defined]
    mirrored = predict(ours, replace(faces, pixels=np.asarray(faces.pixels)[:, :, ::-1].copy()), None)
    np.testing.assert_allclose(both.probabilities, (single.probabilities + mirrored.probabilities) / 2)
    assert (both.about.views, single.about.views) == (2, 1)
    assert not np.allclose(both.probabilities, single.probabilities)


def test_the_mean_of_ten_views() -> None:
    faces, ours = bars({"PrivateTest": 2}), model()
    single = predict(ours, faces, None)
    ten = average_views(ours, faces, single, "crops")
    assert (ours.session.calls, ten.about.views) == (10 * len(faces), 10)  # type: ignore[attr-defined]
    shown = [np.stack(each) for each in zip(*(views.of(face, "crops") for face in faces.pixels), strict=True)]
    each = [predict(ours, replace(faces, pixels=view), None).probabilities for view in shown]
    np.testing.assert_allclose(ten.probabilities, np.mean(each, axis=0))


def test_other_classes_and_no_faces_are_refused() -> None:
    faces = bars({"PrivateTest": 1})
    with pytest.raises(DataError, match="Evaluate on data with the model's classes"):
        predict(model(), replace(faces, label_set=KDEF), None)
    with pytest.raises(DataError, match="no faces"):
        predict(model(), faces.where(faces.labels > 6), None)
