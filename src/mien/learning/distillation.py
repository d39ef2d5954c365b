"""Knowledge distillation (Hinton et al. 2015): other networks' answers on the training faces as part of the targets.

The answers are worked out once, by ``mien evaluate TEACHER --split Training``, so that a step costs what it does
without teachers; the price is that a teacher never sees the augmented faces.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets.faces import FaceSet
from mien.errors import DataError, FileMissingError
from mien.evaluation import predictions
from mien.learning.tables import DistilTable


def targets(own: NDArray[np.float32], faces: FaceSet, table: DistilTable) -> NDArray[np.float32]:
    """Return ``share`` of the teachers' mean answer and the rest of each face's ``own`` target, float32 (N, C).

    faces: the N training faces that ``own``, rows summing to 1, belongs to.
    Raises ``FileMissingError`` for a missing file of answers, ``DataError`` for answers of other classes, or that lack
    a face.
    """
    if not table.answers:
        return own
    taught = np.mean([_softened(_answers(Path(name), faces), table.temperature) for name in table.answers], axis=0)
    mixed: NDArray[np.float32] = ((1 - table.share) * own + table.share * taught).astype(np.float32)
    return mixed


def described(table: DistilTable) -> dict[str, Any]:
    """Return what a run records of its teachers: the model behind each file of answers, and the file's SHA-256 (hex).

    Raises as ``targets`` for a file that is missing or no predictions.
    """
    files = [_existing(Path(name)) for name in table.answers]
    found = [(predictions.read(file).about, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
    return {"teachers": [{"model": a.model, "model_digest": a.model_digest, "answers": d} for a, d in found]}


def _answers(file: Path, faces: FaceSet) -> NDArray[np.float64]:
    found = predictions.read(_existing(file))
    if found.label_set.labels != faces.label_set.labels:
        raise DataError(
            f"{file} holds answers with the labels of {found.label_set.name}, the recipe trains those of "
            f"{faces.label_set.name}. Give a teacher of the same classes."
        )
    rows = {source: row for row, source in enumerate(found.source.tolist())}
    absent = [name for name in faces.ids if name not in rows]
    if absent:
        raise DataError(
            f"{file} has no answer for {len(absent)} of {len(faces)} training faces, such as {absent[0]}. Write it "
            "with mien evaluate TEACHER --data DATA --split Training --out FOLDER on the data of this training."
        )
    return found.probabilities[[rows[name] for name in faces.ids]]


def _softened(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    powers = probabilities ** (1 / temperature)
    softened: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return softened


def _existing(file: Path) -> Path:
    if not file.exists():
        raise FileMissingError(
            f"distil.answers names {file}, which is not there. Write it with mien evaluate TEACHER --data DATA "
            f"--split Training --views flip --out {file.parent}, or train without teachers: --set distil.answers=[]."
        )
    return file
