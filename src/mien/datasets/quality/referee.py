"""Evaluate the proposals of ``mien data clean`` against FER+'s ten votes per face."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mien.datasets.manifest import Manifest
from mien.labels import FERPLUS, NO_FACE, UNKNOWN, VOTES, majority

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.bool_]

NO_VOTES = "no_votes"
WITHIN = "AUC within a class"
"""Mean of the AUC within each class. Error rates differ between classes, which alone inflates the overall AUC."""


def score_proposals(
    rows: Manifest, faces: NDArray[np.float32], face: float, believed: NDArray[np.float32], doubted: Rows
) -> dict[str, dict[str, float]]:
    """Score the proposals against FER+'s votes.

    FER+ treats single votes as outliers, so two "not a face" (NF) votes of ten count. It gave ten NF votes to 176 rows;
    173 of them are among the 177 rows that match no image of FER2013. The 177 images without votes are therefore all
    but four of them non-faces, and the third row of the table counts them as such.

    Args:
        rows: the images checked.
        faces: float32 (N,), face scores; low for suspects.
        face: threshold below which an image is proposed as a non-face.
        believed: float32 (N,), probability of each row's label; low for suspects.
        doubted: bool (N,), labels proposed as wrong.

    Returns:
        Kind of proposal → positives, rows, precision, recall and AUC; empty without votes.
    """
    votes = rows.column("votes")
    voted = np.array([row_votes is not None for row_votes in votes], bool)
    if not voted.any():
        return {}
    counts = np.array([row_votes or [0] * len(VOTES) for row_votes in votes])
    left_over = rows.flagged(NO_VOTES)
    no_face = counts[:, -1]
    metrics: dict[str, dict[str, float]] = {}
    for name, positive, among in (
        ("non-face: one NF vote or more", no_face >= 1, voted),
        ("non-face: two NF votes or more", no_face >= 2, voted),
        ("non-face: two NF votes, or left over by FER+", (no_face >= 2) | left_over, voted | left_over),
    ):
        metrics |= _score(name, positive, among, faces, faces < face)
    return metrics | _score_mislabels(rows, counts, voted, believed, doubted)


def _score_mislabels(
    rows: Manifest, counts: NDArray[np.int64], voted: Rows, believed: NDArray[np.float32], doubted: Rows
) -> dict[str, dict[str, float]]:
    labels = rows.array("label")
    verdict = np.array(
        [majority(row) if has_votes else "" for row, has_votes in zip(counts.tolist(), voted, strict=True)]
    )
    decided = voted & (verdict != UNKNOWN) & (verdict != NO_FACE) & (labels != "")
    most = np.array(FERPLUS.labels)[counts[:, : len(FERPLUS)].argmax(axis=1)]
    labelled = voted & (labels != "")
    metrics = _score("mislabel: FER+ majority differs", verdict != labels, decided, believed, doubted)
    metrics |= _score("mislabel: most votes differ, no majority needed", most != labels, labelled, believed, doubted)
    class_aucs = [
        _auc((verdict != labels)[decided & (labels == name)], believed[decided & (labels == name)])
        for name in np.unique(labels[decided])
    ]
    known = [auc for auc in class_aucs if not np.isnan(auc)]
    if known and "mislabel: FER+ majority differs" in metrics:
        metrics["mislabel: FER+ majority differs"][WITHIN] = float(np.mean(known))
    return metrics


def _score(
    name: str, positive: Rows, among: Rows, score: NDArray[np.float32], proposed: Rows
) -> dict[str, dict[str, float]]:
    truth, predicted = positive[among], proposed[among]
    if not truth.any() or truth.all():
        return {}
    hits = int((truth & predicted).sum())
    return {
        name: {
            "positives": int(truth.sum()),
            "rows": len(truth),
            "precision": hits / max(1, int(predicted.sum())),
            "recall": hits / int(truth.sum()),
            "AUC": _auc(truth, score[among]),
            WITHIN: float("nan"),
        }
    }


def _auc(truth: Rows, score: NDArray[np.float32]) -> float:
    """Return the area under the ROC curve of a score that is low for positives."""
    if not truth.any() or truth.all():
        return float("nan")
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, -score))
