"""One-vs-rest ROC and precision-recall curves of each class, with their areas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.metrics.checks import Doubles, Floats, Labels, check_probabilities
from mien.labels import LabelSet


@dataclass(frozen=True)
class Curve:
    """A curve of K points, one for each threshold on the class's probability, strictest first.

    Attributes:
        x, y: float64 (K,) in [0, 1].
        thresholds: float64 (K,), decreasing; infinity where nothing is predicted positive.
        area: area under the curve, in [0, 1].
    """

    x: Doubles
    y: Doubles
    thresholds: Doubles
    area: float


@dataclass(frozen=True)
class ClassCurves:
    """The two one-vs-rest curves of a class; None where they are undefined.

    Attributes:
        roc: x is the false-positive rate, y the true-positive rate. Area: probability that a face of the class scores
            higher than one of the rest. None for a class without faces, or without faces of other classes.
        precision_recall: x is the recall, y the precision. Area: average precision, the mean precision weighted by the
            steps of recall, without interpolation (Davis & Goadrich 2006). None for a class without faces.
    """

    roc: Curve | None
    precision_recall: Curve | None


def compute_curves(probabilities: Floats, labels: NDArray[Any], label_set: LabelSet) -> dict[str, ClassCurves]:
    """Return label → curves for probabilities (N, C) and class indices (N,).

    Errors as ``checks.check_probabilities``.
    """
    checked, known = check_probabilities(probabilities, labels, len(label_set))
    return {label: compute_class_curves(checked, known, index) for index, label in enumerate(label_set.labels)}


def compute_class_curves(probabilities: Doubles, labels: Labels, index: int) -> ClassCurves:
    """Return the curves of the class at ``index``; the arrays must be valid, and are not checked."""
    own, scores = labels == index, probabilities[:, index]
    if not own.any():
        return ClassCurves(None, None)
    return ClassCurves(None if own.all() else _roc(own, scores), _precision_recall(own, scores))


def _roc(own: NDArray[np.bool_], scores: Doubles) -> Curve:
    from sklearn.metrics import auc, roc_curve

    false, true, thresholds = roc_curve(own, scores)
    return Curve(false, true, thresholds, float(auc(false, true)))


def _precision_recall(own: NDArray[np.bool_], scores: Doubles) -> Curve:
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(own, scores)
    area = -float(np.diff(recall) @ precision[:-1])  # as scikit-learn's average_precision_score
    return Curve(recall[::-1], precision[::-1], np.append(thresholds, np.inf)[::-1], area)
