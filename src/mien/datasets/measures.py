"""What can be measured on each image without knowing what it shows, and the averages over classes; one pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mien.datasets.manifest import Manifest
from mien.preprocess import grey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from numpy.typing import NDArray

MEASURES = {
    "brightness": "mean grey level, 0–255",
    "contrast": "standard deviation of grey levels",
    "sharpness": "variance of the Laplacian (low = blurred)",
    "entropy": "entropy of grey levels, bits (0–8)",
}
"""Measure → what it is, as an axis says it."""

SIDE = 48

KEPT = 100_000
"""Images that are held for the comparisons that follow: 230 MB, against opening and decoding the corpus again."""


@dataclass
class Measured:
    """values: measure → float32 (N,), in the order of the manifest.  means: class → float64 (48, 48) mean face.

    sample: rows drawn for the PCA, and ``pixels``, uint8 (S, 48, 48), what they look like.  colour: images with colour.
    images: row → grey 48×48, of all rows of a corpus with no more than ``KEPT``; of a larger one, none.
    """

    values: dict[str, NDArray[np.float32]]
    means: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    sample: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    pixels: NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, SIDE, SIDE), np.uint8))
    colour: int = 0
    images: dict[int, NDArray[np.uint8]] = field(default_factory=dict)


def measure(
    manifest: Manifest,
    *,
    sample: int = 3000,
    seed: int = 0,
    watch: Callable[[Iterable[Any]], Iterable[Any]] | None = None,
) -> Measured:
    """Measure every image of a manifest; one batch of pixels is held at a time. Raises as ``Manifest.images``."""
    count = len(manifest)
    found = Measured({name: np.empty(count, np.float32) for name in MEASURES})
    draw = np.random.default_rng(seed)
    found.sample = np.sort(draw.choice(count, min(sample, count), replace=False))
    chosen, kept = np.isin(np.arange(count), found.sample), list[np.ndarray]()
    labels = manifest.array("label")
    sums: dict[str, NDArray[np.float64]] = {}
    for batch in manifest.images(watch=watch):
        stack = _small([grey(image) for image in batch.pixels])
        places = slice(batch.start, batch.start + len(batch))
        found.colour += sum(image.ndim == 3 for image in batch.pixels)
        for row, image in enumerate(batch.pixels, batch.start):
            for name, value in of_image(grey(image)).items():
                found.values[name][row] = value
        for label in set(labels[places].tolist()) - {""}:
            part = stack[labels[places] == label]
            sums[label] = sums.get(label, np.zeros((SIDE, SIDE))) + part.sum(axis=0, dtype=np.float64)
        if count <= KEPT:
            found.images.update(enumerate(stack, batch.start))
        kept.append(stack[chosen[places]])
    found.means = {label: total / int((labels == label).sum()) for label, total in sorted(sums.items())}
    found.pixels = np.concatenate(kept) if kept else found.pixels
    return found


def of_image(image: NDArray[np.uint8]) -> dict[str, float]:
    """Return the ``MEASURES`` of a grey image, uint8 (H, W), in their order."""
    import cv2

    counts = np.bincount(image.ravel(), minlength=256)
    share = counts / image.size
    levels = np.arange(256)
    brightness = float(share @ levels)
    contrast = float(share @ (levels - brightness) ** 2) ** 0.5
    present = share[share > 0]
    edges = cv2.meanStdDev(cv2.Laplacian(image, cv2.CV_32F))[1]
    values = brightness, contrast, float(edges[0, 0]) ** 2, abs(float(present @ np.log2(present)))
    return dict(zip(MEASURES, values, strict=True))


def _small(images: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    import cv2

    area = cv2.INTER_AREA
    return np.stack(
        [each if each.shape == (SIDE, SIDE) else cv2.resize(each, (SIDE, SIDE), interpolation=area) for each in images]
    ).astype(np.uint8, copy=False)


def extremes(values: NDArray[np.float32], count: int = 8) -> tuple[list[int], list[int]]:
    """Return the rows with the lowest and with the highest values, the most extreme first."""
    order = np.argsort(values, kind="stable")
    return order[:count].tolist(), order[::-1][:count].tolist()
