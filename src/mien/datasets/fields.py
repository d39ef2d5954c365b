"""What the rows of a corpus must have in common to be one set of faces, and their votes as targets."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError
from mien.labels import FERPLUS, Scheme, distribution


def check_classes(kept: int, rows: int, scheme: Scheme) -> None:
    """Raise ``DataError`` if none of the rows was kept for a class of ``scheme``."""
    if not kept:
        raise DataError(f"None of {rows} rows has a class of the label set {scheme.classes.name}.")


def check_sizes(sizes: Collection[tuple[int, int]]) -> None:
    """Raise ``DataError`` if images have several sizes, (width, height)."""
    if len(sizes) > 1:
        smallest_first = sorted(sizes, key=lambda size: size[::-1])[:4]
        listed = ", ".join(f"{width}×{height}" for width, height in smallest_first)
        raise DataError(f"Images of {len(sizes)} sizes ({listed}); expected one. Crop them with mien data prepare.")


def vote_shares(votes: Sequence[tuple[int, ...] | None], scheme: Scheme) -> NDArray[np.float32]:
    """Return float32 (N, C): FER+ votes as shares of the scheme's classes; zeros for rows without such votes."""
    classes = [scheme.of(noun) for noun in FERPLUS.labels]
    membership = np.array([[word == name for name in scheme.classes.labels] for word in classes], np.float32)
    weights = np.zeros((len(votes), len(scheme.classes)), np.float32)
    for row, counts in enumerate(votes):
        shares = distribution(counts) if counts else None
        if shares:
            weights[row] = np.asarray(shares, np.float32) @ membership
    totals = weights.sum(axis=1, keepdims=True)
    shares_of_one: NDArray[np.float32] = np.divide(weights, totals, out=np.zeros_like(weights), where=totals > 0)
    return shares_of_one
