"""Index corpora into a manifest: decode every image once, in order, in constant memory."""

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
from mien.datasets import manifest
from mien.datasets.arrow import pa, parquet
from mien.datasets.formats import readers
from mien.datasets.formats.ferplus import Join, open_join
from mien.datasets.pixels import PixelReader, checksum, compute_hashes, decode, find_true_format
from mien.datasets.rows import Item, Options, Problem, Row
from mien.datasets.sources.archive import Source, open_source
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
    """The result of indexing.

    Attributes:
        path: the manifest.
        rows: number of rows written.
        flags: flag → number of rows that have it.
        nouns: the labels present.
        sources: what the metadata records of each source.
        problems: number of problems, all listed in ``problem_file``; ``first_problems`` are the first ``SHOWN``.
        dropped: number of rows left out because of a problem.
        votes: kind of FER+ match → number of rows.
        passed_over: hidden or system file or folder → number of files skipped because of it.
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

        info = {"schema": manifest.SCHEMA, "mien": __version__, "sources": self.sources, "problems": self.problems}
        info["dropped"] = self.dropped
        info["labels"] = labels.smallest(self.nouns).classes.name if self.nouns else ""
        return {**info, "votes": self.votes} if self.votes else info


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

    Args:
        paths: the corpora.
        out: the manifest; unchanged if an error is raised.
        reader: a name in ``READERS``; None detects it.
        options: see ``Options``.
        votes: FER+'s ``fer2013new.csv`` to join, or its folder.
        vote_rule: see ``ferplus.Join``.
        strict: raise ``DataError`` at the first problem. Otherwise rows that cannot be read are left out, counted, and
            listed with the reason in ``<out>.problems.csv``.
        watch: wraps the iterable of items, for a progress bar.

    Raises:
        FileMissingError: a corpus or the votes do not exist.
        DataError: a corpus is damaged, of unknown layout or has no usable image.
        OptionError: an unknown reader, option or rule.
    """
    path = Path(out)
    indexed = Indexed(path)
    join = open_join(votes, vote_rule) if votes else None
    with appearing(path) as draft:
        with _Writer(draft) as writer, _Problems(indexed, strict=strict) as report:
            sources = [Path(corpus) for corpus in paths]
            settings = _Settings(reader, options or Options(), join, watch)
            for corpus in sources:
                with open_source(corpus) as source:
                    prefix = f"{corpus.name}/" if len(sources) > 1 else ""
                    indexed.sources.append(_index_source(source, prefix, settings, report, writer))
            if not indexed.rows:
                raise DataError(_describe_empty(sources, indexed))
            indexed.votes = dict(join.counts) if join else {}
            writer.finish(indexed.info())
        _add_own(draft, writer.own)
    return indexed


def _add_own(path: Path, own: list[Mapping[str, Any] | None]) -> None:
    """Add the user's own columns to a manifest; None for sources without the column."""
    names = dict.fromkeys(name for values in own for name in values or ())
    if names:
        made = manifest.read(path)
        for name in names:
            made = made.with_own(name, [(values or {}).get(name) for values in own])
        made.write(path)


def items(source: Source, reader: str, options: Options | None = None, join: Join | None = None) -> Iterator[Item]:
    """Yield a source's problems and a reader's items, with FER+ votes if a ``join`` is given."""
    yield from source.problems
    rows = readers.get(reader).rows(source, options or Options())
    yield from rows if join is None else (item for item in map(join, rows) if item is not None)


def load(read: PixelReader, row: Row) -> tuple[NDArray[np.uint8], Problem | None]:
    """Read a row's pixels; also return a problem if the file extension does not match the content.

    Raises:
        DataError: the pixels cannot be read or do not have the corpus's size.
        ImageError: the pixels cannot be read or do not have the corpus's size.
    """
    problem = None
    if row.pixels is not None:
        return row.pixels, None
    content = read.source.read(row.member)
    kind = find_true_format(content, PurePosixPath(row.member).suffix)
    if kind:
        problem = Problem(row.member, f"wrong extension: the file is a {kind}; read as such", kept=True)
    pixels = decode(content)
    if row.side and pixels.shape != (row.side, row.side):
        size = "×".join(map(str, pixels.shape[1::-1])) + (" colour" if pixels.ndim == 3 else "")
        raise DataError(f"{size} pixels; expected {row.side}×{row.side} grey")
    return pixels, problem


@dataclass(frozen=True)
class _Settings:
    reader: str | None
    options: Options
    join: Join | None
    watch: Watch | None


def _index_source(
    source: Source, prefix: str, settings: _Settings, report: _Problems, writer: _Writer
) -> dict[str, Any]:
    """Write the rows of one source and return what the metadata records of it."""
    indexed = report.indexed
    indexed.passed_over.update(source.passed_over)
    detect = readers.detect_own if settings.options.own else readers.detect
    name, evidence = (settings.reader, "named") if settings.reader else detect(source)
    stored, before = manifest.relative(source.path, indexed.path.parent), indexed.rows
    all_items: Iterable[Item] = items(source, name, settings.options, settings.join)
    with _closing(settings.watch(all_items) if settings.watch else all_items) as watched:
        for batch in _batches(source, watched, report):
            columns = _build_columns(batch, stored, prefix)
            indexed.rows += len(batch)
            indexed.flags.update(flag for flags in columns["flags"] for flag in flags)
            indexed.nouns.update(label for label in columns["label"] if label)
            writer.add(columns)
            writer.own += [row.own for row, _ in batch]
    about = {"path": stored, "reader": name, "evidence": evidence, "digest": source.digest()}
    return {**about, "bytes": source.size(), "rows": indexed.rows - before}


@contextmanager
def _closing(watched: Iterable[Item]) -> Iterator[Iterable[Item]]:
    """Close a progress bar before an error is reported, not when its generator is garbage-collected."""
    try:
        yield watched
    finally:
        if isinstance(watched, Generator):
            watched.close()


def _batches(source: Source, all_items: Iterable[Item], report: _Problems) -> Iterator[list[Loaded]]:
    """Decode items and yield batches of up to ``BATCH``, smaller for large images."""
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


def _build_columns(batch: list[Loaded], source: str, prefix: str) -> dict[str, list[Any]]:
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
        "phash": compute_hashes(images).tolist(),
        "flags": [_compute_flags(row, pixels) for row, pixels in batch],
    }


def _compute_flags(row: Row, pixels: NDArray[np.uint8]) -> list[str]:
    first = pixels.flat[0]
    # Comparing the first line avoids a full pass over nearly every image.
    blank = bool((pixels[0] == first).all()) and bool((pixels == first).all())
    return [*row.flags, manifest.BLANK] if blank else list(row.flags)


def _describe_empty(sources: list[Path], indexed: Indexed) -> str:
    examples = "; ".join(map(str, indexed.first_problems[:3]))
    return f"{', '.join(map(str, sources))} holds no usable image. {indexed.problems} problems: {examples or 'none'}."


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

    def __init__(self, indexed: Indexed, *, strict: bool) -> None:
        self.indexed, self._strict = indexed, strict
        self._path = indexed.path.with_name(indexed.path.name + ".problems.csv")
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
            self.indexed.problem_file = self._path
        csv.writer(self._file).writerow((problem.where, problem.what, problem.kept))
        self.indexed.problems += 1
        self.indexed.dropped += not problem.kept
        if len(self.indexed.first_problems) < SHOWN:
            self.indexed.first_problems.append(problem)
