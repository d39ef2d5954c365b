"""What was seen, frame by frame, as CSV, JSON lines or Parquet: written as it is found, read back to go on.

Every frame has its place: one without a face is a row too. Nothing is rounded, so that what is read back is what was
written.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from mien.errors import OptionError
from mien.parquet import Kind, Parts, read_rows
from mien.parquet import settle as settle_parts
from mien.parquet import whole as whole_parts
from mien.results import Box, FrameResult, Person, Quality

if TYPE_CHECKING:
    from typing import BinaryIO

FRAMES_A_PART = 3000
"""Frames in one Parquet file: two minutes or less."""

_FRAME: dict[str, Kind] = {"frame": "whole", "seconds": "number", "frame_width": "whole", "frame_height": "whole"}
_PERSON: dict[str, Kind] = {
    "person": "whole", "seen": "yes_no", "left": "number", "top": "number", "width": "number", "height": "number",
    "score": "number", "emotion": "text", "confidence": "number", "uncertain": "yes_no",
}  # fmt: skip
_QUALITY: dict[str, Kind] = {
    "size": "number", "sharpness": "number", "turn": "number", "inside": "number", "quality": "text"
}  # fmt: skip


_AND = ";"  # between a face's reasons


class Timeline(Protocol):
    """One output: ``add`` for each frame, then ``close``."""

    def add(self, result: FrameResult) -> None:
        """Write one frame."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


def columns(labels: Sequence[str]) -> dict[str, Kind]:
    """Return name → kind of the columns; ``p_LABEL`` is smoothed, ``raw_LABEL`` of the frame alone."""
    return {
        **_FRAME,
        **_PERSON,
        **_QUALITY,
        **{f"{kind}_{label}": "number" for kind in ("p", "raw") for label in labels},
    }


def rows(result: FrameResult) -> list[dict[str, Any]]:
    """Return a row a person, or one with the frame alone; what is not there is left out."""
    about = dict(zip(_FRAME, (result.frame, result.seconds, result.width, result.height), strict=True))
    return [{**about, **_cells(person)} for person in result.people] or [about]


class Csv:
    """A row a person; a frame without a face has a row with the person left empty."""

    def __init__(self, stream: TextIO, labels: Sequence[str], *, fresh: bool = True) -> None:
        self._stream = stream
        self._writer = csv.DictWriter(stream, list(columns(labels)), restval="", lineterminator="\n")
        if fresh:
            self._writer.writeheader()

    def add(self, result: FrameResult) -> None:
        """Write the rows of one frame."""
        for row in rows(result):
            self._writer.writerow({name: _csv_cell(value) for name, value in row.items()})
        self._stream.flush()

    def close(self) -> None:
        """Nothing is left."""


class JsonLines:
    """``FrameResult.to_dict()`` of one frame a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def add(self, result: FrameResult) -> None:
        """Write one line."""
        self._stream.write(json.dumps(result.to_dict(), ensure_ascii=False) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing is left."""


class Parquet:
    """The rows of the CSV output as a folder of Parquet files; empty cells are null."""

    def __init__(self, folder: Path, labels: Sequence[str], *, done: int = 0) -> None:
        self._parts = Parts(folder, columns(labels), FRAMES_A_PART, done)

    def add(self, result: FrameResult) -> None:
        """Add one frame; it is on the disk with the others of its file."""
        self._parts.add(rows(result))

    def close(self) -> None:
        """Write the last file."""
        self._parts.close()


def whole(path: Path, form: str) -> int:
    """Return how many frames of a timeline that was broken off are whole; 0 for a missing one. It is left as it is.

    form: ``csv``, ``jsonl`` or ``parquet``. The last frame of a CSV file does not count, as it may lack people; of
    Parquet only full files do. Raises ``OptionError`` for a damaged one.
    """
    if not path.exists():
        return 0
    if form == "parquet":
        return whole_parts(path, FRAMES_A_PART)
    with path.open("rb") as stream:
        return (_whole_rows(stream) if form == "csv" else _whole_lines(stream))[0]


def settle(path: Path, form: str) -> int:
    """Cut a timeline that was broken off back to its ``whole`` frames and return how many are left."""
    if not path.exists():
        return 0
    if form == "parquet":
        return settle_parts(path, FRAMES_A_PART)
    with path.open("r+b") as stream:
        count, end = _whole_rows(stream) if form == "csv" else _whole_lines(stream)
        stream.truncate(end)
    return count


