"""Accuracy by slice: by what is measured on the faces, and by any column that the data have; small slices included.

**What is tested.** Of several slices one is the best and one the worst by chance alone, and the more slices, the
further they lie apart. So the test is not of the two that were picked after looking, but of all slices at once: would
faces dealt out at random differ so much? Several slicings are several chances to find something: their p-values are
corrected after Holm (1979).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError
from mien.evaluation.predictions import Predictions
from mien.evaluation.significance import macro_f1, macro_f1_interval

SMALLEST = 30
"""Faces below which a slice is shown, marked and not judged: with 30, an accuracy of 70 % is known to ± 16 points."""

ALPHA = 0.05
"""Slicings whose corrected p-value lies below this are told to differ."""

EXPECTED = 5
"""Least expected count for which the chi-squared distribution is trusted (Cochran 1954)."""

DRAWS, F1_DRAWS = 9_999, 2_000
"""Permutations of a test, and resamples of an interval of macro F1."""

Method = Literal["chi-squared", "Fisher", "permutation of faces", "permutation of people"]


@dataclass(frozen=True)
class Groups:
    """How N faces are put into slices.

    by:     what tells them apart: ``sex``, ``brightness``.  unit: of the numbers in the names, '' where there are none.
    names:  of the slices, in the order to show them.
    places: int64 (N,), the slice of each face, an index into ``names``.
    unknown: the place of the slice of which nothing is known; None if there is none. It is scored and not tested: that
            faces without landmarks are read worse says nothing of tilted heads.
    """

    by: str
    unit: str
    names: tuple[str, ...]
    places: NDArray[np.int64]
    unknown: int | None = None


@dataclass(frozen=True)
class Slice:
    """Some of the faces. All figures lie in [0, 1].

    interval: 95 % interval of ``accuracy`` after Wilson (1927), which a slice without any wrong answer has too, where
              the bootstrap would give an interval of no width.
    expected: the accuracy that the slice would have if each class were read as well as it is in all faces: where it
              explains the accuracy, the slice differs by its classes, not by what the slicing is about.
    macro_f1, macro_f1_interval: over the classes that have faces in the slice; bootstrap.
    small:    whether it has too few faces to be judged.
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
    """The slices that are large enough, compared; that of the faces of which nothing is known is not among them.

    best, worst: names of the slices of the highest and the lowest accuracy.  difference: of their accuracies.
    p_value:  of so unequal slices, all of them, if it made no difference in which slice a face is.
    adjusted: the same after Holm's correction over the slicings of an audit; ``differs``: whether it is below 5 %.
    method:   ``chi-squared``; ``Fisher`` for two slices, and ``permutation of faces`` for more, where that
              distribution cannot be trusted; ``permutation of people`` where each person's faces lie in one slice.
    """

    best: str
    worst: str
    difference: float
    p_value: float
    adjusted: float
    method: Method

    @property
    def differs(self) -> bool:
        """Whether the slices differ by more than chance would make them."""
        return self.adjusted < ALPHA


@dataclass(frozen=True)
class Slicing:
    """All slices by one property. contrast: None where fewer than two slices are large enough to be compared."""

    by: str
    unit: str
    slices: tuple[Slice, ...]
    contrast: Contrast | None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        found = asdict(self)
        if self.contrast is not None:
            found["contrast"]["differs"] = self.contrast.differs
        return found


def sliced(
    found: Predictions, groups: Groups, *, people: NDArray[np.str_] | None = None, smallest: int = SMALLEST
) -> Slicing:
    """Score each slice of N answered faces and compare them; ``adjusted`` is still the plain p-value.

    people:   (N,) names, '' where unknown; None if nobody is known.
    smallest: faces below which a slice is small.
    Raises ``DataError`` for groups of another number of faces.
    """
    if len(groups.places) != len(found):
        raise DataError(f"Slices of {len(groups.places)} faces for {len(found)} answers; expected as many of each.")
    recall = _recall(found)
    slices = {
        place: _slice(found.where(groups.places == place), name, recall, smallest)
        for place, name in enumerate(groups.names)
        if (groups.places == place).any()
    }
    tested = {place: each for place, each in slices.items() if place != groups.unknown}
    contrast = _contrast(tested, found.right, groups.places, people)
    return Slicing(groups.by, groups.unit, tuple(slices.values()), contrast)


def _recall(found: Predictions) -> NDArray[np.float64]:
    """Return the share of each class's faces that were read rightly, float64 (C,); 0 for a class without faces."""
    classes = len(found.label_set)
    right = np.bincount(found.labels[found.right], minlength=classes)
    shares: NDArray[np.float64] = right / np.maximum(np.bincount(found.labels, minlength=classes), 1)
    return shares


