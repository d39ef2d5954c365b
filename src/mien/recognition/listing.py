"""Files, folders and glob patterns → the photos that they stand for, and a count of what was passed over."""

# os.path answers False where pathlib raises: names that are too long, or hold what no name can hold.
# ruff: noqa: PTH100, PTH112, PTH114, PTH118, PTH122, PTH206, PTH207, PTH208

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mien.errors import FileMissingError, nearest
from mien.files import is_system
from mien.formats import SUFFIXES


@dataclass(frozen=True)
class Listing:
    """What a list of paths stands for.

    Attributes:
        photos: files to read, in order. Folders that cannot be opened stand among them, as do pipes and devices with
            the name of a picture: ``images.load`` refuses each with its reason.
        passed_over: what the folders hold beside photos: ending (``.mov``) or kind (``hidden``, ``linked folder`` …) →
            how many. A hidden or system folder counts as one.
    """

    photos: list[Path]
    passed_over: Counter[str] = field(default_factory=Counter)


def list_photos(paths: Iterable[str | Path]) -> Listing:
    """Turn files, folders and glob patterns into the image files that they stand for.

    A folder is searched through all its levels for the endings in ``formats.SUFFIXES``, in natural order
    (``2.jpg`` before ``10.jpg``); hidden files and folders, folders that systems keep for themselves (``@eaDir``,
    ``__MACOSX`` …) and links to folders are passed over. A pattern counts where no file has that very name, and stands
    for what a shell makes of it. A file that is named is taken whatever its ending. The order of ``paths`` is kept,
    and a file named twice comes once.

    Raises:
        FileMissingError: a missing path, a pattern without a match, a folder without images.
    """
    photos: dict[str, Path] = {}
    passed_over: Counter[str] = Counter()
    for path in paths:
        for photo in _expand(str(path), passed_over):
            photos.setdefault(os.path.abspath(photo), photo)
    return Listing(list(photos.values()), passed_over)


def find_images(paths: Iterable[str | Path]) -> list[Path]:
    """Return the photos of ``list_photos``, without the count of what was passed over. Raises as it does."""
    return list_photos(paths).photos


def _expand(path: str, passed_over: Counter[str]) -> list[Path]:
    if os.path.isdir(path):
        return _walk(path, passed_over)
    if os.path.lexists(path):
        return [Path(path)]
    if glob.has_magic(path):
        return _match(path, passed_over)
    raise FileMissingError(f"No file or folder {path!r}.{_closest(path)}")


def _walk(folder: str, passed_over: Counter[str]) -> list[Path]:
    names: list[str] = []
    closed: list[str] = []
    for parent, folders, files in os.walk(folder, onerror=lambda error: closed.append(os.fspath(error.filename))):
        passed_over.update(kind for name in folders if (kind := _no_folder(parent, name)))
        folders[:] = [name for name in folders if not _no_folder(parent, name)]
        passed_over.update(kind for name in files if (kind := _no_photo(name)))
        names += [os.path.join(parent, name) for name in files if not _no_photo(name)]
    names += closed
    if not names:
        raise FileMissingError(f"No images in the folder {folder!r}; looked for {', '.join(sorted(SUFFIXES))}.")
    return [Path(name) for name in sorted(names, key=lambda name: _natural(os.path.relpath(name, folder)))]


def _no_folder(parent: str, name: str) -> str:
    """Return why a folder is passed over; '' if it is searched."""
    if is_system(name):
        return "system folder"
    if name.startswith("."):
        return "hidden folder"
    return "linked folder" if os.path.islink(os.path.join(parent, name)) else ""


def _no_photo(name: str) -> str:
    """Return why a file is passed over; '' for a photo."""
    if is_system(name):
        return "system file"
    if name.startswith("."):
        return "hidden file"
    ending = os.path.splitext(name)[1].lower()
    return "" if ending in SUFFIXES else ending or "file without an ending"


def _match(pattern: str, passed_over: Counter[str]) -> list[Path]:
    matches = sorted(glob.glob(pattern, recursive=True), key=_natural)
    if not matches:
        raise FileMissingError(f"No file matches {pattern!r}.")
    # A pattern such as ** names folders and what is in them alike; the files then stand for the folders.
    files = [match for match in matches if not os.path.isdir(match)]
    return [Path(file) for file in files] or [photo for folder in matches for photo in _walk(folder, passed_over)]


def _natural(path: str) -> tuple[list[list[tuple[int, int, str]]], str]:
    """Sort key: by folder, then name, numbers by value; the path settles ``1.jpg`` against ``01.jpg``."""
    pieces = [re.split(r"([0-9]+)", part.casefold()) for part in path.split(os.sep)]
    return [[(0, int(t), "") if t.isdecimal() else (1, 0, t) for t in part if t] for part in pieces], path


def _closest(path: str) -> str:
    parent, name = os.path.split(path)
    try:
        return nearest(name, os.listdir(parent or "."))
    except (OSError, ValueError):  # no such folder, or not for us to see: there is no name to suggest
        return ""
