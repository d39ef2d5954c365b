"""Metrics of a classifier on labelled faces, from scikit-learn where it has them, with bootstrap intervals.

**Classes without faces.** Their precision, recall, F1 and areas are None, they are listed in ``absent``, and means
exclude them: macro F1 and balanced accuracy are means over the classes with faces (scikit-learn's ``labels=present``,
not its default, which adds an F1 of 0 for every class that is only predicted). Faces predicted as such a class still
count as errors: they lower the recall of their true class.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.metrics.calibration import accuracy_at, calibration_error, risk_coverage
from mien.evaluation.metrics.checks import Doubles, Floats, Labels, check_probabilities
from mien.evaluation.metrics.curves import compute_class_curves
from mien.evaluation.metrics.significance import (
    DRAWS,
    balanced_accuracy,
    bootstrap_interval,
    macro_f1,
    macro_f1_interval,
)
from mien.labels import LabelSet

SELECTED = 0.7
"""Coverage of ``accuracy_at_70``: the accuracy on this share of most confident faces."""


@dataclass(frozen=True)
class Metrics:
    """Metrics of one model on N faces. All except ``log_loss`` (nats), ``brier``, ``mcc``, ``kappa`` and
    counts lie in [0, 1].

    Attributes:
        interval, macro_f1_interval: 95 % bootstrap intervals of ``accuracy`` and ``macro_f1``.
        macro_f1, balanced_accuracy: mean F1 and mean recall over the classes with faces.
        weighted_f1: mean F1 weighted by the number of faces.
        mcc: multi-class Matthews correlation (Gorodkin 2004), -1 to 1; 0 if predictions or labels are all one class.
        kappa: Cohen's kappa (Cohen 1960), agreement beyond chance, at most 1; 0 if all is one class.
        top2: share of faces whose class is among the two most probable ones.
        brier: mean squared distance of the probabilities from the one-hot label, summed over classes (Brier 1950), 0 to
            2.
        ece: expected calibration error over 15 equal-width bins of confidence (Guo et al. 2017).
        roc_area, pr_area: means over the classes that have these curves (see ``curves``), None if none has.
        risk_area: area under the risk-coverage curve.
        accuracy_at_70: accuracy on the 70 % most confident faces.
        per_class: label → precision, recall, f1, support, roc_area, pr_area. Precision and F1 are 0 for a class with
            faces that is never predicted; all but ``support`` are None for a class without faces.
        absent: the classes without faces.
        confusion: (C, C) counts, rows true, columns predicted, classes in label order.
    """

    faces: int
    accuracy: float
    interval: tuple[float, float]
    macro_f1: float
    macro_f1_interval: tuple[float, float]
    weighted_f1: float
    balanced_accuracy: float
    mcc: float
    kappa: float
    top2: float
    log_loss: float
    brier: float
    ece: float
    roc_area: float | None
    pr_area: float | None
    risk_area: float
    accuracy_at_70: float
    per_class: dict[str, dict[str, float | None]]
    absent: tuple[str, ...]
    confusion: list[list[int]]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def score(probabilities: Floats, labels: NDArray[Any], label_set: LabelSet, *, draws: int = DRAWS) -> Metrics:
    """Score probabilities (N, C), rows summing to 1, against class indices (N,).

    Args:
        draws: number of bootstrap resamples. Ties between classes go to the first one.

    Raises:
        DataError: no faces, another number of classes, values that are not probabilities, or labels that are not class
            indices.
    """
    from sklearn.metrics import confusion_matrix, log_loss

    checked, known = check_probabilities(probabilities, labels, len(label_set))
    classes = np.arange(len(label_set))
    predicted = checked.argmax(1)
    confusion = confusion_matrix(known, predicted, labels=classes)
    per_class = _score_classes(checked, known, confusion, label_set)
    accuracy = float((predicted == known).mean())
    selective = risk_coverage(checked, known)
    return Metrics(
        faces=len(known),
        accuracy=accuracy,
        interval=bootstrap_interval(accuracy, len(known), draws=draws),
        macro_f1=float(macro_f1(confusion)),
        macro_f1_interval=macro_f1_interval(confusion, draws=draws),
        weighted_f1=float(np.average([row["f1"] or 0.0 for row in per_class.values()], weights=confusion.sum(1))),
        balanced_accuracy=float(balanced_accuracy(confusion)),
        mcc=matthews_correlation(confusion),
        kappa=cohen_kappa(confusion),
        top2=top_accuracy(checked, known, 2),
        log_loss=float(log_loss(known, checked / checked.sum(1, keepdims=True), labels=classes)),
        brier=brier_score(checked, known),
        ece=calibration_error(checked, known),
        roc_area=_mean(per_class, "roc_area"),
        pr_area=_mean(per_class, "pr_area"),
        risk_area=selective.area,
        accuracy_at_70=accuracy_at(selective, SELECTED).accuracy,
        per_class=per_class,
        absent=tuple(label for label, row in per_class.items() if not row["support"]),
        confusion=confusion.tolist(),
    )


def top_accuracy(probabilities: Doubles, labels: Labels, count: int) -> float:
    """Return the share of faces whose class is among the ``count`` most probable ones; at least the accuracy."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]  # ties in label order, as argmax breaks them
    return float((order == labels[:, None]).any(1).mean())


