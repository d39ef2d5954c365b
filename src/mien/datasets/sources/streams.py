"""Members of an archive as streams whose damage is an error that names them."""

from __future__ import annotations

import io
import lzma
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, BinaryIO

from mien.errors import DataError, MienError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# What the readers of the standard library raise for damage: NotImplementedError for an unknown compression,
# RuntimeError for an encrypted member, TokenError for the header of a NumPy file, ValueError and OverflowError for
# offsets that no file has.
BROKEN = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, OverflowError,
    NotImplementedError, RuntimeError, tokenize.TokenError,
)  # fmt: skip


@contextmanager
def naming_damage(name: str) -> Iterator[None]:
    """Raise ``DataError`` with the member's name in place of what damage raises within the block."""
    try:
        yield
    except BROKEN as error:
        if isinstance(error, MienError):
            raise
        raise DataError(f"{name} cannot be read from the archive: {error}. Download or pack it again.") from error


class _Member(io.RawIOBase):
    def __init__(self, name: str, stream: IO[bytes]) -> None:
        self._name, self._stream = name, stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        with naming_damage(self._name):
            content = self._stream.read(len(view))
        view[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._stream.close()
        super().close()


def named(name: str, stream: IO[bytes]) -> BinaryIO:
    """Return a member's stream with errors that name it; for reading from start to end."""
    return io.BufferedReader(_Member(name, stream), 1 << 16)
