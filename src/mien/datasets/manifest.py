"""The manifest: one Parquet row per image with all of its metadata; the pixels stay in their source."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.datasets.arrow import pa, parquet
from mien.datasets.pixels import PixelReader
from mien.datasets.sources.archive import open_source
from mien.errors import DataError, FileMissingError, ImageError, OptionError, nearest
from mien.files import appearing

if TYPE_CHECKING:
    from numpy.typing import NDArray

Watch = Callable[[Iterable[Any]], Iterable[Any]]

SCHEMA = 1
KEY = b"mien"

COLUMNS = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.dictionary(pa.int32(), pa.string())),
        ("member", pa.string()),
        ("label", pa.dictionary(pa.int32(), pa.string())),
        ("votes", pa.list_(pa.int32())),
        ("dataset", pa.dictionary(pa.int32(), pa.string())),
        ("split", pa.dictionary(pa.int32(), pa.string())),
        ("subject", pa.string()),
        ("session", pa.string()),
        ("pose", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("sha256", pa.string()),
        ("phash", pa.uint64()),
        ("flags", pa.list_(pa.string())),
    ]
)
"""The columns of every manifest, documented in ``docs/data.md``; users may add their own."""

_FILLED = ("id", "source", "member", "flags")
"""Columns with a value in every row."""

BLANK = "blank"
"""Flag of an image whose pixels all have one value."""


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of a manifest and their pixels, each image uint8 (H, W) grey or (H, W, 3) RGB."""

    start: int
    rows: Manifest
    pixels: tuple[NDArray[np.uint8], ...]

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class Manifest:
    """An immutable table of images: methods return new manifests, ``write`` saves one.

    Attributes:
        table: the columns of ``COLUMNS``, then the user's own.
        info: the file's metadata, JSON-ready: schema, mien (version), sources (path, reader, evidence, digest, bytes,
            rows), labels, problems, and split after splitting.
        base: the folder that source paths are relative to.
    """

    table: Any
    info: dict[str, Any] = field(default_factory=dict)
    base: Path = field(default_factory=Path)

    def __len__(self) -> int:
        return self.table.num_rows  # type: ignore[no-any-return]

    def column(self, name: str) -> list[Any]:
        """Return one column as Python values: str, int, list, or None. Raises ``OptionError``."""
        return self._column(name).to_pylist()  # type: ignore[no-any-return]

    @property
    def own_columns(self) -> list[str]:
        """The names of the columns that the user added: sex, age, box_width, and so on."""
        return [name for name in self.table.column_names if name not in COLUMNS.names]

    def array(self, name: str) -> NDArray[Any]:
        """Return one column as an array: str columns as str (None as ''), integers unchanged, lists as objects."""
        column = self._column(name)
        if pa.types.is_integer(column.type):
            return column.to_numpy()  # type: ignore[no-any-return]
        values = column.to_pylist()
        if pa.types.is_list(column.type):
            lists = np.empty(len(values), object)
            lists[:] = values
            return lists
        return np.array([value or "" for value in values], str)

    def flagged(self, flag: str) -> NDArray[np.bool_]:
        """Return bool (N,): which rows have a flag."""
        return np.fromiter((flag in flags for flags in self.column("flags")), bool, len(self))

    def counts(self) -> dict[str, dict[str, int]]:
        """Count rows: split → label → number, in alphabetical order; '' means no split or no label."""
        pairs = Counter(zip(self.array("split").tolist(), self.array("label").tolist(), strict=True))
        counts: dict[str, dict[str, int]] = {}
        for (split, label), count in sorted(pairs.items()):
            counts.setdefault(split, {})[label] = count
        return counts

    def where(self, mask: NDArray[np.bool_]) -> Manifest:
        """Return the rows for which ``mask``, bool (N,), is true, in their order."""
        return replace(self, table=self.table.filter(pa.array(np.asarray(mask, bool))))

    def take(self, rows: Sequence[int] | NDArray[np.integer]) -> Manifest:
        """Return the given rows (indices), in that order."""
        return replace(self, table=self.table.take(pa.array(np.asarray(rows, np.int64))))

    def with_column(self, name: str, values: Sequence[Any], **recorded: Any) -> Manifest:
        """Return a manifest with one column replaced; ``recorded`` goes into its metadata."""
        if name not in COLUMNS.names:
            raise self._unknown(name)
        column = pa.array(values, COLUMNS.field(name).type)
        index = self.table.schema.get_field_index(name)
        return replace(self, table=self.table.set_column(index, name, column), info={**self.info, **recorded})

    def with_own(self, name: str, values: Sequence[Any]) -> Manifest:
        """Add or replace a column of the user's own: a str, int, float, bool or None per row.

        Raises:
            OptionError: a name in ``COLUMNS``, a wrong number of values, or mixed types.
        """
        if name in COLUMNS.names or len(values) != len(self):
            raise OptionError(
                f"A column {name!r} of {len(values)} values for {len(self)} rows; expected one value per row and a "
                f"name other than those of every manifest ({', '.join(COLUMNS.names)})."
            )
        try:
            column = pa.array(values)
        except pa.ArrowException as error:
            raise OptionError(f"The column {name!r} cannot be kept: {error}. Give values of one type.") from error
        index = self.table.schema.get_field_index(name)
        kept = self.table if index < 0 else self.table.remove_column(index)
        return replace(self, table=kept.append_column(name, column))

    def images(self, batch: int = 256, watch: Watch | None = None) -> Iterator[Batch]:
        """Yield all rows with their pixels in batches; at most one batch is in memory.

        Args:
            batch: number of rows per batch.
            watch: wraps the iterable of row numbers, for a progress bar.

        Raises:
            FileMissingError: a source is missing.
            DataError: a source has changed; the message names the member.
        """
        numbers: Iterable[int] = range(len(self))
        pixels: list[NDArray[np.uint8]] = []
        start = 0
        with Sources(self) as read:
            for number in watch(numbers) if watch else numbers:
                if number % batch == 0:
                    start, part = number, replace(self, table=self.table.slice(number, batch))
                    names = list(zip(part.column("source"), part.column("member"), strict=True))
                pixels.append(read(*names[number - start]))
                if len(pixels) == len(names):
                    yield Batch(start, part, tuple(pixels))
                    pixels = []

    def pixels(self, rows: Sequence[int] | NDArray[np.integer]) -> list[NDArray[np.uint8]]:
        """Return the pixels of the given rows (indices), in that order."""
        order = np.argsort(rows, kind="stable")  # sources are read fastest in their own order
        part = self.take(np.asarray(rows)[order])
        read = (image for batch in part.images() for image in batch.pixels)
        images: list[Any] = [None] * len(order)
        for row, image in zip(order.tolist(), read, strict=True):
            images[row] = image
        return images

    def write(self, path: str | Path) -> Path:
        """Write the manifest as Parquet and return its path."""
        path = Path(path)
        moved = self._rebase(path)
        schema = pa.schema([*COLUMNS, *(moved.table.schema.field(name) for name in moved.own_columns)])
        metadata = {KEY: json.dumps(moved.info, ensure_ascii=False)}
        with appearing(path) as draft:
            parquet.write_table(moved.table.cast(schema).replace_schema_metadata(metadata), draft)
        return path

    def source_path(self, name: str) -> Path:
        """Return the path of a source.

        Raises:
            FileMissingError: it does not exist.
        """
        path = self.base / name
        if not os.path.exists(path):  # noqa: PTH110 - pathlib raises for names too long to exist
            raise FileMissingError(
                f"The manifest's source {name} is not at {path}. Put it there, or index it again at its new path."
            )
        return path

    def _rebase(self, path: Path) -> Manifest:
        """Make source paths relative to the folder of ``path``."""
        names = sorted(set(self.column("source")))
        moved = {name: relative(self.base / name, path.parent) for name in names}
        if all(name == there for name, there in moved.items()):
            return replace(self, base=path.parent)
        column = [moved[name] for name in self.column("source")]
        sources = [
            {**source, "path": moved.get(source["path"], source["path"])} for source in self.info.get("sources", [])
        ]
        return replace(self.with_column("source", column, sources=sources), base=path.parent)

    def _column(self, name: str) -> Any:
        if name not in self.table.column_names:
            raise self._unknown(name)
        return self.table.column(name)

    def _unknown(self, name: str) -> OptionError:
        columns = self.table.column_names
        return OptionError(f"A manifest has no column {name!r}; it has {', '.join(columns)}.{nearest(name, columns)}")


