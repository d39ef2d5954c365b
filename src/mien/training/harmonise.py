"""Training faces of several corpora: what differs between corpora and says nothing of expressions is made random.

Masks are put on and taken off, frame and scale vary, colour comes and goes; then light, lenses and compression do
their part (``degrade``). Each face is warped straight to the epoch's size: one resampling for turn, shift, zoom and
size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from mien.datasets.faces import FaceSet
from mien.preprocess import apply
from mien.recipes.recipe import Recipe
from mien.recipes.tables import AugmentTable
from mien.training.degrade import degrade

Face = NDArray[np.uint8]
Draw = np.random.Generator

_BLACK = 12
"""What JPEG or WebP leave of black: 0 to about 12 of 255."""


class CorpusFaces(Dataset[tuple[torch.Tensor, ...]]):
    """Batches of faces: a list of indices → crops float32 (B, C, S, S), S of the epoch, and their targets.

    Args:
        faces: pixels uint8 (N, H, W, 3) RGB or (N, H, W) grey, square.
        targets: float32 (N, …).
        epoch: returns the number of the epoch in progress.
    """

    def __init__(self, faces: FaceSet, targets: torch.Tensor, recipe: Recipe, epoch: Callable[[], int]) -> None:
        self.pixels, self.targets, self.recipe, self.epoch = faces.pixels, targets, recipe, epoch
        datasets = np.array([""] * len(faces)) if faces.datasets is None else faces.datasets
        self.masked = np.isin(datasets, recipe.data.corpora.masked)
        self.uncut = np.isin(datasets, recipe.data.corpora.uncut)
        self.outlines = np.flatnonzero(self.masked)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: list[int]) -> tuple[torch.Tensor, ...]:
        epoch = self.epoch()
        # Seeded by epoch and batch, whose order comes from seed and epoch: a resumed run sees the same faces.
        draw = np.random.default_rng([self.recipe.train.seed, epoch, *rows])
        size = self.recipe.size_at(epoch)
        # All at once, because images that are not in memory are then read in parallel.
        faces = np.stack([self._face(row, face, size, draw) for row, face in zip(rows, self.pixels[rows], strict=True)])
        faces = degrade(faces, self.recipe.degrade, draw)
        faces = np.stack([self._coloured(face, draw) for face in faces])
        spec = self.recipe.preprocess
        return torch.from_numpy(apply(faces, replace(spec, size=size))), self.targets[rows]

    def _face(self, row: int, face: Face, size: int, draw: Draw) -> Face:
        table = self.recipe.harmonise
        cut = self.masked[row] or self.uncut[row]
        if self.uncut[row] or (not cut and draw.random() < table.mask):
            face = self._cut_out(face, draw)
        if cut and draw.random() < table.fill:
            face = filled(face, self.pixels[int(draw.integers(len(self.pixels)))], draw)
        return warped(face, size, self.recipe.augment, draw)

    def _cut_out(self, face: Face, draw: Draw) -> Face:
        """Return the face on black, with the outline of a masked corpus's face where there is one."""
        if not len(self.outlines):
            return masked(face, draw)
        outside = _outside(self.pixels[int(draw.choice(self.outlines))])
        cut = face.copy()
        cut[outside] = 0
        return cut

    def _coloured(self, face: Face, draw: Draw) -> Face:
        table = self.recipe.harmonise
        if face.ndim == 2:
            return face
        if draw.random() < table.cast:
            gains = np.exp(draw.normal(0, 0.1, 3))
            levels = np.clip(np.arange(256)[:, None] * gains[None], 0, 255).astype(np.uint8)
            face = np.asarray(cv2.LUT(face, levels[None]), np.uint8)
        if draw.random() < table.grey:
            face = np.repeat(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
        return face


def masked(face: Face, draw: Draw) -> Face:
    """Return a face whose surroundings are black, as AffectNet's cut-out copies are: an oval around the face."""
    side = face.shape[0]
    centre = (side * (0.5 + draw.normal(0, 0.03)), side * (0.5 + draw.normal(0, 0.03)))
    axes = (side * draw.uniform(0.66, 1.0), side * draw.uniform(0.84, 1.15))
    oval = np.zeros(face.shape[:2], np.uint8)
    cv2.ellipse(oval, (centre, axes, float(draw.normal(0, 5))), 1, thickness=-1)
    cut: Face = face * (oval[..., None] if face.ndim == 3 else oval)
    return cut


def filled(face: Face, other: Face, draw: Draw) -> Face:
    """Return a cut-out face before something else than black: a colour, a colour with noise, or ``other``'s pixels."""
    outside = _outside(face)
    if not outside.any():
        return face
    # The resampled edge of the outline is darker than the face; it goes with the black.
    outside = cv2.dilate(outside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    kind = int(draw.integers(3))
    if kind == 0:
        ground: NDArray[Any] = np.broadcast_to(draw.integers(0, 256, face.shape[2:], dtype=np.uint8), face.shape)
    elif kind == 1:
        noise = cv2.resize(draw.integers(0, 256, (8, 8, *face.shape[2:]), dtype=np.uint8), face.shape[:2])
        ground = np.asarray(noise)
    else:
        ground = cv2.GaussianBlur(other, (0, 0), face.shape[0] / 16)
    whole = face.copy()
    whole[outside] = ground[outside]
    return whole


def _outside(face: Face) -> NDArray[np.bool_]:
    """Return bool (H, W): the black that hangs together with a corner of the picture."""
    light = face if face.ndim == 2 else face.max(axis=2)
    dark = np.ascontiguousarray(light <= _BLACK, np.uint8)
    height, width = dark.shape
    for corner in ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)):
        if dark[corner[1], corner[0]] == 1:
            cv2.floodFill(dark, None, corner, 2)
    return np.asarray(dark == 2)


def warped(face: Face, size: int, table: AugmentTable, draw: Draw) -> Face:
    """Return the face turned, shifted, zoomed and mirrored as ``[augment]`` says, ``size`` pixels wide.

    What leaves the frame is filled by the nearest edge pixels. Where the size shrinks, area averages come first.
    """
    side = face.shape[0]
    zoom = np.exp(draw.uniform(np.log1p(-table.zoom), np.log1p(table.zoom))) * size / side
    stretch = np.exp(draw.normal(0, table.zoom / 4))
    angle = np.deg2rad(draw.uniform(-table.rotate, table.rotate))
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ np.diag([stretch * (-1 if draw.random() < table.flip else 1), 1 / stretch])
    middle = (side - 1) / 2
    target = (size - 1) / 2 + draw.uniform(-table.shift, table.shift, 2) * size
    move = target - turn @ np.array([middle, middle])
    matrix = np.column_stack([turn, move])
    moved = cv2.warpAffine(face, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)
