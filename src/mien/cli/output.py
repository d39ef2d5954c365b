"""How results are written: a table for people; json, jsonl and csv for programs, nothing rounded.

An unreadable file has an entry of its own, so that the output accounts for every file that went in.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from mien.cli import one_line
from mien.cli.table import show
from mien.errors import FileMissingError, OptionError
from mien.parquet import Parts
from mien.recognition.columns import csv_columns, faults, kinds, numbers, rows
from mien.recognition.folder import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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
        csv.writer(self.stream, lineterminator="\n").writerow(cells)


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
        said = [f"{photos} {'photo' if photos == 1 else 'photos'}", f"{faces} {'face' if faces == 1 else 'faces'}"]
        marked = (("uncertain", "uncertain (?)"), ("unreadable", "unreadable"))
        said += [f"{self.counts[name]} {words}" for name, words in marked if self.counts[name]]
        return ", ".join([*said, *([described(self.passed_over)] if self.passed_over else [])])


def described(passed_over: Counter[str]) -> str:
    """Return how much was passed over, and of which kinds: ``3 passed over (2 .mov, 1 hidden file)``."""
    kinds = (
        f"{times} {kind}{'' if times == 1 or kind.startswith('.') else 's'}"
        for kind, times in passed_over.most_common()
    )
    return f"{passed_over.total()} passed over ({', '.join(kinds)})"


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


_ENDINGS = {
    ".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".txt": "table",
    "": "table",
}  # fmt: skip


def chosen_output(out: Path | None, form: str | None) -> tuple[str, Path | None]:
    """Return the format of an output, by the ending of ``out`` where none is asked for, and the file; None for stdout.

    Raises ``OptionError`` for an ending that says another format, or none that is known.
    """
    if out is None or str(out) == "-":
        return form or "table", None
    ending = out.suffix.lower()
    meant = _ENDINGS.get(ending)
    if form is None and meant is None:
        known = ", ".join(name for name in _ENDINGS if name)
        raise OptionError(
            f"--out {str(out)!r}: no format has the ending {ending}; expected {known}, or name one with --format."
        )
    if form is not None and meant not in (None, form) and ending:
        raise OptionError(
            f"--out {str(out)!r} would hold {form} under the ending of another format, {meant}. "
            f"Choose another name, or --format {meant}."
        )
    return form or str(meant), out


def console(stream: TextIO) -> Console:
    """Return a Rich console on ``stream``; away from a terminal it is wide, to break no file name."""
    from rich.console import Console

    return Console(file=stream, width=None if stream.isatty() else 10_000, highlight=False, emoji=False)


def mirrored(
    paths: Sequence[str], sources: Sequence[str], target: Path, option: str, rename: Callable[[Path], Path]
) -> dict[str, Path]:
    """Return source → file below ``target``, in the folders below the nearest one that all photos share.

    paths: what the user named, sources: the photos found there.  option: for messages.  rename: gives each its name.
    Raises ``OptionError`` if the files would lie among the photos, or the photos on several drives.
    """
    folder = target.resolve()
    folders = [path for path in map(_absolute, paths) if path.is_dir()]
    files = [_absolute(source) for source in sources]
    base = _common([*folders, *(file.parent for file in files)], option)
    names = [rename(folder / file.relative_to(base)) for file in files]
    # Drawn into a folder that is read, the pictures would be photos of the next run, or replace this one's.
    if any(folder.is_relative_to(each.resolve()) for each in folders) or {f.resolve() for f in files} & set(names):
        raise OptionError(f"{option} {str(target)!r} lies among the photos; choose another.")
    return dict(zip(sources, names, strict=True))


def _absolute(path: str) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() makes two links to a photo one name


def _common(folders: Sequence[Path], option: str) -> str:
    try:
        return os.path.commonpath(folders)
    except ValueError:
        raise OptionError(f"{option} needs photos that lie on one drive; call mien once for each.") from None


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open a file beside ``path`` that takes its place when all went well, and is dropped when not."""
    target = path.resolve()
    if target.exists() and not target.is_file():  # a device or a pipe is written to, never replaced
        with _open(target, "w") as stream:
            yield stream
        return
    draft = target.with_name(f".mien-{os.getpid()}.tmp")
    try:
        with _open(draft, "w", named=path) as stream:
            yield stream
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def growing(path: Path, *, fresh: bool) -> Iterator[TextIO]:
    """Open ``path`` itself, which keeps what was written when the run is cut off."""
    with _open(path, "w" if fresh else "a") as stream:
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
