"""How results are written: a table for people; json, jsonl and csv for programs, nothing rounded.

An unreadable file has an entry of its own, so that the output accounts for every file that went in.
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
from typing import TYPE_CHECKING, TextIO

from mien.cli import one_line
from mien.cli.table import show
from mien.cli.words import counted
from mien.errors import FileMissingError
from mien.files import naming
from mien.parquet import Parts
from mien.recognition.columns import csv_columns, faults, kinds, numbers, rows
from mien.recognition.folder import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from mien.results import Box, Face, ImageResult

    Entry = ImageResult | Unreadable


class Writer:
    """One output format on one text stream: ``add`` for each photo, then ``close``.

    passed_over: ending or kind of file → how many of the folders' files were no photos.
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
        """Write what stands above the first entry; a resumed output has it already."""

    def add(self, entry: Entry) -> None:
        """Write one photo."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what stands below the last entry."""


class JsonLines(Writer):
    """``to_dict()`` of one photo a line."""

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
    """A row a face; a photo without faces, and an unreadable one, have a row with the face left empty."""

    excel = False

    def begin(self) -> None:
        """Write the names of the columns."""
        self._row(csv_columns(self.labels))

    def add(self, entry: Entry) -> None:
        """Write the rows of one photo."""
        if isinstance(entry, Unreadable):
            self._row([entry.source, *[""] * (10 + len(self.labels)), entry.error])
        elif not entry.faces:
            self._row([entry.source, *[""] * (11 + len(self.labels))])
        else:
            for position, face in enumerate(entry.faces):
                self._row([entry.source, position, *numbers(face), ""])
        self.stream.flush()

    def _row(self, cells: Sequence[object]) -> None:
        self.stream.write(csv_line([neutral(cell) for cell in cells] if self.excel else cells))


class ExcelCsv(Csv):
    """``Csv`` as Excel opens it: a mark that says UTF-8, and no cell that it would take for a formula."""

    excel = True

    def begin(self) -> None:
        """Write the mark and the names of the columns."""
        self.stream.write("\ufeff")
        super().begin()


def csv_line(cells: Sequence[object]) -> str:
    """Return a row of a CSV file with its line end; a cell that holds any kind of line break is quoted."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)  # with this end, Python quotes \r as well as \n
    return line.getvalue()[:-2] + "\n"


def neutral(cell: object) -> object:
    """Return ``cell`` with an apostrophe before a text that a spreadsheet would run as a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else cell


class Table(Writer):
    """The faces in columns, for reading; it appears when all photos are done, as its widths need them all."""

    def begin(self) -> None:
        """Start without rows."""
        self.rows: list[tuple[str, ...]] = []
        self.counts: Counter[str] = Counter()

    def add(self, entry: Entry) -> None:
        """Keep the rows of one photo, not the photo."""
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
                self.rows.append(("" if position else name, str(position), *_cells(face)))

    def close(self) -> None:
        """Show the table and what it adds up to."""
        show(self.stream, self.rows, [self._sum()])

    def _sum(self) -> str:
        photos, faces = self.counts["photos"], self.counts["faces"]
        said = [counted(photos, "photo"), counted(faces, "face")]
        marked = (("uncertain", "uncertain (?)"), ("unreadable", "unreadable"))
        said += [f"{self.counts[name]} {words}" for name, words in marked if self.counts[name]]
        return ", ".join([*said, *([described(self.passed_over)] if self.passed_over else [])])


def described(passed_over: Counter[str]) -> str:
    """Return how much was passed over, and of which kinds: ``3 passed over (2 .mov, 1 hidden file)``."""
    kinds = (counted(times, kind, _plural(kind)) for kind, times in passed_over.most_common())
    return f"{passed_over.total()} passed over ({', '.join(kinds)})"


def _plural(kind: str) -> str:
    return kind if kind.startswith(".") else kind.replace("file", "files").replace("folder", "folders")


class ParquetParts:
    """The rows of the CSV output as a folder of Parquet files; empty cells are null.

    done: photos that are there already; 0 begins anew.
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
"""Photos in one Parquet file: some batches, so that a file ends where a batch does."""

WRITERS: dict[str, type[Writer]] = {"table": Table, "json": JsonList, "jsonl": JsonLines, "csv": Csv}


def console(stream: TextIO) -> Console:
    """Return a Rich console on ``stream``; away from a terminal it is wide, to break no file name."""
    from rich.console import Console

    return Console(file=stream, width=None if stream.isatty() else 10_000, highlight=False, emoji=False)


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open a file beside ``path`` that takes its place when all went well, and is dropped when not."""
    target = path.resolve()
    if target.exists() and not target.is_file():  # a device or a pipe is written to, never replaced
        with naming(path), _open(target, "w") as stream:
            yield stream
        return
    draft = target.with_name(f".mien-{os.getpid()}.tmp")
    try:
        with naming(path), _open(draft, "w", named=path) as stream:
            yield stream
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def growing(path: Path, *, fresh: bool) -> Iterator[TextIO]:
    """Open ``path`` itself, which keeps what was written when the run is cut off."""
    with naming(path), _open(path, "w" if fresh else "a") as stream:
        yield stream


@contextmanager
def standard_output() -> Iterator[TextIO]:
    """Give stdout where a file would be opened."""
    yield sys.stdout


def _open(path: Path, mode: str, *, named: Path | None = None) -> TextIO:
    try:
        # surrogateescape: a file name that is no valid UTF-8 comes out as the bytes it has on the disk.
        return path.open(mode, encoding="utf-8", errors="surrogateescape", newline="")  # type: ignore[return-value]
    except FileNotFoundError:
        raise FileMissingError(f"--out {str(named or path)!r}: its folder does not exist.") from None


def _dump(entry: Entry, stream: TextIO) -> str:
    """Keep letters where the stream can hold them; a name that is no valid text becomes \\u escapes."""
    text = json.dumps(entry.to_dict(), ensure_ascii=False)
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(entry.to_dict())
    return text


def _cells(face: Face) -> tuple[str, ...]:
    best, *others = sorted(face.probabilities.items(), key=lambda pair: -pair[1])
    runner_up = f"{others[0][0]} {others[0][1]:.0%}" if others else ""
    return (_place(face.box), best[0] + " ?" * face.uncertain, f"{best[1]:.0%}", runner_up, faults(face, ", "))


def _place(box: Box) -> str:
    return f"{box.width:.0f}×{box.height:.0f} at {box.left:.0f},{box.top:.0f}"
