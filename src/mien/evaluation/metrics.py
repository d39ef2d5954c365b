"""Figures of a classifier on labelled faces. scikit-learn computes what it knows; intervals are bootstrapped."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError
from mien.evaluation.calibration import calibration_error
from mien.labels import LabelSet

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Metrics:
    """One model on N faces. All but ``log_loss`` (nats) and counts lie in [0, 1].

    interval:  95 % bootstrap interval of ``accuracy``.
    per_class: label → precision, recall, f1, support; 0 where a class is never predicted or absent.
    confusion: (C, C) counts, rows true, columns predicted, classes in label order.
    ece:       expected calibration error over 15 equal-width bins of the confidence (Guo et al. 2017).
    """

    faces: int
    accuracy: float
    interval: tuple[float, float]
    macro_f1: float
    log_loss: float
    ece: float
    per_class: dict[str, dict[str, float]]
    confusion: list[list[int]]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {**asdict(self), "interval": list(self.interval)}


def score(probabilities: Floats, labels: NDArray[np.int64], label_set: LabelSet) -> Metrics:
    """Score probabilities (N, C), rows summing to 1, against class indices (N,).

    Raises ``DataError`` for no faces, another number of classes, or values that are not probabilities.
    """
    from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

    _check(probabilities, labels, label_set)
    classes = list(range(len(label_set)))
    predicted = probabilities.argmax(1)
    rows = precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=0.0)
    names = ("precision", "recall", "f1", "support")
    accuracy = float((predicted == labels).mean())
    return Metrics(
        faces=len(labels),
        accuracy=accuracy,
        interval=bootstrap_interval(accuracy, len(labels)),
        macro_f1=float(rows[2].mean()),
        log_loss=float(log_loss(labels, probabilities.astype(np.float64), labels=classes)),
        ece=calibration_error(probabilities, labels),
        per_class={
            label: {name: float(row[index]) for name, row in zip(names, rows, strict=True)}
            for index, label in enumerate(label_set.labels)
        },
        confusion=confusion_matrix(labels, predicted, labels=classes).tolist(),
    )


def _check(probabilities: Floats, labels: NDArray[np.int64], label_set: LabelSet) -> None:
    if probabilities.shape != (len(labels), len(label_set)) or not len(labels):
        raise DataError(
            f"Probabilities of shape {probabilities.shape} for {len(labels)} labels of {len(label_set)} classes; "
            "expected (N, C) with N at least 1."
        )
    if not np.isfinite(probabilities).all() or not np.allclose(probabilities.sum(1), 1, atol=1e-3):
        raise DataError("Probabilities hold NaN or infinity, or rows that do not sum to 1; pass softmax outputs.")


def bootstrap_interval(accuracy: float, faces: int, *, draws: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of an accuracy over ``faces`` faces.

    Resampling N right-or-wrong answers with replacement is a binomial draw, which is what is done here.
    """
    shares = np.random.default_rng(seed).binomial(faces, accuracy, draws) / faces
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)
