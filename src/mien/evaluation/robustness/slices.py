"""Accuracy by slice, with a test whether the slices of a slicing differ.

**What is tested.** Among several slices the best and the worst differ by chance alone, the more so the more slices
there are. So the test does not compare these two, picked after looking at the data, but all slices at once: would
randomly assigned faces differ as much? As several slicings are tested, their p-values are Holm-corrected (1979).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError
from mien.evaluation.metrics.significance import macro_f1, macro_f1_interval
from mien.evaluation.predictions import Predictions

SMALLEST = 30
"""Slices with fewer faces are shown but not tested: with 30, the interval of 70 % accuracy is ± 16 points wide."""

ALPHA = 0.05
"""Corrected p-value below which the slices of a slicing are said to differ."""

EXPECTED = 5
"""Minimum expected count for the chi-squared approximation (Cochran 1954)."""

DRAWS, F1_DRAWS = 9_999, 2_000
"""Permutations of a test, and resamples of an interval of macro F1."""

Method = Literal["chi-squared", "Fisher", "permutation of faces", "permutation of people"]


@dataclass(frozen=True)
class Groups:
    """Assignment of N faces to slices.

    Attributes:
        by: the property, such as ``sex`` or ``brightness``.
        unit: of the numbers in the names, '' if there are none.
        names: names of the slices, in display order.
        indices: int64 (N,), the slice of each face, an index into ``names``.
        unknown: index of the slice of faces without a value; None if there is none. It is scored but not tested: that
            faces without landmarks are harder says nothing about tilted heads.
    """

    by: str
    unit: str
    names: tuple[str, ...]
    indices: NDArray[np.int64]
    unknown: int | None = None


@dataclass(frozen=True)
class Slice:
    """Metrics of one slice, all in [0, 1].

    Attributes:
        interval: 95 % Wilson interval (1927) of ``accuracy``, as the bootstrap would give an interval of zero width for
            a slice without errors.
        expected: accuracy of the slice if each class had the recall that it has over all faces. If it matches
            ``accuracy``, the slice differs by its class distribution, not by the property itself.
        macro_f1, macro_f1_interval: over the classes with faces in the slice; bootstrap.
        small: whether it has too few faces to be tested.
    """

    name: str
    faces: int
    accuracy: float
    interval: tuple[float, float]
    expected: float
    macro_f1: float
    macro_f1_interval: tuple[float, float]
    small: bool


@dataclass(frozen=True)
class Contrast:
    """Test of the slices that are large enough, without the slice of unknown value.

    Attributes:
        best, worst: names of the slices with the highest and the lowest accuracy.
        difference: between their accuracies.
        p_value: of the hypothesis that accuracy is the same in all slices.
        adjusted: after Holm's correction over the slicings of an audit; ``differs``: whether it is below 5 %.
        method: ``chi-squared``; where that approximation fails, ``Fisher`` for two slices and ``permutation of faces``
            for more; ``permutation of people`` where each person's faces lie in one slice.
    """

    best: str
    worst: str
    difference: float
    p_value: float
    adjusted: float
    method: Method

    @property
    def differs(self) -> bool:
        """Whether the slices differ significantly."""
        return self.adjusted < ALPHA


@dataclass(frozen=True)
class Slicing:
    """All slices by one property. contrast: None if fewer than two slices are large enough to be tested."""

    by: str
    unit: str
    slices: tuple[Slice, ...]
    contrast: Contrast | None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        values = asdict(self)
        if self.contrast is not None:
            values["contrast"]["differs"] = self.contrast.differs
        return values


def score_slices(
    predictions: Predictions, groups: Groups, *, people: NDArray[np.str_] | None = None, smallest: int = SMALLEST
) -> Slicing:
    """Score and compare the slices of N predictions; ``adjusted`` is not yet corrected.

    Args:
        people: (N,) names, '' where unknown; None if nobody is known.
        smallest: slices with fewer faces are small.

    Raises:
        DataError: groups of another number of faces.
    """
    if len(groups.indices) != len(predictions):
        raise DataError(
            f"{len(groups.indices)} slice indices for {len(predictions)} predictions; expected equally many."
        )
    recall = _compute_recall(predictions)
    slices = {
        index: _score_slice(predictions.where(groups.indices == index), name, recall, smallest)
        for index, name in enumerate(groups.names)
        if (groups.indices == index).any()
    }
    tested = {index: part for index, part in slices.items() if index != groups.unknown}
    contrast = _compare_slices(tested, predictions.right, groups.indices, people)
    return Slicing(groups.by, groups.unit, tuple(slices.values()), contrast)


def _compute_recall(predictions: Predictions) -> NDArray[np.float64]:
    """Return the recall of each class, float64 (C,); 0 for a class without faces."""
    classes = len(predictions.label_set)
    right = np.bincount(predictions.labels[predictions.right], minlength=classes)
    shares: NDArray[np.float64] = right / np.maximum(np.bincount(predictions.labels, minlength=classes), 1)
    return shares


def _score_slice(part: Predictions, name: str, recall: NDArray[np.float64], smallest: int) -> Slice:
    classes = len(part.label_set)
    confusion = np.bincount(part.labels * classes + part.predicted, minlength=classes**2).reshape(classes, classes)
    return Slice(
        name,
        len(part),
        float(part.right.mean()),
        wilson(int(part.right.sum()), len(part)),
        float(recall[part.labels].mean()),
        float(macro_f1(confusion)),
        macro_f1_interval(confusion, draws=F1_DRAWS),
        len(part) < smallest,
    )


def wilson(right: int, faces: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval (1927) of ``right`` out of ``faces``, 1 or more."""
    from scipy.stats import binomtest

    interval = binomtest(right, faces).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def _compare_slices(
    slices: Mapping[int, Slice],
    right: NDArray[np.bool_],
    slice_of: NDArray[np.int64],
    people: NDArray[np.str_] | None,
) -> Contrast | None:
    judged = {index: part for index, part in slices.items() if not part.small}
    if len(judged) < 2:
        return None
    best, worst = (pick(judged.values(), key=lambda part: part.accuracy) for pick in (max, min))
    kept = np.isin(slice_of, list(judged))
    renumbered = np.searchsorted(list(judged), slice_of[kept])  # the keys are in ascending order
    p_value, method = compare_shares(right[kept], renumbered, None if people is None else people[kept])
    return Contrast(best.name, worst.name, best.accuracy - worst.accuracy, p_value, p_value, method)


