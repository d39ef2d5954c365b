"""Corpora → manifest: every image decoded once, in order, in memory that does not grow with their number."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TextIO

from mien import labels
from mien.datasets import manifest, readers
from mien.datasets.archive import Source, open_source
from mien.datasets.arrow import pa, parquet
from mien.datasets.ferplus import Join, open_join
from mien.datasets.pixels import PixelReader, checksum, decode, hashes, true_kind
from mien.datasets.rows import Item, Options, Problem, Row
from mien.errors import DataError, ImageError
from mien.files import appearing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH = 256
BATCH_PIXELS = 4_000_000
ROW_GROUP = 8192
SHOWN = 20

Watch = Callable[[Iterable[Item]], Iterable[Item]]
Loaded = tuple[Row, "NDArray[np.uint8]"]


@dataclass
class Indexed:
    """What an index run found: rows written, problems (all of them in ``problem_file``), the FER+ join's counts.

    passed_over: hidden or system file or folder → how many files it kept out.
    """

    path: Path
    rows: int = 0
    flags: Counter[str] = field(default_factory=Counter)
    nouns: set[str] = field(default_factory=set)
    sources: list[dict[str, Any]] = field(default_factory=list)
    problems: int = 0
    dropped: int = 0
    first_problems: list[Problem] = field(default_factory=list)
    problem_file: Path | None = None
    votes: dict[str, int] = field(default_factory=dict)
    passed_over: Counter[str] = field(default_factory=Counter)

    def info(self) -> dict[str, Any]:
        """Return the metadata of the manifest."""
        from mien import __version__

        found = {"schema": manifest.SCHEMA, "mien": __version__, "sources": self.sources, "problems": self.problems}
        found["dropped"] = self.dropped
        found["labels"] = labels.smallest(self.nouns).classes.name if self.nouns else ""
        return {**found, "votes": self.votes} if self.votes else found


def index(
    paths: Iterable[str | Path],
    out: str | Path,
    *,
    reader: str | None = None,
    options: Options | None = None,
    votes: str | Path | None = None,
    vote_rule: str = "corpus",
    strict: bool = False,
    watch: Watch | None = None,
) -> Indexed:
    """Read corpora, decode every image and write the manifest ``out``.

    reader:  a name in ``READERS``; found by itself if None.  options: see ``Options``.
    votes:   FER+'s ``fer2013new.csv``, or the folder that holds it, to join.  vote_rule: see ``ferplus.Join``.
    strict:  raise ``DataError`` at the first problem. Otherwise what cannot be read is left out, counted, and
             listed with its reason in ``<out>.problems.csv``.
    watch:   wraps the iterable of items, for a progress bar.
    Raises ``FileMissingError``, ``DataError`` and ``OptionError``; ``out`` then stays as it was.
    """
    place = Path(out)
    found = Indexed(place)
    join = open_join(votes, vote_rule) if votes else None
    with appearing(place) as draft:
        with _Writer(draft) as writer, _Problems(found, strict=strict) as report:
            sources = [Path(path) for path in paths]
            how = _How(reader, options or Options(), join, watch)
            for path in sources:
                with open_source(path) as source:
                    prefix = f"{path.name}/" if len(sources) > 1 else ""
                    found.sources.append(_one_source(source, prefix, how, report, writer))
            if not found.rows:
                raise DataError(_nothing(sources, found))
            found.votes = dict(join.counts) if join else {}
            writer.finish(found.info())
        _add_own(draft, writer.own)
    return found


def _add_own(path: Path, own: list[Mapping[str, Any] | None]) -> None:
    """Put the user's own columns into a manifest; None where a source has no such column."""
    names = dict.fromkeys(name for values in own for name in values or ())
    if names:
        made = manifest.read(path)
        for name in names:
            made = made.with_own(name, [(values or {}).get(name) for values in own])
        made.write(path)


def items(source: Source, reader: str, options: Options | None = None, join: Join | None = None) -> Iterator[Item]:
    """Yield a source's problems and a reader's items, with FER+ votes where there is a ``join``."""
    yield from source.problems
    found = readers.get(reader).rows(source, options or Options())
    yield from found if join is None else (item for item in map(join, found) if item is not None)


def load(read: PixelReader, row: Row) -> tuple[NDArray[np.uint8], Problem | None]:
    """Return a row's pixels, and the problem of a file whose ending belies its content.

    Raises ``DataError`` and ``ImageError`` if there are no pixels, or not those the corpus promises.
    """
    problem = None
    if row.pixels is not None:
        return row.pixels, None
    content = read.source.read(row.member)
    kind = true_kind(content, PurePosixPath(row.member).suffix)
    if kind:
        problem = Problem(row.member, f"wrong extension: the file is a {kind}; read as such", kept=True)
    pixels = decode(content)
    if row.side and pixels.shape != (row.side, row.side):
        size = "×".join(map(str, pixels.shape[1::-1])) + (" colour" if pixels.ndim == 3 else "")
        raise DataError(f"{size} pixels; expected {row.side}×{row.side} grey")
    return pixels, problem


@dataclass(frozen=True)
class _How:
    reader: str | None
    options: Options
    join: Join | None
    watch: Watch | None


