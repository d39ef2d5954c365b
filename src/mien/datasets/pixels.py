"""Encoded files and CSV rows → pixels, and pixels → the checksum and the perceptual hash of a manifest."""

from __future__ import annotations

import hashlib
import io
import re
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from mien import images
from mien.containers import SLIM
from mien.datasets import packed
from mien.datasets.tables import read_line
from mien.errors import DataError
from mien.preprocess import grey

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image as PILImage

    from mien.datasets.archive import Source

_RUN = re.compile(r"[0-9][0-9 ,]*")
_LINE = re.compile(r"(.+\.csv):(\d+)", re.IGNORECASE)
_FORMATS = ("PNG", "JPEG", "BMP")
_SUFFIXES = {
    "PNG": {".apng", ".png"},
    "JPEG": {".jfif", ".jpe", ".jpeg", ".jpg", ".mpo"},
    "BMP": {".bmp"},
    "TIFF": {".tif", ".tiff"},
    "GIF": {".gif"},
    "WEBP": {".webp"},
}
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"GIF8", "GIF"),
)


def decode(content: bytes) -> NDArray[np.uint8]:
    """Return an encoded image as uint8 (H, W) where all its pixels are grey, else (H, W, 3) RGB; upright.

    Grey files of the common kinds are decoded directly, at a third of the cost; everything else goes through
    ``images.load``, which gives the same pixels. Raises ``ImageError``.
    """
    pixels = _plain_grey(content)
    if pixels is not None:
        return pixels
    return plain(images.load(content))


def plain(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8 (H, W) of an RGB image in which all pixels are grey; any other image as it is."""
    if pixels.ndim == 2 or (pixels[..., :1] != pixels[..., 1:]).any():
        return pixels
    return np.ascontiguousarray(pixels[..., 0])


def _plain_grey(content: bytes) -> NDArray[np.uint8] | None:
    from PIL import Image

    slim = next((slim for mark, slim in SLIM.items() if content.startswith(mark)), None)
    content = content if slim is None else slim(content)
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            if image.mode != "L" or image.info.keys() & {"exif", "transparency"} or _large(image):
                return None
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError):
        return None  # images.load says what is wrong with it


def _large(image: PILImage.Image) -> bool:
    return image.width * image.height > images.MAX_PIXELS


def true_kind(content: bytes, suffix: str) -> str:
    """Return the format a file really has, if that is not what its ending says; '' if it is."""
    kind = next((kind for mark, kind in _SIGNATURES if content.startswith(mark)), "")
    return kind if kind and suffix.lower() not in _SUFFIXES[kind] else ""


def csv_pixels(text: str, side: int) -> NDArray[np.uint8]:
    """Return ``side``² numbers 0–255, blanks or commas between them, as uint8 (side, side). Raises ``DataError``."""
    try:
        values = bytes(map(int, text.replace(",", " ").split()))
    except ValueError as error:
        raise DataError(f"pixels: {error}; expected {side * side} whole numbers from 0 to 255.") from error
    if len(values) != side * side:
        raise DataError(f"{len(values)} pixel values; expected {side * side} from 0 to 255.")
    return np.frombuffer(values, np.uint8).reshape(side, side)


class PixelReader:
    """Reads the pixels of a source's members: images, rows of a CSV (read on from the last one), rows of an array."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._name, self._line = "", 0
        self._stream: BinaryIO | None = None
        self._arrays: dict[str, NDArray[np.uint8]] = {}

    def __call__(self, member: str) -> NDArray[np.uint8]:
        """Return one member's pixels, as ``decode`` does. Raises ``DataError`` and ``ImageError``."""
        if (packed_row := packed.parse(member)) is not None:
            return self._packed(*packed_row)
        match = _LINE.fullmatch(member)
        return self._row(match[1], int(match[2])) if match else decode(self.source.read(member))

    def _packed(self, name: str, row: int) -> NDArray[np.uint8]:
        if name not in self._arrays:
            self._arrays[name] = packed.open_array(self.source, name)
        array = self._arrays[name]
        if row >= len(array):
            raise DataError(f"{name} has {len(array)} rows, and no row {row}.")
        return array[row]  # type: ignore[no-any-return]

    def _row(self, name: str, line: int) -> NDArray[np.uint8]:
        if self._stream is None or name != self._name or line <= self._line:
            self.close()
            self._stream, self._name, self._line = self.source.open(name), name, 0
        text = b""
        while self._line < line:
            text, self._line = read_line(self._stream), self._line + 1
        numbers = _numbers(text.decode("utf-8", "replace"))
        return csv_pixels(" ".join(numbers), int(len(numbers) ** 0.5))

    def close(self) -> None:
        """Close the CSV that stands open."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _numbers(line: str) -> list[str]:
    """Return the pixels of a line: what its longest cell holds, or its longest run of numbers with commas between."""
    numbers = max(re.split(r"[,;\t]", line), key=len).strip().strip('"').split()
    if len(numbers) > 1:
        return numbers
    numbers = max(_RUN.findall(line), key=len, default="").replace(",", " ").split()
    square = int(len(numbers) ** 0.5) ** 2
    return numbers[-square:]  # without quotes, the emotion before the pixels seems to be one of them


def checksum(pixels: NDArray[np.uint8]) -> str:
    """Return the sha256 of shape and pixels: equal exactly where two images are, whatever their files."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


FREQUENCIES = sorted((u * u + v * v, u, v) for u in range(12) for v in range(12) if u or v)[:64]
"""The 64 lowest spatial frequencies but the mean, (u² + v², u down, v across), one for each bit of a hash."""

_ROWS = np.array([u for _, u, _ in FREQUENCIES])
_COLUMNS = np.array([v for _, _, v in FREQUENCIES])

MIRROR = np.uint64(int("".join(str(v % 2) for _, _, v in FREQUENCIES), 2))
"""``hash ^ MIRROR`` is the hash of the mirrored image: a mirror turns the odd frequencies across round."""


def hashes(batch: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint64]:
    """Return uint64 (N,): bit k is the sign of the image's k-th lowest cosine frequency (a DCT hash).

    batch: uint8 (H, W) or (H, W, 3) of any sizes. Brightness and contrast do not change it, re-encoding changes
    a bit or two. Images are first averaged down to 32×32, so that one picture in two sizes has one hash.
    """
    found = np.empty(len(batch), np.uint64)
    shapes: dict[tuple[int, ...], list[int]] = {}
    for place, pixels in enumerate(batch):
        shapes.setdefault(pixels.shape[:2], []).append(place)
    for (height, width), places in shapes.items():
        stack = np.stack([grey(batch[place]) for place in places]).astype(np.float32)
        spectrum = _basis(height) @ stack @ _basis(width).T
        bits = spectrum[:, _ROWS, _COLUMNS] > 0
        found[places] = np.ascontiguousarray(np.packbits(bits, axis=1)).view(">u8")[:, 0]
    return found


@lru_cache(maxsize=64)
def _basis(size: int, reduced: int = 32, count: int = 12) -> NDArray[np.float32]:
    """Return float32 (count, size): averaging ``size`` samples to ``reduced``, then the first cosine waves."""
    edges = np.linspace(0, size, reduced + 1)
    samples = np.arange(size)
    overlap = np.minimum(edges[1:, None], samples + 1) - np.maximum(edges[:-1, None], samples)
    averages = np.clip(overlap, 0, None) / (size / reduced)
    waves = np.cos(np.pi * np.arange(count)[:, None] * (2 * np.arange(reduced) + 1) / (2 * reduced))
    return np.asarray(waves @ averages, np.float32)
