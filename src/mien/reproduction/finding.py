"""A published statement with its recomputed value, and the evidence from real data that the recomputation uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One statement of a system, recomputed.

    claim: the statement and where it is made.  published, recomputed: both values as text.
    holds: whether they agree within the printed precision.  why: the cause of the difference, or of the agreement.
    """

    system: str
    claim: str
    published: str
    recomputed: str
    holds: bool
    why: str


@dataclass(frozen=True)
class Evidence:
    """Facts from real data; None falls back on the documents' own numbers.

    fer2013, fer2013_train: class → faces in all splits, in ``Training`` (``FaceSet.counts()``).
    ckplus, kdef: class → faces available to system A's corpus: apex frames, frontal photographs.
    sides: the subject of each training face and of each test face of an image-level split of A's corpus.
    curves: accuracy per epoch on training and validation faces of system B's CNN, fractions.
    """

    fer2013: Mapping[str, int] | None = None
    fer2013_train: Mapping[str, int] | None = None
    ckplus: Mapping[str, int] | None = None
    kdef: Mapping[str, int] | None = None
    sides: tuple[Sequence[str], Sequence[str]] | None = None
    curves: tuple[Sequence[float], Sequence[float]] | None = None
