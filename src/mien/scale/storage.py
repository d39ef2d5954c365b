"""A folder that all machines can access: on a shared disk, or in an object store (``s3://bucket/folder``)."""

from __future__ import annotations

import os
import posixpath
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from pyarrow import fs

from mien.errors import FileMissingError, OptionError


def is_remote(address: str) -> bool:
    """Return whether ``address`` is the address of a store rather than a path."""
    return "://" in address


@dataclass(frozen=True)
class Store:
    """The folder ``address``; ``Store.at`` makes paths absolute, as workers start in other folders.

    Names are relative to the folder, with ``/``. Raises ``OptionError`` for an unsupported address.
    """

    address: str

    @classmethod
    def at(cls, address: str) -> Store:
        """Return the store of a path or an address."""
        store = cls(address if is_remote(address) else os.path.abspath(address))  # noqa: PTH100 - keeps links
        _ = store._place
        return store

    @cached_property
    def _place(self) -> tuple[Any, str]:
        if not is_remote(self.address):
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
        """Return the names of all files, recursively and sorted; none if the folder does not exist.

        Args:
            hidden: include files whose name, or folder's name, begins with a dot.

        Raises:
            FileMissingError: a file.
        """
        system, _ = self._place
        kind = system.get_file_info([self.root])[0].type
        if kind == fs.FileType.NotFound:
            return []
        if kind == fs.FileType.File:
            raise FileMissingError(f"{self.address!r} is a file: expected a folder.")
        every = system.get_file_info(fs.FileSelector(self.root, recursive=True))
        names = [posixpath.relpath(entry.path, self.root) for entry in every if entry.type == fs.FileType.File]
        return sorted(name for name in names if hidden or not any(part.startswith(".") for part in name.split("/")))

    def open(self, name: str) -> Any:
        """Open the file as a seekable pyarrow stream. Raises ``OSError``."""
        return self._place[0].open_input_file(self._path(name))

    def read(self, name: str) -> bytes:
        """Return the file's content. Raises ``OSError``."""
        with self.open(name) as stream:
            return bytes(stream.read())

    def write(self, name: str, content: bytes) -> None:
        """Write a file atomically, replacing an older one.

        Raises:
            OSError: with the file's name.
        """
        system, _ = self._place
        folder, last = posixpath.split(self._path(name))
        # As mien.files.appearing: hidden, and unique to this process, as an abandoned worker may still be writing.
        draft = posixpath.join(folder, f".{last}.{os.getpid()}.part")
        system.create_dir(folder, recursive=True)
        try:
            with system.open_output_stream(draft) as stream:
                stream.write(content)
            system.move(draft, self._path(name))
        except OSError as error:
            with suppress(OSError):  # for the same reason; ``sweep`` removes it
                self._remove(draft)
            if error.errno is None:  # of a store: its message says which object
                raise
            raise OSError(error.errno, os.strerror(error.errno), self._path(name)) from error

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        self._remove(self._path(name))

    def sweep(self) -> None:
        """Remove the drafts of workers that were killed."""
        for name in self.names(hidden=True):
            if posixpath.basename(name).startswith(".") and name.endswith(".part"):
                self.remove(name)

    def _remove(self, path: str) -> None:
        try:
            self._place[0].delete_file(path)
        except FileNotFoundError:
            return

    def _path(self, name: str) -> str:
        return posixpath.join(self.root, name)
