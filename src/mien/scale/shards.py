"""Blocks of pictures: the unit that a worker reads at a time, and that one output file holds.

``pictures`` yields the pictures of a block in a fixed order. Damaged ones are yielded as ``Unreadable``; an
``OSError`` of disk or network is raised, as a retry may help.
"""

from __future__ import annotations

import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from mien.formats import SUFFIXES
from mien.recognition.folder import CHUNK, Picture, Unreadable
from mien.scale.storage import Store

Pictures = Iterator[Picture | Unreadable]

_AGAIN = "Download or copy it again."


@dataclass(frozen=True)
class Photos:
    """Image files. base: the folder that relative ``paths`` start from; results are named after the paths."""

    base: str
    paths: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def pictures(self) -> Pictures:
        """Yield the photos."""
        return (Picture(path, os.path.join(self.base, path)) for path in self.paths)  # noqa: PTH118 - keeps ``./``


@dataclass(frozen=True)
class Rows:
    """Consecutive row groups of one Parquet file; ``first`` is the number of their first row in the file.

    Attributes:
        column: the column of image bytes, or of ``{"bytes": …}`` as Hugging Face writes it.
        naming: the column with names; None names pictures ``FILE:ROW``.
    """

    store: Store
    file: str
    groups: tuple[int, ...]
    first: int
    rows: int
    column: str
    naming: str | None

    def __len__(self) -> int:
        return self.rows

    def pictures(self) -> Pictures:
        """Yield the rows' pictures."""
        row = self.first
        try:
            with self.store.open(self.file) as stream:
                for name, content in self._cells(parquet.ParquetFile(stream, pre_buffer=False)):
                    source = f"{self.file}:{row}" if name is None else str(name)
                    row += 1
                    yield Picture(source, content) if content else Unreadable(source, "The row has no image.")
        except (pa.ArrowInvalid, OSError) as error:
            raise_system_error(error)
            lost = f"{self.file}:{row}-{self.first + self.rows - 1}"
            yield Unreadable(lost, f"These rows are damaged ({error}). Download or copy the file again.")

    def _cells(self, file: parquet.ParquetFile) -> Iterator[tuple[Any, bytes | None]]:
        columns = [self.column] if self.naming is None else [self.column, self.naming]
        for batch in file.iter_batches(CHUNK, row_groups=list(self.groups), columns=columns):
            contents = batch.column(self.column).to_pylist()
            names = [None] * len(contents) if self.naming is None else batch.column(self.naming).to_pylist()
            for name, cell in zip(names, contents, strict=True):
                yield name, cell["bytes"] if isinstance(cell, dict) else cell


@dataclass(frozen=True)
class Shard:
    """A tar file as used by WebDataset, possibly compressed: its pictures, recognised by extension, in file order.

    It is one block whatever its size, as a tar can only be read from the start. The number of pictures is not known in
    advance.
    """

    store: Store
    file: str

    def pictures(self) -> Pictures:
        """Yield the pictures."""
        last = "its start"
        try:
            with self.store.open(self.file) as stream, tarfile.open(fileobj=stream) as archive:
                for member in archive:
                    if member.isfile() and is_picture(member.name):
                        content = archive.extractfile(member)
                        yield Picture(f"{self.file}/{member.name}", content.read() if content else b"")
                    last = member.name
                    archive.members = []  # type: ignore[attr-defined] # or every header stays in memory
                if not _has_end(archive):
                    yield Unreadable(self.file, f"The tar is damaged or truncated after {last}. {_AGAIN}")
        except (tarfile.TarError, EOFError, zlib.error, LZMAError, OSError) as error:
            raise_system_error(error)
            yield Unreadable(self.file, f"The tar is damaged or truncated after {last} ({error}). {_AGAIN}")


@dataclass(frozen=True)
class Broken:
    """A file that cannot be read at all."""

    file: str
    reason: str

    def pictures(self) -> Pictures:
        """Yield one ``Unreadable`` for the file."""
        yield Unreadable(self.file, self.reason)


Block = Photos | Rows | Shard | Broken


def is_picture(name: str) -> bool:
    """Return whether a file in an archive is a picture by its extension, and not hidden."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES and not Path(name).name.startswith(".")


def raise_system_error(error: Exception) -> None:
    """Re-raise ``error`` if it comes from the operating system; pyarrow raises ``OSError`` for damaged files too."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error


def _has_end(archive: tarfile.TarFile) -> bool:
    """Return whether the archive ends with zeros; Python's reader silently treats a damaged header as the end."""
    stream: Any = archive.fileobj
    stream.seek(archive.offset)
    end = stream.read(tarfile.BLOCKSIZE)
    return len(end) == tarfile.BLOCKSIZE and not any(end)
