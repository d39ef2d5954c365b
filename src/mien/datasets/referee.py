"""How right the proposals of ``mien data clean`` are, judged by FER+'s ten votes per face."""

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
"""The mean over classes: labels of some classes are wrong more often, which alone makes a ranking look good."""


def figures(
    rows: Manifest, faces: NDArray[np.float32], face: float, believed: NDArray[np.float32], doubted: Rows
) -> dict[str, dict[str, float]]:
    """Return what is judged → positives, rows, precision, recall and auc; empty without votes.

    faces, believed: (N,) scores, low for suspects.  face: threshold of a non-face.  doubted: proposed mislabels.
    FER+ holds single votes to be outliers; two NF votes of ten count. FER+ gave ten NF votes to 176 rows; 173 of
    them are among the 177 that no image of FER2013 could be joined to, and so are, but for four, the 177 images
    without votes: the second figure takes those as non-faces as well.
    """
    votes = rows.column("votes")
    voted = np.array([each is not None for each in votes], bool)
    if not voted.any():
        return {}
    counts = np.array([each or [0] * len(VOTES) for each in votes])
    left_over = rows.flagged(NO_VOTES)
    no_face = counts[:, -1]
    found: dict[str, dict[str, float]] = {}
    for name, positive, among in (
        ("non-face: one NF vote or more", no_face >= 1, voted),
        ("non-face: two NF votes or more", no_face >= 2, voted),
        ("non-face: two NF votes, or left over by FER+", (no_face >= 2) | left_over, voted | left_over),
    ):
        found |= _judged(name, positive, among, faces, faces < face)
    return found | _mislabels(rows, counts, voted, believed, doubted)


def _mislabels(
    rows: Manifest, counts: NDArray[np.int64], voted: Rows, believed: NDArray[np.float32], doubted: Rows
) -> dict[str, dict[str, float]]:
    labels = rows.array("label")
    verdict = np.array([majority(each) if seen else "" for each, seen in zip(counts.tolist(), voted, strict=True)])
    sure = voted & (verdict != UNKNOWN) & (verdict != NO_FACE) & (labels != "")
    most = np.array(FERPLUS.labels)[counts[:, : len(FERPLUS)].argmax(axis=1)]
    every = voted & (labels != "")
    found = _judged("mislabel: FER+ majority differs", verdict != labels, sure, believed, doubted)
    found |= _judged("mislabel: most votes differ, no majority needed", most != labels, every, believed, doubted)
    within = [
        _auc((verdict != labels)[sure & (labels == name)], believed[sure & (labels == name)])
        for name in np.unique(labels[sure])
    ]
    known = [each for each in within if not np.isnan(each)]
    if known and "mislabel: FER+ majority differs" in found:
        found["mislabel: FER+ majority differs"][WITHIN] = float(np.mean(known))
    return found


def _judged(
    name: str, positive: Rows, among: Rows, score: NDArray[np.float32], proposed: Rows
) -> dict[str, dict[str, float]]:
    truth, said = positive[among], proposed[among]
    if not truth.any() or truth.all():
        return {}
    hits = int((truth & said).sum())
    return {
        name: {
            "positives": int(truth.sum()),
            "rows": len(truth),
            "precision": hits / max(1, int(said.sum())),
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