def matthews_correlation(confusion: NDArray[np.int64]) -> float:
    """Return the multi-class Matthews correlation of a confusion matrix (C, C); 0 where it is undefined.

    Equals ``sklearn.metrics.matthews_corrcoef``, which warns about data of one class.
    """
    counts = confusion.astype(np.float64)
    total, true, predicted = counts.sum(), counts.sum(1), counts.sum(0)
    spread = (total**2 - predicted @ predicted) * (total**2 - true @ true)
    return float((np.trace(counts) * total - true @ predicted) / np.sqrt(spread)) if spread > 0 else 0.0


def cohen_kappa(confusion: NDArray[np.int64]) -> float:
    """Return Cohen's kappa of a confusion matrix (C, C), rows true; 0 where it is undefined.

    Equals ``sklearn.metrics.cohen_kappa_score``, which returns NaN for data of one class.
    """
    counts = confusion.astype(np.float64)
    total = counts.sum()
    observed, chance = np.trace(counts) / total, (counts.sum(0) @ counts.sum(1)) / total**2
    return float((observed - chance) / (1 - chance)) if chance < 1 else 0.0


def brier_score(probabilities: Doubles, labels: Labels) -> float:
    """Return the multi-class Brier score, 0 (certain and correct) to 2 (certain and wrong)."""
    gaps = probabilities - np.eye(probabilities.shape[1])[labels]
    return float((gaps**2).sum(1).mean())


def _score_classes(
    probabilities: Doubles, labels: Labels, confusion: NDArray[np.int64], label_set: LabelSet
) -> dict[str, dict[str, float | None]]:
    right, faces, answers = np.diagonal(confusion), confusion.sum(1), confusion.sum(0)
    shares = (right / np.maximum(answers, 1), right / np.maximum(faces, 1), 2 * right / np.maximum(faces + answers, 1))
    rows: dict[str, dict[str, float | None]] = {}
    for index, label in enumerate(label_set.labels):
        precision, recall, f1, support = (float(row[index]) for row in (*shares, faces))
        curves = compute_class_curves(probabilities, labels, index)
        rows[label] = {
            "precision": precision if support else None,
            "recall": recall if support else None,
            "f1": f1 if support else None,
            "support": support,
            "roc_area": curves.roc.area if curves.roc else None,
            "pr_area": curves.precision_recall.area if curves.precision_recall else None,
        }
    return rows


def _mean(per_class: dict[str, dict[str, float | None]], name: str) -> float | None:
    values = [value for row in per_class.values() if (value := row[name]) is not None]
    return float(np.mean(values)) if values else None
