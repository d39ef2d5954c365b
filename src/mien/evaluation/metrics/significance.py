"""Uncertainty of metrics: bootstrap intervals, and McNemar's test of two models on the same faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError

DRAWS = 10_000
"""Resamples of a bootstrap interval."""

FEW = 25
"""Discordant pairs below which McNemar's statistic is too coarse for the chi-squared distribution."""


def bootstrap_interval(accuracy: float, faces: int, *, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of an accuracy over ``faces`` faces.

    Resampling N correct-or-wrong outcomes with replacement is equivalent to a binomial draw, which is used here.
    """
    shares = np.random.default_rng(seed).binomial(faces, accuracy, draws) / faces
    return _middle_interval(shares)


def macro_f1_interval(confusion: NDArray[np.int64], *, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the macro F1 of a confusion matrix (C, C), rows true.

    Resampling faces with replacement is equivalent to a multinomial draw of the matrix's cells. Each draw is scored
    like the data: by the mean over the classes with faces in it.
    """
    return _middle_interval(macro_f1(_resample(confusion, draws, seed)))


def balanced_accuracy_interval(
    confusion: NDArray[np.int64], *, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the balanced accuracy, as ``macro_f1_interval``."""
    return _middle_interval(balanced_accuracy(_resample(confusion, draws, seed)))


COLUMNS = ("precision", "recall", "f1")
"""The metrics of one class that ``per_class`` computes."""


def per_class(confusion: NDArray[np.int64], column: str) -> NDArray[np.float64]:
    """Return precision, recall or F1 (…, C) of confusion matrices (…, C, C), rows true; NaN for classes without faces.

    Precision and F1 of a class with faces that is never predicted are 0.
    """
    right, true, predicted = np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(-1), confusion.sum(-2)
    whole = {"precision": predicted, "recall": true, "f1": (true + predicted) / 2}[column]
    return np.where(true > 0, right / np.maximum(whole, 0.5), np.nan)


def average(confusion: NDArray[np.int64], column: str, *, weighted: bool) -> NDArray[np.float64]:
    """Return the mean (…,) over the classes with faces of a ``per_class`` column, plain or weighted by the faces."""
    values, faces = per_class(confusion, column), confusion.sum(-1)
    weights = faces if weighted else (faces > 0).astype(np.int64)
    mean: NDArray[np.float64] = (np.nan_to_num(values) * weights).sum(-1) / weights.sum(-1)
    return mean


def confusion_interval(
    confusion: NDArray[np.int64],
    metric: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a metric of a confusion matrix (C, C), as ``macro_f1_interval``.

    Args:
        metric: maps matrices (…, C, C) to values (…,); draws in which it has no value (NaN) are discarded.
    """
    values = metric(_resample(confusion, draws, seed))
    return _middle_interval(values[~np.isnan(values)])


def _resample(confusion: NDArray[np.int64], draws: int, seed: int) -> NDArray[np.int64]:
    faces = int(confusion.sum())
    drawn = np.random.default_rng(seed).multinomial(faces, confusion.ravel() / faces, draws)
    return drawn.reshape(draws, *confusion.shape)


def balanced_accuracy(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean recall (…,) over the classes that have faces, of confusion matrices (…, C, C), rows true."""
    faces = confusion.sum(-1)
    recall = np.diagonal(confusion, axis1=-2, axis2=-1) / np.maximum(faces, 1)
    mean: NDArray[np.float64] = recall.sum(-1) / (faces > 0).sum(-1)
    return mean


def share_interval(part: int, whole: int, rest: int, *, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of ``part / whole`` where ``whole`` itself is drawn.

    ``part`` of ``whole`` faces have a property, and ``rest`` faces are excluded, such as those that a model calls
    uncertain. All ``whole + rest`` faces are resampled; draws without any of ``whole`` are discarded.
    """
    total = whole + rest
    shares = np.array([part, whole - part, rest]) / total
    drawn = np.random.default_rng(seed).multinomial(total, shares, draws)
    kept = drawn[drawn[:, 0] + drawn[:, 1] > 0]
    return _middle_interval(kept[:, 0] / (kept[:, 0] + kept[:, 1]))


def calibration_interval(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int, *, draws: int = 2_000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the expected calibration error of N predictions.

    The error is a sum of absolute values and thus biased upwards: resamples lie slightly above the estimate.
    """
    faces, draw = len(right), np.random.default_rng(seed)
    bin_of = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps, errors = right - confidence, np.empty(draws)
    for number in range(draws):
        rows = draw.integers(0, faces, faces)
        errors[number] = np.abs(np.bincount(bin_of[rows], gaps[rows], bins)).sum() / faces
    return _middle_interval(errors)


def macro_f1(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the macro F1 (…,) of confusion matrices (…, C, C): the mean over the classes that have faces."""
    true, predicted = confusion.sum(-1), confusion.sum(-2)
    both = np.maximum(true + predicted, 1)
    f1 = 2 * np.diagonal(confusion, axis1=-2, axis2=-1) / both
    present = true > 0
    mean: NDArray[np.float64] = (f1 * present).sum(-1) / present.sum(-1)
    return mean


def _middle_interval(values: NDArray[np.floating[Any]]) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two models on the same faces, based on the faces that only one of them gets right.

    Attributes:
        only_first, only_second: number of faces that only that model classifies correctly.
        p_value: two-sided, under the hypothesis that both models are equally good.
        method: ``exact``: binomial, for fewer than 25 such faces; ``chi-squared``: with Edwards' correction (1948).
    """

    only_first: int
    only_second: int
    p_value: float
    method: Literal["exact", "chi-squared"]


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """Test whether one of two models is better (McNemar 1947).

    Args:
        first, second: bool (N,), whether each model classifies each face correctly. The caller must make sure that both
            are on the same faces (``predictions.check_same_faces``).

    Raises:
        DataError: other or different shapes, or no faces.
    """
    from scipy.stats import binomtest, chi2

    given = [(array.dtype, array.shape) for array in (first, second)]
    if given[0] != given[1] or first.dtype != bool or first.ndim != 1 or not len(first):
        shapes = " and ".join(f"{dtype} {shape}" for dtype, shape in given)
        raise DataError(
            f"McNemar's test of {shapes}: expected two bool arrays (N,), correct or not on the same N faces."
        )
    ours, theirs = int((first & ~second).sum()), int((second & ~first).sum())
    discordant = ours + theirs
    if discordant < FEW:
        p_value = float(binomtest(min(ours, theirs), discordant).pvalue) if discordant else 1.0
        return McNemar(ours, theirs, p_value, "exact")
    statistic = max(abs(ours - theirs) - 1, 0) ** 2 / discordant
    return McNemar(ours, theirs, float(chi2.sf(statistic, 1)), "chi-squared")


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for the number of tests (Holm 1979); return them in the order given, at most 1.

    Rejecting at adjusted p < 0.05 keeps the family-wise error rate at or below 5 %, however the tests depend on each
    other.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted
