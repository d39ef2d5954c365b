"""A photo's result as rows of a table: the columns of the CSV and Parquet outputs, on one machine and on many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mien import tables
from mien.parquet import valid_text
from mien.recognition.folder import Unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mien.parquet import Kind
    from mien.results import Face, ImageResult

_KINDS: dict[str, Kind] = {
    "source": "text", "face": "whole", "emotion": "text", "uncertain": "yes_no", "quality": "text", "error": "text",
}  # fmt: skip


def csv_columns(labels: Sequence[str]) -> list[str]:
    """Return the column names of the CSV output for a model with these ``labels``."""
    return [*tables.columns(labels), "error"]


def kinds(labels: Sequence[str]) -> dict[str, Kind]:
    """Return column → kind of the Parquet output."""
    return {name: _KINDS.get(name, "number") for name in csv_columns(labels)}


def rows(entry: ImageResult | Unreadable) -> list[dict[str, Any]]:
    """Return the Parquet rows of one photo, one for each face.

    A photo without faces, and an unreadable one, has a row that lacks the columns of a face.
    """
    if isinstance(entry, Unreadable):
        return [{name: valid_text(value) for name, value in entry.to_dict().items()}]
    faces = [_row(entry, position, face) for position, face in enumerate(entry.faces)]
    return faces or [{"source": valid_text(str(entry.source))}]


def numbers(face: Face) -> list[Any]:
    """Return what stands in the CSV columns from ``left`` to the last probability."""
    values = tables.cells(face)
    return ["true" if value is True else "false" if value is False else value for value in values]


def faults(face: Face, separator: str) -> str:
    """Return what is wrong with a face, or an empty text."""
    return separator.join(face.quality.reasons) if face.quality else ""


def _row(entry: ImageResult, position: int, face: Face) -> dict[str, Any]:
    cells = [valid_text(str(entry.source)), position, *numbers(face), None]
    return {**dict(zip(csv_columns(face.labels), cells, strict=True)), "uncertain": face.uncertain}
