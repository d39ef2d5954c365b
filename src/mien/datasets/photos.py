"""Labelled photos in class folders (KDEF, CK+, anybody's own): encoded files, not yet detected or cropped."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mien.datasets.archive import open_source
from mien.errors import DataError
from mien.formats import SUFFIXES
from mien.labels import canonical


@dataclass(frozen=True)
class Photo:
    """One labelled photo: its path inside the corpus, Mien's noun for its class, and the encoded file."""

    id: str
    label: str
    content: bytes


def read(path: str | Path, words: Collection[str] = ()) -> Iterator[Photo]:
    """Yield the photos of class folders (``…/<emotion>/name.jpg``), from a folder, a zip or a tar, sorted by path.

    words: a model's classes, which are kept as they are; other folders' names are translated to Mien's nouns.
    Raises ``FileMissingError`` for a missing path, ``DataError`` for a class no known corpus uses or no photos.
    """
    count = 0
    with open_source(path) as source:
        for name in source.members():
            member = PurePosixPath(name)
            if member.suffix.lower() in SUFFIXES:
                count += 1
                word = member.parent.name
                yield Photo(name, word if word in words else canonical(word), source.read(name))
    if not count:
        raise DataError(f"{path} holds no photos; expected class folders such as happy/, with image files in them.")