def read(path: Path, form: str, labels: tuple[str, ...], *, torn: bool = False) -> Iterator[FrameResult]:
    """Yield the frames of a timeline that was written for a model with these ``labels``.

    torn: it was broken off; stop after its ``whole`` frames, but in Parquet at the end.
    Raises ``OptionError`` for a damaged one.
    """
    try:
        if form == "parquet":
            yield from _frames(read_rows(path), labels)
        elif form == "csv":
            lines = csv.DictReader(_lines(path, form, torn=torn))
            yield from _frames(({name: _value(name, cell) for name, cell in row.items()} for row in lines), labels)
        else:
            yield from (_of_json(json.loads(line), labels) for line in _lines(path, form, torn=torn))
    except (LookupError, TypeError, ValueError) as error:
        raise OptionError(f"{str(path)!r} is no whole timeline ({error}). Choose another --out.") from None


def _lines(path: Path, form: str, *, torn: bool) -> Iterator[str]:
    with path.open("rb") as stream:
        end = (_whole_rows(stream) if form == "csv" else _whole_lines(stream))[1] if torn else None
        stream.seek(0)
        place = 0
        for line in stream:
            if end is not None and place >= end:
                return
            place += len(line)
            yield line.decode("utf-8")


def _whole_rows(stream: BinaryIO) -> tuple[int, int]:
    """Return number and end of the frames that are followed by another frame."""
    begun, place, start, previous = -1, 0, 0, b""  # the column names are no frame
    for line in stream:
        frame = line.split(b",", 1)[0]
        if not line.endswith(b"\n"):
            break
        if frame != previous:
            begun, start, previous = begun + 1, place, frame
        place += len(line)
    return (begun - 1, start) if begun > 1 else (0, 0)


def _whole_lines(stream: BinaryIO) -> tuple[int, int]:
    count, end = 0, 0
    for line in stream:
        if line.endswith(b"\n"):
            count, end = count + 1, end + len(line)
    return count, end


def _cells(person: Person) -> dict[str, Any]:
    box = person.box
    fixed = (person.id, person.seen, box.left, box.top, box.width, box.height, person.score)
    smoothed = {f"p_{label}": value for label, value in person.probabilities.items()}
    raw = {f"raw_{label}": value for label, value in zip(person.labels, person.raw or (), strict=False)}
    named = dict(zip(_PERSON, (*fixed, person.emotion, person.confidence, person.uncertain), strict=True))
    return {**named, **_quality_cells(person.quality), **smoothed, **raw}


def _quality_cells(quality: Quality | None) -> dict[str, Any]:
    if quality is None:
        return {}
    measures = (quality.size, quality.sharpness, quality.turn, quality.inside)
    return dict(zip(_QUALITY, (*measures, _AND.join(quality.reasons)), strict=True))


def _csv_cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value


def _value(name: str, cell: str) -> Any:
    kind = {**_FRAME, **_PERSON, **_QUALITY}.get(name, "number")
    if cell == "":
        return None
    if kind == "yes_no":
        return cell == "true"
    return {"whole": int, "number": float, "text": str}[kind](cell)


def _frames(flat: Iterable[dict[str, Any]], labels: tuple[str, ...]) -> Iterator[FrameResult]:
    for _, group in groupby(flat, key=lambda row: row["frame"]):
        found = list(group)
        people = tuple(_of_row(row, labels) for row in found if row["person"] is not None)
        first = found[0]
        yield FrameResult(first["frame"], first["seconds"], first["frame_width"], first["frame_height"], people)


def _of_row(row: dict[str, Any], labels: tuple[str, ...]) -> Person:
    box = Box(row["left"], row["top"], row["width"], row["height"])
    raw = tuple(row[f"raw_{label}"] for label in labels) if row["seen"] else None
    values = tuple(row[f"p_{label}"] for label in labels)
    return Person(
        row["person"], box, row["seen"], row["score"], labels, raw, values, row["uncertain"], _quality_of_row(row)
    )


def _quality_of_row(row: dict[str, Any]) -> Quality | None:
    if row["size"] is None:
        return None
    reasons = tuple(row["quality"].split(_AND)) if row["quality"] else ()
    return Quality(row["size"], row["sharpness"], row["turn"], row["inside"], reasons)


def _of_json(entry: dict[str, Any], labels: tuple[str, ...]) -> FrameResult:
    people = tuple(
        Person(
            one["id"],
            Box(**one["box"]),
            one["seen"],
            one["score"],
            labels,
            None if one["raw"] is None else tuple(one["raw"][label] for label in labels),
            tuple(one["probabilities"][label] for label in labels),
            one["uncertain"],
            _quality_of_json(one["quality"]),
        )
        for one in entry["people"]
    )
    return FrameResult(entry["frame"], entry["seconds"], entry["width"], entry["height"], people)


def _quality_of_json(told: dict[str, Any] | None) -> Quality | None:
    if told is None:
        return None
    return Quality(told["size"], told["sharpness"], told["turn"], told["inside"], tuple(told["reasons"]))
