"""Rows into a folder of Parquet files, each of which is whole or not there; a cut-off folder can be gone on with.

pandas, Polars, DuckDB and Spark read such a folder as one table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from mien.errors import MissingExtraError, OptionError
from mien.files import appearing

Kind = Literal["text", "whole", "number", "yes_no"]

_ENTRIES = b"mien.entries"


class Parts:
    """Write entries (photos, frames), each with its rows, ``size`` entries a file.

    Raises ``OptionError`` if ``folder`` holds what is no part, ``MissingExtraError`` (extra ``parquet``).

    Args:
        folder: created if it is not there; its files are ``part-00000.parquet`` and so on.
        columns: name → kind.
        done: entries that are there already, as ``settle`` tells; 0 begins anew and replaces what is there.
    """

    def __init__(self, folder: Path, columns: Mapping[str, Kind], size: int, done: int = 0) -> None:
        _pyarrow()
        self._columns = columns
        self._folder, self._size, self._part = folder, size, done // size
        self._rows: list[Mapping[str, Any]] = []
        self._entries = 0
        _check(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for old in parts_of(folder)[self._part :]:
            old.unlink()

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add one entry; a column that a row lacks is null."""
        self._rows += rows
        self._entries += 1
        if self._entries == self._size:
            self._write()

    def close(self) -> None:
        """Write what is left; a folder without an entry gets one file without rows."""
        if self._entries or not parts_of(self._folder):
            self._write()

    def _write(self) -> None:
        from pyarrow import parquet

        with appearing(self._folder / f"part-{self._part:05}.parquet") as draft:
            parquet.write_table(table(self._rows, self._columns, self._entries), draft)
        self._part, self._rows, self._entries = self._part + 1, [], 0


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Kind], entries: int) -> Any:
    """Return the pyarrow table of one file: ``rows`` of that many entries; a column that a row lacks is null.

    Text must be valid (``valid_text``).
    Raises ``MissingExtraError`` (extra ``parquet``).
    """
    pa = _pyarrow()
    kinds = {"text": pa.string(), "whole": pa.int64(), "number": pa.float64(), "yes_no": pa.bool_()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    return pa.Table.from_pylist(list(rows), schema.with_metadata({_ENTRIES: str(entries).encode()}))


def valid_text(text: str) -> str:
    """Return ``text`` with what is no Unicode, as in a file name of arbitrary bytes, as ``\\udcXX`` escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def parts_of(folder: Path) -> list[Path]:
    """Return the files of a folder that ``Parts`` wrote, in order."""
    return sorted(folder.glob("part-*.parquet"))


def whole(folder: Path, size: int) -> int:
    """Return how many entries stand in full files, before the first that is not; the folder is left as it is.

    Raises:
        OptionError: the files are not such as ``Parts`` writes.
    """
    _check(folder)
    files = parts_of(folder)
    full = 0
    while full < len(files) and files[full].name == f"part-{full:05}.parquet" and _entries(files[full]) == size:
        full += 1
    return full * size


def settle(folder: Path, size: int) -> int:
    """Drop all from the first file that is not full; return how many entries are left. Raises as ``whole`` does."""
    entries = whole(folder, size)
    for file in parts_of(folder)[entries // size :]:
        file.unlink()
    return entries


def read_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of all files; one file is in memory at a time."""
    _pyarrow()
    from pyarrow import parquet

    for file in parts_of(folder):
        yield from parquet.ParquetFile(file).read().to_pylist()


def _entries(file: Path) -> int:
    pa = _pyarrow()
    from pyarrow import parquet

    try:
        return int((parquet.read_schema(file).metadata or {}).get(_ENTRIES, b"0"))
    except (pa.ArrowInvalid, OSError) as error:
        raise OptionError(f"{str(file)!r} is damaged ({error}). Remove it, or choose another folder.") from None


def _check(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise OptionError(f"Parquet is written in parts: expected a folder, but {str(folder)!r} is a file.")
    foreign = [path.name for path in folder.iterdir() if not path.match("part-*.parquet")] if folder.is_dir() else []
    foreign = [name for name in foreign if not name.endswith(".part")]  # a draft of a run that was killed
    if foreign:
        raise OptionError(f"{str(folder)!r} holds other files ({foreign[0]!r}): name a new or empty folder.")


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise MissingExtraError.for_extra("Parquet output", "parquet") from None
    return pyarrow
