"""Degradation of training faces before preprocessing, as caused by light, lenses, sensors and compression.

Corpora hold posed or curated faces; users bring phone photos and webcams. Parameters are drawn from ranges for every
face of every batch; the robustness tests of ``evaluation.corruptions`` use fixed severities of their own.
Costs 0.05 ms per face with each probability at 0.2 to 0.4: a fiftieth of a training step of 3 million parameters.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from mien.datasets.lazy import Pixels
from mien.evaluation.robustness.corruptions import SIDE, streak
from mien.preprocess import apply
from mien.recipes.recipe import Recipe
from mien.recipes.tables import DegradeTable

Face = NDArray[np.uint8]
Draw = np.random.Generator


class DegradedFaces(Dataset[tuple[torch.Tensor, ...]]):
    """Batches of degraded faces: a list of indices → crops float32 (B, C, S, S) and their targets float32 (B, K)."""

    def __init__(self, pixels: Pixels, targets: torch.Tensor, recipe: Recipe) -> None:
        self.pixels, self.targets, self.recipe = pixels, targets, recipe

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: list[int]) -> tuple[torch.Tensor, ...]:
        # Seeded by the batch itself, whose order depends on seed and epoch: a resumed run sees the same faces.
        draw = np.random.default_rng([self.recipe.train.seed, *rows])
        degraded = degrade(self.pixels[rows], self.recipe.degrade, draw)
        return torch.from_numpy(apply(degraded, self.recipe.preprocess)), self.targets[rows]


def degrade(faces: Face, table: DegradeTable, draw: Draw) -> Face:
    """Degrade a copy of faces uint8 (N, S, S) grey or (N, S, S, 3) RGB, each with its own random parameters."""
    degraded = faces.copy()
    for name, change in _CHANGES.items():
        for row in np.flatnonzero(draw.random(len(degraded)) < getattr(table, name)):
            degraded[row] = change(degraded[row], draw)
    return degraded


def _light(face: Face, draw: Draw) -> Face:
    """Change gamma by 0.45 to 2.2 and gain by 0.4 to 1.5, and add a ramp of up to ±70 % from edge to edge."""
    height, width = face.shape[:2]
    angle, slope = draw.uniform(0, 2 * np.pi), draw.uniform(-0.7, 0.7)
    across = np.linspace(-0.5, 0.5, width) * np.cos(angle)
    ramp = 1 + slope * (across[None] + np.linspace(-0.5, 0.5, height)[:, None] * np.sin(angle))
    bright = (face / 255) ** np.exp(draw.uniform(-0.8, 0.8)) * np.exp(draw.uniform(-0.9, 0.4))
    return _levels(bright * (ramp if face.ndim == 2 else ramp[:, :, None]) * 255)


def _cover(face: Face, draw: Draw) -> Face:
    """Cover the face with an ellipse or rotated rectangle, up to 75 % of its width and 35 % high, of grey or noise."""
    side = face.shape[1]
    centre = tuple(draw.uniform(0.1, 0.9, 2) * side)
    size = (draw.uniform(0.15, 0.75) * side, draw.uniform(0.1, 0.35) * side)
    angle = draw.normal(0, 20) + 90 * (draw.random() < 0.3)
    mask = np.zeros(face.shape[:2], np.uint8)
    if draw.random() < 0.5:
        cv2.ellipse(mask, (centre, size, angle), 1, thickness=-1)
    else:
        cv2.fillConvexPoly(mask, np.round(cv2.boxPoints((centre, size, angle))).astype(np.int32), 1)
    pattern = draw.normal(draw.uniform(0, 255), draw.choice([0, 10, 40]), face.shape)
    return np.where((mask if face.ndim == 2 else mask[:, :, None]) > 0, _levels(pattern), face)


def _resolution(face: Face, draw: Draw) -> Face:
    """Shrink to 12 to 40 pixels of 48, and enlarge with one of three interpolations."""
    height, width = face.shape[:2]
    factor = np.exp(draw.uniform(np.log(12), np.log(40))) / SIDE
    small = cv2.resize(
        face, (max(2, round(width * factor)), max(2, round(height * factor))), interpolation=cv2.INTER_AREA
    )
    interpolation = int(draw.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4]))
    return np.asarray(cv2.resize(small, (width, height), interpolation=interpolation), np.uint8)


def _blur(face: Face, draw: Draw) -> Face:
    """Blur with a standard deviation of 0.4 to 1.8 pixels of 48, or with motion over 2 to 8 of them."""
    unit = face.shape[1] / SIDE
    if draw.random() < 0.5:
        wide = draw.uniform(0.4, 1.8) * unit
        return np.asarray(cv2.GaussianBlur(face, (0, 0), wide, borderType=cv2.BORDER_REPLICATE), np.uint8)
    kernel = streak(draw.uniform(2, 8) * unit, draw.uniform(0, 180))
    return np.asarray(cv2.filter2D(face, -1, kernel, borderType=cv2.BORDER_REPLICATE), np.uint8)


def _noise(face: Face, draw: Draw) -> Face:
    """Add Gaussian noise of 5 to 50 % of the face's contrast; half of the time as shot noise, stronger where bright."""
    # Relative to the contrast, not to the grey range: that would drown a face that was darkened before.
    wide = draw.uniform(0.05, 0.5) * face.std()
    spread = np.sqrt(face / max(face.mean(), 1.0)) if draw.random() < 0.5 else 1.0
    return _levels(face + draw.standard_normal(face.shape) * wide * spread)


def _jpeg(face: Face, draw: Draw) -> Face:
    """Compress with a JPEG quality of 12 to 80."""
    coded = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, int(draw.integers(12, 81))])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_UNCHANGED), np.uint8)


def _levels(values: NDArray[np.float64]) -> Face:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


_CHANGES: dict[str, Callable[[Face, Draw], Face]] = {
    "light": _light,
    "cover": _cover,
    "resolution": _resolution,
    "blur": _blur,
    "noise": _noise,
    "jpeg": _jpeg,
}
