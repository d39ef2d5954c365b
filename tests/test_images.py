"""The one door for pixels: every way in gives the same pixels, and nothing half-read comes through."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFile
from support import gradient, noise

from mien import images
from mien.errors import FileMissingError, ImageError, MienError, OutOfMemoryError

PICTURE = gradient(40, 60)
Tags = tuple[tuple[int, int, int], ...]


def encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


PNG = encoded(Image.fromarray(PICTURE), "PNG")
JPEG = encoded(Image.fromarray(noise(64, 64)), "JPEG", quality=95)


def test_every_way_in_gives_the_same_pixels(tmp_path: Path) -> None:
    path = tmp_path / "表情 é.png"
    path.write_bytes(PNG)
    with path.open("rb") as file, Image.open(path) as opened:
        ways = [str(path), path, PNG, bytearray(PNG), memoryview(PNG), io.BytesIO(PNG), file, opened, PICTURE]
        for way in ways:
            pixels = images.load(way)  # type: ignore[arg-type]
            assert np.array_equal(pixels, PICTURE), type(way)
            assert (pixels.dtype.name, pixels.flags.c_contiguous, pixels.flags.writeable) == ("uint8", True, True)
        assert not file.closed


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats(form: str) -> None:
    assert np.array_equal(images.load(encoded(Image.fromarray(PICTURE), form)), PICTURE)


def test_webp() -> None:
    assert np.array_equal(images.load(encoded(Image.fromarray(PICTURE), "WEBP", lossless=True)), PICTURE)


def test_unseekable_stream(tmp_path: Path) -> None:
    code = "import sys; from mien import images; print(images.load(sys.stdin.buffer).shape)"
    done = subprocess.run([sys.executable, "-c", code], input=PNG, capture_output=True, check=True)
    assert done.stdout.strip() == b"(40, 60, 3)"


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3)])
def test_arrays(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    pixels = images.load(array)
    assert pixels.shape == (4, 5, 3)
    assert np.array_equal(pixels[:, :, 2], array.reshape(4, 5, -1)[:, :, -1])


def test_the_array_is_copied() -> None:
    frame = noise(4, 4)
    pixels = images.load(frame)
    frame[:] = 0
    assert pixels.any()
    assert images.load(noise(6, 4).transpose(1, 0, 2)).flags.c_contiguous


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    upright = Image.fromarray(PICTURE)
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = upright if undo is None else upright.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(stored, "PNG", exif=exif)
    assert np.array_equal(images.load(content), PICTURE)
    monkeypatch.setattr(images, "_BAND", 200)  # a few rows at a time, as of a large photo
    assert np.array_equal(images.load(content), PICTURE)
    with Image.open(io.BytesIO(content)) as lazy:
        assert np.array_equal(images.load(lazy), PICTURE)


def test_broken_exif_is_upright() -> None:
    for exif in (b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00", b"Exif\x00\x00garbage", b"Exif\x00\x00"):
        assert images.load(encoded(Image.fromarray(PICTURE), "JPEG", exif=exif)).shape == (40, 60, 3)


def test_sixteen_bits_scale_to_eight() -> None:
    values = np.array([[0, 257, 32768, 65535, 128, 129]], np.uint16)
    for content in (encoded(Image.fromarray(values), "PNG"), encoded(Image.fromarray(values), "TIFF")):
        assert images.load(content)[0, :, 0].tolist() == [0, 1, 128, 255, 0, 1]
    assert images.load(Image.fromarray(values.astype(np.int32)))[0, :, 1].tolist() == [0, 1, 128, 255, 0, 1]
    big = Image.frombytes("I;16B", (6, 1), values.astype(">u2").tobytes())
    assert images.load(big)[0, :, 2].tolist() == [0, 1, 128, 255, 0, 1]
    with pytest.raises(ImageError, match="from 0 to 70000"):
        images.load(Image.fromarray(np.array([[0, 70000]], np.int32)))


def test_floating_point_is_refused() -> None:
    with pytest.raises(ImageError, match="floating-point"):
        images.load(encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"))


def test_transparency_lies_over_white() -> None:
    half = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    half.putpixel((1, 0), (200, 0, 0, 0))
    expected = [[200, 0, 0], [255, 255, 255]]
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([200, 0, 0, 1, 2, 3])
    palette.putpixel((1, 0), 1)
    ways: list[Any] = [
        half,
        half.convert("RGBa"),
        encoded(half, "PNG"),
        encoded(half, "WEBP", lossless=True),
        encoded(palette, "PNG", transparency=1),
        encoded(palette, "PNG", transparency=bytes([255, 0])),
        encoded(palette, "GIF", transparency=1),
    ]
    for way in ways:
        assert images.load(way)[0].tolist() == expected
    grey = Image.new("LA", (2, 1), (90, 0))
    assert images.load(grey)[0].tolist() == images.load(grey.convert("La"))[0].tolist() == [[255] * 3] * 2
    assert images.load(Image.new("RGBA", (1, 1), (0, 0, 0, 128)))[0, 0].tolist() == [127, 127, 127]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV"])
def test_colour_modes(mode: str) -> None:
    picture = Image.fromarray(PICTURE).convert(mode)
    assert np.array_equal(images.load(picture), np.asarray(picture.convert("RGB")))


def test_cmyk_jpeg_has_the_right_polarity() -> None:
    white = images.load(encoded(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), "JPEG"))
    assert white.min() > 250


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation(form: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("#f00", "#0f0", "#00f")]
    options = {"save_all": True, "append_images": frames[1:], "duration": 50}
    content = encoded(frames[0], form, **options, **({"lossless": True} if form == "WEBP" else {}))
    assert images.load(content)[4, 4].tolist() == [255, 0, 0]


def test_one_pixel() -> None:
    assert images.load(encoded(Image.new("L", (1, 1), 9), "PNG")).tolist() == [[[9, 9, 9]]]


@pytest.mark.parametrize(
    "content", [b"", b"hello, world", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"%!PS-Adobe-3.0 EPSF"]
)
def test_not_a_picture(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"photo\.jpg") as caught:
        images.load(path)
    assert ("empty" in str(caught.value)) == (content == b"")
    with pytest.raises(ImageError, match=f"{len(content)} bytes"):
        images.load(content)


@pytest.mark.parametrize("content", [PNG, JPEG], ids=["png", "jpeg"])
def test_truncated_is_refused_unless_no_pixel_is_missing(content: bytes) -> None:
    whole = images.load(content)
    for length in range(0, len(content), 7):
        try:
            assert np.array_equal(images.load(content[:length]), whole)
        except ImageError:
            continue
        # Only the end marker may be missing.
        assert length > len(content) - 24


def test_a_cut_off_jpeg_is_read_as_far_as_it_goes_where_that_is_asked_for(tmp_path: Path) -> None:
    whole = images.load(JPEG)
    path = tmp_path / "cut.jpg"
    path.write_bytes(JPEG[: len(JPEG) // 2])
    for way in (str(path), path.read_bytes(), io.BytesIO(path.read_bytes())):
        pixels, truncated = images.load_partly(way)
        assert truncated
        assert pixels.shape == whole.shape
        assert np.array_equal(pixels[:8], whole[:8])  # further down, rows blend with what is missing
        assert np.ptp(pixels[-8:, -8:]) == 0
    pixels, truncated = images.load_partly(JPEG)
    assert np.array_equal(pixels, whole)
    assert not truncated
    for content in (JPEG[:30], PNG[:-40]):
        path.write_bytes(content)
        with pytest.raises(ImageError, match=r"cut\.jpg"):
            images.load_partly(path)
    with pytest.raises(FileMissingError):
        images.load_partly(tmp_path / "none.jpg")


def tiff(values: np.ndarray[Any, Any], *, planar: int, photometric: int, extra: Tags = ()) -> bytes:
    """Write an uncompressed TIFF, which Pillow cannot write with separate planes; extra: (tag, type, value)."""
    height, width, count = values.shape
    bits = values.itemsize * 8
    planes = [values[:, :, at].tobytes() for at in range(count)] if planar == 2 else [values.tobytes()]
    number, size = len(planes), len(planes[0])
    end = 8 + number * size
    lists = struct.pack(f"<{count}H", *[bits] * count)
    lists += struct.pack(f"<{number}I", *(8 + at * size for at in range(number))) + struct.pack("<I", size) * number
    starts = 8 if number == 1 else end + 2 * count
    sizes = size if number == 1 else starts + 4 * number
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, count, bits if count == 1 else end), (259, 3, 1, 1),
        (262, 3, 1, photometric), (273, 4, number, starts), (277, 3, 1, count), (278, 4, 1, height),
        (279, 4, number, sizes), (284, 3, 1, planar), *((tag, kind, 1, value) for tag, kind, value in extra),
    ]  # fmt: skip
    table = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    head = struct.pack("<2sHI", b"II", 42, end + len(lists))
    return head + b"".join(planes) + lists + struct.pack("<H", len(entries)) + table + bytes(4)


def test_tiffs_that_pillow_reads_wrongly_are_refused() -> None:
    deep = np.arange(4 * 5 * 3, dtype=np.uint16).reshape(4, 5, 3) * 1000
    flat = (deep >> 8).astype(np.uint8)
    assert np.abs(images.load(tiff(deep, planar=1, photometric=2)).astype(int) - flat).max() <= 1
    assert np.array_equal(images.load(tiff(flat, planar=2, photometric=2)), flat)
    assert np.array_equal(images.load(tiff(flat[..., :1], planar=1, photometric=0))[..., :1], 255 - flat[..., :1])
    for content in (
        tiff(deep, planar=2, photometric=2),
        tiff(deep[..., :1], planar=1, photometric=0),
        tiff(flat[..., :1], planar=2, photometric=0),
        tiff(flat[..., :1], planar=1, photometric=1, extra=((339, 3, 2),)),
    ):
        with pytest.raises(ImageError, match="which Pillow reads wrongly"):
            images.load(content)


@pytest.mark.parametrize("extra", [(254, 4, 1), (50706, 4, 0x0401)])
def test_the_thumbnail_of_a_raw_photo_is_not_taken_for_the_photo(extra: tuple[int, int, int]) -> None:
    values = np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(ImageError, match="camera raw file, of which only a thumbnail"):
        images.load(tiff(values, planar=1, photometric=2, extra=(extra,)))


def test_damage_gives_pixels_or_an_image_error() -> None:
    kinds: dict[str, bytes] = {
        form: encoded(Image.fromarray(noise(12, 12)), form)
        for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
    }
    random = np.random.default_rng(5)
    refused = 0
    for content in kinds.values():
        for _ in range(60):
            damaged = bytearray(content)
            for at in random.integers(0, min(len(content), 200), 3):
                damaged[at] = random.integers(0, 256)
            try:
                images.load(bytes(damaged), max_pixels=10_000)
            except ImageError:
                refused += 1
    assert refused > 50


def test_paths_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match=r"none\.jpg"):
        images.load(tmp_path / "none.jpg")
    (tmp_path / "file").write_bytes(PNG)
    with pytest.raises(FileMissingError):
        images.load(tmp_path / "file" / "below.jpg")
    with pytest.raises(ImageError, match=r"is a folder.*mien predict"):
        images.load(tmp_path)
    for name in ("x" * 5000, "a\0b.jpg", "\ud800.jpg"):
        with pytest.raises(MienError) as caught:
            images.load(name)
        assert len(str(caught.value)) < 600


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """Root may read everything; for the length of a test it becomes a user who may not."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield
    if root:
        os.seteuid(0)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_no_permission(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(PNG)
    path.chmod(0)
    images.load(PNG)  # loads Pillow while the packages may still be read
    request.getfixturevalue("ordinary_user")
    with pytest.raises(ImageError, match="secret"):
        images.load(path)


@pytest.mark.parametrize(
    ("array", "advice"),
    [
        (np.zeros((4, 4, 3)), "255"),
        (np.full((4, 4), np.nan, np.float32), "finite"),
        (np.zeros((4, 4, 3), np.int64), "astype"),
        (np.zeros((4, 4), bool), "255"),
        (np.zeros((4, 4, 4), np.uint8), ":3"),
        (np.zeros((3, 8, 9), np.uint8), "transpose"),
        (np.zeros((2, 8, 9, 3), np.uint8), "several pictures to predict"),
        (np.zeros((0, 5, 3), np.uint8), "rows"),
        (np.zeros(5, np.uint8), "rows"),
        (np.array(["a"], object), "astype"),
    ],
)
def test_arrays_of_the_wrong_kind(array: np.ndarray[Any, Any], advice: str) -> None:
    with pytest.raises(ImageError) as caught:
        images.load(array)
    assert str(array.dtype) in str(caught.value)
    assert str(array.shape) in str(caught.value)
    assert advice in str(caught.value)


@pytest.mark.parametrize("thing", [None, 3, [1, 2], io.StringIO("text"), object()])
def test_other_things(thing: object) -> None:
    with pytest.raises(ImageError, match=type(thing).__name__):
        images.load(thing)  # type: ignore[arg-type]


def test_closed_file_and_closed_picture(tmp_path: Path) -> None:
    file = io.BytesIO(PNG)
    file.close()
    with pytest.raises(ImageError):
        images.load(file)
    picture = Image.open(io.BytesIO(PNG))
    picture.close()
    with pytest.raises(ImageError):
        images.load(picture)


def bomb(side: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_700, 12_000, 30_000])
def test_bombs_are_refused_before_decoding(side: int) -> None:
    # 9,700² is above Pillow's own warning limit, 30,000² above its error limit; neither may show.
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageError, match=r"expected at most 90000000"):
        images.load(bomb(side), max_pixels=90_000_000)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 50


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of memory")
@pytest.mark.parametrize("kind", ["turned", "transparent palette", "grey with alpha"])
def test_a_photo_takes_seven_bytes_a_pixel_at_most(kind: str, tmp_path: Path) -> None:
    path, side = tmp_path / "photo", 3000
    if kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (side, side), "red").save(path, "JPEG", exif=exif)
    elif kind == "transparent palette":
        Image.new("P", (side, side)).save(path, "GIF", transparency=0)
    else:
        Image.new("LA", (side, side), (90, 9)).save(path, "PNG")
    code = """if True:
        import sys
        from pathlib import Path
        from mien import images

        def kilobytes(name):
            lines = Path("/proc/self/status").read_text().splitlines()
            return int(next(line for line in lines if line.startswith(name)).split()[1])

        content = Path(sys.argv[1]).read_bytes()
        try:
            images.load(content, max_pixels=1)  # loads Pillow and its readers
        except images.ImageError:
            before = kilobytes("VmRSS")
        images.load(content)
        print((kilobytes("VmHWM") - before) * 1024)
    """
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True)
    assert int(done.stdout) < 7 * side * side + 20_000_000  # and a band


