"""The central directory of a zip as a stream, and one member's bytes (PKWARE APPNOTE 6.3, §4.3–4.5)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mien.errors import DataError

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_FULL = 0xFFFFFFFF
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _UTF8 = 1, 1 << 11


class ZipTable:
    """An open zip. Raises ``DataError`` if its directory, which stands at its end, is missing or damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb")
        try:
            self._start, self._size, self._shift = self._end()
        except DataError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def entries(self) -> Iterator[tuple[str, int]]:
        """Yield each member's name and the place of its entry in the directory, which is what ``read`` needs."""
        place, end = self._start, self._start + self._size
        self._file.seek(place)
        while end - place >= _ENTRY.size:
            fields = self._entry()
            name, extra, comment = fields[10:13]
            raw = self._take(name)
            self._take(extra + comment)
            yield _name(raw, utf8=bool(fields[3] & _UTF8)).replace("\\", "/"), place
            place += _ENTRY.size + name + extra + comment

    def sizes(self, place: int) -> tuple[int, int]:
        """Return how many bytes a member has, unpacked and packed."""
        self._file.seek(place)
        fields = self._entry()
        self._take(fields[10])
        return _wide(self._take(fields[11]), fields[9], fields[8], fields[16])[:2]

    def read(self, name: str, place: int) -> bytes:
        """Return one member's content. Raises ``DataError`` if it is damaged, encrypted or packed otherwise.

        Place, sizes and checksum are read again from the directory: keeping them would take 24 bytes a member.
        """
        self._file.seek(place)
        fields = self._entry()
        method, crc = fields[4], fields[7]
        if fields[3] & _ENCRYPTED or method not in (_STORED, _DEFLATED):
            raise DataError(f"{name} is encrypted or packed with method {method}; expected stored or deflated.")
        self._take(fields[10])
        size, stored, offset = _wide(self._take(fields[11]), fields[9], fields[8], fields[16])
        content = self._stored(name, offset + self._shift, stored)
        try:
            content = zlib.decompressobj(-15).decompress(content, size + 1) if method else content
        except zlib.error as error:
            raise DataError(f"{name} is damaged in the zip: {error}") from error
        if len(content) != size or zlib.crc32(content) != crc:
            raise DataError(
                f"{name} is truncated or damaged in the zip: {len(content)} of {size} bytes, checksum wrong."
            )
        return content

    def _stored(self, name: str, offset: int, stored: int) -> bytes:
        self._file.seek(offset)
        header = self._file.read(_LOCAL.size)
        if len(header) < _LOCAL.size or header[:4] != b"PK\x03\x04":
            raise DataError(f"{name} is not where the zip's directory says; the zip is damaged.")
        fields = _LOCAL.unpack(header)
        self._file.seek(fields[9] + fields[10], 1)
        return self._file.read(stored)

    def _entry(self) -> tuple[Any, ...]:
        fields = _ENTRY.unpack(self._take(_ENTRY.size))
        if fields[0] != b"PK\x01\x02":
            raise DataError(f"{self.path}: the zip's directory is damaged. Download or pack it again.")
        return fields

    def _take(self, count: int) -> bytes:
        content = self._file.read(count)
        if len(content) < count:
            raise DataError(f"{self.path}: the zip's directory is cut off. Download or pack it again.")
        return content

    def _end(self) -> tuple[int, int, int]:
        """Return the directory's place and size, and how far offsets are off (a program packed in front)."""
        length = self._file.seek(0, 2)
        tail_start = max(0, length - 65_557 - _LOCATOR.size)
        self._file.seek(tail_start)
        tail = self._file.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) < at + _END.size:
            raise DataError(f"{self.path} is not a whole zip: it has no directory at its end. Download it again.")
        size, start = _END.unpack_from(tail, at)[5:7]
        end = tail_start + at
        if at >= _LOCATOR.size and tail[at - _LOCATOR.size : at][:4] == b"PK\x06\x07":
            end = _LOCATOR.unpack_from(tail, at - _LOCATOR.size)[2]
            self._file.seek(end)
            size, start = _END64.unpack(self._take(_END64.size))[8:10]
        return end - size, size, end - size - start


def _name(raw: bytes, *, utf8: bool) -> str:
    """Return a member's name; macOS and others write UTF-8 without the flag that says so."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("utf-8" if utf8 else "cp437", "backslashreplace")


def _wide(extra: bytes, size: int, stored: int, offset: int) -> tuple[int, int, int]:
    """Replace the numbers that did not fit in 32 bits by those of the zip64 extra field."""
    values = [size, stored, offset]
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra, 4))
            values = [next(wide, value) if value == _FULL else value for value in values]
        extra = extra[4 + length :]
    return values[0], values[1], values[2]
