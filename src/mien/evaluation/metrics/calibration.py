"""Calibrate probabilities: temperature and vector scaling, calibration error, risk-coverage curves and thresholds.

Everything fitted here is fitted on the validation set, never on the faces that results are reported for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import OptionError
from mien.evaluation.metrics.checks import Doubles, Floats, check_probabilities
from mien.recognition.classifier import softmax

BINS = 15


def fit_temperature(logits: Floats, labels: NDArray[np.int64], weights: Floats | None = None) -> float:
    """Return the temperature in [0.05, 20] that minimises the log-loss (Guo et al. 2017, section 4.2).

    Args:
        weights: (N,), sample weights above 0; None weights all faces equally. The temperature changes confidences,
            never predictions. Fit it on PublicTest, never on the faces that results are reported for.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return log_loss(logits, labels, float(np.exp(log_temperature)), weights)

    minimum = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return float(np.exp(minimum.x))


def log_loss(
    logits: Floats,
    labels: NDArray[np.int64],
    temperature: float = 1.0,
    weights: Floats | None = None,
    *,
    floor: float = 1e-300,
) -> float:
    """Return the mean log-loss of logits (N, C) in nats. floor: probabilities of the labels below it count as it."""
    chosen = softmax(logits, temperature)[np.arange(len(labels)), labels]
    return float(np.average(-np.log(np.maximum(chosen, floor)), weights=weights))


def probability_gaps(logits: Floats, others: Floats) -> Doubles:
    """Return the largest difference in probability of each row between two networks' logits (N, C), float64 (N,)."""
    gaps: Doubles = np.abs(softmax(logits) - softmax(others)).max(1)
    return gaps


@dataclass(frozen=True)
class VectorScaling:
    """Logits (N, C) times ``scale`` plus ``bias``, float64 (C,) each."""

    scale: Doubles
    bias: Doubles

    def apply(self, logits: Floats, known: NDArray[np.bool_]) -> Doubles:
        """Return the scaled logits, float64 (N, C); minus infinity where a class is not ``known``, bool (N, C)."""
        return np.where(known, np.asarray(logits, np.float64) * self.scale + self.bias, -np.inf)

    def probabilities(self, logits: Floats, known: NDArray[np.bool_], temperature: float = 1.0) -> Doubles:
        """Return probabilities, float64 (N, C); those of classes that are not ``known``, bool (N, C), are 0."""
        return softmax(self.apply(logits, known), temperature)


