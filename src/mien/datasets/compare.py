"""Find duplicate images between two splits: by checksum, or by perceptual hash and then by pixels.

The thresholds were chosen on 1,000 altered faces of FER2013 and on 1.4 million pairs of different people in CK+ and
KDEF, whose aligned photos are the most similar: no such pair correlated above 0.88, whereas 99.4 % of faces re-encoded
as JPEG of quality 30 correlated above 0.9 with the original. ``docs/lab/duplicates.md`` has the tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.datasets.manifest import BLANK, Manifest
from mien.datasets.pixels import MIRROR, compute_hashes
from mien.preprocess import grey

if TYPE_CHECKING:
    from numpy.typing import NDArray

DISTANCE = 12
"""Maximum number of differing hash bits of a candidate. 96 % of faces shifted by one pixel in x and y pass."""

CORRELATION = 0.9
"""Minimum correlation of fine detail; candidates below it are different pictures."""

SIDE = 48
_BLOCK = 512
_SKETCH = 16
_SLACK = 0.2
"""Margin below ``CORRELATION`` within which sketches must correlate for a pair to be compared in full."""
_BLUR = 4.0
_SHIFT = 1

Pair = tuple[int, int, float]


@dataclass(frozen=True)
class Variant:
    """A transform that a copy may have undergone: flip, then rotation, zoom and shift (as a share of the side)."""

    kind: str
    mirror: bool = False
    degrees: float = 0.0
    zoom: float = 1.0
    right: float = 0.0
    down: float = 0.0

    @property
    def moves(self) -> bool:
        """Whether pixels have to be resampled, so that the stored hash cannot be used."""
        return bool(self.degrees or self.zoom != 1 or self.right or self.down)

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Apply the transform to a grey image."""
        import cv2

        image = np.ascontiguousarray(image[:, ::-1]) if self.mirror else image
        if not self.moves:
            return image
        height, width = image.shape
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), self.degrees, self.zoom)
        matrix[:, 2] += (self.right * width, self.down * height)
        return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)  # type: ignore[return-value]


QUICK = (Variant("near"), Variant("mirrored", mirror=True))
ALL = (
    *QUICK,
    *(Variant("augmented", degrees=degrees) for degrees in (-10.0, -7.5, -5.0, -2.5, 2.5, 5.0, 7.5, 10.0)),
    *(Variant("augmented", zoom=zoom) for zoom in (0.9, 0.95, 1.05, 1.1)),
    *(Variant("augmented", right=share) for share in (-0.1, -0.05, 0.05, 0.1)),
    *(Variant("augmented", down=share) for share in (-0.1, -0.05, 0.05, 0.1)),
)
"""The augmentations of systems A to E: flip, rotation up to ±10°, zoom 0.9–1.1, shift up to a tenth of the side."""