class Sources:
    """Keeps the sources of a manifest open; called with a source and a member, it returns the pixels."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest, self._stack = manifest, ExitStack()
        self._readers: dict[str, PixelReader] = {}

    def __enter__(self) -> Sources:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the sources."""
        self._stack.close()

    def __call__(self, name: str, member: str) -> NDArray[np.uint8]:
        """Return the pixels of a source's member.

        Raises:
            DataError: it is missing or cannot be read.
        """
        reader = self.reader(name)
        with naming_member(name, member):
            return reader(member)

    def release(self) -> None:
        """Give back the memory of mapped arrays, see ``PixelReader.release``."""
        for reader in self._readers.values():
            reader.release()

    def reader(self, name: str) -> PixelReader:
        """Return the reader of a source, opened when it is first asked for."""
        if name not in self._readers:
            source = self._stack.enter_context(open_source(self._manifest.source_path(name)))
            self._readers[name] = PixelReader(source)
            self._stack.callback(self._readers[name].close)
        return self._readers[name]


@contextmanager
def naming_member(name: str, member: str) -> Iterator[None]:
    """Raise ``DataError`` with source and member in place of errors of reading one member within the block."""
    try:
        yield
    except (ImageError, DataError) as error:
        raise DataError(f"{name}: {member}: {error} The source has changed since it was indexed.") from error


