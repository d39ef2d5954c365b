"""Answers that are sets of classes, and hold the true one as often as was promised (Vovk, Gammerman & Shafer 2005).

Split conformal prediction: how well the true class fits is measured on faces that trained nothing, and the quantile of
that is the bar which a class has to pass on new faces. The promise holds on average over faces like those; on another
corpus it does not, which ``measure`` shows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil, isfinite
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError, OptionError
from mien.evaluation.checks import Doubles, Floats, distributions

Kind = Literal["lac", "aps"]
KINDS: tuple[Kind, ...] = ("lac", "aps")


@dataclass(frozen=True)
class Conformal:
    """A fitted bar: a class belongs to the answer if its score is at most ``bar``.

    kind:  ``lac``: the score is 1 - probability, which gives the smallest sets on average, empty ones among them
           (Sadinle, Lei & Wasserman 2019). ``aps``: the summed probability of the class and all more probable ones,
           whose sets are larger where the face is harder (Romano, Sesia & Candès 2020; without their random part, so
           the sets are a little too large rather than too small).
    alpha: the share of sets that may lack the true class.
    bar:   infinity where too few faces were fitted on: every set then holds all classes.
    faces: how many it was fitted on.
    """

    kind: Kind
    alpha: float
    bar: float
    faces: int

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values, in which a bar of infinity is None."""
        return {**asdict(self), "bar": self.bar if isfinite(self.bar) else None}

    def sets(self, probabilities: Floats) -> NDArray[np.bool_]:
        """Return bool (N, C): which classes belong to each face's answer."""
        inside: NDArray[np.bool_] = _scores(np.asarray(probabilities, np.float64), self.kind) <= self.bar
        return inside


@dataclass(frozen=True)
class Coverage:
    """What sets are worth on N faces.

    coverage:  share that hold the true class; 1 - alpha was promised.
    mean_size: mean number of classes in a set.  empty, single: share of sets with no class and with one.
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
    """Fit sets that lack the true class at most for ``alpha`` of the faces, on probabilities (N, C) and places (N,).

    Fit on the validation part. Raises ``OptionError`` for an alpha outside (0, 1) or another kind, else as
    ``checks.distributions``.
    """
    if not 0 < alpha < 1 or kind not in KINDS:
        raise OptionError(f"alpha = {alpha}, kind = {kind!r}: expected alpha above 0 and below 1, kind 'lac' or 'aps'.")
    found, known = distributions(probabilities, labels)
    count = len(known)
    own = np.sort(_scores(found, kind)[np.arange(count), known])
    # The new face counts among those that were fitted on, so the bar is a rank of N + 1. The rounding takes back what
    # 1 - alpha leaves in the last bits: (19 + 1) * (1 - 0.1) is 18, not a little more.
    rank = ceil(round((count + 1) * (1 - alpha), 9))
    return Conformal(kind, alpha, float(own[rank - 1]) if rank <= count else float("inf"), count)


def measure(sets: NDArray[np.bool_], labels: NDArray[np.int64]) -> Coverage:
    """Return what sets, bool (N, C), are worth on faces of classes (N,). Raises ``DataError`` for other shapes."""
    if sets.ndim != 2 or len(sets) != len(labels) or not len(labels):
        raise DataError(f"Sets of shape {sets.shape} for {len(labels)} labels; expected bool (N, C), N at least 1.")
    sizes = sets.sum(1)
    held = sets[np.arange(len(labels)), labels]
    return Coverage(
        len(labels), float(held.mean()), float(sizes.mean()), float((sizes == 0).mean()), float((sizes == 1).mean())
    )


def _scores(probabilities: Doubles, kind: Kind) -> Doubles:
    """Return float64 (N, C): how badly each class fits."""
    if kind == "lac":
        return 1 - probabilities
    order = np.argsort(-probabilities, axis=1, kind="stable")
    sums = np.take_along_axis(probabilities, order, 1).cumsum(1)
    found = np.empty_like(sums)
    np.put_along_axis(found, order, sums, 1)
    return found
