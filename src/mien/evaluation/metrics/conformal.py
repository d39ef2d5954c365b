"""Split conformal prediction: prediction sets with a guaranteed coverage (Vovk, Gammerman & Shafer 2005).

The nonconformity scores of the true classes are computed on held-out faces, and a quantile of them becomes the
threshold for new faces. The guarantee is marginal and assumes exchangeable faces; it does not carry over to another
corpus, which ``measure`` reveals.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil, isfinite
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError, OptionError
from mien.evaluation.metrics.checks import Doubles, Floats, check_probabilities

Kind = Literal["lac", "aps"]
KINDS: tuple[Kind, ...] = ("lac", "aps")


@dataclass(frozen=True)
class Conformal:
    """A fitted threshold: a class belongs to the prediction set if its nonconformity score is at most ``bar``.

    Attributes:
        kind: ``lac``: the score is 1 - probability, which gives the smallest sets on average, some of them empty
            (Sadinle, Lei & Wasserman 2019). ``aps``: the cumulative probability of the class and all more probable
            ones, which gives larger sets for harder faces (Romano, Sesia & Candès 2020; without randomisation, so
            coverage is slightly conservative).
        alpha: the miscoverage, the share of sets that may lack the true class.
        bar: the threshold; infinity if fitted on too few faces, when every set contains all classes.
        faces: number of faces it was fitted on.
    """

    kind: Kind
    alpha: float
    bar: float
    faces: int

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values, with None for an infinite ``bar``."""
        return {**asdict(self), "bar": self.bar if isfinite(self.bar) else None}

    def sets(self, probabilities: Floats) -> NDArray[np.bool_]:
        """Return the prediction sets of probabilities (N, C) as bool (N, C)."""
        inside: NDArray[np.bool_] = _score_classes(np.asarray(probabilities, np.float64), self.kind) <= self.bar
        return inside


@dataclass(frozen=True)
class Coverage:
    """Coverage and size of the prediction sets of N faces.

    Attributes:
        coverage: share of sets that contain the true class; the target is 1 - alpha.
        mean_size: mean number of classes in a set.
        empty, single: share of sets with no class and with one class.
    """

    faces: int
    coverage: float
    mean_size: float
    empty: float
    single: float

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return asdict(self)


def fit_conformal(probabilities: Floats, labels: NDArray[Any], alpha: float = 0.1, kind: Kind = "lac") -> Conformal:
    """Fit prediction sets with miscoverage ``alpha`` to probabilities (N, C) and class indices (N,).

    Fit them on the validation set.

    Raises:
        OptionError: an alpha outside (0, 1) or another kind; other errors as ``checks.check_probabilities``.
    """
    if not 0 < alpha < 1 or kind not in KINDS:
        raise OptionError(f"alpha = {alpha}, kind = {kind!r}: expected alpha above 0 and below 1, kind 'lac' or 'aps'.")
    checked, known = check_probabilities(probabilities, labels)
    count = len(known)
    own = np.sort(_score_classes(checked, kind)[np.arange(count), known])
    # The new face counts as one of the calibration faces, so the rank is taken among N + 1. Rounding removes the
    # floating-point error of 1 - alpha: (19 + 1) * (1 - 0.1) must be 18, not slightly more.
    rank = ceil(round((count + 1) * (1 - alpha), 9))
    return Conformal(kind, alpha, float(own[rank - 1]) if rank <= count else float("inf"), count)


def measure(sets: NDArray[np.bool_], labels: NDArray[np.int64]) -> Coverage:
    """Measure sets, bool (N, C), against class indices (N,).

    Raises:
        DataError: other shapes.
    """
    if sets.ndim != 2 or len(sets) != len(labels) or not len(labels):
        raise DataError(f"Sets of shape {sets.shape} for {len(labels)} labels; expected bool (N, C), N at least 1.")
    sizes = sets.sum(1)
    held = sets[np.arange(len(labels)), labels]
    return Coverage(
        len(labels), float(held.mean()), float(sizes.mean()), float((sizes == 0).mean()), float((sizes == 1).mean())
    )


def _score_classes(probabilities: Doubles, kind: Kind) -> Doubles:
    """Return the nonconformity score of each class, float64 (N, C)."""
    if kind == "lac":
        return 1 - probabilities
    order = np.argsort(-probabilities, axis=1, kind="stable")
    sums = np.take_along_axis(probabilities, order, 1).cumsum(1)
    scores = np.empty_like(sums)
    np.put_along_axis(scores, order, sums, 1)
    return scores
