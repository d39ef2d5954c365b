"""Labelled photos in class folders (KDEF, CK+, anybody's own): encoded files, not yet detected or cropped."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mien.errors import DataError, FileMissingError
from mien.images import SUFFIXES
from mien.labels import canonical


@dataclass(frozen=True)
class Photo:
    """One labelled photo: its path inside the corpus, Mien's noun for its class, and the encoded file."""

    id: str
    label: str
    content: bytes


def read(path: str | Path) -> Iterator[Photo]:
    """Yield the photos of class folders (``…/<emotion>/name.jpg``), from a folder or a zip, sorted by path.

    Raises ``FileMissingError`` for a missing path, ``DataError`` for a class no known corpus uses or no photos.
    """
    source = Path(path)
    if not source.exists():
        raise FileMissingError(f"{source} does not exist; expected a folder or a zip of class folders with photos.")
    count = 0
    for member, content in _members(source):
        count += 1
        yield Photo(str(member), canonical(member.parent.name), content)
    if not count:
        raise DataError(f"{source} holds no photos; expected class folders such as happy/, with image files in them.")


def _members(source: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.suffix.lower() in SUFFIXES:
                yield PurePosixPath(path.relative_to(source).as_posix()), path.read_bytes()
        return
    try:
        with zipfile.ZipFile(source) as archive:
            for name in sorted(archive.namelist()):
                if PurePosixPath(name).suffix.lower() in SUFFIXES:
                    yield PurePosixPath(name), archive.read(name)
    except zipfile.BadZipFile as error:
        raise DataError(f"{source} is neither a folder nor a zip: {error}") from error
