"""The batch that the network will see, as a picture: the last look before hours of training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from mien import preprocess
from mien.datasets import sheets
from mien.learning import parts
from mien.learning.augment import Augment
from mien.learning.degrade import degrade

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.datasets.faces import FaceSet
    from mien.learning.recipe import Recipe


def batch(
    recipe: Recipe, faces: FaceSet, *, count: int = 32, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32], list[str]]:
    """Return what the network would get, float32 (N, C, S, S), before and after the recipe's changes, and the labels.

    The faces are drawn from the training side. Raises ``DataError`` if there is none.
    """
    part = parts.arrange(faces, recipe.data).part(parts.TRAIN)
    chosen = np.random.default_rng(seed).choice(len(part), min(count, len(part)), replace=False)
    plain = preprocess.apply(part.pixels[chosen], recipe.preprocess)
    worse = degrade(part.pixels[chosen], recipe.degrade, np.random.default_rng(seed))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        changed = Augment(recipe.augment)(torch.from_numpy(preprocess.apply(worse, recipe.preprocess))).numpy()
    return plain, changed, [faces.label_set.labels[label] for label in part.labels[chosen]]


def write(recipe: Recipe, faces: FaceSet, out: str | Path, *, count: int = 32, seed: int = 0) -> str:
    """Write the picture as PNG and return its caption: shape, dtype, range and channels."""
    plain, changed, labels = batch(recipe, faces, count=count, seed=seed)
    caption = (
        f"{tuple(changed.shape)} {changed.dtype}, {changed.min():.2f} to {changed.max():.2f}, "
        f"mean {changed.mean():.2f}, {changed.shape[1]} channel{'s' if changed.shape[1] > 1 else ''}"
    )
    groups = [
        (f"{name}: {told}", list(zip(_shown(values), labels, strict=True)))
        for name, told, values in (
            (f"{recipe.name}, as the network sees it", caption, changed),
            ("the same faces", "before degradation and augmentation", plain),
        )
    ]
    sheets.save(sheets.draw_sheet(groups, columns=8), Path(out))
    return caption


def _shown(values: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
    """Return each face as uint8 (S, S) or (S, S, 3); the batch's range, but for a hundredth each side, is 0 to 255."""
    low, high = np.quantile(values, (0.01, 0.99))
    scaled = np.clip((values - low) / max(float(high - low), 1e-6) * 255, 0, 255).astype(np.uint8)
    return [face[0] if len(face) == 1 else np.ascontiguousarray(face.transpose(1, 2, 0)) for face in scaled]