class Search:
    """Finds equal and similar images among the rows of one manifest; blank images are never reported as copies."""

    def __init__(
        self,
        manifest: Manifest,
        distance: int = DISTANCE,
        correlation: float = CORRELATION,
        images: dict[int, NDArray[np.uint8]] | None = None,
    ) -> None:
        self.manifest, self.distance, self.correlation = manifest, distance, correlation
        self._checksums = manifest.array("sha256")
        self._hashes = manifest.array("phash")
        self._usable = ~manifest.flagged(BLANK)
        self._images: dict[int, NDArray[np.uint8]] = {}
        self._sketches = np.zeros((len(manifest), _SKETCH**2), np.float16)
        self._cache(list((images or {}).items()))

    def exact(self, first: NDArray[np.intp], second: NDArray[np.intp]) -> Iterator[Pair]:
        """Yield (row of first, row of second, 1.0) of all pairs with the same pixels."""
        first, second = first[self._usable[first]], second[self._usable[second]]
        rows_of: dict[str, list[int]] = {}
        for row in first.tolist():
            rows_of.setdefault(str(self._checksums[row]), []).append(row)
        for row in second.tolist():
            yield from ((other, row, 1.0) for other in rows_of.get(str(self._checksums[row]), ()))

    def near(self, first: NDArray[np.intp], second: NDArray[np.intp], variant: Variant) -> Iterator[Pair]:
        """Yield (row of first, row of second, correlation) where the second, transformed by ``variant``, is the first.

        The unmirrored pairs include exact copies.
        """
        first, second = first[self._usable[first]], second[self._usable[second]]
        if not len(first) or not len(second):
            return
        mine = _unpack_signs(self._hashes[first])
        for start in range(0, len(second), _BLOCK):
            left, right = self._candidates(first, mine, second[start : start + _BLOCK], variant)
            for offset in range(0, len(left), _BLOCK):
                pairs = left[offset : offset + _BLOCK], right[offset : offset + _BLOCK]
                values = self._correlate(*pairs, variant)
                for hit in np.flatnonzero(values >= self.correlation).tolist():
                    yield int(pairs[0][hit]), int(pairs[1][hit]), float(values[hit])

    def _candidates(
        self, first: NDArray[np.intp], mine: NDArray[np.float32], second: NDArray[np.intp], variant: Variant
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the pairs to compare in full: those with similar hashes and similar sketches.

        Aligned faces, masked ones above all, have similar hashes. Comparing every such pair in full would take hours
        for the photo corpora; sketches leave a few.
        """
        # With bits as ±1, the product is the number of equal bits minus that of different ones.
        like = _unpack_signs(self._hash_variant(second, variant)) @ mine.T >= 64 - 2 * self.distance
        columns, rows = np.flatnonzero(like.any(axis=0)), np.flatnonzero(like.any(axis=1))
        if not len(columns):
            return columns, rows
        self._fetch(np.concatenate([first[columns], second[rows]]))
        theirs = _sketches([variant.apply(image) for image in self._cached(second[rows])])
        alike = theirs @ self._sketches[first[columns]].astype(np.float32).T >= self.correlation - _SLACK
        hits = np.nonzero(alike & like[np.ix_(rows, columns)])
        return first[columns[hits[1]]], second[rows[hits[0]]]

    def _hash_variant(self, rows: NDArray[np.intp], variant: Variant) -> NDArray[np.uint64]:
        if not variant.moves:
            return self._hashes[rows] ^ MIRROR if variant.mirror else self._hashes[rows]
        self._fetch(rows)
        return compute_hashes([variant.apply(image) for image in self._cached(rows)])

    def _correlate(self, one: NDArray[np.intp], other: NDArray[np.intp], variant: Variant) -> NDArray[np.float32]:
        mine = _detail(self._cached(one))
        theirs = _detail([variant.apply(image) for image in self._cached(other)])
        return _best_correlation(mine, theirs)

    def _fetch(self, rows: NDArray[np.intp]) -> None:
        """Read missing rows in one pass and cache them as grey 48×48 (2.8 kB each), as every variant needs them."""
        missing = np.array(sorted(set(rows.tolist()) - self._images.keys()), np.int64)
        for batch in self.manifest.take(missing).images():
            small = [_reduce(image) for image in map(grey, batch.pixels)]
            rows_read = missing[batch.start : batch.start + len(batch)].tolist()
            self._cache(list(zip(rows_read, small, strict=True)))

    def _cache(self, images: list[tuple[int, NDArray[np.uint8]]]) -> None:
        for start in range(0, len(images), _BLOCK):
            block = images[start : start + _BLOCK]
            self._images.update(block)
            self._sketches[[row for row, _ in block]] = _sketches([image for _, image in block])

    def _cached(self, rows: NDArray[np.intp]) -> list[NDArray[np.uint8]]:
        return [self._images[row] for row in rows.tolist()]


def _reduce(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a grey image as uint8 (48, 48)."""
    import cv2

    if image.shape == (SIDE, SIDE):
        return image
    return np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _unpack_signs(values: NDArray[np.uint64]) -> NDArray[np.float32]:
    bits = np.unpackbits(values.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
    return bits.astype(np.float32) * 2 - 1


def _detail(batch: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Return float32 (N, 48, 48): fine detail, without the coarse shading that all frontal faces share."""
    stack = np.stack(batch).astype(np.float32)
    blur = _blur()
    return np.asarray(stack - blur @ stack @ blur.T, np.float32)


def _sketches(batch: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Return float32 (N, 256): fine detail averaged over 3×3 pixels, each row of mean 0 and norm 1."""
    step = SIDE // _SKETCH
    pooled = _detail(batch).reshape(-1, _SKETCH, step, _SKETCH, step).mean(axis=(2, 4))
    return np.asarray(_normalise(pooled), np.float32)


@lru_cache(maxsize=1)
def _blur() -> NDArray[np.float32]:
    """Return float32 (48, 48): Gaussian blur along one axis, each row of weight 1."""
    positions = np.arange(SIDE)
    weights = np.exp(-((positions[:, None] - positions) ** 2) / (2 * _BLUR**2))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def _best_correlation(mine: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 (N,): the highest correlation over shifts of up to one pixel, without the margins."""
    margin = _SHIFT + 1
    fixed = _normalise(mine[:, margin:-margin, margin:-margin])
    best = np.full(len(mine), -1, np.float32)
    inner = SIDE - 2 * margin
    for down in range(margin - _SHIFT, margin + _SHIFT + 1):
        for right in range(margin - _SHIFT, margin + _SHIFT + 1):
            moved = _normalise(theirs[:, down : down + inner, right : right + inner])
            best = np.maximum(best, np.einsum("nk,nk->n", fixed, moved), dtype=np.float32)
    return best


def _normalise(window: NDArray[np.float32]) -> NDArray[Any]:
    flat = window.reshape(len(window), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-3))
