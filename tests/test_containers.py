"""Junk within all limits costs little: the reads are counted, never the time."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from support import gradient, noise

from mien import containers, images
from mien.errors import ImageError

PIXELS = gradient(40, 60)


def encoded(form: str, pixels: Any = PIXELS, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


JPEG, PNG = encoded("JPEG", quality=95), encoded("PNG")


class Counting(io.BytesIO):
    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        return super().read(size)


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def tiff(tags: int, kind: int = 3, count: int = 1) -> bytes:
    entries = b"".join(struct.pack("<HHLL", 1000 + tag, kind, count, 1) for tag in range(tags))
    return struct.pack("<2sHLH", b"II", 42, 8, tags) + entries + bytes(4)


JUNK = {
    "jpeg fill": b"\xff\xd8" + b"\xff" * 2_000_000,
    "jpeg between": b"\xff\xd8\xff" + b"\0\xff" * 1_000_000,
    "jpeg comments": b"\xff\xd8" + segment(0xFE, b"") * 200_000 + JPEG[2:],
    "jpeg applications": b"\xff\xd8" + segment(0xE1, b"x") * 200_000 + JPEG[2:],
    "jpeg tables": b"\xff\xd8" + segment(0xDB, bytes(65 * 1000)) * 20 + JPEG[2:],
    "png empty chunks": PNG[:33] + chunk(b"teSt", b"") * 100_000 + PNG[33:],
    "png empty chunks behind": PNG[:-12] + chunk(b"teSt", b"") * 100_000 + PNG[-12:],
    "png empty pixels": PNG[:33] + chunk(b"IDAT", b"") * 100_000 + PNG[33:],
    "ppm comment": b"P6 #" + b"x" * 2_000_000 + b"\n1 1 255\nabc",
    "gif comments": b"GIF89a" + bytes(7) + b"!\xfe\x01a\0" * 200_000,
    "gif blocks": b"GIF89a" + bytes(7) + b"!\xf9" + b"\x01a" * 200_000 + b"\0",
    "tiff tags": tiff(60_000),
    "tiff strips": tiff(20, kind=4, count=1_000_000),
}


@pytest.mark.parametrize("name", JUNK)
def test_junk_costs_few_reads(name: str) -> None:
    file = Counting(JUNK[name])
    with pytest.raises(ImageError) as caught:
        images.load(file)
    assert file.reads <= containers.MAX_READS + 10
    assert len(str(caught.value)) < 400


def test_pixels_that_are_unpacked_in_python_cost_few_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MAX_PIXEL_READS", 5000)
    file = Counting(b"P6 100 100 100\n" + bytes(30_000))
    with pytest.raises(ImageError, match=r"^file .*more than 5000 parts"):
        images.load(file)
    head = struct.pack("<2sLLLLLLHHLLLLLL", b"BM", 0, 0, 1078, 40, 300, 300, 1, 8, 1, 0, 0, 0, 256, 0) + bytes(1024)
    runs = Counting(head + b"\x01\x00" * 90_000)
    with pytest.raises(ImageError, match=r"^file .*more than 5000 parts"):
        images.load(runs)
    assert max(file.reads, runs.reads) < 5100


@pytest.mark.parametrize(
    "content", [b"P3 1 1 255 1 2 3 " + b"#\n" * 2000, b"P3 9 9 255 " + b"1 " * 2_000_001], ids=["comments", "large"]
)
def test_text_pixels_are_bounded(content: bytes) -> None:
    with pytest.raises(ImageError, match="binary PPM"):
        images.load(content)
    assert images.load(b"P3 # comment\n1 1 255 1 2 3\n")[0, 0].tolist() == [1, 2, 3]


def test_scans_are_bounded() -> None:
    content = encoded("JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    more = content[:last] + content[last:-2] * 200 + b"\xff\xd9"
    with pytest.raises(ImageError, match="101 scans"):
        images.load(more)
    assert images.load(content).shape == PIXELS.shape
    between = content[:last] + segment(0xFE, b"") * 20_000 + content[last:]
    with pytest.raises(ImageError, match="between its scans"):
        images.load(between)


def test_what_a_decoder_would_unpack_or_copy_again_and_again_never_reaches_it() -> None:
    exif = segment(0xE1, b"Exif\0\0" + bytes(1000)) * 5000
    profiles = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000))) * 5000
    texts = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000))) * 5000
    assert len(containers.slim_jpeg(b"\xff\xd8" + exif + JPEG[2:])) <= len(JPEG)
    slim = containers.slim_png(PNG[:33] + profiles + texts + PNG[33:])
    assert (slim.count(b"iCCP"), slim.count(b"zTXt")) == (1, 0)
    assert np.array_equal(images.load(slim), PIXELS)


def test_everything_that_pixels_depend_on_is_kept() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    profile = bytes(200_000)
    files = [
        encoded("JPEG", exif=exif, icc_profile=profile, comment=b"hello", quality=90),
        encoded("JPEG", progressive=True, optimize=True, exif=exif.tobytes()),
        encoded("JPEG", noise(33, 47)[:, :, 0]),
        encoded("PNG", exif=exif, icc_profile=profile),
        encoded("PNG", (noise(9, 9)[:, :, 0] > 128)),
    ]
    for content in files:
        with Image.open(io.BytesIO(content)) as picture:
            upright = ImageOps.exif_transpose(picture)
            assert np.array_equal(images.load(content), np.asarray(upright.convert("RGB")))
    assert b"Maker" not in containers.slim_jpeg(files[0])
    assert len(containers.slim_jpeg(files[0])) > 200_000


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "letter"), [(3, "Hxx"), (4, "L")])
def test_orientation_in_either_order_and_as_either_kind(order: str, kind: int, letter: str) -> None:
    start = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HLH", 42, 8, 1)
    block = b"Exif\0\0" + start + struct.pack(f"{order}HHL{letter}", 0x0112, kind, 1, 6)
    turned = images.load(b"\xff\xd8" + segment(0xE1, block) + JPEG[2:])
    assert np.array_equal(turned, np.rot90(images.load(JPEG), -1))


def test_orientation_in_xmp_and_in_raw_profiles() -> None:
    packet = b'<x tiff:Orientation="3"/>'
    exif = Image.Exif()
    exif[0x0112] = 3
    raw = b"\nexif\n  40\n" + exif.tobytes().hex().encode()
    ways = [
        b"\xff\xd8" + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet) + JPEG[2:],
        PNG[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet) + PNG[33:],
        PNG[:33] + chunk(b"tEXt", b"Raw profile type exif\0" + raw) + PNG[33:],
        PNG[:33] + chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw)) + PNG[33:],
    ]
    for content in ways:
        plain = JPEG if content[:2] == b"\xff\xd8" else PNG
        assert np.array_equal(images.load(content), images.load(plain)[::-1, ::-1])


def test_a_tiff_with_odd_tags_warns_of_nothing() -> None:
    content = bytearray(encoded("TIFF"))
    start = struct.unpack_from("<L", content, 4)[0]
    tags = struct.unpack_from("<H", content, start)[0]
    entries = bytes(content[start + 2 : start + 2 + 12 * tags])
    odd = b"".join(struct.pack("<HHLL", 40_000 + tag, 2, 50, 2**31) for tag in range(400))
    directory = struct.pack("<H", tags + 400) + entries + odd + bytes(4)
    content[4:8] = struct.pack("<L", len(content))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert np.array_equal(images.load(bytes(content) + directory), PIXELS)
    assert seen == []
