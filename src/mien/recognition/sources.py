"""What ``predict`` was given: one picture, several, a folder, an address; and what is none of them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from numbers import Integral
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from mien.errors import ImageError
from mien.recognition.listing import list_photos

if TYPE_CHECKING:
    from pathlib import Path

FILMS = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv"}
)
"""Endings, in lower case, of films."""


def is_address(source: object) -> bool:
    """Return whether a picture was given by an address, such as ``https://…``."""
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


def folder(source: object) -> list[Path] | None:
    """Return the photos of a folder or of a glob pattern; None for anything else.

    Raises:
        FileMissingError: a folder without photos, a pattern without a match.
    """
    if not isinstance(source, (str, PathLike)) or is_address(source):
        return None
    path = fspath(source)
    # os.path answers False where pathlib raises: names that are too long, or hold what no name can hold.
    if os.path.isdir(path) or (glob.has_magic(path) and not os.path.lexists(path)):  # noqa: PTH112
        return list_photos([path]).photos
    return None


def several(source: object) -> list[Any] | None:
    """Return the pictures of a list or another iterable, or of an array (N, H, W, 3); None for one picture."""
    if isinstance(source, (str, bytes, bytearray, memoryview, PathLike)) or hasattr(source, "read"):
        return None
    if getattr(source, "ndim", 1) not in (1, 4):  # an array of one picture
        return None
    return list(source) if isinstance(source, Iterable) else None


def check(source: object) -> None:
    """Raise ``ImageError`` for a camera's number, and say what reads it."""
    if isinstance(source, Integral) and not isinstance(source, bool):
        raise ImageError(
            f"{source} is the number of a camera: expected a picture. Run: mien watch, or in Python: "
            f"recognizer.stream(mien.Film({source}))"
        )
