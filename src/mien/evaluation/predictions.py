"""A model's predictions on labelled faces, and the file that stores them: every metric can be recomputed from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets import lazy
from mien.datasets.arrow import pa, parquet
from mien.datasets.faces import FaceSet
from mien.errors import DataError, FileMissingError
from mien.evaluation.metrics.checks import check_probabilities
from mien.evaluation.metrics.clusters import number_groups
from mien.files import appearing
from mien.labels import LabelSet

SCHEMA = 1
KEY = b"mien.predictions"
CROP = "crop"
COLUMNS = ("probabilities", "label", "split", "source", "copy", CROP)
GROUPS = ("subject", "session")
"""Optional columns: the person of each face, and its session, in CK+ a sequence of frames; '' where unknown."""

REMEDY = "Write it again with mien evaluate MODEL --data DATA --out FOLDER."


@dataclass(frozen=True)
class About:
    """Provenance of predictions.

    Attributes:
        model: its name.
        model_digest: SHA-256 (hex) of its graph or file.
        data_digest: ``compute_digest`` of the faces of the whole file; a split keeps it.
        temperature: the logits were divided by it before softmax.
        views: number of views of each face that the probabilities are averaged over; 1 without test-time augmentation.
    """

    model: str
    model_digest: str
    data_digest: str
    temperature: float
    views: int = 1


@dataclass(frozen=True)
class Predictions:
    """Predictions on N labelled faces.

    Attributes:
        probabilities: float64 (N, C), rows summing to 1, after the temperature.
        labels: int64 (N,), indices into ``label_set``.
        split: N strings, the split of each face, '' for none.
        source: N strings, the origin of each face: its file in the corpus, or the line of a CSV.
        copy: bool (N,), whether the face is an exact duplicate of a training face; all False if the data has no
            training set.
        crops: uint8 (N, H, W) grey or (N, H, W, 3) RGB, or None.
        groups: which faces belong together, ``subject`` and ``session`` → N strings, '' where unknown; only what is
            known.

    Raises:
        DataError: arrays of other lengths, or as ``checks.check_probabilities``.
    """

    label_set: LabelSet
    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]
    split: NDArray[np.str_]
    source: NDArray[np.str_]
    copy: NDArray[np.bool_]
    about: About
    crops: NDArray[np.uint8] | None = field(default=None, repr=False)
    groups: Mapping[str, NDArray[np.str_]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        check_probabilities(self.probabilities, self.labels, len(self.label_set))
        lengths = {"split": len(self.split), "source": len(self.source), "copy": len(self.copy)}
        lengths |= {name: len(values) for name, values in self.groups.items()}
        if self.crops is not None:
            lengths["crops"] = len(self.crops)
        if set(lengths.values()) != {len(self)} or (self.crops is not None and self.crops.ndim not in (3, 4)):
            raise DataError(
                f"Predictions of {len(self)} faces with {lengths}: expected equal lengths, crops (N, H, W[, 3])."
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The most probable class of each face, int64 (N,); ties go to the first class."""
        classes: NDArray[np.int64] = self.probabilities.argmax(1)
        return classes

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each face is classified correctly, bool (N,)."""
        agree: NDArray[np.bool_] = self.predicted == self.labels
        return agree

    def grouping(self, name: str = "") -> tuple[str, NDArray[np.int64]]:
        """Return what the faces are grouped by, and int64 (N,), the number of each face's group.

        Args:
            name: ``subject`` or ``session``; "" takes the first of these that is known, and ``face`` if none is, each
                face a group of its own. Faces of unknown subject or session are groups of their own, too.
        """
        chosen = name or next((group for group in GROUPS if group in self.groups), "face")
        if chosen not in self.groups:
            return "face", np.arange(len(self))
        return chosen, number_groups(self.groups[chosen])

    def where(self, mask: NDArray[np.bool_]) -> Predictions:
        """Select the faces where ``mask``, bool (N,), is true.

        Raises:
            DataError: there are none.
        """
        return self.take(np.flatnonzero(mask))

    def take(self, rows: NDArray[np.intp]) -> Predictions:
        """Select faces by their indices, in that order.

        Raises:
            DataError: there are none.
        """
        names = ("probabilities", "labels", "split", "source", "copy")
        kept = {name: getattr(self, name)[rows] for name in names}
        groups = {name: values[rows] for name, values in self.groups.items()}
        return replace(self, **kept, crops=None if self.crops is None else self.crops[rows], groups=groups)

    def part(self, split: str) -> Predictions:
        """Select the faces of one split.

        Raises:
            DataError: listing the splits that exist.
        """
        own = self.split == split
        if not own.any():
            raise DataError(f"No predictions of {split!r}; there are {', '.join(sorted(set(self.split.tolist())))}.")
        return self.where(own)

    def write(self, path: str | Path) -> Path:
        """Write the file atomically and return its path."""
        file = Path(path)
        info = {
            "schema": SCHEMA,
            "label_set": {"name": self.label_set.name, "labels": list(self.label_set.labels)},
            "about": asdict(self.about),
        }
        table = _build_table(self).replace_schema_metadata({KEY: json.dumps(info, ensure_ascii=False)})
        with appearing(file) as draft:
            parquet.write_table(table, draft)
        return file


def from_faces(
    probabilities: NDArray[np.float64], faces: FaceSet, copies: NDArray[np.bool_], *, crops: bool = True, **about: Any
) -> Predictions:
    """Build the predictions of a model on ``faces``; ``about`` holds the fields of ``About`` except the data digest.

    Args:
        crops: keep the crops, if they are in memory.
    """
    return Predictions(
        faces.label_set,
        probabilities,
        faces.labels,
        faces.splits,
        np.array(faces.ids, str),
        copies,
        About(data_digest=compute_digest(faces), **about),
        faces.pixels if crops and isinstance(faces.pixels, np.ndarray) else None,
        _groups_of(faces),
    )


def _groups_of(faces: FaceSet) -> dict[str, NDArray[np.str_]]:
    """Return the person and the session of each face, as far as the corpus names any."""
    if faces.subjects is None:
        return {}
    groups = {"subject": faces.subjects}
    sessions = faces.columns.get("session")
    if sessions is not None and any(sessions):
        pairs = zip(faces.subjects.tolist(), sessions.tolist(), strict=True)
        groups["session"] = np.array([f"{subject}/{session}" if session else "" for subject, session in pairs], str)
    return groups


def join(parts: Sequence[Predictions]) -> Predictions:
    """Concatenate one model's predictions on several splits of a corpus; crops are kept if all have them.

    The data digest is the digest of the digests.

    Raises:
        DataError: predictions of different models.
    """
    first = parts[0]
    models = {(part.about.model_digest, part.about.temperature, part.about.views, part.label_set) for part in parts}
    if len(models) > 1:
        raise DataError(f"Cannot join predictions of {len(models)} different models, temperatures or numbers of views.")
    names = ("probabilities", "labels", "split", "source", "copy")
    arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    known = [name for name in GROUPS if any(name in part.groups for part in parts)]
    blank = [np.full(len(part), "") for part in parts]
    groups = {
        name: np.concatenate([part.groups.get(name, none) for part, none in zip(parts, blank, strict=True)])
        for name in known
    }
    digests = "".join(part.about.data_digest for part in parts)
    return replace(
        first,
        **arrays,
        about=replace(first.about, data_digest=hashlib.sha256(digests.encode()).hexdigest()),
        crops=_join_crops([part.crops for part in parts]),
        groups=groups,
    )


def _join_crops(crops: Sequence[NDArray[np.uint8] | None]) -> NDArray[np.uint8] | None:
    there = [crop for crop in crops if crop is not None]
    return np.concatenate(there) if len(there) == len(crops) else None


def compute_digest(faces: FaceSet) -> str:
    """Return the SHA-256 (hex) of faces: sources, splits, label names and pixels, in order."""
    digest = hashlib.sha256()
    names = [faces.label_set.labels[index] for index in faces.labels]
    for texts in (faces.ids, faces.splits.tolist(), names):
        digest.update("\n".join(texts).encode())
    for block in lazy.blocks(faces.pixels):
        digest.update(block.data)
    return digest.hexdigest()


def check_same_faces(first: Predictions, second: Predictions) -> None:
    """Raise ``DataError`` unless both are on the same faces with the same labels, in the same order.

    Pixels are compared if both hold crops, otherwise the data digests.
    """
    models = f"{first.about.model} and {second.about.model}"
    if len(first) != len(second):
        raise DataError(
            f"Predictions of {models} have {len(first)} and {len(second)} faces; expected equally many. Evaluate both "
            "on the same data and split, with classes that both models have."
        )
    for what, ours, theirs in (
        ("splits", first.split, second.split),
        ("sources", first.source, second.source),
        ("labels", _name_labels(first), _name_labels(second)),
    ):
        differs = np.flatnonzero(ours != theirs)
        if len(differs):
            row = int(differs[0])
            raise DataError(
                f"Predictions of {models} differ in their {what}, first in row {row}: {str(ours[row])!r} and "
                f"{str(theirs[row])!r}. Evaluate both on the same data and split."
            )
    if not _have_same_pixels(first, second):
        raise DataError(
            f"Predictions of {models} are on the same files, but the pixels differ. Evaluate both on the same data and "
            "split, and keep the crops."
        )


def _name_labels(predictions: Predictions) -> NDArray[np.str_]:
    return np.array(predictions.label_set.labels)[predictions.labels]


def _have_same_pixels(first: Predictions, second: Predictions) -> bool:
    if first.crops is not None and second.crops is not None:
        return np.array_equal(first.crops, second.crops)
    return first.about.data_digest == second.about.data_digest


def _build_table(predictions: Predictions) -> Any:
    classes = len(predictions.label_set)
    flat = pa.array(np.ascontiguousarray(predictions.probabilities, np.float64).ravel())
    words = pa.array(predictions.label_set.labels)
    crops: list[bytes] | list[None] = [None] * len(predictions)
    if predictions.crops is not None:
        crops = [_encode_png(crop) for crop in predictions.crops]
    columns = (
        pa.FixedSizeListArray.from_arrays(flat, classes),
        pa.DictionaryArray.from_arrays(pa.array(predictions.labels.astype(np.int32)), words),
        pa.array(predictions.split.tolist(), pa.string()),
        pa.array(predictions.source.tolist(), pa.string()),
        pa.array(predictions.copy, pa.bool_()),
        pa.array(crops, pa.binary()),
    )
    groups = {name: pa.array(values.tolist(), pa.string()) for name, values in predictions.groups.items()}
    return pa.table(dict(zip(COLUMNS, columns, strict=True)) | groups)


def _encode_png(crop: NDArray[np.uint8]) -> bytes:
    import cv2

    return cv2.imencode(".png", crop if crop.ndim == 2 else cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))[1].tobytes()


def read(path: str | Path, *, crops: bool = True) -> Predictions:
    """Read a file of ``Predictions.write``.

    Args:
        crops: also the crops, if the file has them: 70,000 faces of 112 pixels in colour are 2.6 GB.

    Raises:
        FileMissingError: any other file.
        DataError: any other file.
    """
    file = Path(path)
    if not file.exists():
        raise FileMissingError(f"No predictions at {file}. {REMEDY}")
    try:
        stored = parquet.ParquetFile(file)  # read_table would take "seed=0" in a path for a column
        names = stored.schema_arrow.names
        table = stored.read([name for name in names if crops or name != CROP])
        info = json.loads((stored.schema_arrow.metadata or {})[KEY])
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise DataError(f"{file} does not contain predictions of Mien: {error}. {REMEDY}") from error
    if info.get("schema") != SCHEMA:
        raise DataError(f"{file} has schema {info.get('schema')}; expected {SCHEMA}. {REMEDY}")
    own = set(names) - set(GROUPS)
    if own != set(COLUMNS):
        odd = ", ".join(sorted(own ^ set(COLUMNS)))
        raise DataError(f"{file} has missing or unknown columns: {odd}; expected {', '.join(COLUMNS)}. {REMEDY}")
    try:
        return _restore(table, info)
    except (DataError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{file} contains damaged predictions: {error} {REMEDY}") from error


def _restore(table: Any, info: dict[str, Any]) -> Predictions:
    label_set = LabelSet(info["label_set"]["name"], tuple(info["label_set"]["labels"]))
    words = table.column("label").to_pylist()
    unknown = sorted({str(word) for word in words} - set(label_set.labels))
    if unknown:
        raise DataError(f"Unknown labels {', '.join(unknown)}; its label set has {', '.join(label_set.labels)}.")
    rows = table.column("probabilities").to_pylist()
    return Predictions(
        label_set,
        np.array(rows, np.float64).reshape(len(rows), -1),
        np.array([label_set.labels.index(word) for word in words], np.int64),
        np.array(table.column("split").to_pylist(), str),
        np.array(table.column("source").to_pylist(), str),
        np.array(table.column("copy").to_pylist(), bool),
        About(**info["about"]),
        _decode_crops(table.column(CROP)) if CROP in table.column_names else None,
        {name: np.array(table.column(name).to_pylist(), str) for name in GROUPS if name in table.column_names},
    )


def _decode_crops(column: Any) -> NDArray[np.uint8] | None:
    if column.null_count == len(column):
        return None
    import cv2

    images = [cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED) for file in column.to_pylist()]
    if any(image is None for image in images):
        raise DataError("A crop is not an image.")
    stack = np.stack(images).astype(np.uint8, copy=False)  # type: ignore[arg-type]
    return stack if stack.ndim == 3 else np.ascontiguousarray(stack[..., ::-1])
