"""One interface to folders, zips and tars: member names in order, and the bytes of one member at a time.

Nothing is unpacked to disk. The member table is compact (a name and two integers per member): ``zipfile`` keeps an
object of about 550 bytes per member, which made the memory of indexing grow with the number of images.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any, BinaryIO, Self

from mien.datasets.rows import Problem
from mien.datasets.sources.directory import Directory
from mien.datasets.sources.streams import BROKEN, named, naming_damage
from mien.datasets.sources.zipped import ZipTable
from mien.errors import DataError, FileMissingError
from mien.files import is_hidden

MAX_MEMBER = 400_000_000
"""Maximum size in bytes of a member that is read whole; an uncompressed image of 100 megapixels fits."""

MAX_GROWTH, FREE_GROWTH = 100, 100_000_000
"""Maximum ratio of unpacked to packed size, and bytes allowed regardless of it; CSVs of pixels reach a ratio of 10."""


def check_size(name: str, size: int) -> None:
    """Check a member's size.

    Raises:
        DataError: it is too large to be read whole.
    """
    if size > MAX_MEMBER:
        raise DataError(f"{name} has {size} bytes; expected at most {MAX_MEMBER} for an image.")


def max_unpacked_size(packed: int) -> int:
    """Return the number of bytes that ``packed`` bytes may unpack to."""
    return MAX_GROWTH * packed + FREE_GROWTH


def open_source(path: str | Path) -> Source:
    """Open a folder, a zip, a tar (plain, gz, bz2, xz) or a single file as a source of members.

    Raises:
        FileMissingError: a missing path.
        DataError: a damaged archive.
    """
    path = Path(path)
    if not path.exists():
        raise FileMissingError(f"{path} does not exist; expected a folder, a zip, a tar or a CSV file.")
    if path.is_dir():
        return FolderSource(path)
    if zipfile.is_zipfile(path) or path.suffix.lower() == ".zip":
        return ZipSource(path)
    if path.suffix.lower() != ".csv" and _is_tar(path):
        return TarSource(path)
    return FileSource(path)


def is_unsafe(name: str) -> bool:
    """Check whether a member's name points outside its archive: absolute, with a drive letter, or with ``..``."""
    parts = name.replace("\\", "/").split("/")
    return name.startswith(("/", "\\")) or ".." in parts or bool(re.match(r"[A-Za-z]:", name)) or "\0" in name


