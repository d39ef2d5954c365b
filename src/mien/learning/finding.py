"""A published statement beside what it comes to when it is computed again, and what real data may add to that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One statement of a system, recomputed.

    claim: the statement, with its place.  published, recomputed: both values as text.
    holds: whether they agree within the rounding of print.  why: what the difference comes from, or why it agrees.
    """

    system: str
    claim: str
    published: str
    recomputed: str
    holds: bool
    why: str


@dataclass(frozen=True)
class Evidence:
    """What is known from real data; None falls back on the documents' own numbers.

    fer2013, fer2013_train: noun → faces in all parts, in ``Training`` (``FaceSet.counts()``).
    ckplus, kdef: noun → faces that system A's corpus can draw on: apex frames, frontal photographs.
    sides: the subject of each training face and of each test face of an image-level split of A's corpus.
    curves: accuracy per epoch on training and validation faces of system B's CNN, fractions.
    """

    fer2013: Mapping[str, int] | None = None
    fer2013_train: Mapping[str, int] | None = None
    ckplus: Mapping[str, int] | None = None
    kdef: Mapping[str, int] | None = None
    sides: tuple[Sequence[str], Sequence[str]] | None = None
    curves: tuple[Sequence[float], Sequence[float]] | None = None
