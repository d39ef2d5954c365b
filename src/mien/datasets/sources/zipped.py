"""Stream the central directory of a zip, and read single members (PKWARE APPNOTE 6.3, §4.3–4.5)."""

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
    """An open zip. Raises ``DataError`` if the directory at its end is missing or damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb")
        try:
            self._start, self._size, self._shift = self._find_directory()
        except DataError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def entries(self) -> Iterator[tuple[str, int]]:
        """Yield each member's name and the offset of its directory entry, which ``read`` needs."""
        offset, end = self._start, self._start + self._size
        self._file.seek(offset)
        while end - offset >= _ENTRY.size:
            fields = self._read_entry()
            name, extra, comment = fields[10:13]
            raw = self._read_exactly(name)
            self._read_exactly(extra + comment)
            yield _decode_name(raw, utf8=bool(fields[3] & _UTF8)).replace("\\", "/"), offset
            offset += _ENTRY.size + name + extra + comment

    def sizes(self, offset: int) -> tuple[int, int]:
        """Return the unpacked and packed size of a member in bytes."""
        self._file.seek(offset)
        fields = self._read_entry()
        self._read_exactly(fields[10])
        return _resolve_zip64(self._read_exactly(fields[11]), fields[9], fields[8], fields[16])[:2]

    def read(self, name: str, entry: int) -> bytes:
        """Return one member's content.

        Offset, sizes and checksum are read again from the directory: keeping them would take 24 bytes per member.

        Raises:
            DataError: it is damaged, encrypted or of another compression.
        """
        self._file.seek(entry)
        fields = self._read_entry()
        method, crc = fields[4], fields[7]
        if fields[3] & _ENCRYPTED or method not in (_STORED, _DEFLATED):
            raise DataError(f"{name} is encrypted or packed with method {method}; expected stored or deflated.")
        self._read_exactly(fields[10])
        size, stored, offset = _resolve_zip64(self._read_exactly(fields[11]), fields[9], fields[8], fields[16])
        content = self._read_stored(name, offset + self._shift, stored)
        try:
            content = zlib.decompressobj(-15).decompress(content, size + 1) if method else content
        except zlib.error as error:
            raise DataError(f"{name} is damaged in the zip: {error}") from error
        if len(content) != size or zlib.crc32(content) != crc:
            raise DataError(
                f"{name} is truncated or damaged in the zip: {len(content)} of {size} bytes, checksum wrong."
            )
        return content

    def _read_stored(self, name: str, offset: int, stored: int) -> bytes:
        self._file.seek(max(offset, 0))
        header = self._file.read(_LOCAL.size) if offset >= 0 else b""
        if len(header) < _LOCAL.size or header[:4] != b"PK\x03\x04":
            raise DataError(f"{name} is not where the zip's directory says; the zip is damaged.")
        fields = _LOCAL.unpack(header)
        self._file.seek(fields[9] + fields[10], 1)
        return self._file.read(stored)

    def _read_entry(self) -> tuple[Any, ...]:
        fields = _ENTRY.unpack(self._read_exactly(_ENTRY.size))
        if fields[0] != b"PK\x01\x02":
            raise DataError(f"{self.path}: the zip's directory is damaged. Download or pack it again.")
        return fields

    def _read_exactly(self, count: int) -> bytes:
        content = self._file.read(count)
        if len(content) < count:
            raise DataError(f"{self.path}: the zip's directory is cut off. Download or pack it again.")
        return content

    def _find_directory(self) -> tuple[int, int, int]:
        """Return the directory's offset and size, and the shift of all offsets (by a program packed in front)."""
        length = self._file.seek(0, 2)
        tail_start = max(0, length - 65_557 - _LOCATOR.size)
        self._file.seek(tail_start)
        tail = self._file.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) < at + _END.size:
            raise DataError(f"{self.path} is not a complete zip: it has no directory at its end. Download it again.")
        size, start = _END.unpack_from(tail, at)[5:7]
        end = tail_start + at
        if at >= _LOCATOR.size and tail[at - _LOCATOR.size : at][:4] == b"PK\x06\x07":
            end = _LOCATOR.unpack_from(tail, at - _LOCATOR.size)[2]
            self._file.seek(min(end, length))
            size, start = _END64.unpack(self._read_exactly(_END64.size))[8:10]
        if not size <= end <= length:
            raise DataError(f"{self.path}: the zip's directory is not where its end says. Download or pack it again.")
        return end - size, size, end - size - start


def _decode_name(raw: bytes, *, utf8: bool) -> str:
    """Decode a member's name; macOS and others write UTF-8 without setting its flag."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("utf-8" if utf8 else "cp437", "backslashreplace")


def _resolve_zip64(extra: bytes, size: int, stored: int, offset: int) -> tuple[int, int, int]:
    """Replace numbers that did not fit in 32 bits by those of the zip64 extra field."""
    values = [size, stored, offset]
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{min(length, len(extra) - 4) // 8}Q", extra, 4))
            values = [next(wide, value) if value == _FULL else value for value in values]
        extra = extra[4 + length :]
    return values[0], values[1], values[2]
