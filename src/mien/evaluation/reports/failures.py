"""Describe where a model fails: weak classes, confusions, confident errors, overconfidence and leakage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mien.evaluation.predictions import Predictions

SMALL = 100
"""With fewer faces, the 95 % interval of a class's recall is wider than ±10 points (at a recall of one half)."""

WEAKEST = 3


@dataclass(frozen=True)
class Pair:
    """Faces of one class predicted as another. share: of the true class's faces, in (0, 1]."""

    true: int
    read: int
    faces: int
    share: float


def find_confusions(confusion: Sequence[Sequence[int]], count: int) -> list[Pair]:
    """Return the ``count`` most frequent confusions of a matrix (C, C), rows true, the most frequent first."""
    table = np.array(confusion, np.int64)
    np.fill_diagonal(table, 0)
    totals = np.asarray(confusion, np.int64).sum(1)
    order = np.argsort(-table, axis=None, kind="stable")[:count]
    cells = [divmod(int(cell), len(table)) for cell in order]
    return [
        Pair(true, read, int(table[true, read]), float(table[true, read] / totals[true]))
        for true, read in cells
        if table[true, read]
    ]


def find_mistakes(answers: Predictions, count: int) -> list[int]:
    """Return the rows of the ``count`` most confident errors, most confident first."""
    wrong = np.flatnonzero(~answers.right)
    order = np.argsort(-answers.probabilities.max(1)[wrong], kind="stable")
    return [int(row) for row in wrong[order[:count]]]


def find_weakest(metrics: Mapping[str, Any], count: int = WEAKEST) -> list[str]:
    """Return the classes with the lowest F1 among those with faces, weakest first."""
    rows = metrics["per_class"]
    present = [label for label, row in rows.items() if row["support"]]
    return sorted(present, key=lambda label: float(rows[label]["f1"]))[:count]


def write_notes(answers: Predictions, metrics: Mapping[str, Any]) -> list[str]:
    """Describe the failures on one split, one sentence for each finding.

    Args:
        metrics: of the predictions, as ``evaluate.report``.
    """
    return [
        *_note_weak(metrics, answers.label_set.labels),
        *_note_unread(metrics),
        *_note_absent(metrics),
        *_note_small(metrics),
        *_note_confidence(answers),
        *_note_copies(metrics),
    ]


def _note_weak(metrics: Mapping[str, Any], labels: Sequence[str]) -> list[str]:
    sentences = []
    table = np.array(metrics["confusion"])
    for label in find_weakest(metrics):
        row, index = metrics["per_class"][label], labels.index(label)
        if row["f1"] >= metrics["macro_f1"]:  # lowest, yet not below average
            break
        others = np.where(np.arange(len(labels)) == index, -1, table[index])
        scores = f"F1 {row['f1']:.2f}, recall {row['recall']:.0%}, precision {row['precision']:.0%}"
        confused = ""
        if others.max() > 0:
            share = others.max() / table[index].sum()
            confused = f"; most often predicted as {labels[int(others.argmax())]} ({share:.0%})"
        sentences.append(f"Weak class: {label}, {scores}{confused}.")
    return sentences


def _note_unread(metrics: Mapping[str, Any]) -> list[str]:
    never = [label for label, row in metrics["per_class"].items() if row["support"] and not row["recall"]]
    return [f"Never predicted correctly: {', '.join(never)}."] if never else []


def _note_absent(metrics: Mapping[str, Any]) -> list[str]:
    absent = ", ".join(metrics["absent"])
    return [f"No faces of {absent}: these classes are not evaluated and excluded from all means."] if absent else []


def _note_small(metrics: Mapping[str, Any]) -> list[str]:
    few = {label: int(row["support"]) for label, row in metrics["per_class"].items() if 0 < row["support"] < SMALL}
    if not few:
        return []
    listed = ", ".join(f"{label} {count} (±{98 / count**0.5:.0f} points)" for label, count in few.items())
    return [f"Few faces, so the 95 % interval of a recall near one half is at least this wide: {listed}."]


def _note_confidence(answers: Predictions) -> list[str]:
    gap = float(answers.probabilities.max(1).mean() - answers.right.mean())
    if abs(gap) < 0.02:
        return []
    verdict = "More confident than right" if gap > 0 else "Less confident than right"
    return [
        f"{verdict}: the mean confidence is {abs(gap) * 100:.1f} points {'above' if gap > 0 else 'below'} the accuracy."
    ]


def _note_copies(metrics: Mapping[str, Any]) -> list[str]:
    clean = metrics.get("without_training_copies")
    if clean is None or clean["faces"] == metrics["faces"]:
        return []
    sentence = (
        f"{metrics['faces'] - clean['faces']} of the {metrics['faces']:,} faces are exact duplicates of training "
        f"faces; without them the accuracy is {clean['accuracy']:.1%} instead of {metrics['accuracy']:.1%}."
    )
    return [sentence]