class Source(ABC):
    """A corpus on disk.

    Attributes:
        problems: unsafe or repeated names in the member list.
        passed_over: hidden or system file or folder (``.ipynb_checkpoints``) → number of files skipped because of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self.passed_over: Counter[str] = Counter()
        self._directory = Directory()
        self._list()
        for name in self._directory.freeze(order=self._reading_order()):
            self.problems.append(Problem(name, "occurs twice in the archive; the first one is read"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._directory)

    def __contains__(self, name: str) -> bool:
        return self._directory.find(name) >= 0

    def members(self) -> Iterator[str]:
        """Yield the names of all members, sorted; of a compressed tar in the order of the archive."""
        return iter(self._directory)

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return one member's content. Raises ``DataError``, naming it, if it is missing or damaged."""

    def open(self, name: str) -> BinaryIO:
        """Open one member for reading from its start, for files too large to hold."""
        return io.BytesIO(self.read(name))

    def digest(self) -> str:
        """Return the sha256 of the file; of a folder, that of its names and sizes."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def size(self) -> int:
        """Return the number of bytes on disk."""
        return self.path.stat().st_size

    def close(self) -> None:  # noqa: B027 - a folder keeps no file open
        """Close the file behind the source."""

    @abstractmethod
    def _list(self) -> None: ...

    @property
    def is_random(self) -> bool:
        """Whether members are read equally fast in any order: not those of a compressed tar."""
        return not self._reading_order()

    def _reading_order(self) -> bool:
        return False

    def _add(self, name: str, *numbers: int) -> None:
        if is_unsafe(name):
            self.problems.append(Problem(name, "unsafe name, not followed: it points outside the archive"))
            return
        hidden = next(filter(is_hidden, PurePosixPath(name).parts), None)
        if hidden is not None:
            self.passed_over[hidden] += 1
        else:
            self._directory.add(name, *numbers)

    def _look_up(self, name: str) -> list[int]:
        index = self._directory.find(name)
        if index < 0:
            raise DataError(f"{self.path} has no member {name!r}.")
        return self._directory.numbers(index)


class FolderSource(Source):
    """A folder, read recursively; links to folders are not followed."""

    def read(self, name: str) -> bytes:
        """Return one file's content."""
        with self.open(name) as file:
            check_size(name, os.fstat(file.fileno()).st_size)
            return file.read()

    def open(self, name: str) -> BinaryIO:
        """Open one file."""
        if is_unsafe(name):
            raise DataError(f"{name!r} is an unsafe name: it points outside {self.path}.")
        try:
            return (self._root() / name).open("rb")
        except OSError as error:
            raise DataError(f"{name} cannot be read: {error.strerror or error}") from error

    def digest(self) -> str:
        """Return the sha256 of names and sizes; hashing the contents would take as long as reading the corpus."""
        digest = hashlib.sha256()
        for name in self.members():
            digest.update(f"{name}\0{(self.path / name).stat().st_size}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def size(self) -> int:
        """Return the sum of the file sizes."""
        return sum((self.path / name).stat().st_size for name in self.members())

    def _root(self) -> Path:
        return self.path

    def _list(self) -> None:
        folders = [""]
        while folders:
            prefix = folders.pop()
            try:
                with os.scandir(self.path / prefix) as entries:
                    for entry in entries:
                        self._entry(entry, prefix, folders)
            except OSError as error:
                self.problems.append(Problem(prefix, f"folder cannot be read: {error.strerror}"))

    def _entry(self, entry: os.DirEntry[str], prefix: str, folders: list[str]) -> None:
        name = prefix + entry.name
        if entry.is_dir(follow_symlinks=False):
            folders.append(name + "/")
        elif entry.is_dir():
            self.problems.append(Problem(name, "link to a folder, not followed"))
        elif not name.isprintable() and any("\udc80" <= letter <= "\udcff" for letter in name):
            self.problems.append(Problem(ascii(name), "name is not valid UTF-8; rename the file"))
        elif not entry.is_file() and Path(entry.path).exists():
            self.problems.append(Problem(name, "pipe, socket or device, not opened"))
        else:
            self._add(name)


class FileSource(FolderSource):
    """A single file, such as a CSV; ``read`` and ``open`` also reach files in its folder and below."""

    def digest(self) -> str:
        """Return the sha256 of the file."""
        return Source.digest(self)

    def size(self) -> int:
        """Return the file's size in bytes."""
        return Source.size(self)

    def _root(self) -> Path:
        return self.path.parent

    def _list(self) -> None:
        self._directory.add(self.path.name)  # named explicitly, so read even if hidden


class ZipSource(Source):
    """A zip; stored and deflated members, zip64 included."""

    def read(self, name: str) -> bytes:
        """Return one member's content, its checksum verified."""
        offset = self._look_up(name)[0]
        check_size(name, max(self._table.sizes(offset)))
        return self._table.read(name, offset)

    def open(self, name: str) -> BinaryIO:
        """Open one member as a stream.

        Raises:
            DataError: its compression ratio is implausible.
        """
        size, stored = self._table.sizes(self._look_up(name)[0])
        if size > max_unpacked_size(stored):
            raise DataError(f"{name} would unpack from {stored} to {size} bytes; it looks like a zip bomb.")
        if not name.isascii():  # zipfile may decode the name differently
            return super().open(name)
        with naming_damage(name):
            return named(name, zipfile.ZipFile(self.path).open(name))

    def close(self) -> None:
        """Close the zip."""
        self._table.close()

    def _list(self) -> None:
        self._table = ZipTable(self.path)
        for name, offset in self._table.entries():
            if not name.endswith("/"):
                self._add(name, offset)


class TarSource(Source):
    """A tar, plain or compressed; the latter is read in archive order, as seeking back would restart decompression."""

    def read(self, name: str) -> bytes:
        """Return one member's content."""
        start, size = self._look_up(name)[:2]
        check_size(name, size)
        with naming_damage(name):
            self._file.seek(start)
            content = self._file.read(size)
        if len(content) != size:
            raise DataError(f"{name} is truncated: {len(content)} of {size} bytes.")
        return content

    def open(self, name: str) -> BinaryIO:
        """Open one member as a stream."""
        info = tarfile.TarInfo(name)
        info.offset_data, info.size = self._look_up(name)[:2]
        with naming_damage(name):
            return named(name, self._tar.extractfile(info))  # type: ignore[arg-type]

    def close(self) -> None:
        """Close the tar."""
        self._tar.close()

    def _list(self) -> None:
        self._open()
        try:
            while (info := self._tar.next()) is not None:
                self._tar.members = []  # type: ignore[attr-defined]  # otherwise tarfile keeps an object per member
                self._entry(info)
        except BROKEN as error:
            self.problems.append(Problem(self.path.name, f"the archive ends early or is damaged: {error}"))
            self._tar.close()
            self._open()  # a decompressor that failed once may fail again where nothing is damaged

    def _open(self) -> None:
        with naming_damage(self.path.name):
            self._tar = _Tar.open(self.path)
            self._file: IO[bytes] = self._tar.fileobj  # type: ignore[assignment]

    def _entry(self, info: tarfile.TarInfo) -> None:
        if info.isreg():
            self._add(re.sub(r"^(\./)+", "", info.name), info.offset_data, info.size)
        elif not info.isdir():
            self.problems.append(Problem(info.name, "link or special file, not followed"))

    def _reading_order(self) -> bool:
        return not isinstance(self._file, io.BufferedReader)


class _Bounded:
    """A decompressed stream that raises once it exceeds ``most`` bytes."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self.file, self.most = file, most

    def read(self, size: int = -1, /) -> bytes:
        """Read from the stream."""
        if size > MAX_MEMBER:
            raise tarfile.ReadError(f"a read of {size} bytes; expected at most {MAX_MEMBER}")
        self._check(self.file.tell())
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move within the stream."""
        self._check(offset)
        return self.file.seek(offset, whence)

    def _check(self, position: int) -> None:
        if position > self.most:
            raise tarfile.ReadError(f"it unpacks to more than {self.most} bytes; it looks like a decompression bomb")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


class _Tar(tarfile.TarFile):
    """A tar whose compressed stream is bounded."""

    @classmethod
    def taropen(cls, name: Any, mode: Any = "r", fileobj: Any = None, **options: Any) -> Self:
        """Open the stream that tarfile's opener of this compression hands over, bounded."""
        if fileobj is not None:
            fileobj = _Bounded(fileobj, max_unpacked_size(Path(name).stat().st_size))
        return super().taropen(name, mode, fileobj, **options)


def _is_tar(path: Path) -> bool:
    try:
        with _Tar.open(path):
            return True
    except BROKEN:
        return False
