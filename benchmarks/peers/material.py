"""What all peers are given: FER2013's PrivateTest as crops, by two sets of labels; KDEF and CK+ as photos on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from mien import images
from mien.datasets import manifest
from mien.datasets.faces import FaceSet
from mien.datasets.formats import photos
from mien.datasets.index import index
from mien.datasets.sources.archive import open_source
from mien.labels import FER2013, scheme
from mien.preprocess import grey

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
    found = [_private_test(data / "fer2013.zip", folder / "crops.npy", most_crops), _ferplus(data, folder, most_crops)]
    return found + [_photos(name, data / zipped, folder, most_photos) for name, zipped in PHOTOS.items()]


def _private_test(source: Path, file: Path, most: int | None) -> Corpus:
    """Write the crops; only those that are kept are decoded."""
    with open_source(source) as opened:
        names = [name for name in opened.members() if PurePosixPath(name).name.startswith("PrivateTest")]
        kept = [names[number] for number in _spread(len(names), most)]
        np.save(file, np.stack([grey(images.load(opened.read(name))) for name in kept]))
    labels = tuple(FER2013.index(PurePosixPath(name).parent.name) for name in kept)
    return Corpus("PrivateTest", labels, crops=str(file))


def _ferplus(data: Path, folder: Path, most: int | None) -> Corpus:
    """Write PrivateTest's faces with FER+'s verdict; those without a majority, and contempt, are left out."""
    rows = index([data / "fer2013.zip"], folder / "ferplus.parquet", votes=data / "ferplus", vote_rule="majority")
    faces = FaceSet.from_manifest(manifest.read(rows.path), scheme("ferplus")).part("PrivateTest")
    words = [faces.label_set.labels[label] for label in faces.labels]
    known = [number for number, word in enumerate(words) if word in FER2013.labels]
    kept = [known[number] for number in _spread(len(known), most)]
    file = folder / "ferplus.npy"
    np.save(file, faces.pixels[kept])
    return Corpus("FER+", tuple(FER2013.index(words[number]) for number in kept), crops=str(file))


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
