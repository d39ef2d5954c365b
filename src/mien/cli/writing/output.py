"""Output formats: a table for people; json, jsonl and csv for programs, without rounding.

An unreadable file gets its own entry, so that the output accounts for every input file.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

from mien.cli import one_line
from mien.cli.words import counted
from mien.cli.writing.table import show
from mien.drawing.percents import percent
from mien.errors import FileMissingError
from mien.files import naming
from mien.parquet import Parts
from mien.recognition.columns import csv_columns, faults, kinds, numbers, rows
from mien.recognition.folder import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mien.results import Box, Face, ImageResult

    Entry = ImageResult | Unreadable


class Writer:
    """One output format on one text stream: ``add`` for each photo, then ``close``.

    Attributes:
        stream: the text stream.
        labels: the classes.
        passed_over: file extension or kind of file → number of skipped files, which were not photos.
    """

    def __init__(
        self,
        stream: TextIO,
        labels: Sequence[str],
        *,
        fresh: bool = True,
        passed_over: Counter[str] | None = None,
    ) -> None:
        self.stream, self.labels = stream, labels
        self.passed_over: Counter[str] = Counter() if passed_over is None else passed_over
        if fresh:
            self.begin()

    def begin(self) -> None:
        """Write the header; a resumed output has one already."""

    def add(self, entry: Entry) -> None:
        """Write one photo."""
        raise NotImplementedError

    def close(self) -> None:
        """Write the footer."""


class JsonLines(Writer):
    """``to_dict()`` of one photo per line."""

    def add(self, entry: Entry) -> None:
        """Write one line."""
        self.stream.write(_dump(entry, self.stream) + "\n")
        self.stream.flush()


class JsonList(Writer):
    """One JSON list with the ``to_dict()`` of all photos."""

    def begin(self) -> None:
        """Open the list."""
        self.separator = "\n"
        self.stream.write("[")

    def add(self, entry: Entry) -> None:
        """Write one item."""
        self.stream.write(self.separator + _dump(entry, self.stream))
        self.separator = ",\n"

    def close(self) -> None:
        """Close the list."""
        self.stream.write("\n]\n")


class Csv(Writer):
    """One row per face; photos without faces and unreadable ones get a row with empty face columns."""

    excel = False

    def begin(self) -> None:
        """Write the names of the columns."""
        self._row(csv_columns(self.labels))

    def add(self, entry: Entry) -> None:
        """Write the rows of one photo."""
        if isinstance(entry, Unreadable):
            self._row_without_face(entry.source, entry.error)
        elif not entry.faces:
            self._row_without_face(entry.source, "")
        else:
            for position, face in enumerate(entry.faces):
                self._row([entry.source, position, *numbers(face), ""])
        self.stream.flush()

    def _row_without_face(self, source: object, error: str) -> None:
        between = len(csv_columns(self.labels)) - 2
        self._row([source, *[""] * between, error])

    def _row(self, cells: Sequence[object]) -> None:
        self.stream.write(csv_line([neutral(cell) for cell in cells] if self.excel else cells))


class ExcelCsv(Csv):
    """``Csv`` for Excel: with a byte order mark, and without cells that Excel would run as formulas."""

    excel = True

    def begin(self) -> None:
        """Write the byte order mark and the names of the columns."""
        self.stream.write("\ufeff")
        super().begin()


def csv_line(cells: Sequence[object]) -> str:
    """Format a row of a CSV file with its line end, quoting cells with any kind of line break."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)  # with this end, Python quotes \r as well as \n
    return line.getvalue()[:-2] + "\n"


