"""Curves of one class against the rest, with their areas: receiver operating characteristic, precision and recall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.checks import Doubles, Floats, Labels, distributions
from mien.labels import LabelSet


@dataclass(frozen=True)
class Curve:
    """K points, each what the class's probability as a threshold gives, from the strictest threshold on.

    x, y: float64 (K,) in [0, 1].  thresholds: float64 (K,), falling; infinity where nothing is taken for the class.
    area: under the curve, in [0, 1].
    """

    x: Doubles
    y: Doubles
    thresholds: Doubles
    area: float


@dataclass(frozen=True)
class ClassCurves:
    """The two curves of a class against the rest; None where the data cannot show them.

    roc: x is the false-positive rate, y the true-positive rate. Area: probability that a face of the class gets a
        higher score than one of the rest. None for a class without faces, or without faces of other classes.
    precision_recall: x is the recall, y the precision. Area: average precision, the mean precision weighted by the
        steps of recall, without interpolation (Davis & Goadrich 2006). None for a class without faces.
    """

    roc: Curve | None
    precision_recall: Curve | None


def curves(probabilities: Floats, labels: NDArray[Any], label_set: LabelSet) -> dict[str, ClassCurves]:
    """Return label → curves, of probabilities (N, C) and class places (N,). Errors as ``checks.distributions``."""
    found, known = distributions(probabilities, labels, len(label_set))
    return {label: of_class(found, known, place) for place, label in enumerate(label_set.labels)}


def of_class(probabilities: Doubles, labels: Labels, place: int) -> ClassCurves:
    """Return the curves of the class at ``place``; the arrays are taken as checked."""
    own, scores = labels == place, probabilities[:, place]
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
