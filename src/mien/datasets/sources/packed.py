"""Many crops of one size in one NumPy file, which is memory-mapped instead of decoding 75,000 PNGs.

``crops.npy`` is an ordinary ``.npy`` of uint8 (N, H, W) or (N, H, W, 3); ``crops.npy:17`` names its row 17, from 0.
"""

from __future__ import annotations

import io
import mmap
import re
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from mien.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.datasets.sources.archive import Source

_MEMBER = re.compile(r"(.+\.npy):(\d+)", re.IGNORECASE)


def parse(member: str) -> tuple[str, int] | None:
    """Return the file and row of a member that names a row of an array, else None."""
    match = _MEMBER.fullmatch(member)
    return (match[1], int(match[2])) if match else None


def open_array(source: Source, name: str) -> NDArray[np.uint8]:
    """Open an array of crops: memory-mapped from a folder or file, read whole from an archive.

    Raises:
        DataError: a file that is not an array of uint8 (N, H, W) or (N, H, W, 3), or is truncated.
    """
    with source.open(name) as stream:
        try:
            version = np.lib.format.read_magic(stream)
            if version != (1, 0):
                raise ValueError(f"format {version}")
            shape, in_columns, dtype = np.lib.format.read_array_header_1_0(stream)
            if dtype != np.uint8 or in_columns or not _is_crops(shape):
                raise ValueError(f"{dtype} {shape}")
            return _read_content(stream, shape)
        except ValueError as error:
            raise DataError(
                f"{name} is not an array of crops: {error}; expected uint8 (N, H, W) or (N, H, W, 3). "
                "Delete the folder and run mien data prepare again."
            ) from error


def is_mapped(array: NDArray[np.uint8]) -> bool:
    """Check whether ``open_array`` mapped an array, instead of reading it whole."""
    return isinstance(array.base, np.memmap)


def release(array: NDArray[np.uint8]) -> None:
    """Unload the pages of a mapped array, which count as this process's memory; rows are loaded again when read."""
    mapped = array.base.base if isinstance(array.base, np.memmap) else None
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _is_crops(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)


def _read_content(stream: BinaryIO, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if isinstance(getattr(stream, "raw", None), io.FileIO):
        return np.asarray(
            np.memmap(stream, np.uint8, "r", stream.tell(), shape)
        )  # a row costs less without the subclass
    return np.frombuffer(stream.read(), np.uint8).reshape(shape)


class Writer:
    """Appends crops of one shape to a ``.npy``; rows beyond ``rows``, left by an interrupted run, are overwritten."""

    def __init__(self, path: Path, shape: tuple[int, ...], rows: int) -> None:
        self._shape, self.rows = shape, rows
        self._file = path.open("r+b" if path.exists() else "w+b")
        self._write_header()
        self._file.seek(self._start + rows * int(np.prod(shape)))

    def add(self, crop: NDArray[np.uint8]) -> int:
        """Write one crop and return its row.

        Raises:
            DataError: another shape.
        """
        if crop.shape != self._shape:
            raise DataError(f"A crop of shape {crop.shape} for an array of {self._shape}; expected crops of one shape.")
        self._file.write(np.ascontiguousarray(crop).data)
        self._file.flush()
        self.rows += 1
        return self.rows - 1

    def close(self) -> None:
        """Write the number of rows into the header and close the file."""
        self._file.truncate(self._start + self.rows * int(np.prod(self._shape)))
        self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        """Write the header, whose length does not depend on the number of rows."""
        self._file.seek(0)
        head = io.BytesIO()
        shape = (self.rows, *self._shape)
        np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": shape})
        self._start = len(head.getvalue())
        self._file.write(head.getvalue())
