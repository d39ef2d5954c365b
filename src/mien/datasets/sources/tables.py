"""Read CSV files of a source line by line, so that a broken line costs one row and not the whole file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from mien.datasets.rows import Problem
from mien.errors import DataError

if TYPE_CHECKING:
    from mien.datasets.sources.archive import Source

MAX_LINE = 10_000_000
"""Maximum bytes of a line; a face of 1,000 × 1,000 pixels takes 4,000,000."""

Record = tuple[int, dict[str, str]]


def header(source: Source, name: str) -> list[str]:
    """Return a CSV's column names, stripped; empty if the file is not text or cannot be read."""
    try:
        with source.open(name) as file:
            line = file.readline(65_536).decode("utf-8-sig")
            return [word.strip() for word in next(csv.reader([line], delimiter=_detect_delimiter(line)), [])]
    except (UnicodeDecodeError, csv.Error, DataError):
        return []


def _detect_delimiter(header: str) -> str:
    """Detect the delimiter: a comma, or a semicolon or tab if the header has no comma."""
    return next((mark for mark in ",;\t" if mark in header), ",")


def records(source: Source, name: str, needed: Sequence[str], numbers: str = "") -> Iterator[Record | Problem]:
    """Yield (line number from 1, column → text) of each line below the header; ``Problem`` for a broken line.

    Args:
        source: holds the file.
        name: the CSV's member.
        needed: columns that must exist.
        numbers: a column of many numbers that may be separated by unquoted commas: surplus cells are joined to it.

    Raises:
        DataError: the file lacks a ``needed`` column or is not text.
    """
    columns = header(source, name)
    missing = sorted(set(needed) - set(columns))
    if missing:
        raise DataError(f"{name} lacks the columns {missing}; expected {', '.join(needed)}. Found: {columns}.")
    with source.open(name) as file:
        delimiter = ","
        for number, raw in enumerate(_lines(file), 1):
            if isinstance(raw, Problem):
                yield raw
            elif number == 1:
                delimiter = _detect_delimiter(raw.decode("utf-8-sig", "replace"))
            elif len(raw) > MAX_LINE:
                yield Problem(f"{name}:{number}", f"the line has more than {MAX_LINE} bytes")
            elif raw.strip():
                yield _parse_line(raw, number, _Form(columns, delimiter, numbers), f"{name}:{number}")


def _lines(file: BinaryIO) -> Iterator[bytes | Problem]:
    """Yield the lines up to the end of the file, or to where it is damaged, which is the last item."""
    try:
        yield from iter(partial(read_line, file), b"")
    except DataError as error:
        yield Problem("the rest of the file", str(error))


def read_line(file: BinaryIO) -> bytes:
    """Read the next line, empty at the end of the file; lines are truncated to ``MAX_LINE`` + 1 bytes."""
    rest = line = file.readline(MAX_LINE + 1)
    while len(rest) > MAX_LINE and not rest.endswith(b"\n"):
        rest = file.readline(MAX_LINE + 1)
    return line


@dataclass(frozen=True)
class _Form:
    columns: list[str]
    delimiter: str
    numbers: str

    def join_surplus(self, cells: list[str]) -> list[str]:
        """Join surplus cells to the column of numbers."""
        surplus = len(cells) - len(self.columns)
        if surplus <= 0 or self.numbers not in self.columns:
            return cells
        at = self.columns.index(self.numbers)
        return [*cells[:at], " ".join(cells[at : at + surplus + 1]), *cells[at + surplus + 1 :]]


def _parse_line(raw: bytes, number: int, form: _Form, where: str) -> Record | Problem:
    columns = form.columns
    try:
        cells = form.join_surplus(next(csv.reader([raw.decode("utf-8")], delimiter=form.delimiter, strict=True), []))
    except (UnicodeDecodeError, csv.Error) as error:
        return Problem(where, f"the line cannot be read: {error}")
    if [cell.strip() for cell in cells] == columns:
        return Problem(where, "the header is repeated here")
    if len(cells) > len(columns):
        return Problem(where, f"{len(cells)} cells; expected {len(columns)}")
    return number, dict(zip(columns, [*map(str.strip, cells), *[""] * len(columns)], strict=False))
