"""Choose a few rows of a corpus by their names, before a picture is decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray


def ranked(names: Sequence[str], seed: int) -> NDArray[np.intp]:
    """Return the rows in an order that depends on each name and the seed alone, int (N,).

    The first rows of a subset that contains them are the first rows of all: who reads fewer rows draws the same ones.
    """
    keys = [hashlib.blake2b(f"{seed} {name}".encode("utf-8", "surrogateescape")).digest() for name in names]
    return np.array(sorted(range(len(names)), key=keys.__getitem__), np.intp)


def first_of_each(names: Sequence[str], groups: Sequence[Hashable], limit: int, seed: int) -> NDArray[np.intp]:
    """Return at most ``limit`` rows of each group, the first by ``ranked``, in their original order; int (M,)."""
    counts: dict[Hashable, int] = {}
    kept = []
    for row in ranked(names, seed).tolist():
        counts[groups[row]] = counts.get(groups[row], 0) + 1
        if counts[groups[row]] <= limit:
            kept.append(row)
    return np.array(sorted(kept), np.intp)
