"""Headers of pictures that are still arriving: what ``load`` reads is never refused, and junk is refused early."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from support import noise

from mien import containers, images
from mien.errors import ImageError
from mien.headers import Header, read_header

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 25_000_000
LOOK = 65_536


def encoded(form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(40, 60)).save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))


def png_start(side: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">LLBBBBB", side, side, 8, 2, 0, 0, 0))


JUNK = {
    "jpeg fill": b"\xff\xd8" + b"\xff" * 1_000_000,
    "jpeg zeros": b"\xff\xd8\xff" + bytes(1_000_000),
    "jpeg applications": b"\xff\xd8" + b"\xff\xe1\x00\x04AB" * 200_000,
    "jpeg comments": b"\xff\xd8" + b"\xff\xfe\x00\x02" * 250_000,
    "jpeg tables": b"\xff\xd8" + b"\xff\xdb\xff\xff" + bytes(65_533) + b"\xff\xdb\xff\xff" + bytes(65_533),
    "png empty chunks": png_start(9) + chunk(b"teXt", b"") * 100_000,
    "png too large": png_start(9999) + chunk(b"IDAT", bytes(99)),
    "ppm comments": b"P6\n" + b"# x\n" * 250_000 + b"9 9\n255\n",
    "ppm comment": b"P6 #" + b"x" * 1_000_000,
    "ppm text": b"P3 9 9 255 " + b"#\n" * 100_000,
    "gif blocks": b"GIF89a" + bytes(7) + b"!\xf9" + b"\x01a" * 500_000,
    "tiff tags": struct.pack("<2sHLH", b"II", 42, 8, 60_000) + bytes(720_000),
    "webp too large": b"RIFF\0\0\0\1WEBPVP8X" + bytes(8) + b"\xff\xff\0\xff\xff\0" + bytes(99),
    "bmp too large": b"BM" + bytes(12) + struct.pack("<Lll", 40, 9999, -9999) + bytes(99),
    "unknown": b"x" * 1_000_000,
    "pdf": b"%PDF-1.7" + bytes(1_000_000),
}  # fmt: skip

FORMS: dict[str, dict[str, Any]] = {
    "JPEG": {}, "PNG": {}, "GIF": {}, "BMP": {}, "WEBP": {}, "AVIF": {}, "TIFF": {}, "PPM": {},
}  # fmt: skip


def first_header(content: bytes, size: int = LOOK) -> tuple[Header | None, int]:
    """Look at twice as many bytes each time, as a server does; return the header and how many bytes that took."""
    while (header := read_header(content[:size], "It", MOST)) is None and size < len(content):
        size *= 2
    return header, min(size, len(content))


@pytest.mark.parametrize("name", JUNK)
def test_junk_is_refused_by_its_first_bytes(name: str) -> None:
    with pytest.raises(ImageError):
        first_header(JUNK[name][: 4 * LOOK])
    with pytest.raises(ImageError):
        images.load(JUNK[name], max_pixels=MOST)


@pytest.mark.parametrize("form", FORMS)
def test_headers_have_the_size_of_the_picture_from_their_first_bytes_on(form: str) -> None:
    content = encoded(form, **FORMS[form])
    header, _ = first_header(content)
    assert header == Header(60, 40)
    for size in range(64, len(content), 7):
        assert read_header(content[:size], "It", MOST) in (None, header), size
    with pytest.raises(ImageError, match="expected at most 2000"):
        read_header(content, "It", 2000)


@pytest.mark.parametrize(
    "options", [{"lossless": True}, {"exif": b"Exif\0\0" + bytes(40)}], ids=["lossless", "extended"]
)
def test_kinds_of_webp(options: dict[str, Any]) -> None:
    assert read_header(encoded("WEBP", **options), "It", MOST) == Header(60, 40)


def test_large_metadata_before_the_pixels_is_waited_for() -> None:
    """Depth maps and previews of phones lie before a JPEG's pixels, some megabytes in segments of 64 kB."""
    segment = b"\xff\xe1\xff\xff" + bytes(65_533)
    plain, packed = encoded("JPEG"), encoded("PNG")
    for content in (
        b"\xff\xd8" + segment * 60 + plain[2:],
        packed[:33] + chunk(b"zTXt", bytes(3_000_000)) + packed[33:],
    ):
        header, size = first_header(content)
        assert header == Header(60, 40)
        assert size > 3_000_000
        assert images.load(content).shape == (40, 60, 3)


@pytest.mark.parametrize(
    "change",
    [lambda content: content, lambda content: b"\xff\xd8" + b"\xff" * 60_000 + content[2:]],
    ids=["plain", "fill bytes"],
)
def test_a_jpeg_whose_pixels_are_full_of_0xff_is_read(change: Callable[[bytes], bytes]) -> None:
    """Each 0xFF in the pixels counted as a segment, so that detailed photos above some 4 MB were refused."""
    pixels = np.random.default_rng(0).integers(0, 256, (2000, 2000, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    content = change(buffer.getvalue())
    assert content[70_000:].count(b"\xff") > containers.MAX_PARTS
    assert images.load(content).shape == (2000, 2000, 3)
    assert first_header(content)[0] == Header(2000, 2000)


def test_scans_are_not_copied_again_for_each_scan() -> None:
    content = encoded("JPEG", progressive=True)
    assert content.count(b"\xff\xda") > 5
    assert len(containers.slim_jpeg(content)) <= len(content)
