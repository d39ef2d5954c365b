"""Decode images, rows of a CSV and rows of an array; compute the checksum and perceptual hash of a manifest."""

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
from mien.datasets.sources import packed
from mien.datasets.sources.tables import read_line
from mien.errors import DataError
from mien.preprocess import grey

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image as PILImage

    from mien.datasets.sources.archive import Source

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
    """Decode an image to uint8 (H, W) if all its pixels are grey, else (H, W, 3) RGB, with EXIF orientation applied.

    Grey files of common formats are decoded directly, at a third of the cost; all others go through ``images.load``,
    which gives the same pixels. Raises ``ImageError``.
    """
    pixels = _decode_grey(content)
    if pixels is not None:
        return pixels
    return collapse_grey(images.load(content))


def collapse_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert an RGB image whose pixels are all grey to uint8 (H, W); return any other image unchanged."""
    if pixels.ndim == 2 or (pixels[..., :1] != pixels[..., 1:]).any():
        return pixels
    return np.ascontiguousarray(pixels[..., 0])


def _decode_grey(content: bytes) -> NDArray[np.uint8] | None:
    from PIL import Image

    slim = next((slim for mark, slim in SLIM.items() if content.startswith(mark)), None)
    content = content if slim is None else slim(content)
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            if image.mode != "L" or image.info.keys() & {"exif", "transparency"} or _is_large(image):
                return None
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError):
        return None  # images.load reports what is wrong


def _is_large(image: PILImage.Image) -> bool:
    return image.width * image.height > images.MAX_PIXELS


def find_true_format(content: bytes, suffix: str) -> str:
    """Return the actual format of a file if it differs from its extension, else ''."""
    kind = next((kind for mark, kind in _SIGNATURES if content.startswith(mark)), "")
    return kind if kind and suffix.lower() not in _SUFFIXES[kind] else ""


def parse_csv_pixels(text: str, side: int) -> NDArray[np.uint8]:
    """Parse ``side``² numbers 0–255, separated by spaces or commas, to uint8 (side, side). Raises ``DataError``."""
    try:
        values = bytes(map(int, text.replace(",", " ").split()))
    except ValueError as error:
        raise DataError(f"pixels: {error}; expected {side * side} whole numbers from 0 to 255.") from error
    if len(values) != side * side:
        raise DataError(f"{len(values)} pixel values; expected {side * side} from 0 to 255.")
    return np.frombuffer(values, np.uint8).reshape(side, side)


class PixelReader:
    """Reads the pixels of a source's members: images, rows of a CSV (sequentially if in order), rows of an array."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._name, self._line = "", 0
        self._stream: BinaryIO | None = None
        self._arrays: dict[str, NDArray[np.uint8]] = {}

    def __call__(self, member: str) -> NDArray[np.uint8]:
        """Return one member's pixels, as ``decode`` does. Raises ``DataError`` and ``ImageError``."""
        content = self.fetch(member)
        return decode(content) if isinstance(content, bytes) else content

    def fetch(self, member: str) -> bytes | NDArray[np.uint8]:
        """Return an image's file, not decoded, or the pixels of a row of a CSV or an array. Raises ``DataError``."""
        if (packed_row := packed.parse(member)) is not None:
            return self._read_packed(*packed_row)
        match = _LINE.fullmatch(member)
        return self._read_row(match[1], int(match[2])) if match else self.source.read(member)

    @property
    def is_random(self) -> bool:
        """Whether members are read equally fast in any order, once ``fetch`` has read one of them.

        Lines of a CSV are not, nor members of a compressed tar or of an array in an archive.
        """
        archived = any(not packed.is_mapped(array) for array in self._arrays.values())
        return self._stream is None and not archived and self.source.is_random

    def release(self) -> None:
        """Give back the memory of mapped rows; the system keeps them in its cache and maps them again when read."""
        for array in self._arrays.values():
            packed.release(array)

    def _read_packed(self, name: str, row: int) -> NDArray[np.uint8]:
        if name not in self._arrays:
            self._arrays[name] = packed.open_array(self.source, name)
        array = self._arrays[name]
        if row >= len(array):
            raise DataError(f"{name} has {len(array)} rows, but no row {row}.")
        return array[row]  # type: ignore[no-any-return]

    def _read_row(self, name: str, line: int) -> NDArray[np.uint8]:
        if self._stream is None or name != self._name or line <= self._line:
            self.close()
            self._stream, self._name, self._line = self.source.open(name), name, 0
        text = b""
        while self._line < line:
            text, self._line = read_line(self._stream), self._line + 1
        numbers = _find_numbers(text.decode("utf-8", "replace"))
        return parse_csv_pixels(" ".join(numbers), int(len(numbers) ** 0.5))

    def close(self) -> None:
        """Close the open CSV, if any."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _find_numbers(line: str) -> list[str]:
    """Return the pixels of a line: those of its longest cell, or its longest run of comma-separated numbers."""
    numbers = max(re.split(r"[,;\t]", line), key=len).strip().strip('"').split()
    if len(numbers) > 1:
        return numbers
    numbers = max(_RUN.findall(line), key=len, default="").replace(",", " ").split()
    square = int(len(numbers) ** 0.5) ** 2
    return numbers[-square:]  # without quotes, the emotion before the pixels looks like one of them


def checksum(pixels: NDArray[np.uint8]) -> str:
    """Return the sha256 of shape and pixels, which is equal for equal images whatever their file format."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


