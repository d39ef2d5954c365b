"""How sure a figure is: bootstrap intervals, and McNemar's test of two models on the same faces."""

from __future__ import annotations

from collections.abc import Sequence
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

    Resampling N right-or-wrong answers with replacement is a binomial draw, which is what is done here.
    """
    shares = np.random.default_rng(seed).binomial(faces, accuracy, draws) / faces
    return _middle(shares)


def macro_f1_interval(confusion: NDArray[np.int64], *, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the macro F1 of a confusion matrix (C, C), rows true.

    Resampling faces with replacement is a multinomial draw of the matrix's cells. Of each draw the figure is taken as
    of the data: the mean over the classes that have faces in it.
    """
    return _middle(macro_f1(_resampled(confusion, draws, seed)))


def balanced_accuracy_interval(
    confusion: NDArray[np.int64], *, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the balanced accuracy, as ``macro_f1_interval``."""
    return _middle(balanced_accuracy(_resampled(confusion, draws, seed)))


def _resampled(confusion: NDArray[np.int64], draws: int, seed: int) -> NDArray[np.int64]:
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

    ``part`` of ``whole`` faces have a property, and ``rest`` faces are not looked at, such as those that a model calls
    uncertain. All ``whole + rest`` faces are resampled; draws without any of ``whole`` are passed over.
    """
    total = whole + rest
    shares = np.array([part, whole - part, rest]) / total
    drawn = np.random.default_rng(seed).multinomial(total, shares, draws)
    kept = drawn[drawn[:, 0] + drawn[:, 1] > 0]
    return _middle(kept[:, 0] / (kept[:, 0] + kept[:, 1]))


def calibration_interval(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int, *, draws: int = 2_000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the expected calibration error of N answers.

    The error is a sum of absolute values, so chance makes it larger: resamples lie a little above the data's own.
    """
    faces, draw = len(right), np.random.default_rng(seed)
    bin_of = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps, found = right - confidence, np.empty(draws)
    for number in range(draws):
        rows = draw.integers(0, faces, faces)
        found[number] = np.abs(np.bincount(bin_of[rows], gaps[rows], bins)).sum() / faces
    return _middle(found)


def macro_f1(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the macro F1 (…,) of confusion matrices (…, C, C): the mean over the classes that have faces."""
    true, predicted = confusion.sum(-1), confusion.sum(-2)
    both = np.maximum(true + predicted, 1)
    f1 = 2 * np.diagonal(confusion, axis1=-2, axis2=-1) / both
    present = true > 0
    mean: NDArray[np.float64] = (f1 * present).sum(-1) / present.sum(-1)
    return mean


def _middle(values: NDArray[np.floating[Any]]) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True)
class McNemar:
    """Two models on the same faces: does one of them err on more of the faces on which just one errs?

    only_first, only_second: faces that only that model reads rightly.
    p_value: two-sided, of so unequal a pair of counts if both models were equally good.
    method:  ``exact``: binomial, for fewer than 25 such faces; ``chi-squared``: with Edwards' correction (1948).
    """

    only_first: int
    only_second: int
    p_value: float
    method: Literal["exact", "chi-squared"]


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """Test which of two models is better by where they are right, bool (N,) each, face by face (McNemar 1947).

    That both answered the same faces is the caller's to check (``predictions.same_faces``). Raises ``DataError`` for
    arrays of other or different shapes, or no faces.
    """
    from scipy.stats import binomtest, chi2

    given = [(each.dtype, each.shape) for each in (first, second)]
    if given[0] != given[1] or first.dtype != bool or first.ndim != 1 or not len(first):
        told = " and ".join(f"{dtype} {shape}" for dtype, shape in given)
        raise DataError(f"McNemar's test of {told}: expected bool (N,) twice, right or wrong on the same N faces.")
    ours, theirs = int((first & ~second).sum()), int((second & ~first).sum())
    discordant = ours + theirs
    if discordant < FEW:
        p_value = float(binomtest(min(ours, theirs), discordant).pvalue) if discordant else 1.0
        return McNemar(ours, theirs, p_value, "exact")
    statistic = max(abs(ours - theirs) - 1, 0) ** 2 / discordant
    return McNemar(ours, theirs, float(chi2.sf(statistic, 1)), "chi-squared")


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values of several tests, adjusted for their number (Holm 1979), in the order given; at most 1.

    Calling significant what is below 0.05 after this errs once or more among all the tests with a chance of at most
    5 %, whatever they depend on.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted
