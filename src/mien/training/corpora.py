"""Training on several corpora: sampling probabilities of the faces, and targets of each head and of the consensus.

Corpora use the same class names differently: human agreement with FER2013's labels is about 65 %, AffectNet's labels
come from one annotator, RAF-DB's from a majority. So the network has a head for each labelling scheme (``CorpusHead``)
and one for the consensus, which is exported.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mien.datasets.faces import SAME_PART, FaceSet
from mien.errors import DataError, OptionError, nearest
from mien.recipes.tables import CorporaTable, CorpusHead
from mien.training.losses import class_weights

OWN_LABEL = "own_label"
"""The column of ``FaceSet.columns`` that keeps the label that the corpus gives a face."""


def relabel(faces: FaceSet, table: CorporaTable) -> FaceSet:
    """Select the faces of the corpora in ``shares`` and relabel each by its first head: majority of votes, or label.

    The corpus's own label stays in the column ``own_label``.

    Raises:
        DataError: a corpus without faces.
    """
    if not table.shares:
        return faces
    if faces.datasets is None:
        raise DataError("corpora.shares needs the corpus of each face, which the data does not record. Index the data.")
    absent = sorted(set(table.shares) - set(faces.datasets.tolist()))
    if absent:
        present = ", ".join(sorted(set(faces.datasets.tolist())))
        raise DataError(f"corpora.shares names {', '.join(absent)}; the data has {present}. Add the missing corpora.")
    kept = faces.where(np.isin(faces.datasets, list(table.shares)))
    if OWN_LABEL not in kept.columns:
        own = np.array([kept.label_set.labels[label] for label in kept.labels], object)
        kept = replace(kept, columns={**kept.columns, OWN_LABEL: own})
    labels = consensus(head_targets(kept, table), kept).argmax(axis=1)
    # FER2013 names its splits differently from other corpora.
    splits = [SAME_PART.get(split, split) for split in kept.splits.tolist()]
    return replace(kept, labels=labels.astype(np.int64)).resplit(splits)


def head_targets(faces: FaceSet, table: CorporaTable) -> NDArray[np.float32]:
    """Compute each head's target for each face, float32 (N, heads, C); zeros where it has none."""
    targets = np.zeros((len(faces), len(table.heads), len(faces.label_set)), np.float32)
    for number, head in enumerate(table.heads):
        targets[:, number] = _targets(faces, head)
    return targets


def _targets(faces: FaceSet, head: CorpusHead) -> NDArray[np.float32]:
    if faces.datasets is None:
        raise DataError(f"Head {head.name} needs the corpus of each face, which the data does not record. Index it.")
    labelled = np.isin(faces.datasets, head.datasets)
    if not head.votes:
        own = faces.columns.get(OWN_LABEL)
        labels = faces.labels if own is None else np.array([faces.label_set.labels.index(label) for label in own])
        own_targets: NDArray[np.float32] = np.eye(len(faces.label_set), dtype=np.float32)[labels] * labelled[:, None]
        return own_targets
    if faces.votes is None:
        raise DataError(f"Head {head.name} is trained on votes, and the data has none. Index it with its votes.")
    return np.where(labelled[:, None], faces.votes, np.float32(0))


def consensus(targets: NDArray[np.float32], faces: FaceSet) -> NDArray[np.float32]:
    """Return each face's target from the first head that has one, otherwise its one-hot label; float32 (N, C).

    Args:
        targets: as ``head_targets`` returns them.
    """
    targets_of_faces = np.eye(len(faces.label_set), dtype=np.float32)[faces.labels]
    for number in reversed(range(targets.shape[1])):
        known = targets[:, number].sum(axis=1) > 0
        targets_of_faces[known] = targets[known, number]
    return targets_of_faces


def vocabulary(targets: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return bool (heads, C): the classes that each head's training targets contain."""
    known: NDArray[np.bool_] = targets.sum(axis=0) > 0
    return known


def groups(faces: FaceSet, table: CorporaTable) -> dict[str, NDArray[np.intp]]:
    """Group the rows by labelling scheme, name → rows: the first head that covers a corpus, or the corpus itself."""
    if faces.datasets is None:
        raise DataError("The data does not record the corpus of each face. Index it.")
    rows: dict[str, list[int]] = {}
    names = {name: head.name for head in reversed(table.heads) for name in head.datasets}
    for row, dataset in enumerate(faces.datasets.tolist()):
        rows.setdefault(names.get(dataset, dataset), []).append(row)
    return {name: np.array(indices) for name, indices in rows.items()}


def group_weights(faces: FaceSet, table: CorporaTable) -> NDArray[np.float64]:
    """Return weights, float64 (N,), mean 1, that give each of ``groups`` a total in proportion to the root of its size.

    With equal totals the 120 Taiwanese portraits would decide as much as 3,500 faces of FER2013; in proportion to the
    size, FER2013 would decide alone.
    """
    weights = np.zeros(len(faces))
    for rows in groups(faces, table).values():
        weights[rows] = len(rows) ** -0.5
    weights *= len(faces) / weights.sum()
    return weights


def select_head(faces: FaceSet, table: CorporaTable, name: str) -> tuple[FaceSet, int]:
    """Return the faces that a head has a target for, with that target as label, and the head's number, from 1 on.

    Args:
        faces: as ``relabel`` returns them.

    Raises:
        OptionError: a head that the table lacks.
    """
    names = [head.name for head in table.heads]
    if name not in names:
        raise OptionError(f"No head {name!r}; the recipe has {', '.join(names) or 'none'}.{nearest(name, names)}")
    number = names.index(name)
    targets = head_targets(faces, table)[:, number]
    known = targets.sum(axis=1) > 0
    own = replace(faces.where(known), labels=targets[known].argmax(axis=1).astype(np.int64))
    return own, number + 1


def sampling_probabilities(faces: FaceSet, table: CorporaTable) -> NDArray[np.float64]:
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
