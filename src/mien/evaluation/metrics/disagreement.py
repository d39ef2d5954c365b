"""Compare a model's uncertainty with human disagreement: entropy of predictions and of ten annotators' votes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError
from mien.evaluation.metrics.checks import check_probabilities

LEAST = 10
"""Minimum number of faces with votes for a correlation."""


@dataclass(frozen=True)
class Disagreement:
    """Agreement of a model's uncertainty with the annotators', on N faces with votes.

    Attributes:
        spearman: rank correlation of prediction entropy and vote entropy, -1 to 1.
        interval: its 95 % interval, Fisher's z with the variance of Bonett and Wright 2000.
        certain, uncertain: mean vote entropy, in nats, on the third of the faces with the lowest and with the highest
            prediction entropy.
    """

    faces: int
    spearman: float
    interval: tuple[float, float]
    certain: float
    uncertain: float

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {**asdict(self), "interval": list(self.interval)}


def disagreement(probabilities: NDArray[np.floating[Any]], votes: NDArray[np.floating[Any]]) -> Disagreement:
    """Compare probabilities (N, C) with votes (N, C) as shares of 1; faces whose votes are all 0 are ignored.

    Raises:
        DataError: fewer than ``LEAST`` faces with votes, for other shapes, and where all predictions or all votes have
            the same entropy, so that ranks are undefined.
    """
    from scipy.stats import entropy, spearmanr

    if votes.shape != probabilities.shape:
        raise DataError(f"Votes have shape {votes.shape}, probabilities {probabilities.shape}; expected the same.")
    voted = votes.sum(1) > 0
    if voted.sum() < LEAST:
        raise DataError(f"{voted.sum()} faces with votes; expected at least {LEAST}. Index with --votes.")
    checked, _ = check_probabilities(probabilities[voted], np.zeros(int(voted.sum()), np.int64), votes.shape[1])
    answers, people = entropy(checked, axis=1), entropy(votes[voted].astype(np.float64), axis=1)
    if np.ptp(answers) == 0 or np.ptp(people) == 0:
        raise DataError("All predictions, or all votes, have the same entropy: there are no ranks to correlate.")
    correlation = float(spearmanr(answers, people).statistic)
    order, third = np.argsort(answers, kind="stable"), len(answers) // 3
    return Disagreement(
        len(answers),
        correlation,
        _interval(correlation, len(answers)),
        float(people[order[:third]].mean()),
        float(people[order[-third:]].mean()),
    )


def _interval(correlation: float, count: int) -> tuple[float, float]:
    wide = 1.959964 * math.sqrt((1 + correlation**2 / 2) / (count - 3))
    middle = math.atanh(min(max(correlation, -0.999999), 0.999999))
    return math.tanh(middle - wide), math.tanh(middle + wide)
