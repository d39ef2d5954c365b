"""Frame-by-frame results as CSV, JSON lines or Parquet, written as they come in and read back to resume a run.

Every frame is included, also one without a face. Nothing is rounded, so values are read back exactly as written.
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
from mien.results import Box, FrameResult, Person, Pose, Quality
from mien.tables import ANGLES, angles

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


_AND = ";"  # separates the quality reasons of a face


class Timeline(Protocol):
    """An output: call ``add`` for each frame, then ``close``."""

    def add(self, result: FrameResult) -> None:
        """Write one frame."""
        ...

    def close(self) -> None:
        """Write what is buffered."""
        ...


def list_columns(labels: Sequence[str]) -> dict[str, Kind]:
    """Return name → kind of the columns; ``p_LABEL`` is smoothed over time, ``raw_LABEL`` is of the single frame."""
    return {
        **_FRAME,
        **_PERSON,
        **_QUALITY,
        **dict.fromkeys(ANGLES, "number"),
        **{f"{kind}_{label}": "number" for kind in ("p", "raw") for label in labels},
    }


def to_rows(result: FrameResult) -> list[dict[str, Any]]:
    """Return one row for each person, or one for the frame alone; missing values are left out."""
    about = dict(zip(_FRAME, (result.frame, result.seconds, result.width, result.height), strict=True))
    return [{**about, **_to_cells(person)} for person in result.people] or [about]


class Csv:
    """One row for each person; a frame without a face has a row with empty person columns."""

    def __init__(self, stream: TextIO, labels: Sequence[str], *, fresh: bool = True) -> None:
        self._stream = stream
        self._writer = csv.DictWriter(stream, list(list_columns(labels)), restval="", lineterminator="\n")
        if fresh:
            self._writer.writeheader()

    def add(self, result: FrameResult) -> None:
        """Write the rows of one frame."""
        for row in to_rows(result):
            self._writer.writerow({name: _format_cell(value) for name, value in row.items()})
        self._stream.flush()

    def close(self) -> None:
        """Nothing is left."""


class JsonLines:
    """One line for each frame: ``FrameResult.to_dict()`` as JSON."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def add(self, result: FrameResult) -> None:
        """Write one line."""
        self._stream.write(json.dumps(result.to_dict(), ensure_ascii=False) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing is left."""


class Parquet:
    """The rows of the CSV output as a folder of Parquet files, with nulls for empty cells."""

    def __init__(self, folder: Path, labels: Sequence[str], *, done: int = 0) -> None:
        self._parts = Parts(folder, list_columns(labels), FRAMES_A_PART, done)

    def add(self, result: FrameResult) -> None:
        """Add one frame; it is written when its file is full."""
        self._parts.add(to_rows(result))

    def close(self) -> None:
        """Write the last file."""
        self._parts.close()


def count_whole(path: Path, form: str) -> int:
    """Count the complete frames of an interrupted timeline, 0 if it is missing; the file is not changed.

    Args:
        form: ``csv``, ``jsonl`` or ``parquet``. The last frame of a CSV file does not count, as it may lack people; in
            Parquet only full files count.

    Raises:
        OptionError: a damaged timeline.
    """
    if not path.exists():
        return 0
    if form == "parquet":
        return whole_parts(path, FRAMES_A_PART)
    with path.open("rb") as stream:
        return (_scan_rows(stream) if form == "csv" else _scan_lines(stream))[0]


def settle(path: Path, form: str) -> int:
    """Truncate an interrupted timeline to its complete frames (see ``count_whole``); return their number."""
    if not path.exists():
        return 0
    if form == "parquet":
        return settle_parts(path, FRAMES_A_PART)
    with path.open("r+b") as stream:
        count, end = _scan_rows(stream) if form == "csv" else _scan_lines(stream)
        stream.truncate(end)
    return count


def read(path: Path, form: str, labels: tuple[str, ...], *, torn: bool = False) -> Iterator[FrameResult]:
    """Yield the frames of a timeline that was written for a model with these ``labels``.

    Args:
        torn: the timeline was interrupted; stop after its complete frames, but in Parquet at the end.

    Raises:
        OptionError: a damaged timeline.
    """
    try:
        if form == "parquet":
            yield from _group_frames(read_rows(path), labels)
        elif form == "csv":
            lines = csv.DictReader(_read_lines(path, form, torn=torn))
            yield from _group_frames(
                ({name: _parse_cell(name, cell) for name, cell in row.items()} for row in lines), labels
            )
        else:
            yield from (_parse_json(json.loads(line), labels) for line in _read_lines(path, form, torn=torn))
    except (LookupError, TypeError, ValueError) as error:
        raise OptionError(f"{str(path)!r} is not a complete timeline ({error}). Choose another --out.") from None


def _read_lines(path: Path, form: str, *, torn: bool) -> Iterator[str]:
    with path.open("rb") as stream:
        end = (_scan_rows(stream) if form == "csv" else _scan_lines(stream))[1] if torn else None
        stream.seek(0)
        offset = 0
        for line in stream:
            if end is not None and offset >= end:
                return
            offset += len(line)
            yield line.decode("utf-8")


def _scan_rows(stream: BinaryIO) -> tuple[int, int]:
    """Return the number and the end offset of the frames that are followed by another frame."""
    begun, offset, start, previous = -1, 0, 0, b""  # the header row is not a frame
    for line in stream:
        frame = line.split(b",", 1)[0]
        if not line.endswith(b"\n"):
            break
        if frame != previous:
            begun, start, previous = begun + 1, offset, frame
        offset += len(line)
    return (begun - 1, start) if begun > 1 else (0, 0)


def _scan_lines(stream: BinaryIO) -> tuple[int, int]:
    count, end = 0, 0
    for line in stream:
        if line.endswith(b"\n"):
            count, end = count + 1, end + len(line)
    return count, end


def _to_cells(person: Person) -> dict[str, Any]:
    box = person.box
    fixed = (person.id, person.seen, box.left, box.top, box.width, box.height, person.score)
    smoothed = {f"p_{label}": value for label, value in person.probabilities.items()}
    raw = {f"raw_{label}": value for label, value in zip(person.labels, person.raw or (), strict=False)}
    named = dict(zip(_PERSON, (*fixed, person.emotion, person.confidence, person.uncertain), strict=True))
    turned = dict(zip(ANGLES, angles(person.pose), strict=True))
    return {**named, **_quality_to_cells(person.quality), **turned, **smoothed, **raw}


def _quality_to_cells(quality: Quality | None) -> dict[str, Any]:
    if quality is None:
        return {}
    measures = (quality.size, quality.sharpness, quality.turn, quality.inside)
    return dict(zip(_QUALITY, (*measures, _AND.join(quality.reasons)), strict=True))


def _format_cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value


def _parse_cell(name: str, cell: str) -> Any:
    kind = {**_FRAME, **_PERSON, **_QUALITY}.get(name, "number")
    if cell == "":
        return None
    if kind == "yes_no":
        return cell == "true"
    return {"whole": int, "number": float, "text": str}[kind](cell)


def _group_frames(flat: Iterable[dict[str, Any]], labels: tuple[str, ...]) -> Iterator[FrameResult]:
    for _, group in groupby(flat, key=lambda row: row["frame"]):
        frame_rows = list(group)
        people = tuple(_parse_row(row, labels) for row in frame_rows if row["person"] is not None)
        first = frame_rows[0]
        yield FrameResult(first["frame"], first["seconds"], first["frame_width"], first["frame_height"], people)


def _parse_row(row: dict[str, Any], labels: tuple[str, ...]) -> Person:
    box = Box(row["left"], row["top"], row["width"], row["height"])
    raw = tuple(row[f"raw_{label}"] for label in labels) if row["seen"] else None
    values = tuple(row[f"p_{label}"] for label in labels)
    pose = None if row["yaw"] is None else Pose(*(row[name] for name in ANGLES))
    return Person(
        row["person"],
        box,
        row["seen"],
        row["score"],
        labels,
        raw,
        values,
        row["uncertain"],
        _parse_row_quality(row),
        pose,
    )


def _parse_row_quality(row: dict[str, Any]) -> Quality | None:
    if row["size"] is None:
        return None
    reasons = tuple(row["quality"].split(_AND)) if row["quality"] else ()
    return Quality(row["size"], row["sharpness"], row["turn"], row["inside"], reasons)


def _parse_json(entry: dict[str, Any], labels: tuple[str, ...]) -> FrameResult:
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
            _parse_json_quality(one["quality"]),
            None if one["pose"] is None else Pose(**one["pose"]),
        )
        for one in entry["people"]
    )
    return FrameResult(entry["frame"], entry["seconds"], entry["width"], entry["height"], people)


def _parse_json_quality(entry: dict[str, Any] | None) -> Quality | None:
    if entry is None:
        return None
    return Quality(entry["size"], entry["sharpness"], entry["turn"], entry["inside"], tuple(entry["reasons"]))
