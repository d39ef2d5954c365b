"""What a file is, by its first bytes; what phones write is read, and what is not read is named."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import gradient

from mien import images
from mien.errors import ImageError
from mien.formats import recognise

PICTURE = gradient(40, 60)


def encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def difference(content: bytes) -> float:
    return float(np.abs(images.load(content).astype(int) - PICTURE).mean())


def test_avif_is_read_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = Image.fromarray(PICTURE)
    assert difference(encoded(upright, "AVIF", quality=95)) < 3
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    assert difference(encoded(turned, "AVIF", quality=95, exif=exif)) < 3


def test_the_first_picture_of_an_mpo_is_read() -> None:
    other = Image.fromarray(255 - PICTURE)
    content = encoded(Image.fromarray(PICTURE), "MPO", save_all=True, append_images=[other], quality=95)
    assert difference(content) < 3


def test_heic_is_read_with_its_extra() -> None:
    heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    heif.from_pillow(Image.fromarray(PICTURE)).save(buffer, quality=95)
    assert difference(buffer.getvalue()) < 3
    with pytest.raises(ImageError, match=r"damaged|cannot be read"):
        images.load(buffer.getvalue()[:-200])


def test_heic_without_its_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"HEIC picture.*pip install '.*\[heic\]'"):
        images.load(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x18ftypavis\0\0\0\0msf1avif", "AVIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x14ftypmsf1\0\0\0\0hevc", "HEIC"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "camera raw"),
        (b"II*\0\x10\0\0\0CR\2\0", "camera raw"),
        (b"FUJIFILMCCD-RAW 0201", "camera raw"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "video"),
        (b"RIFF\0\0\0\0AVI LIST", "video"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_formats_are_told_apart(start: bytes, name: str) -> None:
    kind = recognise(start)
    assert kind is not None
    assert kind.name == name
    if kind.reader is None:
        with pytest.raises(ImageError, match=f"is a {name} file, which is not read"):
            images.load(start + bytes(100))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_what_is_no_file_is_refused_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    for name, word in (("pipe.jpg", "pipe"), ("device.jpg", "device")):
        with pytest.raises(ImageError, match=f"is a {word}, which is not opened"):
            images.load(tmp_path / name)


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="no /dev/fd")
def test_a_pipe_that_the_shell_made_is_read() -> None:
    content = encoded(Image.fromarray(PICTURE), "PNG")
    reader, writer = os.pipe()
    try:
        os.write(writer, content)
        os.close(writer)
        assert np.array_equal(images.load(f"/dev/fd/{reader}"), PICTURE)
    finally:
        os.close(reader)
