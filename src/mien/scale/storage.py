"""A folder that all machines see: on a shared disk, or in an object store by its address (``s3://bucket/folder``)."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from pyarrow import fs

from mien.errors import FileMissingError, OptionError


def remote(address: str) -> bool:
    """Say whether ``address`` is that of a store, not a path."""
    return "://" in address


@dataclass(frozen=True)
class Store:
    """The folder ``address``; ``Store.at`` makes a path absolute, as workers start in other folders.

    Names are relative to the folder, with ``/``. Raises ``OptionError`` for an address that nothing here can read.
    """

    address: str

    @classmethod
    def at(cls, address: str) -> Store:
        """Return the store of a path or an address."""
        store = cls(address if remote(address) else os.path.abspath(address))  # noqa: PTH100 - keeps links
        _ = store._place
        return store

    @cached_property
    def _place(self) -> tuple[Any, str]:
        if not remote(self.address):
            return fs.LocalFileSystem(), self.address
        try:
            return fs.FileSystem.from_uri(self.address)  # type: ignore[no-any-return]
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise OptionError(
                f"{self.address!r} cannot be read: {error}. Expected a path, or an address that begins with "
                "file://, s3://, gs://, abfs:// or hdfs://."
            ) from None

    @property
    def root(self) -> str:
        """The folder within its file system."""
        return self._place[1].rstrip("/") or "/"

    def names(self, *, hidden: bool = False) -> list[str]:
        """Return the names of all files, at all levels, sorted; of a folder that does not exist none.

        hidden: with those whose name, or a folder's, begins with a dot. Raises ``FileMissingError`` for a file.
        """
        system, _ = self._place
        found = system.get_file_info([self.root])[0].type
        if found == fs.FileType.NotFound:
            return []
        if found == fs.FileType.File:
            raise FileMissingError(f"{self.address!r} is a file: expected a folder.")
        every = system.get_file_info(fs.FileSelector(self.root, recursive=True))
        names = [posixpath.relpath(each.path, self.root) for each in every if each.type == fs.FileType.File]
        return sorted(name for name in names if hidden or not any(part.startswith(".") for part in name.split("/")))

    def open(self, name: str) -> Any:
        """Return the file as a pyarrow stream that can be read from any place. Raises ``OSError``."""
        return self._place[0].open_input_file(self._path(name))

    def read(self, name: str) -> bytes:
        """Return the file's content. Raises ``OSError``."""
        with self.open(name) as stream:
            return bytes(stream.read())

    def write(self, name: str, content: bytes) -> None:
        """Write a file that is whole or not there, in place of an older one. Raises ``OSError``."""
        system, _ = self._place
        folder, last = posixpath.split(self._path(name))
        # As mien.files.appearing: hidden, and this process's own, as a worker that was given up may still be writing.
        draft = posixpath.join(folder, f".{last}.{os.getpid()}.part")
        system.create_dir(folder, recursive=True)
        with system.open_output_stream(draft) as stream:
            stream.write(content)
        system.move(draft, self._path(name))

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        try:
            self._place[0].delete_file(self._path(name))
        except FileNotFoundError:
            return

    def sweep(self) -> None:
        """Remove the drafts of workers that were killed."""
        for name in self.names(hidden=True):
            if posixpath.basename(name).startswith(".") and name.endswith(".part"):
                self.remove(name)

    def _path(self, name: str) -> str:
        return posixpath.join(self.root, name)
