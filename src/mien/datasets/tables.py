"""CSV files inside a source, line by line, so that a broken line costs one row and not the file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from functools import partial
from typing import BinaryIO

from mien.datasets.archive import Source
from mien.datasets.rows import Problem
from mien.errors import DataError

MAX_LINE = 10_000_000
"""Bytes of a line; a face of 1,000 × 1,000 pixels takes 4,000,000."""

Record = tuple[int, dict[str, str]]


def header(source: Source, name: str) -> list[str]:
    """Return a CSV's column names, blanks around them removed; empty if the file is no text or cannot be read."""
    try:
        with source.open(name) as file:
            line = file.readline(65_536).decode("utf-8-sig")
            return [word.strip() for word in next(csv.reader([line]), [])]
    except (UnicodeDecodeError, csv.Error, DataError):
        return []


def records(source: Source, name: str, needed: Sequence[str]) -> Iterator[Record | Problem]:
    """Yield (line number from 1, column → text) of each line below the header; ``Problem`` for a broken line.

    Raises ``DataError`` if the file lacks one of the ``needed`` columns or is not text.
    """
    columns = header(source, name)
    missing = sorted(set(needed) - set(columns))
    if missing:
        raise DataError(f"{name} lacks the columns {missing}; expected {', '.join(needed)}. Found: {columns}.")
    with source.open(name) as file:
        for number, raw in enumerate(iter(partial(read_line, file), b""), 1):
            if number > 1 and len(raw) > MAX_LINE:
                yield Problem(f"{name}:{number}", f"the line has more than {MAX_LINE} bytes")
            elif number > 1 and raw.strip():
                yield _record(raw, number, columns, f"{name}:{number}")


def read_line(file: BinaryIO) -> bytes:
    """Return the next line, empty at the end; of one with more than ``MAX_LINE`` bytes the first ``MAX_LINE`` + 1."""
    rest = line = file.readline(MAX_LINE + 1)
    while len(rest) > MAX_LINE and not rest.endswith(b"\n"):
        rest = file.readline(MAX_LINE + 1)
    return line


def _record(raw: bytes, number: int, columns: list[str], where: str) -> Record | Problem:
    try:
        cells = next(csv.reader([raw.decode("utf-8")], strict=True), [])
    except (UnicodeDecodeError, csv.Error) as error:
        return Problem(where, f"the line cannot be read: {error}")
    if [cell.strip() for cell in cells] == columns:
        return Problem(where, "the header stands here again")
    if len(cells) > len(columns):
        return Problem(where, f"{len(cells)} cells; expected {len(columns)}")
    return number, dict(zip(columns, [*map(str.strip, cells), *[""] * len(columns)], strict=False))
