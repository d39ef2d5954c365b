"""Measure image quality (light, blur, noise, compression) and class means, in one pass over a corpus."""

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
    "noise": "standard deviation of the noise, grey levels",
    "blocks": "step at borders of 8 × 8 blocks (high = JPEG artefacts)",
}
"""Measure → its axis label."""

SIDE = 48

KEPT = 100_000
"""Maximum number of images kept for later comparisons (230 MB), which saves decoding the corpus again."""


@dataclass
class Measured:
    """Measurements of a corpus of N images.

    Attributes:
        values: measure → float32 (N,), in the order of the manifest.
        means: class → float64 (48, 48), mean face.
        sample: intp (S,), rows drawn for the PCA.
        pixels: uint8 (S, 48, 48), the images of ``sample``.
        colour: number of colour images.
        images: row → uint8 (48, 48) grey; empty for corpora of more than ``KEPT`` images.
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
    """Measure every image of a manifest, with one batch of pixels in memory. Raises as ``Manifest.images`` does."""
    count = len(manifest)
    measured = Measured({name: np.empty(count, np.float32) for name in MEASURES})
    draw = np.random.default_rng(seed)
    measured.sample = np.sort(draw.choice(count, min(sample, count), replace=False))
    chosen, kept = np.isin(np.arange(count), measured.sample), list[np.ndarray]()
    labels = manifest.array("label")
    sums: dict[str, NDArray[np.float64]] = {}
    for batch in manifest.images(watch=watch):
        stack = _resize([grey(image) for image in batch.pixels])
        span = slice(batch.start, batch.start + len(batch))
        measured.colour += sum(image.ndim == 3 for image in batch.pixels)
        for row, image in enumerate(batch.pixels, batch.start):
            for name, value in of_image(grey(image)).items():
                measured.values[name][row] = value
        for label in set(labels[span].tolist()) - {""}:
            part = stack[labels[span] == label]
            sums[label] = sums.get(label, np.zeros((SIDE, SIDE))) + part.sum(axis=0, dtype=np.float64)
        if count <= KEPT:
            measured.images.update(enumerate(stack, batch.start))
        kept.append(stack[chosen[span]])
    measured.means = {label: total / int((labels == label).sum()) for label, total in sorted(sums.items())}
    measured.pixels = np.concatenate(kept) if kept else measured.pixels
    return measured


def of_image(image: NDArray[np.uint8]) -> dict[str, float]:
    """Compute the ``MEASURES`` of a grey image, uint8 (H, W), in their order."""
    import cv2

    counts = np.bincount(image.ravel(), minlength=256)
    share = counts / image.size
    levels = np.arange(256)
    brightness = float(share @ levels)
    contrast = float(share @ (levels - brightness) ** 2) ** 0.5
    present = share[share > 0]
    edges = cv2.meanStdDev(cv2.Laplacian(image, cv2.CV_32F))[1]
    light = brightness, contrast, float(edges[0, 0]) ** 2, abs(float(present @ np.log2(present)))
    return dict(zip(MEASURES, (*light, estimate_noise(image), measure_blocks(image)), strict=True))


def estimate_noise(image: NDArray[np.uint8]) -> float:
    """Estimate the standard deviation of white noise in a grey image, uint8 (H, W), in grey levels (Immerkær 1996).

    The difference of two Laplacians does not see edges and slopes; fine texture counts as noise. 0 for images of fewer
    than 3 pixels a side.
    """
    import cv2

    height, width = image.shape
    if min(height, width) < 3:
        return 0.0
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    inside = cv2.filter2D(image, cv2.CV_32F, mask)[1:-1, 1:-1]
    return float(np.sqrt(np.pi / 2) * np.abs(inside).sum() / (6 * (width - 2) * (height - 2)))


def measure_blocks(image: NDArray[np.uint8]) -> float:
    """Return how much larger steps at the borders of 8 × 8 blocks are than other steps, in grey levels.

    Args:
        image: grey, uint8 (H, W). JPEG leaves such steps; resizing moves and blurs them, so that 0 does not mean that a
            photo was never compressed. 0 for images without two whole blocks a side.
    """
    if min(image.shape) < 16:
        return 0.0
    steps = [np.abs(np.diff(image.astype(np.float32), axis=axis)).mean(1 - axis) for axis in (0, 1)]
    borders = [(np.arange(len(step)) + 1) % 8 == 0 for step in steps]
    gaps = [step[border].mean() - step[~border].mean() for step, border in zip(steps, borders, strict=True)]
    return float(np.mean(gaps))


def _resize(images: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    import cv2

    area = cv2.INTER_AREA
    return np.stack(
        [
            image if image.shape == (SIDE, SIDE) else cv2.resize(image, (SIDE, SIDE), interpolation=area)
            for image in images
        ]
    ).astype(np.uint8, copy=False)


def find_extremes(
    values: NDArray[np.float32], count: int = 8, among: NDArray[np.bool_] | None = None
) -> tuple[list[int], list[int]]:
    """Return the rows with the lowest and the highest values, the most extreme first.

    Args:
        among: bool (N,), the rows to choose from; None: all.
    """
    order = np.argsort(values, kind="stable")
    order = order if among is None else order[among[order]]
    return order[:count].tolist(), order[::-1][:count].tolist()
