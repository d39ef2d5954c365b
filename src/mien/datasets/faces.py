"""What learning consumes: face crops with labels and splits, in memory, from a manifest or straight from a corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError, ImageError, nearest
from mien.labels import LabelSet, Scheme, smallest

if TYPE_CHECKING:
    from mien.datasets.manifest import Manifest

Watch = Callable[[Iterable[Any]], Iterable[Any]]

SAME_PART = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
"""FER2013's words for its parts, and what other corpora's parts of the same role are called."""


@dataclass(frozen=True)
class FaceSet:
    """N labelled face crops of one corpus.

    pixels: uint8 (N, H, W) grey.  labels: int64 (N,), index into ``label_set``.
    splits: (N,) strings, the corpus's own parts.  ids: N distinct names that point back to the source.
    left_out: how many rows had no class in ``label_set``.
    """

    label_set: LabelSet
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    splits: NDArray[np.str_]
    ids: tuple[str, ...]
    left_out: int = 0

    def __post_init__(self) -> None:
        lengths = {len(self.pixels), len(self.labels), len(self.splits), len(self.ids)}
        if len(lengths) != 1 or self.pixels.ndim != 3 or self.pixels.dtype != np.uint8:
            raise DataError(
                f"FaceSet of pixels {self.pixels.shape} {self.pixels.dtype}, {len(self.labels)} labels, "
                f"{len(self.splits)} splits, {len(self.ids)} ids: expected uint8 (N, H, W) and N of each."
            )

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, split: str) -> FaceSet:
        """Return one split's faces in the same order; ``Training`` also finds ``train``, and so on.

        Raises ``DataError`` naming the splits there are.
        """
        present = sorted(set(self.splits.tolist()))
        name = split if split in present else SAME_PART.get(split, split)
        if name not in present:
            told = ", ".join(name or "no split at all" for name in present)
            raise DataError(f"No split {split!r}; this data has {told}.{nearest(split, present)}")
        return self.where(self.splits == name)

    def where(self, mask: NDArray[np.bool_]) -> FaceSet:
        """Return the faces for which ``mask``, bool (N,), is true."""
        ids = tuple(name for name, keep in zip(self.ids, mask, strict=True) if keep)
        return FaceSet(self.label_set, self.pixels[mask], self.labels[mask], self.splits[mask], ids)

    def counts(self) -> dict[str, int]:
        """Return the number of faces per class, classes in label order, empty ones included."""
        totals = np.bincount(self.labels, minlength=len(self.label_set))
        return dict(zip(self.label_set.labels, totals.tolist(), strict=True))

    @classmethod
    def from_manifest(cls, manifest: Manifest, scheme: Scheme | None = None, watch: Watch | None = None) -> FaceSet:
        """Return the faces of a manifest that have a class in ``scheme``; the others are counted in ``left_out``.

        scheme: None takes the smallest label set that holds all labels. Colour is turned into luminance grey.
        Raises ``DataError`` if the images differ in size, or a source has changed.
        """
        from mien.preprocess import grey

        nouns, datasets = manifest.column("label"), manifest.column("dataset")
        scheme = scheme or smallest({noun for noun in nouns if noun})
        words = [scheme.of(noun, dataset) for noun, dataset in zip(nouns, datasets, strict=True)]
        kept = manifest.where(np.array([word is not None for word in words], bool))
        images = [grey(image) for batch in kept.images(watch=watch) for image in batch.pixels]
        rows = list(zip(kept.column("id"), kept.column("split"), (word for word in words if word), strict=True))
        return _collect(rows, images, scheme, len(words) - len(rows))


def load(
    path: str | Path, scheme: Scheme | None = None, *, reader: str | None = None, watch: Watch | None = None
) -> FaceSet:
    """Read a manifest, or any corpus that ``readers.detect`` knows, into memory.

    scheme: None takes the smallest label set that holds all labels.  reader: None finds the format by itself.
    watch:  wraps the iterable of rows, for a progress bar.
    Raises ``FileMissingError`` and ``DataError``; the latter names file and row of the first thing that is broken.
    To go on without broken rows, index the corpus (``mien data index``), which lists them, and load the manifest.
    """
    from mien.datasets import manifest

    if manifest.is_manifest(path):
        return FaceSet.from_manifest(manifest.read(path), scheme, watch)
    return _from_corpus(path, scheme, reader, watch)


def _from_corpus(path: str | Path, scheme: Scheme | None, reader: str | None, watch: Watch | None) -> FaceSet:
    from mien.datasets import index, readers
    from mien.datasets.archive import open_source
    from mien.datasets.pixels import PixelReader
    from mien.datasets.rows import strictly
    from mien.preprocess import grey

    rows, images = [], []
    with open_source(path) as source:
        found = strictly(index.items(source, reader or readers.detect(source)[0]))
        read = PixelReader(source)
        for row in watch(found) if watch else found:
            try:
                images.append(grey(index.load(read, row)[0]))
            except (DataError, ImageError) as error:
                raise DataError(f"{path}: {row.member}: {error}") from error
            rows.append(row)
    scheme = scheme or smallest({row.label for row in rows if row.label})
    words = [scheme.of(row.label, row.dataset) for row in rows]
    kept = [place for place, word in enumerate(words) if word is not None]
    found_rows = [(rows[place].member, rows[place].split, words[place] or "") for place in kept]
    return _collect(found_rows, [images[place] for place in kept], scheme, len(rows) - len(kept))


def _collect(
    rows: Sequence[tuple[str, str, str]], images: Sequence[NDArray[np.uint8]], scheme: Scheme, left_out: int
) -> FaceSet:
    """Build the set from (id, split, class) and the grey image of each row."""
    if not rows:
        raise DataError(f"The data holds no row with a class of {scheme.classes.name}; {left_out} rows have none.")
    shapes = sorted({image.shape for image in images})
    if len(shapes) > 1:
        sizes = ", ".join(f"{width}×{height}" for height, width in shapes[:4])
        raise DataError(f"Images of {len(shapes)} sizes ({sizes}); expected one. Crop them with mien data prepare.")
    places = {word: place for place, word in enumerate(scheme.classes.labels)}
    ids, splits, words = zip(*rows, strict=True)
    labels = np.array([places[word] for word in words], np.int64)
    return FaceSet(scheme.classes, np.stack(images), labels, np.array(splits, str), ids, left_out)


def also_in(faces: FaceSet, others: FaceSet) -> NDArray[np.bool_]:
    """Return bool (N,): which of ``faces`` stand pixel for pixel in ``others`` too (exact copies only).

    Blank images, all pixels of one value, are no copies of a face: FER2013's one blank PublicTest image equals
    eleven blank Training images, and is the difference between 280 equal images and 279 copies.
    """
    seen = {image.tobytes() for image in others.pixels}
    return np.fromiter((image.tobytes() in seen and bool(np.ptp(image)) for image in faces.pixels), bool, len(faces))
