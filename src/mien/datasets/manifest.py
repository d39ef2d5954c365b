"""The manifest: one Parquet row per image, and all that is known of it but the pixels, which stay in their source."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.datasets.archive import open_source
from mien.datasets.arrow import pa, parquet
from mien.datasets.pixels import PixelReader
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
"""The columns that every manifest has; ``docs/data.md`` says what each holds. A user may add some."""

BLANK = "blank"
"""Flag of an image whose pixels all have one value."""


@dataclass(frozen=True)
class Batch:
    """Some consecutive rows of a manifest with their pixels, each uint8 (H, W) grey or (H, W, 3) RGB."""

    start: int
    rows: Manifest
    pixels: tuple[NDArray[np.uint8], ...]

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class Manifest:
    """A table of images. Changing it gives a new one; ``write`` puts it on disk.

    table: the columns of ``COLUMNS``, then the user's own.  info: what the file's metadata records, JSON-ready: schema,
    mien (version), sources (path, reader, evidence, digest, bytes, rows), labels, problems, and split once there was
    one.
    base: the folder that relative source paths start from.
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
        """Return one column as an array: str columns as str (None as ''), numbers as they are, lists as objects."""
        column = self._column(name)
        if pa.types.is_integer(column.type):
            return column.to_numpy()  # type: ignore[no-any-return]
        values = column.to_pylist()
        if pa.types.is_list(column.type):
            found = np.empty(len(values), object)
            found[:] = values
            return found
        return np.array([value or "" for value in values], str)

    def flagged(self, flag: str) -> NDArray[np.bool_]:
        """Return bool (N,): which rows carry a flag."""
        return np.fromiter((flag in flags for flags in self.column("flags")), bool, len(self))

    def counts(self) -> dict[str, dict[str, int]]:
        """Return split → noun → number of rows, in alphabetical order; '' stands for no split or no label."""
        pairs = Counter(zip(self.array("split").tolist(), self.array("label").tolist(), strict=True))
        found: dict[str, dict[str, int]] = {}
        for (split, label), count in sorted(pairs.items()):
            found.setdefault(split, {})[label] = count
        return found

    def where(self, mask: NDArray[np.bool_]) -> Manifest:
        """Return the rows for which ``mask``, bool (N,), is true, in their order."""
        return replace(self, table=self.table.filter(pa.array(np.asarray(mask, bool))))

    def take(self, places: Sequence[int] | NDArray[np.integer]) -> Manifest:
        """Return the rows at ``places``, in that order."""
        return replace(self, table=self.table.take(pa.array(np.asarray(places, np.int64))))

    def with_column(self, name: str, values: Sequence[Any], **recorded: Any) -> Manifest:
        """Return a manifest with one column replaced; ``recorded`` goes into its metadata."""
        if name not in COLUMNS.names:
            raise self._unknown(name)
        column = pa.array(values, COLUMNS.field(name).type)
        place = self.table.schema.get_field_index(name)
        return replace(self, table=self.table.set_column(place, name, column), info={**self.info, **recorded})

    def with_own(self, name: str, values: Sequence[Any]) -> Manifest:
        """Return a manifest with a column of the user's own, added or replaced: str, int, float, bool or None a row.

        Raises ``OptionError`` for the name of a column of ``COLUMNS``, another number of values, or mixed types.
        """
        if name in COLUMNS.names or len(values) != len(self):
            raise OptionError(
                f"A column {name!r} of {len(values)} values for {len(self)} rows; expected a value a row, and a name "
                f"that no manifest has itself ({', '.join(COLUMNS.names)})."
            )
        try:
            column = pa.array(values)
        except pa.ArrowException as error:
            raise OptionError(f"The column {name!r} cannot be kept: {error}. Give values of one type.") from error
        place = self.table.schema.get_field_index(name)
        kept = self.table if place < 0 else self.table.remove_column(place)
        return replace(self, table=kept.append_column(name, column))

    def images(self, batch: int = 256, watch: Watch | None = None) -> Iterator[Batch]:
        """Yield all rows with their pixels, ``batch`` at a time; no more than one batch is held.

        watch: wraps the iterable of row numbers, for a progress bar. Raises ``DataError`` where a source has gone
        or holds something else by now; the message names the member.
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

    def pixels(self, places: Sequence[int] | NDArray[np.integer]) -> list[NDArray[np.uint8]]:
        """Return the pixels of the rows at ``places``, in that order."""
        order = np.argsort(places, kind="stable")  # sources are fastest in their own order
        part = self.take(np.asarray(places)[order])
        read = (image for each in part.images() for image in each.pixels)
        found: list[Any] = [None] * len(order)
        for place, image in zip(order.tolist(), read, strict=True):
            found[place] = image
        return found

    def write(self, path: str | Path) -> Path:
        """Write the manifest as Parquet and return its path."""
        place = Path(path)
        moved = self._rebased(place)
        schema = pa.schema([*COLUMNS, *(moved.table.schema.field(name) for name in moved.own_columns)])
        metadata = {KEY: json.dumps(moved.info, ensure_ascii=False)}
        with appearing(place) as draft:
            parquet.write_table(moved.table.cast(schema).replace_schema_metadata(metadata), draft)
        return place

    def source_path(self, name: str) -> Path:
        """Return where a source of this manifest lies. Raises ``FileMissingError``."""
        place = self.base / name
        if not place.exists():
            raise FileMissingError(
                f"The manifest's source {name} is not at {place}. Put it there, or index it again where it is now."
            )
        return place

    def _rebased(self, place: Path) -> Manifest:
        """Return the manifest with its source paths relative to the folder of ``place``."""
        names = sorted(set(self.column("source")))
        moved = {name: relative(self.base / name, place.parent) for name in names}
        if all(name == there for name, there in moved.items()):
            return replace(self, base=place.parent)
        column = [moved[name] for name in self.column("source")]
        sources = [{**each, "path": moved.get(each["path"], each["path"])} for each in self.info.get("sources", [])]
        return replace(self.with_column("source", column, sources=sources), base=place.parent)

    def _column(self, name: str) -> Any:
        if name not in self.table.column_names:
            raise self._unknown(name)
        return self.table.column(name)

    def _unknown(self, name: str) -> OptionError:
        columns = self.table.column_names
        return OptionError(f"A manifest has no column {name!r}; it has {', '.join(columns)}.{nearest(name, columns)}")


class Sources:
    """The open sources of a manifest; called with a source and a member, returns pixels."""

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
        """Return the pixels of a source's member. Raises ``DataError`` if it has gone or cannot be read."""
        if name not in self._readers:
            source = self._stack.enter_context(open_source(self._manifest.source_path(name)))
            self._readers[name] = PixelReader(source)
            self._stack.callback(self._readers[name].close)
        try:
            return self._readers[name](member)
        except (ImageError, DataError) as error:
            raise DataError(f"{name}: {member}: {error} The source has changed since it was indexed.") from error


def is_manifest(path: str | Path) -> bool:
    """Say whether a path is called like a manifest."""
    return Path(path).suffix.lower() == ".parquet"


def read(path: str | Path) -> Manifest:
    """Read a manifest. Raises ``FileMissingError``, and ``DataError`` for any other file."""
    place = Path(path)
    if not place.exists():
        raise FileMissingError(f"{place} does not exist; write it with mien data index CORPUS --out {place}.")
    try:
        file = parquet.ParquetFile(place)
        info = json.loads((file.metadata.metadata or {})[KEY])
        table = file.read()
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise DataError(f"{place} is no manifest of Mien: {error}. Write one with mien data index.") from error
    if info.get("schema") != SCHEMA or not set(COLUMNS.names) <= set(table.column_names):
        raise DataError(f"{place} is a manifest of schema {info.get('schema')}; expected {SCHEMA}. Index again.")
    own = [name for name in table.column_names if name not in COLUMNS.names]
    return Manifest(table.select([*COLUMNS.names, *own]).replace_schema_metadata(None), info, place.parent)


def relative(path: Path, folder: Path) -> str:
    """Return ``path`` as seen from ``folder``, with forward slashes, so that both can be moved together."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive of Windows
        return path.resolve().as_posix()
