"""Consistency of rounded values in printed tables: the counts that they allow, and whether these fit together.

A printed 0.93 of 153 faces means 142 or 143 correct predictions, and nothing else. Such ranges distinguish a
contradiction from a rounding difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mien.reproduction.claims import Report, Scores

SLACK = 1e-9
"""Tolerance that lets a share exactly between two printed values count for both, whichever way the author rounded."""


def possible_counts(share: float, total: int, decimals: int = 2) -> range:
    """Return the integers k for which k / total rounds to ``share`` at ``decimals``; an empty range if none does."""
    half = 0.5 * 10**-decimals + SLACK
    first = max(0, math.ceil((share - half) * total))
    return range(first, max(first, min(total, math.floor((share + half) * total)) + 1))


def bound_correct(report: Report) -> tuple[int, int]:
    """Bound the number of correct predictions, over all classes, by the printed recalls and supports."""
    ranges = [possible_counts(row.recall, row.support) for row in report.rows.values()]
    return sum(counts.start for counts in ranges), sum(counts.stop - 1 for counts in ranges)


def bound_predictions(report: Report) -> tuple[int, int]:
    """Bound the number of predictions by the printed precisions: correct predictions / precision, summed.

    With one prediction per face, the number of faces must be within the bounds; otherwise no confusion matrix gives
    this table.
    """
    low = high = 0
    for row in report.rows.values():
        correct = possible_counts(row.recall, row.support)
        low += math.ceil(correct.start / min(1.0, row.precision + 0.005) - SLACK)
        high += math.floor((correct.stop - 1) / (row.precision - 0.005) + SLACK)
    return low, high


def mean(values: Mapping[str, float], weights: Mapping[str, float] | None = None) -> float:
    """Return the mean over classes, unweighted or with ``weights`` such as supports."""
    if weights is None:
        return sum(values.values()) / len(values)
    return sum(value * weights[label] for label, value in values.items()) / sum(weights[label] for label in values)


def fitting_means(report: Report, name: str, value: float) -> list[str]:
    """Return which means over the classes of a column round to a printed overall ``value``: macro, weighted.

    The rows are rounded by up to 0.005 themselves, and so is their mean.
    """
    scores = column(report, name)
    means = {"macro": mean(scores), "weighted": mean(scores, column(report, "support"))}
    return [word for word, own in means.items() if abs(own - value) <= 0.01]


def column(report: Report, name: str) -> dict[str, float]:
    """Return class → one column of the report: precision, recall, f1 or support."""
    return {label: float(getattr(row, name)) for label, row in report.rows.items()}


def find_wrong_f1(report: Report) -> list[str]:
    """Return the classes whose F1 is not the harmonic mean of any precision and recall that round as printed."""
    return [label for label, row in report.rows.items() if not _is_harmonic(row)]


def _is_harmonic(row: Scores) -> bool:
    low, high = (
        2 * precision * recall / (precision + recall)
        for precision, recall in (
            (row.precision - 0.005, row.recall - 0.005),
            (min(1.0, row.precision + 0.005), min(1.0, row.recall + 0.005)),
        )
    )
    return low - 0.005 - SLACK <= row.f1 <= high + 0.005 + SLACK


def join(values: Sequence[float], decimals: int = 0) -> str:
    """Format numbers for a page: ``43.8 / 63.7``, with commas between thousands."""
    return " / ".join(f"{value:,.{decimals}f}" for value in values)
