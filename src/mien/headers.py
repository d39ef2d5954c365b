"""What the first bytes of a picture file tell while the rest is still arriving.

A server that reads a body of 20 MB before it looks at it gives its memory and time to whoever sends junk. The checks
are those that ``images.load`` makes on whole files, so that nothing is refused here that would be read there.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

from mien.containers import (
    MAX_COMMENTS,
    MAX_PLAIN,
    MAX_READS,
    MAX_TABLES,
    MAX_TAGS,
    check_tiff,
    is_needed,
    jpeg_segments,
    png_chunks,
)
from mien.errors import ImageError
from mien.formats import PREFIX, recognise
from mien.images import check_size, reader_of

_NO_FRAMES = (0xC4, 0xC8, 0xCC)
"""Markers between 0xC0 and 0xCF of JPEG segments that are no frames: tables and a reserved one."""

_PPM_COMMENT = re.compile(rb"#[^\r\n]*")
_MAX_BOXES = 65_536
"""Bytes of an AVIF or HEIC file among which the size is looked for."""

_MAX_SIZES = 100
"""Sizes of parts of an AVIF or HEIC file that are looked at."""


@dataclass(frozen=True)
class Header:
    """A picture's header that has arrived whole.

    Attributes:
        width, height: in pixels as stored; 0 where the first bytes do not give them.
    """

    width: int = 0
    height: int = 0

    @property
    def pixels(self) -> int:
        """Number of pixels; 0 if unknown."""
        return self.width * self.height


def read_header(start: bytes, name: str, max_pixels: int) -> Header | None:
    """Read the header at the beginning of an encoded picture.

    Args:
        start: the first bytes of the file, at least ``formats.PREFIX`` or all of it.
        name: of the picture, for messages.
        max_pixels: limit on width × height.

    Returns:
        The header, or None if ``start`` ends before it does.

    Raises:
        ImageError: no picture that ``images.load`` reads begins like this.
    """
    kind = recognise(start[:PREFIX])
    reader_of(kind, name, empty=not start)
    read = _READERS.get(kind.name) if kind is not None else None
    try:
        header = read(start) if read is not None else Header()
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except struct.error:
        return None
    if header is not None and header.pixels:
        check_size(header.width, header.height, name, max_pixels)
    return header


def _read_jpeg(start: bytes) -> Header | None:
    size, tables = (0, 0), 0
    for marker, begin, end in jpeg_segments(start):
        if marker == 0xDA:
            return Header(*size)
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAMES and len(start) >= begin + 9:
            height, width = struct.unpack_from(">HH", start, begin + 5)
            size = width, height
        if is_needed(marker, start[begin + 4 : begin + 9]):
            tables += end - begin
            if tables > MAX_TABLES:
                raise ImageError(f"The picture has {tables} bytes of tables: expected at most {MAX_TABLES}.")
    return None


def _read_png(start: bytes) -> Header | None:
    size = (0, 0)
    for kind, begin, _end in png_chunks(start):
        if kind == b"IHDR":
            size = struct.unpack_from(">LL", start, begin + 8)
        elif kind == b"IDAT" or (kind and not kind.isalpha()):
            return Header(*size)
    return None


def _read_gif(start: bytes) -> Header | None:
    width, height, flags = struct.unpack_from("<HHB", start, 6)
    position, inside = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0), False
    for _ in range(MAX_READS):
        if position >= len(start):
            return None
        if inside:
            inside = start[position] > 0
            position += 1 + start[position]
        elif start[position] == 0x21:  # an extension: its label, then blocks up to an empty one
            position, inside = position + 2, True
        else:
            return Header(width, height)
    raise ImageError(f"The picture has more than {MAX_READS} parts before its pixels. Save it anew in an image editor.")


def _read_bmp(start: bytes) -> Header:
    (size,) = struct.unpack_from("<L", start, 14)
    width, height = struct.unpack_from("<HH" if size == 12 else "<ll", start, 18)
    return Header(abs(width), abs(height))


def _read_webp(start: bytes) -> Header:
    if start[12:16] == b"VP8X":
        return Header(
            1 + int.from_bytes(start[24:27], "little"),
            1 + int.from_bytes(start[27:30], "little"),
        )
    if start[12:16] == b"VP8L":
        bits = int.from_bytes(start[21:25], "little")
        return Header(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if start[12:16] == b"VP8 ":
        width, height = struct.unpack_from("<HH", start, 26)
        return Header(width & 0x3FFF, height & 0x3FFF)
    return Header()


def _read_media(start: bytes) -> Header | None:
    """Return the largest size that the container of an AVIF or HEIC file states for one of its parts."""
    best, position = Header(), 0
    for _ in range(_MAX_SIZES):
        position = start.find(b"ispe", position) + 4
        if position < 4 or len(start) < position + 12:
            break
        stated = Header(*struct.unpack_from(">LL", start, position + 4))
        best = max(best, stated, key=lambda header: header.pixels)
    return best if best.pixels or len(start) > _MAX_BOXES else None


def _read_tiff(start: bytes) -> Header | None:
    order = "<" if start[:2] == b"II" else ">"
    if start[2:4] in (b"\x2b\0", b"\0\x2b"):
        return Header()  # more than 4 GB of offsets; no upload needs it
    (offset,) = struct.unpack_from(order + "L", start, 4)
    (tags,) = struct.unpack_from(order + "H", start, offset)
    if tags <= MAX_TAGS and offset + 2 + 12 * tags > len(start):
        return None
    check_tiff(io.BytesIO(start))
    stated = {}
    for tag, kind, _count, value in struct.iter_unpack(order + "HHL4s", start[offset + 2 : offset + 2 + 12 * tags]):
        stated[tag] = int.from_bytes(value[: 2 if kind == 3 else 4], "little" if order == "<" else "big")
    return Header(stated.get(256, 0), stated.get(257, 0))


def _read_ppm(start: bytes) -> Header | None:
    if start[1:2] in b"123":
        _check_text(start)
    numbers = _PPM_COMMENT.sub(b" ", start[2 : MAX_READS + 2]).split(None, 2)
    if not all(number.isdigit() for number in numbers[:2]):
        return Header()
    if len(numbers) == 3:  # what follows shows that the height is not cut off
        return Header(int(numbers[0][:9]), int(numbers[1][:9]))
    if len(start) > MAX_READS:
        raise ImageError(f"The picture has a header of more than {MAX_READS} bytes. Save it anew in an image editor.")
    return None


def _check_text(start: bytes) -> None:
    if len(start) > MAX_PLAIN or start.count(b"#") > MAX_COMMENTS:
        raise ImageError(f"The picture holds its pixels as text: expected at most {MAX_PLAIN} bytes.")


_READERS: dict[str, Callable[[bytes], Header | None]] = {
    "JPEG": _read_jpeg, "PNG": _read_png, "GIF": _read_gif, "BMP": _read_bmp, "WebP": _read_webp, "AVIF": _read_media,
    "HEIC": _read_media, "TIFF": _read_tiff, "PPM": _read_ppm,
}  # fmt: skip
"""Name of a format → what reads its header. A ``struct.error`` means that it has not arrived."""
