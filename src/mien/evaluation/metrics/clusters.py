"""Intervals and tests that know which faces belong together, and that runs of other seeds differ.

Three frames of one sequence, or all photographs of one person, are no independent draws: resampling faces makes
intervals too narrow by up to the square root of their number. Here whole groups are resampled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError
from mien.evaluation.metrics.significance import DRAWS

Metric = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Maps confusion matrices (…, C, C), rows true, to values (…,)."""

CHUNK = 250
"""Resamples drawn at once, to bound memory."""

EXACT = 12
"""Number of groups with a difference up to which all signs are tried, not drawn."""


def accuracy(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the accuracy (…,) of confusion matrices (…, C, C)."""
    right: NDArray[np.float64] = np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum((-2, -1))
    return right


def kappa(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return Cohen's kappa (…,) of confusion matrices (…, C, C); NaN where chance alone would always be right."""
    total = confusion.sum((-2, -1)).astype(np.float64)
    chance = (confusion.sum(-1) * confusion.sum(-2)).sum(-1) / total**2
    with np.errstate(divide="ignore", invalid="ignore"):
        values: NDArray[np.float64] = np.where(chance < 1, (accuracy(confusion) - chance) / (1 - chance), np.nan)
    return values


def number_groups(groups: NDArray[np.str_]) -> NDArray[np.int64]:
    """Return int64 (N,): the number of each face's group, from 0; a face of the unknown group '' is its own group."""
    names = np.where(groups == "", [f"\0{row}" for row in range(len(groups))], groups)
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def count_by_group(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], groups: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Return int64 (G, C, C): the confusion matrix of each group, rows true.

    Args:
        labels, predicted: class indices (N,).
        groups: numbers (N,) as ``number_groups`` returns them.
    """
    counts = np.zeros((int(groups.max()) + 1, classes, classes), np.int64)
    np.add.at(counts, (groups, labels, predicted), 1)
    return counts


def clustered_interval(
    counts: NDArray[np.int64], metric: Metric, *, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % percentile interval of a metric under resampling of groups, and of seeds if there are several.

    Args:
        counts: (G, C, C) of one run, or (S, G, C, C) of S runs on the same faces, whose metrics are averaged. With S
            runs each draw also resamples the runs; with few of them that understates what other seeds would do, by (S −
            1) / S in variance. Draws without a value (NaN) are discarded.
    """
    runs = counts if counts.ndim == 4 else counts[None]
    several, groups = runs.shape[:2]
    flat = runs.transpose(1, 0, 2, 3).reshape(groups, -1).astype(np.float64)
    draw, values = np.random.default_rng(seed), list[NDArray[np.float64]]()
    for start in range(0, draws, CHUNK):
        size = min(CHUNK, draws - start)
        weights = draw.multinomial(groups, np.full(groups, 1 / groups), size)
        confusion = np.rint(weights @ flat).astype(np.int64).reshape(size, several, *runs.shape[2:])
        scores = metric(confusion)
        chosen = draw.integers(0, several, (size, several))
        values.append(np.take_along_axis(scores, chosen, 1).mean(1))
    drawn = np.concatenate(values)
    low, high = np.quantile(drawn[~np.isnan(drawn)], [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True)
class Paired:
    """A comparison of two models on the same faces, each with one run or several seeds.

    Attributes:
        difference: mean accuracy of the first minus that of the second, over their runs.
        p_faces: two-sided, whether the difference is chance in the choice of groups of faces (sign-flip permutation).
        p_seeds: two-sided, whether it is chance in the choice of seeds (Welch's t-test on the accuracies of the runs);
            None unless both have two runs or more.
        groups: number of groups of faces.
    """

    difference: float
    p_faces: float
    p_seeds: float | None
    groups: int

    @property
    def p_value(self) -> float:
        """The larger p: a difference must hold for other faces and for other seeds."""
        return max(self.p_faces, self.p_seeds or 0.0)


def compare_runs(
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    groups: NDArray[np.int64] | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Paired:
    """Test whether one of two models is better.

    Args:
        first, second: bool (S1, N) and (S2, N), whether each run classifies each face correctly, on the same N faces.
        groups: numbers (N,) of the faces that belong together; None: each face is its own group.

    Raises:
        DataError: other shapes.
    """
    given = [(array.dtype, array.shape) for array in (first, second)]
    if any(dtype != np.bool_ or len(shape) != 2 or not all(shape) for dtype, shape in given) or (
        first.shape[1] != second.shape[1]
    ):
        shapes = " and ".join(f"{dtype} {shape}" for dtype, shape in given)
        raise DataError(f"A paired test of {shapes}: expected two bool arrays (runs, N), correct or not on N faces.")
    gaps = first.mean(0) - second.mean(0)
    sums = gaps if groups is None else np.bincount(groups, gaps).astype(np.float64)
    p_faces = flip_signs(sums, draws=draws, seed=seed)
    return Paired(float(gaps.mean()), p_faces, _compare_seeds(first.mean(1), second.mean(1)), len(sums))


def flip_signs(sums: NDArray[np.float64], *, draws: int = DRAWS, seed: int = 0) -> float:
    """Return the two-sided p-value of a sum of differences, under the hypothesis that each may have the other sign.

    Args:
        sums: (G,), the difference of each group. All signs are tried for up to 12 groups that differ, otherwise
            ``draws``.
    """
    kept = sums[np.abs(sums) > 1e-12]
    if not len(kept):
        return 1.0
    observed = abs(kept.sum()) - 1e-9  # sums of the same terms in another order are equal
    if len(kept) <= EXACT:
        signs = np.array(np.meshgrid(*[(-1, 1)] * len(kept))).reshape(len(kept), -1)
        return float((np.abs(kept @ signs) >= observed).mean())
    draw, hits = np.random.default_rng(seed), 0
    for start in range(0, draws, CHUNK):
        signs = draw.integers(0, 2, (min(CHUNK, draws - start), len(kept))) * 2 - 1
        hits += int((np.abs(signs @ kept) >= observed).sum())
    return (hits + 1) / (draws + 1)


def _compare_seeds(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    if min(len(first), len(second)) < 2:
        return None
    if not np.ptp(first) and not np.ptp(second):
        return 1.0 if first[0] == second[0] else 0.0
    from scipy.stats import ttest_ind

    result: Any = ttest_ind(first, second, equal_var=False)
    return float(result.pvalue)