def _one_source(source: Source, prefix: str, how: _How, report: _Problems, writer: _Writer) -> dict[str, Any]:
    """Write the rows of one source and return what the metadata records of it."""
    found = report.found
    found.passed_over.update(source.passed_over)
    detect = readers.detect_own if how.options.own else readers.detect
    name, evidence = (how.reader, "named") if how.reader else detect(source)
    stored, before = manifest.relative(source.path, found.path.parent), found.rows
    all_items: Iterable[Item] = items(source, name, how.options, how.join)
    with _closing(how.watch(all_items) if how.watch else all_items) as watched:
        for batch in _batches(source, watched, report):
            columns = _columns(batch, stored, prefix)
            found.rows += len(batch)
            found.flags.update(flag for flags in columns["flags"] for flag in flags)
            found.nouns.update(label for label in columns["label"] if label)
            writer.add(columns)
            writer.own += [row.own for row, _ in batch]
    about = {"path": stored, "reader": name, "evidence": evidence, "digest": source.digest()}
    return {**about, "bytes": source.size(), "rows": found.rows - before}


@contextmanager
def _closing(watched: Iterable[Item]) -> Iterator[Iterable[Item]]:
    """End a progress bar before an error is told, not when its generator happens to be collected."""
    try:
        yield watched
    finally:
        if isinstance(watched, Generator):
            watched.close()


def _batches(source: Source, all_items: Iterable[Item], report: _Problems) -> Iterator[list[Loaded]]:
    """Decode item by item and yield up to ``BATCH`` of them, fewer of large images."""
    read, batch, size = PixelReader(source), list[Loaded](), 0
    for item in all_items:
        if isinstance(item, Problem):
            report(item)
            continue
        try:
            pixels, problem = load(read, item)
        except (DataError, ImageError) as error:
            report(Problem(item.member, str(error)))
            continue
        if problem:
            report(problem)
        batch.append((item, pixels))
        size += pixels.size
        if len(batch) == BATCH or size >= BATCH_PIXELS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _columns(batch: list[Loaded], source: str, prefix: str) -> dict[str, list[Any]]:
    rows = [row for row, _ in batch]
    images = [pixels for _, pixels in batch]
    return {
        "id": [prefix + row.member for row in rows],
        "source": [source] * len(rows),
        "member": [row.member for row in rows],
        "label": [row.label for row in rows],
        "votes": [row.votes for row in rows],
        "dataset": [row.dataset for row in rows],
        "split": [row.split for row in rows],
        "subject": [row.subject for row in rows],
        "session": [row.session for row in rows],
        "pose": [row.pose for row in rows],
        "width": [pixels.shape[1] for pixels in images],
        "height": [pixels.shape[0] for pixels in images],
        "sha256": [checksum(pixels) for pixels in images],
        "phash": hashes(images).tolist(),
        "flags": [_flags(row, pixels) for row, pixels in batch],
    }


def _flags(row: Row, pixels: NDArray[np.uint8]) -> list[str]:
    first = pixels.flat[0]
    # Comparing one line first spares a pass over nearly every image.
    blank = bool((pixels[0] == first).all()) and bool((pixels == first).all())
    return [*row.flags, manifest.BLANK] if blank else list(row.flags)


def _nothing(sources: list[Path], found: Indexed) -> str:
    told = "; ".join(map(str, found.first_problems[:3]))
    return f"{', '.join(map(str, sources))} holds no usable image. {found.problems} problems: {told or 'none'}."


class _Writer:
    """A Parquet file that grows by row groups."""

    def __init__(self, path: Path) -> None:
        self._file = parquet.ParquetWriter(path, manifest.COLUMNS)
        self._waiting: list[Any] = []
        self._rows = 0
        self.own: list[Mapping[str, Any] | None] = []

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, columns: dict[str, list[Any]]) -> None:
        """Add rows; they are written once a row group is full."""
        self._waiting.append(pa.RecordBatch.from_pydict(columns, manifest.COLUMNS))
        self._rows += len(columns["id"])
        if self._rows >= ROW_GROUP:
            self._flush()

    def finish(self, info: dict[str, Any]) -> None:
        """Write what is left, and the metadata."""
        self._flush()
        self._file.add_key_value_metadata({manifest.KEY: json.dumps(info, ensure_ascii=False)})

    def _flush(self) -> None:
        if self._waiting:
            self._file.write_table(pa.Table.from_batches(self._waiting).unify_dictionaries())
        self._waiting, self._rows = [], 0


class _Problems:
    """Counts problems, keeps the first few, writes all of them to a CSV; raises the first if ``strict``."""

    def __init__(self, found: Indexed, *, strict: bool) -> None:
        self.found, self._strict = found, strict
        self._path = found.path.with_name(found.path.name + ".problems.csv")
        self._file: TextIO | None = None

    def __enter__(self) -> _Problems:
        self._path.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def __call__(self, problem: Problem) -> None:
        if self._strict:
            raise DataError(str(problem))
        if self._file is None:
            self._file = self._path.open("w", newline="", encoding="utf-8", errors="backslashreplace")
            csv.writer(self._file).writerow(("where", "what", "kept"))
            self.found.problem_file = self._path
        csv.writer(self._file).writerow((problem.where, problem.what, problem.kept))
        self.found.problems += 1
        self.found.dropped += not problem.kept
        if len(self.found.first_problems) < SHOWN:
            self.found.first_problems.append(problem)
