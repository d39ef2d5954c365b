"""Knowledge distillation (Hinton et al. 2015): other networks' answers on the training faces as part of the targets.

Answers are worked out once, by ``mien evaluate TEACHER --split Training``, and a step costs what it does without
teachers; the price is that a teacher never sees the augmented faces, and that a long training learns its answers by
heart. Models answer the very faces that the student sees (Beyer et al. 2022, "a good teacher is patient and
consistent").
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets.faces import FaceSet
from mien.errors import DataError, FileMissingError
from mien.evaluation import predictions
from mien.labels import LabelSet
from mien.learning.tables import DistilTable
from mien.preprocess import PreprocessSpec
from mien.recognition import bundle
from mien.recognition.session import OnnxSession, softmax


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


def answers(crops: NDArray[np.float32], table: DistilTable) -> NDArray[np.float32]:
    """Return the mean answer of ``table.models`` to a batch, float32 (N, C), softened as the table says.

    crops: float32 (N, channels, size, size), preprocessed, as augmented.
    """
    each = [softmax(session.logits(crops), heat) for session, heat in map(_teacher, table.models)]
    mean: NDArray[np.float32] = np.mean([_softened(one, table.temperature) for one in each], axis=0, dtype=np.float32)
    return mean


def check_models(table: DistilTable, labels: LabelSet, spec: PreprocessSpec) -> None:
    """Raise ``DataError`` if a model of ``table`` tells other classes apart or takes other crops than the student."""
    _teacher.cache_clear()  # a file of this name may be another one by now
    for name in table.models:
        model = bundle.read(name)
        if model.labels.labels != labels.labels:
            raise DataError(
                f"distil.models names {name}, with the labels of {model.labels.name}; the recipe trains those of "
                f"{labels.name}. Give a teacher of the same classes."
            )
        if model.preprocess != spec:
            raise DataError(
                f"distil.models names {name}, which takes {model.preprocess}; the recipe makes {spec}. Give both the "
                "same preprocessing, or take its answers by distil.answers."
            )


def described(table: DistilTable) -> dict[str, Any]:
    """Return what a run records of its teachers: each model, or that behind each file of answers; SHA-256 in hex.

    Raises as ``targets`` for a file that is missing or no predictions.
    """
    if table.models:
        models = [bundle.read(name) for name in table.models]
        return {"teachers": [{"model": one.name, "model_digest": one.digest} for one in models]}
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


@lru_cache(maxsize=8)
def _teacher(name: str) -> tuple[OnnxSession, float]:
    # Kept here and not in the module, which averaging copies: a session of ONNX Runtime cannot be copied.
    model = bundle.read(name)
    return OnnxSession(model.graph), model.temperature


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
