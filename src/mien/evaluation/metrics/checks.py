"""Input validation for metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError

Floats = NDArray[np.floating[Any]]
Doubles = NDArray[np.float64]
Labels = NDArray[np.int64]

TOLERANCE = 1e-3
"""Maximum deviation of a row's sum from 1: allows for float16 rounding, but not for logits."""


def check_probabilities(
    probabilities: Floats, labels: NDArray[Any], classes: int | None = None
) -> tuple[Doubles, Labels]:
    """Validate probabilities and labels, and return them as float64 (N, C) and int64 (N,).

    Args:
        classes: the expected C; None accepts 2 or more.

    Raises:
        DataError: no faces, other shapes, NaN or infinity, values outside [0, 1], rows that do not sum to 1, and labels
            that are not integers from 0 to C - 1.
    """
    shape, faces = np.shape(probabilities), len(labels)
    if len(shape) != 2 or shape[0] != faces or not faces or shape[1] < 2 or classes not in (None, shape[1]):
        raise DataError(
            f"Probabilities of shape {shape} for {faces} labels of {classes or 'two or more'} classes; expected (N, C) "
            "with N at least 1 and C at least 2: one row a label, one column a class."
        )
    checked = np.asarray(probabilities, np.float64)
    if not np.isfinite(checked).all():
        row = int(np.flatnonzero(~np.isfinite(checked).all(1))[0])
        raise DataError(f"Probabilities hold NaN or infinity, first in row {row}; pass softmax outputs.")
    totals = checked.sum(1)
    odd = (np.abs(totals - 1) > TOLERANCE) | (checked < 0).any(1)
    if odd.any():
        row = int(np.flatnonzero(odd)[0])
        raise DataError(
            f"Probabilities of row {row} sum to {totals[row]:.4g}, the lowest is {checked[row].min():.3g}; expected "
            "numbers from 0 to 1 that sum to 1. Pass softmax outputs."
        )
    return checked, check_labels(labels, shape[1])


def check_labels(labels: NDArray[Any], classes: int) -> Labels:
    """Return labels as int64 (N,).

    Raises:
        DataError: unless they are integers from 0 to ``classes`` - 1.
    """
    given = np.asarray(labels)
    if given.ndim != 1 or not np.issubdtype(given.dtype, np.integer):
        raise DataError(f"Labels are {given.dtype} of shape {given.shape}; expected integers of shape (N,).")
    wrong = given[(given < 0) | (given >= classes)]
    if len(wrong):
        raise DataError(
            f"Labels hold {wrong[0]}; expected indices from 0 to {classes - 1} for {classes} classes. Map the data's "
            "classes to the model's first."
        )
    return given.astype(np.int64)
