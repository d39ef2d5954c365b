"""Several corpora in one training: how often each face is drawn, and what each head and the consensus learn of it.

Corpora use the same words differently: people confirm two thirds of FER2013's labels, AffectNet's are one
annotator's, RAF-DB's a majority's. So the network has a head for each way of naming (``CorpusHead``) and one more for
the consensus, which ships.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mien.datasets.faces import SAME_PART, FaceSet
from mien.errors import DataError, OptionError, nearest
from mien.learning.losses import class_weights
from mien.learning.tables import CorporaTable, CorpusHead

OWN_LABEL = "own_label"
"""The column of ``FaceSet.columns`` that keeps a face's label in its corpus's own words' sense."""


def agreed(faces: FaceSet, table: CorporaTable) -> FaceSet:
    """Return the faces of the drawn corpora, each labelled as its first head would: by its votes' majority, or label.

    What a corpus calls the face stays in the column ``own_label``. Raises ``DataError`` for a corpus without faces.
    """
    if not table.shares:
        return faces
    if faces.datasets is None:
        raise DataError("corpora.shares draws by corpus, and the data does not say which face is whose; index it.")
    absent = sorted(set(table.shares) - set(faces.datasets.tolist()))
    if absent:
        there = ", ".join(sorted(set(faces.datasets.tolist())))
        raise DataError(f"corpora.shares names {', '.join(absent)}; the data holds {there}. Give the corpora's data.")
    kept = faces.where(np.isin(faces.datasets, list(table.shares)))
    if OWN_LABEL not in kept.columns:
        own = np.array([kept.label_set.labels[label] for label in kept.labels], object)
        kept = replace(kept, columns={**kept.columns, OWN_LABEL: own})
    labels = consensus(head_targets(kept, table), kept).argmax(axis=1)
    # FER2013's words for its parts stand beside other corpora's.
    splits = [SAME_PART.get(split, split) for split in kept.splits.tolist()]
    return replace(kept, labels=labels.astype(np.int64)).resplit(splits)


def head_targets(faces: FaceSet, table: CorporaTable) -> NDArray[np.float32]:
    """Return float32 (N, heads, C): each head's target for each face; zeros where it has none."""
    targets = np.zeros((len(faces), len(table.heads), len(faces.label_set)), np.float32)
    for number, head in enumerate(table.heads):
        targets[:, number] = _targets(faces, head)
    return targets


def _targets(faces: FaceSet, head: CorpusHead) -> NDArray[np.float32]:
    if faces.datasets is None:
        raise DataError(f"The head {head.name} asks for a corpus, and the data does not say which face is whose.")
    spoken = np.isin(faces.datasets, head.datasets)
    if not head.votes:
        own = faces.columns.get(OWN_LABEL)
        labels = faces.labels if own is None else np.array([faces.label_set.labels.index(word) for word in own])
        own_targets: NDArray[np.float32] = np.eye(len(faces.label_set), dtype=np.float32)[labels] * spoken[:, None]
        return own_targets
    if faces.votes is None:
        raise DataError(f"The head {head.name} learns votes, and the data has none; index it with its votes.")
    return np.where(spoken[:, None], faces.votes, np.float32(0))


def consensus(targets: NDArray[np.float32], faces: FaceSet) -> NDArray[np.float32]:
    """Return float32 (N, C): of each face the first head's target that it has, without one its label.

    targets: as ``head_targets`` returns them.
    """
    targets_of_faces = np.eye(len(faces.label_set), dtype=np.float32)[faces.labels]
    for number in reversed(range(targets.shape[1])):
        known = targets[:, number].sum(axis=1) > 0
        targets_of_faces[known] = targets[known, number]
    return targets_of_faces


def vocabulary(targets: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return bool (heads, C): which classes a head knows, by the training faces' targets."""
    known: NDArray[np.bool_] = targets.sum(axis=0) > 0
    return known


def groups(faces: FaceSet, table: CorporaTable) -> dict[str, NDArray[np.intp]]:
    """Return the faces of each way of naming, name → rows: of the first head that speaks of a corpus, or the corpus."""
    if faces.datasets is None:
        raise DataError("The data does not say which face is of which corpus; index it.")
    rows: dict[str, list[int]] = {}
    names = {name: head.name for head in reversed(table.heads) for name in head.datasets}
    for row, dataset in enumerate(faces.datasets.tolist()):
        rows.setdefault(names.get(dataset, dataset), []).append(row)
    return {name: np.array(places) for name, places in rows.items()}


def equal_weights(faces: FaceSet, table: CorporaTable) -> NDArray[np.float64]:
    """Return float64 (N,), mean 1, by which each of ``groups`` counts the same, whatever its size."""
    weights = np.zeros(len(faces))
    by_name = groups(faces, table)
    for rows in by_name.values():
        weights[rows] = len(faces) / len(by_name) / len(rows)
    return weights


def spoken(faces: FaceSet, table: CorporaTable, name: str) -> tuple[FaceSet, int]:
    """Return the faces that a head has a target for, labelled as it would, and the head's number, from 1 on.

    faces: as ``agreed`` returns them. Raises ``OptionError`` for a head that the table lacks.
    """
    names = [head.name for head in table.heads]
    if name not in names:
        raise OptionError(f"No head {name!r}; the recipe has {', '.join(names) or 'none'}.{nearest(name, names)}")
    number = names.index(name)
    targets = head_targets(faces, table)[:, number]
    known = targets.sum(axis=1) > 0
    own = replace(faces.where(known), labels=targets[known].argmax(axis=1).astype(np.int64))
    return own, number + 1


def chances(faces: FaceSet, table: CorporaTable) -> NDArray[np.float64]:
    """Return each face's probability of being drawn, float64 (N,), summing to 1."""
    probabilities = np.zeros(len(faces))
    total = sum(table.shares.values())
    for name, share in table.shares.items():
        rows = np.flatnonzero(faces.datasets == name)
        labels = faces.labels[rows]
        counts = np.maximum(np.bincount(labels, minlength=len(faces.label_set)), 1)
        weights = class_weights(counts.tolist(), table.balance)[labels]
        probabilities[rows] = weights / weights.sum() * share / total
    return probabilities
