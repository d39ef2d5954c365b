"""A peer's scores as FER2013's seven classes, and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.metrics.significance import bootstrap_interval
from mien.labels import FER2013, canonical

Rows = Sequence[Sequence[float] | None]


def answers(rows: Rows, words: Sequence[str]) -> NDArray[np.int64]:
    """Return the place in FER2013's label order of the class that each row scores highest, int64 (N,).

    words: the peer's words for its scores. Words that mean no FER2013 class (contempt) are left out, and the best of
    the others counts; of equal scores the first. A row that is None, no face found, is -1. ``DataError`` for a word
    that no corpus uses.
    """
    nouns = [canonical(word) for word in words]
    columns = [place for place, noun in enumerate(nouns) if noun in FER2013.labels]
    places = [FER2013.index(nouns[column]) for column in columns]
    return np.array(
        [-1 if row is None else places[int(np.argmax([row[c] for c in columns]))] for row in rows], np.int64
    )


def figures(found: NDArray[np.int64], labels: Sequence[int]) -> dict[str, Any]:
    """Return accuracy with its 95 % interval, and macro F1 over the classes there are; a face not found is wrong."""
    from sklearn.metrics import f1_score

    known = np.asarray(labels)
    accuracy = float((found == known).mean())
    macro = f1_score(known, found, labels=np.unique(known), average="macro", zero_division=0.0)
    return {
        "faces": len(known),
        "found": float((found >= 0).mean()),
        "accuracy": accuracy,
        "interval": list(bootstrap_interval(accuracy, len(known))),
        "macro_f1": float(macro),
    }