def fit_vector(
    logits: Floats,
    labels: NDArray[np.int64],
    weights: Floats | None = None,
    known: NDArray[np.bool_] | None = None,
) -> VectorScaling:
    """Return the scale in [0.05, 20] and the bias of each class that minimise the log-loss (Guo et al. 2017, 4.2).

    Unlike a single temperature, this corrects classes that are predicted too rarely or too confidently, so it may
    change predictions. An L2 penalty of 1e-4 pulls scales towards 1 and biases towards 0: without it the bias of a
    class without faces would diverge to minus infinity, and the scales of perfectly classified faces would depend on
    rounding alone. Fit it on PublicTest, never on the faces that results are reported for.

    Args:
        weights: (N,), sample weights above 0; None weights all faces equally.
        known: bool (N, C), the classes that a face's corpus distinguishes, including the face's own; None for all.
    """
    from scipy.optimize import minimize

    classes = logits.shape[1]
    apart = np.ones(logits.shape, bool) if known is None else known
    values = np.where(apart, logits, 0).astype(np.float64)
    share = np.full(len(labels), 1 / len(labels)) if weights is None else np.asarray(weights) / np.sum(weights)
    truth = np.eye(classes)[labels]

    def loss(parameters: Doubles) -> tuple[float, Doubles]:
        scale, bias = parameters[:classes], parameters[classes:]
        shares = VectorScaling(scale, bias).probabilities(values, apart)
        error = (shares - truth) * share[:, None]
        chosen = np.maximum(shares[np.arange(len(labels)), labels], 1e-300)
        slopes = np.concatenate([(error * values).sum(0) + 2e-4 * (scale - 1), error.sum(0) + 2e-4 * bias])
        return float(-(share * np.log(chosen)).sum() + 1e-4 * ((scale - 1) ** 2 + bias**2).sum()), slopes

    hidden = np.where(apart, logits, -np.inf)
    start = np.concatenate([np.full(classes, 1 / fit_temperature(hidden, labels, weights)), np.zeros(classes)])
    bounds = [(0.05, 20.0)] * classes + [(None, None)] * classes
    limits = {"gtol": 1e-8, "ftol": 1e-12}  # the defaults stop while only the penalty still has a gradient
    minimum = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=limits)
    return VectorScaling(minimum.x[:classes], minimum.x[classes:])


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram (DeGroot & Fienberg 1983): faces in B equal-width bins of confidence.

    Attributes:
        edges: float64 (B + 1,), from 0 to 1.
        faces: int64 (B,).
        confidence, accuracy: float64 (B,), means over the bin's faces; NaN in an empty bin.
    """

    edges: Doubles
    faces: NDArray[np.int64]
    confidence: Doubles
    accuracy: Doubles

    @property
    def error(self) -> float:
        """The expected calibration error: mean gap between confidence and accuracy, bins weighted by their faces."""
        used = self.faces > 0
        gaps = np.abs(self.accuracy - self.confidence)[used]
        return float(np.average(gaps, weights=self.faces[used]))


def reliability(probabilities: Floats, labels: NDArray[Any], bins: int = BINS) -> Reliability:
    """Return the reliability diagram of probabilities (N, C) and class indices (N,).

    A confidence on an edge belongs to the bin above it, 1 to the last bin. Errors as ``checks.check_probabilities``.
    """
    checked, known = check_probabilities(probabilities, labels)
    confidence, right = checked.max(1), checked.argmax(1) == known
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    faces = np.bincount(bin_of, minlength=bins)
    sums = [np.bincount(bin_of, values, minlength=bins) for values in (confidence, right)]
    empty = np.full(bins, np.nan)
    means = [np.divide(total, faces, out=empty.copy(), where=faces > 0) for total in sums]
    return Reliability(np.linspace(0, 1, bins + 1), faces, means[0], means[1])


def calibration_error(probabilities: Floats, labels: NDArray[Any], bins: int = BINS) -> float:
    """Return the expected calibration error: mean gap between confidence and accuracy over equal-width bins."""
    return reliability(probabilities, labels, bins).error


@dataclass(frozen=True)
class Threshold:
    """A confidence threshold, the share of the faces that reach it (``coverage``), and the accuracy on these."""

    confidence: float
    accuracy: float
    coverage: float


@dataclass(frozen=True)
class RiskCoverage:
    """The risk-coverage curve of selective classification (El-Yaniv & Wiener 2010).

    One point for each distinct confidence, highest first, as no threshold separates faces with equal confidences.
    Arrays float64 (K,).

    Attributes:
        confidence: the threshold.
        coverage: share of the faces with at least that confidence, up to 1.
        accuracy: accuracy on those faces.
        area: mean risk (1 - accuracy) over all coverages, where each face contributes the risk at its own confidence
            (Geifman, Uziel & El-Yaniv 2019). 0 is best.
    """

    confidence: Doubles
    coverage: Doubles
    accuracy: Doubles
    area: float


def risk_coverage(probabilities: Floats, labels: NDArray[Any]) -> RiskCoverage:
    """Return the risk-coverage curve of probabilities (N, C) and class indices (N,).

    Errors as ``checks.check_probabilities``.
    """
    checked, known = check_probabilities(probabilities, labels)
    confidence = checked.max(1)
    order = np.argsort(-confidence, kind="stable")
    falling, right = confidence[order], (checked.argmax(1) == known)[order]
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))  # of each group of equal confidence
    answered = last + 1
    accuracy = np.cumsum(right)[last] / answered
    shares = np.diff(answered, prepend=0) / len(known)
    return RiskCoverage(falling[last], answered / len(known), accuracy, float((shares * (1 - accuracy)).sum()))


def accuracy_at(curve: RiskCoverage, coverage: float) -> Threshold:
    """Return the accuracy of the most confident faces, the smallest set that covers at least ``coverage`` of all.

    Args:
        coverage: above 0, at most 1. ``Threshold.coverage`` is the share reached, which is larger where confidences
            tie.

    Raises:
        OptionError: other values.
    """
    if not 0 < coverage <= 1:
        raise OptionError(f"coverage = {coverage}: expected a share of the faces, above 0 and at most 1.")
    index = int(np.searchsorted(curve.coverage, coverage - 1e-12))
    return Threshold(*(float(values[index]) for values in (curve.confidence, curve.accuracy, curve.coverage)))


def fit_threshold(probabilities: Floats, labels: NDArray[Any], accuracy: float = 0.8) -> Threshold:
    """Return the lowest confidence at and above which at least ``accuracy`` of the faces are classified correctly.

    Predictions below it are called uncertain. If even the most confident faces miss ``accuracy``, all predictions are
    (confidence 1, accuracy and coverage 0). Errors as ``checks.check_probabilities``.
    """
    curve = risk_coverage(probabilities, labels)
    good = np.flatnonzero(curve.accuracy >= accuracy)
    if not len(good):
        return Threshold(1.0, 0.0, 0.0)
    last = int(good[-1])
    return Threshold(float(curve.confidence[last]), float(curve.accuracy[last]), float(curve.coverage[last]))
