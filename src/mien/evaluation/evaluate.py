"""A model on a corpus: logits once, then predictions, then figures with and without the faces that Training has too."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets.faces import FaceSet, also_in
from mien.errors import DataError
from mien.evaluation.metrics import score
from mien.evaluation.predictions import Predictions, of_faces
from mien.labels import LabelSet
from mien.preprocess import PreprocessSpec, apply
from mien.recognition import views
from mien.recognition.session import Session, softmax

Watch = Callable[[Iterable[int]], Iterable[int]]

BATCH = 256


@dataclass(frozen=True)
class Model:
    """Anything that answers face crops, whatever file it was loaded from.

    digest:      SHA-256 (hex) of its graph or file.
    temperature: the logits are divided by it before softmax.
    session:     what computes the logits, in the order of ``label_set``.
    """

    name: str
    digest: str
    label_set: LabelSet
    preprocess: PreprocessSpec
    temperature: float
    session: Session = field(repr=False)


def logits(session: Session, spec: PreprocessSpec, faces: FaceSet, watch: Watch | None = None) -> NDArray[np.float32]:
    """Return float32 (N, C): the session's answers on all faces, one view, no test-time augmentation."""
    starts: Iterable[int] = range(0, len(faces), BATCH)
    batches = watch(starts) if watch else starts
    return np.concatenate([session.logits(apply(faces.pixels[i : i + BATCH], spec)) for i in batches])


def predict(model: Model, faces: FaceSet, training: FaceSet | None, watch: Watch | None = None) -> Predictions:
    """Return a model's answers on faces with its classes, one view of each.

    training: the faces of which copies are marked; None where nobody knows any.
    Raises ``DataError`` for no faces, or faces of another label set.
    """
    check_classes(model.label_set, faces)
    return answered(logits(model.session, model.preprocess, faces, watch), faces, training, model)


def answered(answers: NDArray[np.float32], faces: FaceSet, training: FaceSet | None, model: Model) -> Predictions:
    """Return logits (N, C) of ``model`` on N faces as predictions."""
    copies = np.zeros(len(faces), bool) if training is None else also_in(faces, training)
    probabilities = softmax(answers, model.temperature)
    return of_faces(
        probabilities, faces, copies, model=model.name, model_digest=model.digest, temperature=model.temperature
    )


def mean_of_views(
    model: Model, faces: FaceSet, single: Predictions, kind: str, watch: Watch | None = None
) -> Predictions:
    """Return the mean of ``single``, the predictions of one view, and those of a kind's other views of ``faces``."""
    total = single.probabilities.copy()
    for pixels in zip(*(views.of(face, kind)[1:] for face in faces.pixels), strict=True):
        view = replace(faces, pixels=np.stack(pixels))
        total += softmax(logits(model.session, model.preprocess, view, watch), model.temperature)
    count = views.KINDS[kind]
    return replace(single, probabilities=total / count, about=replace(single.about, views=count))


def check_classes(label_set: LabelSet, faces: FaceSet) -> None:
    """Raise ``DataError`` if there are no faces, or their classes are not those of ``label_set``."""
    if not len(faces):
        raise DataError("No face to evaluate on; name a split that has some.")
    if label_set.labels != faces.label_set.labels:
        raise DataError(
            f"The model's classes are {', '.join(label_set.labels)}; the data's are "
            f"{', '.join(faces.label_set.labels)}. Evaluate on data with the model's classes."
        )


def report(predictions: Predictions, *, copies: bool = False) -> dict[str, Any]:
    """Return the figures of predictions as JSON-ready values.

    copies: adds ``without_training_copies``, the same figures on the faces that Training lacks, if there are any.
    """
    found = score(predictions.probabilities, predictions.labels, predictions.label_set).to_dict()
    if copies and not predictions.copy.all():
        own = predictions.where(~predictions.copy)
        clean = score(own.probabilities, own.labels, own.label_set).to_dict()
        found["without_training_copies"] = clean
    return found