def test_memory_that_is_lacking_is_not_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import PngImagePlugin

    def refuse(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", refuse)
    with pytest.raises(OutOfMemoryError, match=r"No memory left to decode .*60×40") as caught:
        images.load(PNG)
    assert isinstance(caught.value, MemoryError)
    assert not isinstance(caught.value, ImageError)


def test_the_limit_is_exact_and_holds_for_every_way_in() -> None:
    for way in (PNG, Image.fromarray(PICTURE), PICTURE):
        assert images.load(way, max_pixels=2400).shape == (40, 60, 3)
        with pytest.raises(ImageError, match="60×40 = 2400 pixels"):
            images.load(way, max_pixels=2399)


def test_callers_picture_and_settings_stay_as_they_are() -> None:
    picture = Image.fromarray(PICTURE).convert("P")
    limit, truncated = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    images.load(picture)
    assert picture.mode == "P"
    assert (limit, truncated) == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


def test_lossy_picture_keeps_its_content() -> None:
    picture = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(picture).rectangle((0, 0, 31, 63), fill=(0, 0, 255))
    pixels = images.load(encoded(picture, "JPEG", quality=95))
    assert np.abs(pixels[:, 4].astype(int) - [0, 0, 255]).max() < 8


def test_source_name() -> None:
    assert images.source_name("a.jpg") == images.source_name(Path("a.jpg")) == "a.jpg"
    assert images.source_name(PNG) is None


def test_a_webp_over_pillows_own_limit_is_an_image_error() -> None:
    side = (60_000).to_bytes(3, "little")
    content = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + b"\0\0\0\0" + side + side
    with pytest.raises(ImageError, match="exceeds limit"):
        images.load(content)


def test_an_avif_without_its_item_is_damaged() -> None:
    """libavif's errors are a RuntimeError, which was a traceback and an answer of 500."""
    raw = bytearray(encoded(Image.fromarray(gradient(40, 60)), "AVIF"))
    at = raw.index(b"iloc")
    raw[at : at + 4] = b"free"
    with pytest.raises(ImageError, match=r"cannot be read as a picture|damaged"):
        images.load(bytes(raw))


def test_memory_that_libavif_lacks_is_not_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import AvifImagePlugin

    def lack(self: object) -> None:
        raise RuntimeError("Failed to decode image: Out of memory")

    monkeypatch.setattr(AvifImagePlugin.AvifImageFile, "_open", lack)
    with pytest.raises(OutOfMemoryError):
        images.load(encoded(Image.fromarray(gradient(40, 60)), "AVIF"))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_png_without_its_palette_is_refused(depth: int) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, depth, 3, 0, 0, 0))
    rows = zlib.compress(bytes(16 * (1 + 16 * depth // 8)))
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    with pytest.raises(ImageError, match="palette"):
        images.load(content)
