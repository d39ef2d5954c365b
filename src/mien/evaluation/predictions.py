"""What a model answered on labelled faces, as a file: whatever is told of a model can be worked out from it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets.arrow import pa, parquet
from mien.datasets.faces import FaceSet
from mien.errors import DataError, FileMissingError
from mien.evaluation.checks import distributions
from mien.files import appearing
from mien.labels import LabelSet

SCHEMA = 1
KEY = b"mien.predictions"
COLUMNS = ("probabilities", "label", "split", "source", "copy", "crop")
REMEDY = "Write it again with mien evaluate MODEL --data DATA --out FOLDER."


@dataclass(frozen=True)
class About:
    """Where predictions come from.

    model:        its name.  model_digest: SHA-256 (hex) of its graph or file.
    data_digest:  ``digest_of`` the faces of the whole file; a part keeps it.
    temperature:  the logits were divided by it before softmax.
    views:        1, or how many augmented views of each face the probabilities are the mean of.
    """

    model: str
    model_digest: str
    data_digest: str
    temperature: float
    views: int = 1


@dataclass(frozen=True)
class Predictions:
    """N answered faces.

    probabilities: float64 (N, C), rows summing to 1, after the temperature.  labels: int64 (N,), places in
    ``label_set``.
    split:  N strings, the part each face belongs to, '' for none.
    source: N strings, where each face comes from: its file in the corpus, or the line of a CSV.
    copy:   bool (N,), whether the face stands pixel for pixel in the data's training part too; all False where the
            data has none.
    crops:  uint8 (N, H, W) grey or (N, H, W, 3) RGB, or None.
    Raises ``DataError`` for arrays of other lengths, or as ``checks.distributions``.
    """

    label_set: LabelSet
    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]
    split: NDArray[np.str_]
    source: NDArray[np.str_]
    copy: NDArray[np.bool_]
    about: About
    crops: NDArray[np.uint8] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        distributions(self.probabilities, self.labels, len(self.label_set))
        lengths = {"split": len(self.split), "source": len(self.source), "copy": len(self.copy)}
        if self.crops is not None:
            lengths["crops"] = len(self.crops)
        if set(lengths.values()) != {len(self)} or (self.crops is not None and self.crops.ndim not in (3, 4)):
            raise DataError(
                f"Predictions of {len(self)} faces with {lengths}: expected as many of each, crops (N, H, W[, 3])."
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The most probable class of each face, int64 (N,); of equally probable ones the first."""
        places: NDArray[np.int64] = self.probabilities.argmax(1)
        return places

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each face was read rightly, bool (N,)."""
        agree: NDArray[np.bool_] = self.predicted == self.labels
        return agree

    def where(self, mask: NDArray[np.bool_]) -> Predictions:
        """Return the faces for which ``mask``, bool (N,), is true. Raises ``DataError`` if there is none."""
        names = ("probabilities", "labels", "split", "source", "copy")
        kept = {name: getattr(self, name)[mask] for name in names}
        return replace(self, **kept, crops=None if self.crops is None else self.crops[mask])

    def part(self, split: str) -> Predictions:
        """Return the faces of one part, by its own name. Raises ``DataError`` naming the parts there are."""
        found = self.split == split
        if not found.any():
            raise DataError(f"No predictions of {split!r}; there are {', '.join(sorted(set(self.split.tolist())))}.")
        return self.where(found)

    def write(self, path: str | Path) -> Path:
        """Write the file, whole or not at all, and return its path."""
        place = Path(path)
        info = {
            "schema": SCHEMA,
            "label_set": {"name": self.label_set.name, "labels": list(self.label_set.labels)},
            "about": asdict(self.about),
        }
        table = _table(self).replace_schema_metadata({KEY: json.dumps(info, ensure_ascii=False)})
        with appearing(place) as draft:
            parquet.write_table(table, draft)
        return place


def of_faces(
    probabilities: NDArray[np.float64], faces: FaceSet, copies: NDArray[np.bool_], *, crops: bool = True, **about: Any
) -> Predictions:
    """Return the predictions of a model on ``faces``; ``about`` holds the fields of ``About`` but the data's digest."""
    return Predictions(
        faces.label_set,
        probabilities,
        faces.labels,
        faces.splits,
        np.array(faces.ids, str),
        copies,
        About(data_digest=digest_of(faces), **about),
        faces.pixels if crops else None,
    )


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Return several predictions of one model, on one corpus's parts, as one; crops if all have them.

    The digest of the data is that of the digests. Raises ``DataError`` for predictions of different models.
    """
    first = parts[0]
    models = {(each.about.model_digest, each.about.temperature, each.about.views, each.label_set) for each in parts}
    if len(models) > 1:
        raise DataError(
            f"Predictions of {len(models)} models, temperatures or numbers of views cannot be put together."
        )
    names = ("probabilities", "labels", "split", "source", "copy")
    arrays: dict[str, Any] = {name: np.concatenate([getattr(each, name) for each in parts]) for name in names}
    digests = "".join(each.about.data_digest for each in parts)
    return replace(
        first,
        **arrays,
        about=replace(first.about, data_digest=hashlib.sha256(digests.encode()).hexdigest()),
        crops=_together([each.crops for each in parts]),
    )


def _together(crops: Sequence[NDArray[np.uint8] | None]) -> NDArray[np.uint8] | None:
    there = [each for each in crops if each is not None]
    return np.concatenate(there) if len(there) == len(crops) else None


def digest_of(faces: FaceSet) -> str:
    """Return the SHA-256 (hex) of faces: sources, parts, labels by name, pixels, in their order."""
    digest = hashlib.sha256()
    names = [faces.label_set.labels[place] for place in faces.labels]
    for texts in (faces.ids, faces.splits.tolist(), names):
        digest.update("\n".join(texts).encode())
    digest.update(faces.pixels.tobytes())
    return digest.hexdigest()


def same_faces(first: Predictions, second: Predictions) -> None:
    """Raise ``DataError`` unless both are of the same faces with the same labels, in the same order.

    The pixels are compared where both hold crops, else the digests of the data.
    """
    told = f"{first.about.model} and {second.about.model}"
    if len(first) != len(second):
        raise DataError(
            f"Predictions of {told} are of {len(first)} and {len(second)} faces; expected the same. Evaluate both on "
            "the same data and split, with classes that both models have."
        )
    for what, ours, theirs in (
        ("parts", first.split, second.split),
        ("sources", first.source, second.source),
        ("labels", _nouns(first), _nouns(second)),
    ):
        differs = np.flatnonzero(ours != theirs)
        if len(differs):
            row = int(differs[0])
            raise DataError(
                f"Predictions of {told} differ in their {what}, first in row {row}: {str(ours[row])!r} and "
                f"{str(theirs[row])!r}. Evaluate both on the same data and split."
            )
    if not _same_pixels(first, second):
        raise DataError(
            f"Predictions of {told} are of the same files, but not of the same pixels. Evaluate both on the same data "
            "and split, and keep the crops."
        )


def _nouns(predictions: Predictions) -> NDArray[np.str_]:
    return np.array(predictions.label_set.labels)[predictions.labels]


def _same_pixels(first: Predictions, second: Predictions) -> bool:
    if first.crops is not None and second.crops is not None:
        return np.array_equal(first.crops, second.crops)
    return first.about.data_digest == second.about.data_digest


def _table(predictions: Predictions) -> Any:
    classes = len(predictions.label_set)
    flat = pa.array(np.ascontiguousarray(predictions.probabilities, np.float64).ravel())
    words = pa.array(predictions.label_set.labels)
    crops: list[bytes] | list[None] = [None] * len(predictions)
    if predictions.crops is not None:
        crops = [_png(crop) for crop in predictions.crops]
    columns = (
        pa.FixedSizeListArray.from_arrays(flat, classes),
        pa.DictionaryArray.from_arrays(pa.array(predictions.labels.astype(np.int32)), words),
        pa.array(predictions.split.tolist(), pa.string()),
        pa.array(predictions.source.tolist(), pa.string()),
        pa.array(predictions.copy, pa.bool_()),
        pa.array(crops, pa.binary()),
    )
    return pa.table(dict(zip(COLUMNS, columns, strict=True)))


def _png(crop: NDArray[np.uint8]) -> bytes:
    import cv2

    return cv2.imencode(".png", crop if crop.ndim == 2 else cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))[1].tobytes()


def read(path: str | Path) -> Predictions:
    """Read what ``write`` wrote. Raises ``FileMissingError``, and ``DataError`` for any other file."""
    place = Path(path)
    if not place.exists():
        raise FileMissingError(f"No predictions at {place}. {REMEDY}")
    try:
        table = parquet.ParquetFile(place).read()  # read_table would take "seed=0" in a path for a column
        info = json.loads((table.schema.metadata or {})[KEY])
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise DataError(f"{place} holds no predictions of Mien: {error}. {REMEDY}") from error
    if info.get("schema") != SCHEMA:
        raise DataError(f"{place} has predictions of schema {info.get('schema')}; expected {SCHEMA}. {REMEDY}")
    if set(table.column_names) != set(COLUMNS):
        odd = ", ".join(sorted(set(table.column_names) ^ set(COLUMNS)))
        raise DataError(f"{place} has missing or unknown columns: {odd}; expected {', '.join(COLUMNS)}. {REMEDY}")
    try:
        return _restored(table, info)
    except (DataError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{place} holds damaged predictions: {error} {REMEDY}") from error


def _restored(table: Any, info: dict[str, Any]) -> Predictions:
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
        _crops(table.column("crop")),
    )


def _crops(column: Any) -> NDArray[np.uint8] | None:
    if column.null_count == len(column):
        return None
    import cv2

    images = [cv2.imdecode(np.frombuffer(each, np.uint8), cv2.IMREAD_UNCHANGED) for each in column.to_pylist()]
    if any(image is None for image in images):
        raise DataError("A crop is no picture.")
    stack = np.stack(images).astype(np.uint8, copy=False)  # type: ignore[arg-type]
    return stack if stack.ndim == 3 else np.ascontiguousarray(stack[..., ::-1])