def compare_shares(
    right: NDArray[np.bool_], slice_of: NDArray[np.int64], people: NDArray[np.str_] | None = None, *, seed: int = 0
) -> tuple[float, Method]:
    """Test whether the accuracy of slices differs; return the two-sided p-value and the method.

    Args:
        right: bool (N,).
        slice_of: int64 (N,), the slice of each face, 0 to K - 1, none empty.
        people: (N,) names. Where each person's faces lie in one slice, as with sex or age, faces are not independent:
            ten correct faces of one woman are not ten women. Then people are permuted instead of faces, unless somebody
            is unknown or there are fewer than two people for each slice.
    """
    if people is not None and (people != "").all():
        names, who = np.unique(people, return_inverse=True)
        whose = np.zeros(len(names), np.int64)
        whose[who] = slice_of
        if (whose[who] == slice_of).all() and len(names) >= 2 * (slice_of.max() + 1):
            return _permute_people(right, who, whose, seed), "permutation of people"
    table = np.stack([np.bincount(slice_of, ~right), np.bincount(slice_of, right)], 1).astype(np.int64)
    if not table.sum(0).all():  # all correct or all wrong
        return 1.0, "Fisher" if len(table) == 2 else "permutation of faces"
    return _compare_table(table, seed)


def _compare_table(table: NDArray[np.int64], seed: int) -> tuple[float, Method]:
    from scipy.stats import chi2_contingency, fisher_exact

    tested = chi2_contingency(table, correction=False)
    if tested.expected_freq.min() >= EXPECTED:
        return float(tested.pvalue), "chi-squared"
    if len(table) == 2:
        return float(fisher_exact(table)[1]), "Fisher"
    sizes, wrong = table.sum(1), int(table[:, 0].sum())
    drawn = np.random.default_rng(seed).multivariate_hypergeometric(sizes, wrong, DRAWS)
    return _compute_p_value(
        _compute_spread(drawn, sizes), float(_compute_spread(table[:, 0], sizes))
    ), "permutation of faces"


def _permute_people(right: NDArray[np.bool_], who: NDArray[np.intp], whose: NDArray[np.int64], seed: int) -> float:
    """Return the p-value of a permutation test that assigns people to slices at random."""
    draw = np.random.default_rng(seed)
    wrong, faces = np.bincount(who, ~right), np.bincount(who)
    deals = [whose, *(draw.permutation(whose) for _ in range(DRAWS))]
    tables = [(np.bincount(deal, wrong), np.bincount(deal, faces)) for deal in deals]
    spread = _compute_spread(*(np.array(counts) for counts in zip(*tables, strict=True)))
    return _compute_p_value(spread[1:], float(spread[0]))


def _compute_spread(wrong: NDArray[Any], sizes: NDArray[Any]) -> NDArray[np.float64]:
    """Return Pearson's statistic (…,), up to a constant factor, of errors (…, K) in slices of ``sizes``."""
    overall = wrong.sum(-1, keepdims=True) / sizes.sum(-1, keepdims=True)
    spread: NDArray[np.float64] = ((wrong - sizes * overall) ** 2 / sizes).sum(-1)
    return spread


def _compute_p_value(drawn: NDArray[np.float64], real: float) -> float:
    """Return the p-value of a permutation test; the data count as one of the draws (Phipson and Smyth 2010)."""
    return float((1 + (drawn >= real - 1e-9).sum()) / (1 + len(drawn)))


def correct_p_values(slicings: Sequence[Slicing]) -> tuple[Slicing, ...]:
    """Apply Holm's correction (1979) to the p-values of all tested slicings."""
    tested = sorted(
        (slicing.contrast.p_value, index) for index, slicing in enumerate(slicings) if slicing.contrast is not None
    )
    adjusted, largest = list(slicings), 0.0
    for rank, (p_value, index) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p_value))
        contrast = adjusted[index].contrast
        if contrast is not None:
            adjusted[index] = replace(adjusted[index], contrast=replace(contrast, adjusted=largest))
    return tuple(adjusted)


def find_small(slicings: Sequence[Slicing]) -> Mapping[str, int]:
    """Return the slices that are too small to be tested, ``sex = X`` → faces, smallest first."""
    small = {f"{slicing.by} = {part.name}": part.faces for slicing in slicings for part in slicing.slices if part.small}
    return dict(sorted(small.items(), key=lambda pair: pair[1]))
