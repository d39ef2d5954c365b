"""Which face trains, which chooses the epoch, which is only scored: the recipe's ``[data]`` table applied to faces."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets import split
from mien.datasets.faces import FaceSet
from mien.errors import DataError
from mien.labels import OWN
from mien.learning import corpora
from mien.learning.tables import DataTable

TRAIN, VALIDATION, TEST = "Training", "PublicTest", "PrivateTest"
"""FER2013's words for the three parts; ``FaceSet.part`` finds other corpora's words by them."""


def arrange(faces: FaceSet, table: DataTable) -> FaceSet:
    """Return the faces in the parts that the recipe asks for; the draw depends on ``table`` alone.

    Raises ``DataError`` for a missing part, a class without training faces, fewer than two classes, or faces of
    nobody where the recipe splits by subject.
    """
    faces = corpora.relabel(faces, table.corpora)
    if table.split != "own":
        subjects = _subjects(faces) if table.split == "subject" else None
        parts = split.parts(faces.labels, table.shares, subjects=subjects, seed=table.seed)
        arranged = faces.resplit(parts)
    else:
        arranged = _held_out(faces, table) if table.hold_out else faces
    _check(arranged)
    return _limited(arranged, table) if table.limit else arranged


def _limited(faces: FaceSet, table: DataTable) -> FaceSet:
    """Return at most ``table.limit`` faces of each split, drawn by ``table.seed``; see ``DataTable``."""
    generator = np.random.default_rng(table.seed)
    groups = faces.labels.astype(np.int64)
    if faces.datasets is not None:
        groups = groups + len(faces.label_set) * np.unique(faces.datasets, return_inverse=True)[1]
    kept = np.zeros(len(faces), bool)
    for name in np.unique(faces.splits):
        rows = np.flatnonzero(faces.splits == name)
        present = np.unique(groups[rows])
        share = max(table.limit // len(present), 1)
        for group in present:
            kept[generator.permutation(rows[groups[rows] == group])[:share]] = True
    return faces.where(kept)


def _subjects(faces: FaceSet) -> NDArray[np.str_]:
    if faces.subjects is None:
        raise DataError("This data names no subjects, so it cannot be split by subject; set data.split = 'image'.")
    return faces.subjects


def _held_out(faces: FaceSet, table: DataTable) -> FaceSet:
    training = np.flatnonzero(faces.splits == faces.split_named(TRAIN))
    drawn = split.parts(faces.labels[training], (1 - table.hold_out, table.hold_out), seed=table.seed)
    parts = np.full(len(faces), "test", "U10")
    parts[training] = ["validation" if part == "test" else part for part in drawn]
    return faces.resplit(parts)


def _check(faces: FaceSet) -> None:
    classes = faces.label_set.labels
    if len(classes) < 2:
        raise DataError(f"The label set {faces.label_set.name} has one class; training needs two or more.")
    _need(faces, TRAIN, "data.split = 'image' or 'subject' draws the parts anew.")
    empty = [name for name, count in faces.part(TRAIN).counts().items() if not count]
    if empty:
        raise DataError(
            f"No training face of {', '.join(empty)}. Add some, or name with data.scheme a label set without "
            f"{'it' if len(empty) == 1 else 'them'}."
        )
    remedy = "Set data.hold_out = 0.1 to choose the epoch on a tenth of the training faces, or data.split."
    _need(faces, VALIDATION, remedy)


def check_test(faces: FaceSet) -> None:
    """Raise ``DataError`` if arranged faces hold none to score; training alone does without them."""
    _need(faces, TEST, "Give the data's test part too, or set data.split = 'image' to draw one.")


def _need(faces: FaceSet, part: str, remedy: str) -> None:
    try:
        faces.split_named(part)
    except DataError as error:
        raise DataError(f"{error} {remedy}") from error


def targets(faces: FaceSet, table: DataTable) -> NDArray[np.float32]:
    """Return float32 (N, C), rows summing to 1: the labels, or the votes of faces that have some if the recipe says so.

    With heads for corpora float32 (N, heads, C), a row of zeros where a head has nothing to learn of a face.

    Raises ``DataError`` if the recipe asks for votes and there are none.
    """
    if table.corpora.heads:
        return corpora.head_targets(faces, table.corpora)
    found = np.eye(len(faces.label_set), dtype=np.float32)[faces.labels]
    if not table.votes:
        return found
    if faces.votes is None:
        raise DataError("data.votes = true, but the data has no votes; index it with mien data index --votes FER+.")
    voted = faces.votes.sum(axis=1) > 0
    found[voted] = faces.votes[voted]
    return found


def described(faces: FaceSet) -> dict[str, Any]:
    """Return what a run records of its data: faces by part, and the digest of all that training and choosing saw."""
    digest = hashlib.sha256()
    for part in (faces.part(TRAIN), faces.part(VALIDATION)):
        digest.update("\n".join(part.ids).encode())
        digest.update(part.labels.tobytes())
        digest.update(np.ascontiguousarray(part.pixels).data)
    names, counts = np.unique(faces.splits, return_counts=True)
    own = {"classes": list(faces.label_set.labels)} if faces.label_set.name == OWN else {}
    return {
        "label_set": faces.label_set.name,
        **own,
        "parts": dict(zip(names.tolist(), counts.tolist(), strict=True)),
        "digest": digest.hexdigest(),
    }