def neutral(cell: object) -> object:
    """Prefix a text that a spreadsheet would run as a formula with an apostrophe."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else cell


class Table(Writer):
    """A table of the faces for people, shown when all photos are done, since its column widths depend on all."""

    def begin(self) -> None:
        """Start without rows."""
        self.rows: list[tuple[str, ...]] = []
        self.counts: Counter[str] = Counter()

    def add(self, entry: Entry) -> None:
        """Store the rows of one photo, not the photo."""
        name = one_line(str(entry.source))
        self.counts["photos"] += 1
        if isinstance(entry, Unreadable):
            self.counts["unreadable"] += 1
            self.rows.append((name, "", "", "unreadable", "", "", ""))
        elif not entry.faces:
            self.rows.append((name, "", "", "no face", "", "", ""))
        else:
            self.counts["faces"] += len(entry.faces)
            self.counts["uncertain"] += sum(face.uncertain for face in entry.faces)
            for position, face in enumerate(entry.faces):
                self.rows.append(("" if position else name, str(position), *_format_face(face)))

    def close(self) -> None:
        """Show the table and its totals."""
        show(self.stream, self.rows, [self._format_totals()])

    def _format_totals(self) -> str:
        photos, faces = self.counts["photos"], self.counts["faces"]
        totals = [counted(photos, "photo"), counted(faces, "face")]
        marked = (("uncertain", "uncertain (?)"), ("unreadable", "unreadable"))
        totals += [f"{self.counts[name]} {words}" for name, words in marked if self.counts[name]]
        return ", ".join([*totals, *([described(self.passed_over)] if self.passed_over else [])])


def described(passed_over: Counter[str]) -> str:
    """Return how much was passed over, and of which kinds: ``3 passed over (2 .mov, 1 hidden file)``."""
    kinds = (counted(times, kind, _plural(kind)) for kind, times in passed_over.most_common())
    return f"{passed_over.total()} passed over ({', '.join(kinds)})"


def _plural(kind: str) -> str:
    return kind if kind.startswith(".") else kind.replace("file", "files").replace("folder", "folders")


class ParquetParts:
    """The rows of the CSV output as a folder of Parquet files; empty cells are null.

    ``done`` is the number of photos already written; 0 starts again.
    """

    def __init__(self, folder: Path, labels: Sequence[str], done: int = 0) -> None:
        self._parts = Parts(folder, kinds(labels), PHOTOS_A_PART, done)

    def add(self, entry: Entry) -> None:
        """Write the rows of one photo."""
        self._parts.add(rows(entry))

    def close(self) -> None:
        """Write the last file."""
        self._parts.close()


PHOTOS_A_PART = 4096
"""Photos per Parquet file: a multiple of the batch size, so that a file ends with a batch."""

WRITERS: dict[str, type[Writer]] = {"table": Table, "json": JsonList, "jsonl": JsonLines, "csv": Csv}


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open a draft beside ``path`` that replaces it on success and is deleted on failure."""
    target = path.resolve()
    if target.exists() and not target.is_file():  # write to devices and pipes instead of replacing them
        with naming(path), _open(target, "w") as stream:
            yield stream
        return
    draft = target.with_name(f".mien-{os.getpid()}.tmp")
    try:
        with naming(path, draft), _open(draft, "w", named=path) as stream:
            yield stream
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


class _Growing(io.TextIOWrapper):
    """A text file whose errors name it; ``whole`` is its length at the last flush, which ends a record."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self._file = path, file
        self.whole = file.seek(0, io.SEEK_END) if file.seekable() else 0
        # surrogateescape: a file name that is not valid UTF-8 is written with its original bytes.
        super().__init__(file, encoding="utf-8", errors="surrogateescape", newline="")

    def write(self, text: str, /) -> int:
        """Write as any text file does."""
        with naming(self.path):
            return super().write(text)

    def flush(self) -> None:
        """Write what is buffered."""
        with naming(self.path):
            super().flush()
            if self._file.seekable():
                self.whole = self._file.tell()

    def close(self) -> None:
        """Write what is buffered, and close the file even if the disk does not take it."""
        with naming(self.path):
            super().close()


@contextmanager
def growing(path: Path, *, fresh: bool) -> Iterator[TextIO]:
    """Open ``path`` itself, so that an interrupted run keeps what was written; flush it at the end of each record.

    If the disk does not take more, the file is cut back to its last whole record; without any it is removed.
    """
    try:
        file = path.open("wb" if fresh else "ab")
    except FileNotFoundError:
        raise FileMissingError(f"--out {str(path)!r}: its folder does not exist.") from None
    stream = _Growing(path, file)
    try:
        with stream:
            yield stream
    except OSError:
        if path.is_file():
            os.truncate(path, stream.whole)
            if not stream.whole:
                path.unlink()
        raise


@contextmanager
def standard_output() -> Iterator[TextIO]:
    """Yield stdout in place of a file."""
    yield sys.stdout


def _open(path: Path, mode: str, *, named: Path | None = None) -> TextIO:
    try:
        # surrogateescape: a file name that is not valid UTF-8 is written with its original bytes.
        return path.open(mode, encoding="utf-8", errors="surrogateescape", newline="")  # type: ignore[return-value]
    except FileNotFoundError:
        raise FileMissingError(f"--out {str(named or path)!r}: its folder does not exist.") from None


def _dump(entry: Entry, stream: TextIO) -> str:
    """Encode an entry, with \\u escapes only if the stream cannot encode its letters."""
    text = json.dumps(entry.to_dict(), ensure_ascii=False)
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(entry.to_dict())
    return text


def _format_face(face: Face) -> tuple[str, ...]:
    best, *others = sorted(face.probabilities.items(), key=lambda pair: -pair[1])
    runner_up = f"{others[0][0]} {percent(others[0][1])}" if others else ""
    return (_format_box(face.box), best[0] + " ?" * face.uncertain, percent(best[1]), runner_up, faults(face, ", "))


def _format_box(box: Box) -> str:
    return f"{box.width:.0f}×{box.height:.0f} at {box.left:.0f},{box.top:.0f}"