FREQUENCIES = sorted((u * u + v * v, u, v) for u in range(12) for v in range(12) if u or v)[:64]
"""The 64 lowest spatial frequencies except the mean, (u² + v², u down, v across), one per bit of a hash."""

_ROWS = np.array([u for _, u, _ in FREQUENCIES])
_COLUMNS = np.array([v for _, _, v in FREQUENCIES])

MIRROR = np.uint64(int("".join(str(v % 2) for _, _, v in FREQUENCIES), 2))
"""``hash ^ MIRROR`` is the hash of the mirrored image: mirroring flips the sign of odd horizontal frequencies."""


def compute_hashes(batch: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint64]:
    """Compute perceptual hashes, uint64 (N,): bit k is the sign of the k-th lowest cosine frequency (a DCT hash).

    Brightness and contrast do not change a hash, re-encoding changes a bit or two. Images are first averaged down to
    32×32, so that a picture has the same hash at any size.

    Args:
        batch: N images, uint8 (H, W) or (H, W, 3) of any sizes.
    """
    codes = np.empty(len(batch), np.uint64)
    shapes: dict[tuple[int, ...], list[int]] = {}
    for index, pixels in enumerate(batch):
        shapes.setdefault(pixels.shape[:2], []).append(index)
    for (height, width), indices in shapes.items():
        stack = np.stack([grey(batch[index]) for index in indices]).astype(np.float32)
        spectrum = _cosine_basis(height) @ stack @ _cosine_basis(width).T
        bits = spectrum[:, _ROWS, _COLUMNS] > 0
        codes[indices] = np.ascontiguousarray(np.packbits(bits, axis=1)).view(">u8")[:, 0]
    return codes


@lru_cache(maxsize=64)
def _cosine_basis(size: int, reduced: int = 32, count: int = 12) -> NDArray[np.float32]:
    """Return float32 (count, size): averaging of ``size`` samples to ``reduced``, then the first cosine waves."""
    edges = np.linspace(0, size, reduced + 1)
    samples = np.arange(size)
    overlap = np.minimum(edges[1:, None], samples + 1) - np.maximum(edges[:-1, None], samples)
    averages = np.clip(overlap, 0, None) / (size / reduced)
    waves = np.cos(np.pi * np.arange(count)[:, None] * (2 * np.arange(reduced) + 1) / (2 * reduced))
    return np.asarray(waves @ averages, np.float32)