def _slice(part: Predictions, name: str, recall: NDArray[np.float64], smallest: int) -> Slice:
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
    """Return the 95 % interval of a share of ``faces``, 1 or more, after Wilson (1927)."""
    from scipy.stats import binomtest

    interval = binomtest(right, faces).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def _contrast(
    slices: Mapping[int, Slice],
    right: NDArray[np.bool_],
    places: NDArray[np.int64],
    people: NDArray[np.str_] | None,
) -> Contrast | None:
    judged = {place: each for place, each in slices.items() if not each.small}
    if len(judged) < 2:
        return None
    best, worst = (pick(judged.values(), key=lambda each: each.accuracy) for pick in (max, min))
    kept = np.isin(places, list(judged))
    renumbered = np.searchsorted(list(judged), places[kept])  # the places of a mapping in order are sorted
    p_value, method = unequal(right[kept], renumbered, None if people is None else people[kept])
    return Contrast(best.name, worst.name, best.accuracy - worst.accuracy, p_value, p_value, method)


def unequal(
    right: NDArray[np.bool_], places: NDArray[np.int64], people: NDArray[np.str_] | None = None, *, seed: int = 0
) -> tuple[float, Method]:
    """Test whether slices have unequal shares of right answers; return the two-sided p-value and the method.

    right:  bool (N,).  places: int64 (N,), the slice of each face, 0 to K - 1, each with faces.
    people: (N,) names. Where each person's faces lie in one slice, as with sex or age, faces are not independent: ten
            right answers of one woman are not ten women. People are then dealt out at random, not faces. Not so where
            somebody is unknown, or there are no two people a slice to exchange.
    """
    if people is not None and (people != "").all():
        names, who = np.unique(people, return_inverse=True)
        whose = np.zeros(len(names), np.int64)
        whose[who] = places
        if (whose[who] == places).all() and len(names) >= 2 * (places.max() + 1):
            return _permuted_people(right, who, whose, seed), "permutation of people"
    table = np.stack([np.bincount(places, ~right), np.bincount(places, right)], 1).astype(np.int64)
    if not table.sum(0).all():  # all right, or all wrong: nothing differs
        return 1.0, "Fisher" if len(table) == 2 else "permutation of faces"
    return _of_table(table, seed)


def _of_table(table: NDArray[np.int64], seed: int) -> tuple[float, Method]:
    from scipy.stats import chi2_contingency, fisher_exact

    tested = chi2_contingency(table, correction=False)
    if tested.expected_freq.min() >= EXPECTED:
        return float(tested.pvalue), "chi-squared"
    if len(table) == 2:
        return float(fisher_exact(table)[1]), "Fisher"
    sizes, wrong = table.sum(1), int(table[:, 0].sum())
    drawn = np.random.default_rng(seed).multivariate_hypergeometric(sizes, wrong, DRAWS)
    return _rank(_spread(drawn, sizes), float(_spread(table[:, 0], sizes))), "permutation of faces"


def _permuted_people(right: NDArray[np.bool_], who: NDArray[np.intp], whose: NDArray[np.int64], seed: int) -> float:
    """Return the share of random deals of the people to the slices that are as unequal as the real one."""
    draw = np.random.default_rng(seed)
    wrong, faces = np.bincount(who, ~right), np.bincount(who)
    deals = [whose, *(draw.permutation(whose) for _ in range(DRAWS))]
    tables = [(np.bincount(deal, wrong), np.bincount(deal, faces)) for deal in deals]
    spread = _spread(*(np.array(each) for each in zip(*tables, strict=True)))
    return _rank(spread[1:], float(spread[0]))


def _spread(wrong: NDArray[Any], sizes: NDArray[Any]) -> NDArray[np.float64]:
    """Return Pearson's statistic (…,), up to a constant factor, of wrong answers (…, K) in slices of ``sizes``."""
    overall = wrong.sum(-1, keepdims=True) / sizes.sum(-1, keepdims=True)
    spread: NDArray[np.float64] = ((wrong - sizes * overall) ** 2 / sizes).sum(-1)
    return spread


def _rank(drawn: NDArray[np.float64], real: float) -> float:
    """Return the p-value of a permutation test; the real deal counts as one of the draws (Phipson and Smyth 2010)."""
    return float((1 + (drawn >= real - 1e-9).sum()) / (1 + len(drawn)))


def corrected(slicings: Sequence[Slicing]) -> tuple[Slicing, ...]:
    """Return the slicings with Holm's correction (1979) of their p-values over all that were tested."""
    tested = sorted((each.contrast.p_value, place) for place, each in enumerate(slicings) if each.contrast is not None)
    found, largest = list(slicings), 0.0
    for rank, (p_value, place) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p_value))
        contrast = found[place].contrast
        if contrast is not None:
            found[place] = replace(found[place], contrast=replace(contrast, adjusted=largest))
    return tuple(found)


def too_small(slicings: Sequence[Slicing]) -> Mapping[str, int]:
    """Return the slices that are too small to be judged, ``sex = X`` → faces, the smallest first."""
    found = {f"{slicing.by} = {each.name}": each.faces for slicing in slicings for each in slicing.slices if each.small}
    return dict(sorted(found.items(), key=lambda pair: pair[1]))
