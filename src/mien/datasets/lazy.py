"""Pixels that are read from their sources when asked for, for more faces than memory can hold."""

from __future__ import annotations

import hashlib
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.cores import usable_cores
from mien.datasets.pixels import checksum, decode
from mien.datasets.sources import packed
from mien.errors import DataError

if TYPE_CHECKING:
    from mien.datasets.manifest import Manifest, Sources

Convert = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]

BLOCK = 256
"""Images in memory at once while all are read in order."""

COLUMNS = ("source", "member", "sha256")
"""The columns of a manifest by which its images are read."""

_THREADS = 8
_FEWEST = 4
"""Images that are worth a thread."""


class Images:
    """The images of manifests, by number: those of the first manifest, then those of the next.

    Args:
        manifests: their rows, all of one size; only the columns of ``COLUMNS`` are used and need be there.
        convert: makes each image grey or RGB.
        shape: (H, W) or (H, W, 3), of each converted image.
    """

    def __init__(self, manifests: Sequence[Manifest], convert: Convert, shape: tuple[int, ...]) -> None:
        from mien.datasets.manifest import Sources

        self.shape, self._convert = shape, convert
        self._tables = [one.table.combine_chunks() for one in manifests]
        self._starts = np.cumsum([0, *map(len, manifests)])
        self._sources = [Sources(one) for one in manifests]
        self._checked = np.zeros(len(self), bool)
        self._lock = threading.Lock()
        self._finalizer = weakref.finalize(self, _close, self._sources)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def close(self) -> None:
        """Close the sources, as happens by itself when the images are no longer used."""
        self._finalizer()

    def are_random(self) -> bool:
        """Check whether all sources may be read in any order (``PixelReader.is_random``), by one image of each."""
        from mien.datasets.manifest import naming_member

        for sources, table in zip(self._sources, self._tables, strict=True):
            firsts = table.group_by("source").aggregate([("member", "min")])
            for source, member in zip(firsts["source"].to_pylist(), firsts["member_min"].to_pylist(), strict=True):
                reader = sources.reader(source)
                with naming_member(source, member):
                    reader.fetch(member)
                if not reader.is_random:
                    return False
        return True

    def read(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return images, uint8 (B, *shape), in the order of ``numbers``.

        Raises:
            DataError: naming the image.
        """
        rows = self._look_up(numbers)
        images = np.empty((len(rows), *self.shape), np.uint8)

        def fill(positions: NDArray[np.intp]) -> None:
            for position in positions.tolist():
                images[position] = self._load(int(numbers[position]), *rows[position])

        threads = min(_cores(), _THREADS, len(rows) // _FEWEST)
        if threads < 2:
            fill(np.arange(len(rows)))
        else:
            with ThreadPoolExecutor(threads) as pool:  # decoders release Python's lock
                list(pool.map(fill, np.array_split(np.arange(len(rows)), threads)))
        self._release()
        return images

    def _look_up(self, numbers: NDArray[np.int64]) -> list[tuple[Sources, str, str, str]]:
        """Return sources, source, member and sha256 of each image."""
        rows: list[Any] = [None] * len(numbers)
        owners = np.searchsorted(self._starts, numbers, side="right") - 1
        for owner in np.unique(owners).tolist():
            chosen = np.flatnonzero(owners == owner)
            part = self._tables[owner].take(numbers[chosen] - self._starts[owner])
            columns = (part.column(name).to_pylist() for name in COLUMNS)
            for position, row in zip(chosen.tolist(), zip(*columns, strict=True), strict=True):
                rows[position] = (self._sources[owner], *row)
        return rows

    def _load(self, number: int, sources: Sources, source: str, member: str, expected: str) -> NDArray[np.uint8]:
        from mien.datasets.manifest import naming_member

        with naming_member(source, member):
            with self._lock:  # an archive has one position in its file
                content = sources.reader(source).fetch(member)
            image = decode(content) if isinstance(content, bytes) else content
            converted = self._convert(image)
            if converted.shape != self.shape:
                raise DataError(f"An image of shape {converted.shape}; the manifest lists {self.shape}.")
        if packed.parse(member) and not self._checked[number]:
            check_row(member, expected, image)
            self._checked[number] = True
        return converted

    def _release(self) -> None:
        for sources in self._sources:
            sources.release()


class LazyPixels:
    """N images, uint8 (N, H, W) grey or (N, H, W, 3) RGB, that are read when they are asked for.

    Indexing returns arrays, as it does for an array; ``select`` chooses images without reading them.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, images: Images, numbers: NDArray[np.int64] | None = None) -> None:
        self._images = images
        self._numbers = np.arange(len(images)) if numbers is None else numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W) or (N, H, W, 3)."""
        return (len(self), *self._images.shape)

    @property
    def ndim(self) -> int:
        """Number of dimensions, 3 or 4."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that an array of all images would take."""
        return int(np.prod(self.shape))

    def __getitem__(self, index: int | slice | Sequence[int] | NDArray[Any]) -> NDArray[np.uint8]:
        """Return one image, or those of a slice, of indices or of a mask, read from their sources."""
        numbers = np.asarray(self._numbers[index])
        images = self._images.read(np.atleast_1d(numbers))
        return images if numbers.ndim else images[0]

    def select(self, index: NDArray[np.bool_] | NDArray[np.integer]) -> LazyPixels:
        """Return the images of a mask, bool (N,), or of indices, without reading them."""
        return LazyPixels(self._images, self._numbers[index])

    def blocks(self) -> Iterator[NDArray[np.uint8]]:
        """Yield all images in order, up to ``BLOCK`` at a time."""
        for start in range(0, len(self), BLOCK):
            yield self[start : start + BLOCK]

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for block in self.blocks():
            yield from block

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("These pixels are read from their sources, so an array of them is always a copy.")
        array = np.empty(self.shape, np.uint8)
        for start, block in zip(range(0, len(self), BLOCK), self.blocks(), strict=True):
            array[start : start + len(block)] = block
        return array if dtype is None else array.astype(dtype)

    @cached_property
    def digests(self) -> frozenset[bytes]:
        """The distinct digests of the images (``digest``); computed once, as all images are read for it."""
        return frozenset(map(digest, self))


Pixels = NDArray[np.uint8] | LazyPixels
"""Images in memory, or read when asked for."""


def blocks(pixels: Pixels) -> Iterator[NDArray[np.uint8]]:
    """Yield all images in order, C-contiguous: an array at once, others in blocks."""
    yield from pixels.blocks() if isinstance(pixels, LazyPixels) else [np.ascontiguousarray(pixels)]


def digest(image: NDArray[np.uint8]) -> bytes:
    """Return the SHA-256 of an image's pixels."""
    return hashlib.sha256(np.ascontiguousarray(image).data).digest()


def check_row(member: str, expected: str, image: NDArray[np.uint8]) -> None:
    """Raise ``DataError`` if a row of an array is not the crop that the manifest lists.

    Rows of an array have no names, so only the checksum can reveal a shifted or replaced row.
    """
    if checksum(image) != expected:
        raise DataError(
            f"{member} is not the crop that the manifest lists: its sha256 differs. "
            "Delete the folder and run mien data prepare again."
        )


def _close(sources: Sequence[Sources]) -> None:
    for opened in sources:
        opened.close()


def _cores() -> int:
    """Return the cores to use: ``OMP_NUM_THREADS`` takes precedence, as in training."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdigit() else usable_cores()
