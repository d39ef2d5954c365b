"""A model file on a corpus: logits once, then figures with and without the faces that also stand in Training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets.faces import FaceSet, also_in
from mien.errors import DataError
from mien.evaluation.metrics import score
from mien.labels import LabelSet
from mien.preprocess import PreprocessSpec, apply
from mien.recognition.session import Session, softmax

Watch = Callable[[Iterable[int]], Iterable[int]]


def logits(session: Session, spec: PreprocessSpec, faces: FaceSet, watch: Watch | None = None) -> NDArray[np.float32]:
    """Return float32 (N, C): the session's answers on all faces, one view, no test-time augmentation."""
    starts: Iterable[int] = range(0, len(faces), 256)
    batches = watch(starts) if watch else starts
    return np.concatenate([session.logits(apply(faces.pixels[i : i + 256], spec)) for i in batches])


def report(answers: NDArray[np.float32], faces: FaceSet, label_set: LabelSet, temperature: float) -> dict[str, Any]:
    """Return the figures of ``logits`` on ``faces`` as JSON-ready values. Raises ``DataError``."""
    if label_set.labels != faces.label_set.labels:
        raise DataError(
            f"The model's classes are {', '.join(label_set.labels)}; the data's are "
            f"{', '.join(faces.label_set.labels)}. Evaluate on data with the model's classes."
        )
    return score(softmax(answers, temperature), faces.labels, label_set).to_dict()


def report_with_copies(
    answers: NDArray[np.float32], faces: FaceSet, training: FaceSet, temperature: float
) -> dict[str, Any]:
    """Return ``report`` plus ``without_training_copies``: the same figures on the faces that Training lacks."""
    own = ~also_in(faces, training)
    clean = report(answers[own], faces.where(own), faces.label_set, temperature)
    everything = report(answers, faces, faces.label_set, temperature)
    return {**everything, "without_training_copies": clean}
