"""Labelled photos in class folders (KDEF, CK+, users' own): encoded files, neither detected nor cropped yet."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mien.datasets.sources.archive import open_source
from mien.errors import DataError
from mien.formats import SUFFIXES
from mien.labels import canonical


@dataclass(frozen=True)
class Photo:
    """One labelled photo: its path inside the corpus, its label, and the encoded file."""

    id: str
    label: str
    content: bytes


def read(path: str | Path, words: Collection[str] = ()) -> Iterator[Photo]:
    """Yield the photos of class folders (``…/<emotion>/name.jpg``), from a folder, a zip or a tar, sorted by path.

    Args:
        path: the corpus.
        words: a model's classes, kept unchanged; other folder names are translated to Mien's labels.

    Raises:
        FileMissingError: the path does not exist.
        DataError: there are no photos, or a folder's name is no known class.
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
        raise DataError(f"{path} has no photos; expected class folders such as happy/, with image files in them.")
