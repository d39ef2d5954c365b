"""Evaluate a model on a corpus: predictions, and metrics with and without leaked training faces."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets.faces import FaceSet, also_in
from mien.errors import DataError
from mien.evaluation.metrics import clusters
from mien.evaluation.metrics.classification import score
from mien.evaluation.metrics.significance import macro_f1
from mien.evaluation.predictions import Predictions, from_faces
from mien.labels import LabelSet
from mien.recognition import views
from mien.recognition.classifier import Classifier, Watch


def predict(model: Classifier, faces: FaceSet, training: FaceSet | None, watch: Watch | None = None) -> Predictions:
    """Predict faces that have the model's classes, without test-time augmentation.

    Args:
        training: the training faces, whose duplicates among ``faces`` are marked; None if unknown.

    Raises:
        DataError: no faces, or faces of another label set.
    """
    check_classes(model.label_set, faces)
    return to_predictions(model.logits(faces.pixels, watch), faces, training, model)


def to_predictions(
    logits: NDArray[np.float32], faces: FaceSet, training: FaceSet | None, model: Classifier
) -> Predictions:
    """Convert the logits (N, C) of ``model`` on N faces to predictions."""
    copies = np.zeros(len(faces), bool) if training is None else also_in(faces, training)
    probabilities = model.to_probabilities(logits)
    return from_faces(
        probabilities, faces, copies, model=model.name, model_digest=model.digest, temperature=model.temperature
    )


def average_views(
    model: Classifier, faces: FaceSet, single: Predictions, kind: str, watch: Watch | None = None
) -> Predictions:
    """Average ``single``, predictions of one view, over the views of the test-time augmentation ``kind``."""
    total = single.probabilities.copy()
    for pixels in zip(*(views.of(face, kind)[1:] for face in faces.pixels), strict=True):
        total += model.classify(np.stack(pixels), watch=watch)
    count = views.KINDS[kind]
    return replace(single, probabilities=total / count, about=replace(single.about, views=count))


def check_classes(label_set: LabelSet, faces: FaceSet) -> None:
    """Raise ``DataError`` if there are no faces, or their classes are not those of ``label_set``."""
    if not len(faces):
        raise DataError("There are no faces to evaluate on; choose a split that has some.")
    if label_set.labels != faces.label_set.labels:
        raise DataError(
            f"The model's classes are {', '.join(label_set.labels)}; the data's are "
            f"{', '.join(faces.label_set.labels)}. Evaluate on data with the model's classes."
        )


def report(predictions: Predictions, *, copies: bool = False) -> dict[str, Any]:
    """Return the metrics of predictions as JSON-ready values.

    Args:
        copies: add ``without_training_copies``, the same metrics on the faces that are not in the training set, if any.
            Where subjects or sessions are known, ``grouped`` has the intervals under resampling of whole subjects or
            sessions: several frames of one sequence are not independent, so these are the intervals to state.
    """
    metrics = score(predictions.probabilities, predictions.labels, predictions.label_set).to_dict()
    if copies and not predictions.copy.all():
        own = predictions.where(~predictions.copy)
        clean = score(own.probabilities, own.labels, own.label_set).to_dict()
        metrics["without_training_copies"] = clean
    if predictions.groups:
        metrics["grouped"] = {name: _score_groups(predictions, name) for name in predictions.groups}
    return metrics


def summarise(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the subset of a run's metrics that its model file carries."""
    keep = ("faces", "accuracy", "interval", "macro_f1", "ece")
    summary: dict[str, Any] = {}
    for name, values in metrics.items():
        if not isinstance(values, dict) or "macro_f1" not in values:
            summary[name] = values
            continue
        summary[name] = {key: values[key] for key in keep}
        if "without_training_copies" in values:
            clean = values["without_training_copies"]
            summary[f"{name}_without_training_copies"] = {key: clean[key] for key in keep}
    return summary


def _score_groups(predictions: Predictions, name: str) -> dict[str, Any]:
    """Return the intervals of accuracy and macro F1 under resampling of people or sessions, and how many there are."""
    _, groups = predictions.grouping(name)
    counts = clusters.count_by_group(predictions.labels, predictions.predicted, groups, len(predictions.label_set))
    return {
        "groups": len(counts),
        "interval": list(clusters.clustered_interval(counts, clusters.accuracy)),
        "macro_f1_interval": list(clusters.clustered_interval(counts, macro_f1)),
    }
