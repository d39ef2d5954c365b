"""Honest probabilities: a temperature, its error, and the confidence below which an answer is called uncertain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.recognition.session import softmax

Floats = NDArray[np.floating[Any]]


def fit_temperature(logits: Floats, labels: NDArray[np.int64]) -> float:
    """Return the temperature in [0.05, 20] that minimises the log-loss (Guo et al. 2017, section 4.2).

    It moves no prediction, only confidence. Fit it on PublicTest, never on the faces that are reported.
    """
    from scipy.optimize import minimize_scalar

    def log_loss(log_temperature: float) -> float:
        chosen = softmax(logits, float(np.exp(log_temperature)))[np.arange(len(labels)), labels]
        return float(-np.log(np.maximum(chosen, 1e-300)).mean())

    found = minimize_scalar(log_loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return float(np.exp(found.x))


def calibration_error(probabilities: Floats, labels: NDArray[np.int64], bins: int = 15) -> float:
    """Return the expected calibration error: mean gap of confidence and accuracy over equal-width bins."""
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, right - confidence.astype(np.float64), minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


@dataclass(frozen=True)
class Threshold:
    """Confidence from which on ``accuracy`` of the answers were right, which holds for ``coverage`` of the faces."""

    confidence: float
    accuracy: float
    coverage: float


def fit_threshold(probabilities: Floats, labels: NDArray[np.int64], accuracy: float = 0.8) -> Threshold:
    """Return the lowest confidence at and above which at least ``accuracy`` of the faces are classified rightly.

    Answers below it are called uncertain; where even the most confident ones are worse, that is all of them
    (confidence 1, accuracy and coverage 0).
    """
    confidence = probabilities.max(1).astype(np.float64)
    order = np.argsort(-confidence, kind="stable")
    right = (probabilities.argmax(1) == labels)[order]
    share = np.cumsum(right) / np.arange(1, len(right) + 1)
    good = np.flatnonzero(share >= accuracy)
    if not len(good):
        return Threshold(1.0, 0.0, 0.0)
    last = int(good[-1])
    return Threshold(float(confidence[order][last]), float(share[last]), (last + 1) / len(right))
