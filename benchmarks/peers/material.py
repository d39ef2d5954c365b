"""What all peers are given: FER2013's PrivateTest as crops, KDEF and CK+ as photos on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from mien.datasets import faces, photos
from mien.labels import FER2013, scheme

PHOTOS = {"KDEF": "kdef_frontal350.zip", "CK+": "ckplus350.zip"}


@dataclass(frozen=True)
class Corpus:
    """Files and the places of their classes in FER2013's label order; ``crops``: one .npy of them all."""

    name: str
    labels: tuple[int, ...]
    paths: tuple[str, ...] = ()
    crops: str = ""


def prepare(data: Path, folder: Path, most_crops: int | None, most_photos: int | None) -> list[Corpus]:
    """Write crops and photos below ``folder``; of each corpus at most so many, evenly spread. Contempt is left out."""
    part = faces.load(data / "fer2013.zip", scheme("fer2013")).part("PrivateTest")
    kept = _spread(len(part), most_crops)
    file = folder / "crops.npy"
    np.save(file, part.pixels[kept])
    found = [Corpus("PrivateTest", tuple(part.labels[kept].tolist()), crops=str(file))]
    return found + [_photos(name, data / zipped, folder, most_photos) for name, zipped in PHOTOS.items()]


def _photos(name: str, source: Path, folder: Path, most: int | None) -> Corpus:
    place = folder / name
    place.mkdir()
    known = [photo for photo in photos.read(source) if photo.label in FER2013.labels]
    paths, labels = [], []
    for number in _spread(len(known), most):
        photo = known[number]
        path = place / f"{number}{PurePosixPath(photo.id).suffix.lower()}"
        path.write_bytes(photo.content)
        paths.append(str(path))
        labels.append(FER2013.index(photo.label))
    return Corpus(name, tuple(labels), tuple(paths))


def _spread(count: int, most: int | None) -> Sequence[int]:
    if most is None or most >= count:
        return range(count)
    return np.linspace(0, count - 1, most).round().astype(int).tolist()
