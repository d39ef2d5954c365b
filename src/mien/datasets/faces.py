"""What every reader returns: face crops with labels and the corpus's own split, in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError, nearest
from mien.labels import LabelSet


@dataclass(frozen=True)
class FaceSet:
    """N labelled face crops of one corpus.

    pixels: uint8 (N, H, W) grey.  labels: int64 (N,), index into ``label_set``.
    splits: (N,) strings, the corpus's own parts.  ids: N distinct names that point back to the source.
    """

    label_set: LabelSet
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    splits: NDArray[np.str_]
    ids: tuple[str, ...]

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
        """Return one split's faces in the same order. Raises ``DataError`` naming the splits there are."""
        present = sorted(set(self.splits.tolist()))
        if split not in present:
            raise DataError(f"No split {split!r}; this data has {', '.join(present)}.{nearest(split, present)}")
        return self.where(self.splits == split)

    def where(self, mask: NDArray[np.bool_]) -> FaceSet:
        """Return the faces for which ``mask``, bool (N,), is true."""
        ids = tuple(name for name, keep in zip(self.ids, mask, strict=True) if keep)
        return FaceSet(self.label_set, self.pixels[mask], self.labels[mask], self.splits[mask], ids)

    def counts(self) -> dict[str, int]:
        """Return the number of faces per class, classes in label order, empty ones included."""
        totals = np.bincount(self.labels, minlength=len(self.label_set))
        return dict(zip(self.label_set.labels, totals.tolist(), strict=True))


def also_in(faces: FaceSet, others: FaceSet) -> NDArray[np.bool_]:
    """Return bool (N,): which of ``faces`` stand pixel for pixel in ``others`` too (exact copies only)."""
    seen = {image.tobytes() for image in others.pixels}
    return np.fromiter((image.tobytes() in seen for image in faces.pixels), bool, len(faces))
