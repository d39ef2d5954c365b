"""Where a model fails, in sentences and pairs: what a reader of its accuracy should know beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mien.evaluation.predictions import Predictions

SMALL = 100
"""Faces below which a class's recall is known to no better than 10 points (95 %, at a recall of one half)."""

WEAKEST = 3


@dataclass(frozen=True)
class Pair:
    """Faces of one class that were taken for another. share: of the true class's faces, in (0, 1]."""

    true: int
    read: int
    faces: int
    share: float


def confused(confusion: Sequence[Sequence[int]], count: int) -> list[Pair]:
    """Return the ``count`` most frequent confusions of a matrix (C, C), rows true, the most frequent first."""
    table = np.array(confusion, np.int64)
    np.fill_diagonal(table, 0)
    totals = np.asarray(confusion, np.int64).sum(1)
    order = np.argsort(-table, axis=None, kind="stable")[:count]
    places = [divmod(int(each), len(table)) for each in order]
    return [
        Pair(true, read, int(table[true, read]), float(table[true, read] / totals[true]))
        for true, read in places
        if table[true, read]
    ]


def mistakes(answers: Predictions, count: int) -> list[int]:
    """Return the rows of the ``count`` most confident wrong answers, the most confident first."""
    wrong = np.flatnonzero(~answers.right)
    order = np.argsort(-answers.probabilities.max(1)[wrong], kind="stable")
    return [int(row) for row in wrong[order[:count]]]


def weakest(figures: Mapping[str, Any], count: int = WEAKEST) -> list[str]:
    """Return the classes with the lowest F1, of those that have faces, the weakest first."""
    rows = figures["per_class"]
    present = [label for label, row in rows.items() if row["support"]]
    return sorted(present, key=lambda label: float(rows[label]["f1"]))[:count]


def notes(answers: Predictions, figures: Mapping[str, Any]) -> list[str]:
    """Return what the answers on one part show, a sentence each.

    figures: as ``evaluate.report`` of these answers.
    """
    return [
        *_weak(figures, answers.label_set.labels),
        *_unread(figures),
        *_absent(figures),
        *_small(figures),
        *_confidence(answers),
        *_copies(figures),
    ]


def _weak(figures: Mapping[str, Any], labels: Sequence[str]) -> list[str]:
    found = []
    table = np.array(figures["confusion"])
    for label in weakest(figures):
        row, place = figures["per_class"][label], labels.index(label)
        if row["f1"] >= figures["macro_f1"]:  # the least of the good ones is not weak
            break
        others = np.where(np.arange(len(labels)) == place, -1, table[place])
        told = f"Weak class: {label}, F1 {row['f1']:.2f}, recall {row['recall']:.0%}, precision {row['precision']:.0%}"
        if others.max() > 0:
            told += f"; most often taken for {labels[int(others.argmax())]} ({others.max() / table[place].sum():.0%})"
        found.append(f"{told}.")
    return found


def _unread(figures: Mapping[str, Any]) -> list[str]:
    never = [label for label, row in figures["per_class"].items() if row["support"] and not row["recall"]]
    return [f"Never read rightly: {', '.join(never)}."] if never else []


def _absent(figures: Mapping[str, Any]) -> list[str]:
    absent = ", ".join(figures["absent"])
    return [f"No faces of {absent}: nothing is known of how it reads them, and no mean counts them."] if absent else []


def _small(figures: Mapping[str, Any]) -> list[str]:
    few = {label: int(row["support"]) for label, row in figures["per_class"].items() if 0 < row["support"] < SMALL}
    if not few:
        return []
    told = ", ".join(f"{label} {count} (±{98 / count**0.5:.0f} points)" for label, count in few.items())
    return [f"Few faces, so that a recall near one half is known to no better than this (95 %): {told}."]


def _confidence(answers: Predictions) -> list[str]:
    gap = float(answers.probabilities.max(1).mean() - answers.right.mean())
    if abs(gap) < 0.02:
        return []
    told = "More confident than right" if gap > 0 else "Less confident than right"
    return [
        f"{told}: the mean confidence is {abs(gap) * 100:.1f} points {'above' if gap > 0 else 'below'} the accuracy."
    ]


def _copies(figures: Mapping[str, Any]) -> list[str]:
    clean = figures.get("without_training_copies")
    if clean is None or clean["faces"] == figures["faces"]:
        return []
    told = (
        f"{figures['faces'] - clean['faces']} of the {figures['faces']:,} faces stand pixel for pixel in the training "
        f"part too; without them the accuracy is {clean['accuracy']:.1%} instead of {figures['accuracy']:.1%}."
    )
    return [told]
