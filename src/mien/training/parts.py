"""Training, validation and test set: the recipe's ``[data]`` table applied to faces."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets import lazy, sampling, split
from mien.datasets.faces import FaceSet
from mien.errors import DataError
from mien.labels import OWN
from mien.recipes.tables import DataTable
from mien.training import corpora

TRAIN, VALIDATION, TEST = "Training", "PublicTest", "PrivateTest"
"""FER2013's names of the three splits; ``FaceSet.part`` maps them to other corpora's names."""


def arrange(faces: FaceSet, table: DataTable) -> FaceSet:
    """Split the faces as set in the recipe; the random draw depends on ``table`` alone.

    Raises:
        DataError: a missing split, a class without training faces, fewer than two classes, or data without subjects
            where the recipe splits by subject.
    """
    faces = corpora.relabel(faces, table.corpora)
    faces = _keep_apex(faces, table.apex) if table.apex else faces
    if table.folds:
        arranged = _take_fold(faces, table)
    elif table.split != "own":
        subjects = _subjects(faces) if table.split == "subject" else None
        parts = split.parts(faces.labels, table.shares, subjects=subjects, seed=table.seed)
        arranged = faces.resplit(parts)
    else:
        arranged = _hold_out(faces, table) if table.hold_out else faces
    _check(arranged)
    return _limit(arranged, table) if table.limit else arranged


def _keep_apex(faces: FaceSet, count: int) -> FaceSet:
    """Keep the last ``count`` frames of each CK+ sequence, by their names, and all faces of other corpora.

    Raises:
        DataError: a face of CK+ has no subject or session, by which its sequence is known.
    """
    session = faces.columns.get("session")
    if faces.datasets is None or faces.subjects is None or session is None or "ckplus" not in faces.datasets:
        raise DataError("data.apex is for CK+, and this data has no sequences of it; leave data.apex out.")
    sequences: dict[tuple[str, str, int], list[int]] = {}
    for row in np.flatnonzero(faces.datasets == "ckplus").tolist():
        if not faces.subjects[row] or not session[row]:
            raise DataError(
                f"data.apex: {faces.ids[row]} names no subject and sequence. Index CK+ again, or leave it out."
            )
        sequences.setdefault((faces.subjects[row], session[row], int(faces.labels[row])), []).append(row)
    kept = faces.datasets != "ckplus"
    for rows in sequences.values():
        kept[sorted(rows, key=lambda row: PurePosixPath(faces.ids[row]).stem)[-count:]] = True
    return faces.where(kept)


def _limit(faces: FaceSet, table: DataTable) -> FaceSet:
    """Keep at most ``table.limit`` faces of each split; see ``DataTable``."""
    groups = faces.labels.astype(np.int64)
    if faces.datasets is not None:
        groups = groups + len(faces.label_set) * np.unique(faces.datasets, return_inverse=True)[1]
    order = sampling.ranked(faces.ids, table.seed)
    kept = np.zeros(len(faces), bool)
    for name in np.unique(faces.splits):
        rows = order[faces.splits[order] == name]
        present = np.unique(groups[rows])
        share = max(table.limit // len(present), 1)
        for group in present:
            kept[rows[groups[rows] == group][:share]] = True
    return faces.where(kept)


def _subjects(faces: FaceSet) -> NDArray[np.str_]:
    if faces.subjects is None:
        raise DataError("This data has no subjects, so it cannot be split by subject; set data.split = 'image'.")
    return faces.subjects


def _take_fold(faces: FaceSet, table: DataTable) -> FaceSet:
    """Make fold ``table.fold`` the test set, and draw the validation set from the others."""
    subjects = _subjects(faces) if table.split == "subject" else None
    folds = split.assign_folds(faces.labels, table.folds, subjects=subjects, seed=table.seed)
    training = np.flatnonzero(folds != table.fold - 1)
    known = None if subjects is None else subjects[training]
    shares = (1 - table.validation_share, table.validation_share)
    drawn = split.parts(faces.labels[training], shares, subjects=known, seed=table.seed)
    if "test" not in drawn:  # with few people each is a larger share than the one asked for
        people = 0 if known is None else len(set(known.tolist()))
        raise DataError(
            f"Fold {table.fold} of {table.folds} leaves {people} people, too few for a validation set of "
            f"{table.validation_share:.0%}. Set data.hold_out to a larger share, such as {2 / max(people, 4):.2f}."
        )
    return _split_training(faces, training, drawn)


def _hold_out(faces: FaceSet, table: DataTable) -> FaceSet:
    training = np.flatnonzero(faces.splits == faces.split_named(TRAIN))
    drawn = split.parts(faces.labels[training], (1 - table.hold_out, table.hold_out), seed=table.seed)
    return _split_training(faces, training, drawn)


def _split_training(faces: FaceSet, training: NDArray[np.intp], drawn: list[str]) -> FaceSet:
    """Split the rows ``training`` as ``drawn`` (train, test) into training and validation set; test on all others."""
    parts = np.full(len(faces), "test", "U10")
    parts[training] = ["validation" if part == "test" else part for part in drawn]
    return faces.resplit(parts)


def _check(faces: FaceSet) -> None:
    classes = faces.label_set.labels
    if len(classes) < 2:
        raise DataError(f"The label set {faces.label_set.name} has one class; training needs two or more.")
    _require(faces, TRAIN, "data.split = 'image' or 'subject' draws a new split.")
    empty = [name for name, count in faces.part(TRAIN).counts().items() if not count]
    if empty:
        raise DataError(
            f"No training face of {', '.join(empty)}. Add some, or set data.scheme to a label set without "
            f"{'it' if len(empty) == 1 else 'them'}."
        )
    remedy = "Set data.hold_out = 0.1 to validate on a tenth of the training faces, or data.split."
    _require(faces, VALIDATION, remedy)


def check_test(faces: FaceSet) -> None:
    """Raise ``DataError`` if arranged faces have no test set; training itself does not need one."""
    _require(faces, TEST, "Add the data's test set, or set data.split = 'image' to draw one.")


def _require(faces: FaceSet, part: str, remedy: str) -> None:
    try:
        faces.split_named(part)
    except DataError as error:
        raise DataError(f"{error} {remedy}") from error


def targets(faces: FaceSet, table: DataTable) -> NDArray[np.float32]:
    """Return targets float32 (N, C), rows summing to 1: one-hot labels, or with ``data.votes`` the votes where any.

    With heads for corpora float32 (N, heads, C), a row of zeros where a head has no target for a face.

    Raises:
        DataError: the recipe needs votes and the data has none.
    """
    if table.corpora.heads:
        return corpora.head_targets(faces, table.corpora)
    targets = np.eye(len(faces.label_set), dtype=np.float32)[faces.labels]
    if not table.votes:
        return targets
    if faces.votes is None:
        raise DataError("data.votes = true, but the data has no votes; index it with mien data index --votes FER+.")
    voted = faces.votes.sum(axis=1) > 0
    targets[voted] = faces.votes[voted]
    return targets


def describe(faces: FaceSet) -> dict[str, Any]:
    """Return a run's record of its data: faces per split, and the digest of the training and validation set."""
    digest = hashlib.sha256()
    for part in (faces.part(TRAIN), faces.part(VALIDATION)):
        digest.update("\n".join(part.ids).encode())
        digest.update(part.labels.tobytes())
        for block in lazy.blocks(part.pixels):
            digest.update(block.data)
    names, counts = np.unique(faces.splits, return_counts=True)
    own = {"classes": list(faces.label_set.labels)} if faces.label_set.name == OWN else {}
    return {
        "label_set": faces.label_set.name,
        **own,
        "parts": dict(zip(names.tolist(), counts.tolist(), strict=True)),
        "digest": digest.hexdigest(),
    }