def is_manifest(path: str | Path) -> bool:
    """Check whether a path has the file extension of a manifest."""
    return Path(path).suffix.lower() == ".parquet"


def read(path: str | Path) -> Manifest:
    """Read a manifest.

    Raises:
        FileMissingError: any other file.
        DataError: any other file.
    """
    path = Path(path)
    if not path.exists():
        raise FileMissingError(f"{path} does not exist; write it with mien data index CORPUS --out {path}.")
    try:
        file = parquet.ParquetFile(path)
        info = json.loads((file.metadata.metadata or {})[KEY])
        table = file.read()
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise DataError(f"{path} is not a manifest of Mien: {error}. Write one with mien data index.") from error
    schema = info.get("schema") if isinstance(info, dict) else None
    if schema != SCHEMA or not set(COLUMNS.names) <= set(table.column_names):
        raise DataError(f"{path} is a manifest of schema {schema}; expected {SCHEMA}. Index again.")
    own = [name for name in table.column_names if name not in COLUMNS.names]
    return Manifest(_checked(table.select([*COLUMNS.names, *own]), path), info, path.parent)


def _checked(table: Any, path: Path) -> Any:
    """Return the table with the types of ``COLUMNS``; other programs write wider ones. Raises ``DataError``."""
    try:
        table.validate(full=True)  # text that is not UTF-8, lists with ends that no list has
        schema = pa.schema([*COLUMNS, *(table.schema.field(name) for name in table.column_names[len(COLUMNS) :])])
        table = table.replace_schema_metadata(None).cast(schema)
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"{path} has a column that no manifest has: {error}. Index again.") from error
    empty = [name for name in _FILLED if table.column(name).null_count]
    if empty:
        raise DataError(f"{path} has rows without {', '.join(empty)}; expected a value in each row. Index again.")
    return table


def relative(path: Path, folder: Path) -> str:
    """Return ``path`` relative to ``folder``, with forward slashes, so that both can be moved together."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on another Windows drive
        return path.resolve().as_posix()
