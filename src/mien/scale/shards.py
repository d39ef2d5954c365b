"""Blocks of pictures: what one worker reads at a time, and what one file of the output holds.

``pictures`` yields each picture of a block in the same order each time. What is damaged is ``Unreadable`` and stops
nothing; an ``OSError`` of the disk or the network is raised, as trying again may help.
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


@dataclass(frozen=True)
class Photos:
    """Files. base: the folder that relative ``paths`` start from; their results are named as the paths are."""

    base: str
    paths: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def pictures(self) -> Pictures:
        """Yield the photos."""
        return (Picture(path, os.path.join(self.base, path)) for path in self.paths)  # noqa: PTH118 - keeps ``./``


@dataclass(frozen=True)
class Rows:
    """Row groups of one Parquet file, one after the other; ``first`` is the file's number of their first row.

    column: where the pictures' bytes are: a column of bytes, or of ``{"bytes": …}`` as Hugging Face writes it.
    naming: the column with their names; None names them ``FILE:ROW``.
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
                    yield Picture(source, content) if content else Unreadable(source, "The row holds no picture.")
        except (pa.ArrowInvalid, OSError) as error:
            raise_if_of_the_disk(error)
            lost = f"{self.file}:{row}-{self.first + self.rows - 1}"
            yield Unreadable(lost, f"These rows are damaged ({error}). Get the file again.")

    def _cells(self, file: parquet.ParquetFile) -> Iterator[tuple[Any, bytes | None]]:
        columns = [self.column] if self.naming is None else [self.column, self.naming]
        for batch in file.iter_batches(CHUNK, row_groups=list(self.groups), columns=columns):
            contents = batch.column(self.column).to_pylist()
            names = [None] * len(contents) if self.naming is None else batch.column(self.naming).to_pylist()
            for name, cell in zip(names, contents, strict=True):
                yield name, cell["bytes"] if isinstance(cell, dict) else cell


@dataclass(frozen=True)
class Shard:
    """A tar file as WebDataset uses them, also compressed: its pictures, by their endings, in its order.

    It is one block whatever it holds: a tar can only be read from its start. How many pictures is not known before.
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
                    archive.members = []  # type: ignore[attr-defined] # else each header stays in memory
                if not _ends(archive):
                    yield Unreadable(self.file, f"The tar is damaged or cut off after {last}. Get the file again.")
        except (tarfile.TarError, EOFError, zlib.error, LZMAError, OSError) as error:
            raise_if_of_the_disk(error)
            yield Unreadable(self.file, f"The tar is damaged or cut off after {last} ({error}). Get the file again.")


@dataclass(frozen=True)
class Broken:
    """A file of which nothing can be read."""

    file: str
    reason: str

    def pictures(self) -> Pictures:
        """Yield what stands for the file."""
        yield Unreadable(self.file, self.reason)


Block = Photos | Rows | Shard | Broken


def is_picture(name: str) -> bool:
    """Say whether a file in an archive is a picture by its ending, and not hidden."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES and not Path(name).name.startswith(".")


def raise_if_of_the_disk(error: Exception) -> None:
    """Raise ``error`` again if the operating system said it; pyarrow says of damaged content ``OSError`` as well."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error


def _ends(archive: tarfile.TarFile) -> bool:
    """Say whether zeros end the archive; Python's reader takes a damaged header for the end without a word."""
    stream: Any = archive.fileobj
    stream.seek(archive.offset)
    end = stream.read(tarfile.BLOCKSIZE)
    return len(end) == tarfile.BLOCKSIZE and not any(end)
