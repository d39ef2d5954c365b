"""Evaluate a model on a corpus: logits, predictions, and metrics with and without leaked training faces."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
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
from mien.preprocess import PreprocessSpec, apply
from mien.recognition import views
from mien.recognition.session import Session, softmax

Watch = Callable[[Iterable[int]], Iterable[int]]

BATCH = 256
_SIDE = 96


@dataclass(frozen=True)
class Model:
    """A classifier of face crops, whatever file format it was loaded from.

    digest:      SHA-256 (hex) of its graph or file.
    temperature: the logits are divided by it before softmax.
    session:     computes the logits, in the order of ``label_set``.
    """

    name: str
    digest: str
    label_set: LabelSet
    preprocess: PreprocessSpec
    temperature: float
    session: Session = field(repr=False)


def logits(session: Session, spec: PreprocessSpec, faces: FaceSet, watch: Watch | None = None) -> NDArray[np.float32]:
    """Return the logits of all faces, float32 (N, C), without test-time augmentation."""
    size = batch_size(faces, spec)
    starts: Iterable[int] = range(0, len(faces), size)
    batches = watch(starts) if watch else starts
    return np.concatenate([session.logits(apply(faces.pixels[i : i + size], spec)) for i in batches])


def batch_size(faces: FaceSet, spec: PreprocessSpec) -> int:
    """Return the faces to compute at once: ``BATCH``; of data larger than memory only as many pixels as at 96 × 96.

    A convolution of 64 maps on 256 crops of 224 pixels takes 3.3 GB. Where faces fit into memory the number stays,
    since other batches are summed in another order, which changes the last digits of a loss.
    """
    return BATCH if isinstance(faces.pixels, np.ndarray) else max(8, min(BATCH, BATCH * _SIDE**2 // spec.size**2))


def predict(model: Model, faces: FaceSet, training: FaceSet | None, watch: Watch | None = None) -> Predictions:
    """Predict faces that have the model's classes, without test-time augmentation.

    training: the training faces, whose duplicates among ``faces`` are marked; None if unknown.
    Raises ``DataError`` for no faces, or faces of another label set.
    """
    check_classes(model.label_set, faces)
    return to_predictions(logits(model.session, model.preprocess, faces, watch), faces, training, model)


def to_predictions(answers: NDArray[np.float32], faces: FaceSet, training: FaceSet | None, model: Model) -> Predictions:
    """Convert the logits (N, C) of ``model`` on N faces to predictions."""
    copies = np.zeros(len(faces), bool) if training is None else also_in(faces, training)
    probabilities = softmax(answers, model.temperature)
    return from_faces(
        probabilities, faces, copies, model=model.name, model_digest=model.digest, temperature=model.temperature
    )


def average_views(
    model: Model, faces: FaceSet, single: Predictions, kind: str, watch: Watch | None = None
) -> Predictions:
    """Average ``single``, predictions of one view, over the views of the test-time augmentation ``kind``."""
    total = single.probabilities.copy()
    for pixels in zip(*(views.of(face, kind)[1:] for face in faces.pixels), strict=True):
        view = replace(faces, pixels=np.stack(pixels))
        total += softmax(logits(model.session, model.preprocess, view, watch), model.temperature)
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

    copies: add ``without_training_copies``, the same metrics on the faces that are not in the training set, if any.
    Where subjects or sessions are known, ``grouped`` has the intervals under resampling of whole subjects or sessions:
    several frames of one sequence are not independent, so these are the intervals to state.
    """
    metrics = score(predictions.probabilities, predictions.labels, predictions.label_set).to_dict()
    if copies and not predictions.copy.all():
        own = predictions.where(~predictions.copy)
        clean = score(own.probabilities, own.labels, own.label_set).to_dict()
        metrics["without_training_copies"] = clean
    if predictions.groups:
        metrics["grouped"] = {name: _score_groups(predictions, name) for name in predictions.groups}
    return metrics


def _score_groups(predictions: Predictions, name: str) -> dict[str, Any]:
    """Return the intervals of accuracy and macro F1 under resampling of people or sessions, and how many there are."""
    _, groups = predictions.grouping(name)
    counts = clusters.count_by_group(predictions.labels, predictions.predicted, groups, len(predictions.label_set))
    return {
        "groups": len(counts),
        "interval": list(clusters.clustered_interval(counts, clusters.accuracy)),
        "macro_f1_interval": list(clusters.clustered_interval(counts, macro_f1)),
    }
