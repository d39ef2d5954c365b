"""What rounded figures in a printed table allow: the whole numbers behind them, and whether they fit together.

A printed 0.93 of 153 faces stands for 142 or 143 right answers, and for nothing else. Such ranges tell a
contradiction from a rounding difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mien.learning.claims import Report, Scores

SLACK = 1e-9
"""Keeps a share that lies exactly between two printed values on both sides, whichever way the author rounded."""


def counts_behind(share: float, total: int, decimals: int = 2) -> range:
    """Return the whole numbers k with k / total rounding to ``share`` at ``decimals``; an empty range if none does."""
    half = 0.5 * 10**-decimals + SLACK
    first = max(0, math.ceil((share - half) * total))
    return range(first, max(first, min(total, math.floor((share + half) * total)) + 1))


def right_answers(report: Report) -> tuple[int, int]:
    """Return the fewest and the most right answers that the printed recalls and supports allow, over all classes."""
    ranges = [counts_behind(row.recall, row.support) for row in report.rows.values()]
    return sum(each.start for each in ranges), sum(each.stop - 1 for each in ranges)


def answers(report: Report) -> tuple[int, int]:
    """Return the fewest and the most answers that the printed precisions allow: right answers / precision, summed.

    With one answer a face, the number of faces must lie between them; else no confusion matrix gives this table.
    """
    low = high = 0
    for row in report.rows.values():
        right = counts_behind(row.recall, row.support)
        low += math.ceil(right.start / min(1.0, row.precision + 0.005) - SLACK)
        high += math.floor((right.stop - 1) / (row.precision - 0.005) + SLACK)
    return low, high


def mean(values: Mapping[str, float], weights: Mapping[str, float] | None = None) -> float:
    """Return the mean over classes, each counting the same, or by ``weights`` such as supports."""
    if weights is None:
        return sum(values.values()) / len(values)
    return sum(value * weights[label] for label, value in values.items()) / sum(weights[label] for label in values)


def column(report: Report, name: str) -> dict[str, float]:
    """Return class → one column of the report: precision, recall, f1 or support."""
    return {label: float(getattr(row, name)) for label, row in report.rows.items()}


def wrong_f1(report: Report) -> list[str]:
    """Return the classes whose F1 is no harmonic mean of any precision and recall that round as printed."""
    return [label for label, row in report.rows.items() if not _harmonic(row)]


def _harmonic(row: Scores) -> bool:
    low, high = (
        2 * precision * recall / (precision + recall)
        for precision, recall in (
            (row.precision - 0.005, row.recall - 0.005),
            (min(1.0, row.precision + 0.005), min(1.0, row.recall + 0.005)),
        )
    )
    return low - 0.005 - SLACK <= row.f1 <= high + 0.005 + SLACK


def joined(values: Sequence[float], decimals: int = 0) -> str:
    """Return numbers as a page prints them: ``43.8 / 63.7``, thousands apart by commas."""
    return " / ".join(f"{value:,.{decimals}f}" for value in values)
