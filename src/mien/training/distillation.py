"""Knowledge distillation (Hinton et al. 2015): teachers' predictions on the training faces as part of the targets.

``distil.answers`` names predictions computed once, by ``mien evaluate TEACHER --split Training``: a step costs no more
than without teachers, but the teacher never sees the augmented faces, and a long training overfits its predictions.
``distil.models`` are run on the same augmented faces as the student (Beyer et al. 2022, "a good teacher is patient and
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
from mien.preprocess import PreprocessSpec
from mien.recipes.tables import DistilTable
from mien.recognition.classifier import Classifier
from mien.recognition.model_files import bundle


def targets(own: NDArray[np.float32], faces: FaceSet, table: DistilTable) -> NDArray[np.float32]:
    """Mix targets: ``share`` of the teachers' mean probabilities and the rest of ``own``, float32 (N, C).

    Targets of heads (N, heads, C) stay as they are; the teachers' mean is added behind them, for the consensus:
    (N, heads + 1, C).

    Args:
        own: float32, rows summing to 1, or zeros where a head has no target.
        faces: the N training faces that it belongs to.

    Raises:
        FileMissingError: a missing file of predictions.
        DataError: predictions with other classes or without some of the faces.
    """
    if not table.answers:
        return own
    teachers = [_soften(_read_probabilities(Path(name), faces), table.temperature) for name in table.answers]
    mean: NDArray[np.float32] = np.mean(teachers, axis=0).astype(np.float32)
    if own.ndim == 3:
        return np.concatenate([own, mean[:, None]], axis=1)
    return ((1 - table.share) * own + table.share * mean).astype(np.float32)


def predict(crops: NDArray[np.float32], table: DistilTable) -> NDArray[np.float32]:
    """Return the mean softened probabilities of ``table.models`` for a batch, float32 (N, C).

    Args:
        crops: float32 (N, channels, size, size), preprocessed and augmented.
    """
    softened = [_soften(_teacher(name).classify_inputs(crops), table.temperature) for name in table.models]
    mean: NDArray[np.float32] = np.mean(softened, axis=0, dtype=np.float32)
    return mean


def check_models(table: DistilTable, labels: LabelSet, spec: PreprocessSpec) -> None:
    """Raise ``DataError`` if a model of ``table`` has other classes or preprocessing than the student."""
    _teacher.cache_clear()  # the file may have changed since
    for name in table.models:
        model = bundle.read(name)
        if model.labels.labels != labels.labels:
            raise DataError(
                f"distil.models names {name}, with the labels of {model.labels.name}; the recipe trains those of "
                f"{labels.name}. Give a teacher with the same classes."
            )
        if model.preprocess != spec:
            raise DataError(
                f"distil.models names {name}, which takes {model.preprocess}; the recipe makes {spec}. Use the same "
                "preprocessing for both, or the teacher's predictions as a file in distil.answers."
            )


def describe(table: DistilTable) -> dict[str, Any]:
    """Return a run's record of its teachers: each model, or the model behind each predictions file; SHA-256 in hex.

    Raises as ``targets`` for a file that is missing or holds no predictions.
    """
    if table.models:
        models = [bundle.read(name) for name in table.models]
        return {"teachers": [{"model": one.name, "model_digest": one.digest} for one in models]}
    files = [_require(Path(name)) for name in table.answers]
    return {"teachers": [_describe_file(file) for file in files]}


def _describe_file(file: Path) -> dict[str, str]:
    about = predictions.read(file, crops=False).about
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"model": about.model, "model_digest": about.model_digest, "answers": digest}


def _read_probabilities(file: Path, faces: FaceSet) -> NDArray[np.float64]:
    teacher = predictions.read(_require(file), crops=False)
    if teacher.label_set.labels != faces.label_set.labels:
        raise DataError(
            f"{file} holds predictions with the labels of {teacher.label_set.name}, the recipe trains those of "
            f"{faces.label_set.name}. Give a teacher with the same classes."
        )
    rows = {source: row for row, source in enumerate(teacher.source.tolist())}
    absent = [name for name in faces.ids if name not in rows]
    if absent:
        raise DataError(
            f"{file} has no prediction for {len(absent)} of {len(faces)} training faces, such as {absent[0]}. Write it "
            "with mien evaluate TEACHER --data DATA --split Training --out FOLDER on this training's data."
        )
    return teacher.probabilities[[rows[name] for name in faces.ids]]


@lru_cache(maxsize=8)
def _teacher(name: str) -> Classifier:
    # Cached here, not in the module: weight averaging copies the module, and an ONNX Runtime session has no copy.
    return Classifier.open(bundle.read(name))


def _soften(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    powers = probabilities ** (1 / temperature)
    softened: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return softened


def _require(file: Path) -> Path:
    if not file.exists():
        raise FileMissingError(
            f"distil.answers names {file}, which does not exist. Write it with mien evaluate TEACHER --data DATA "
            f"--split Training --views flip --out {file.parent}, or train without teachers: --set distil.answers=[]."
        )
    return file
