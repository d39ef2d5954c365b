"""Preview a training batch as an image, after degradation and augmentation, before hours of training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from mien import preprocess
from mien.reporting import sheets
from mien.training import parts
from mien.training.augment import Augment
from mien.training.degrade import degrade

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.datasets.faces import FaceSet
    from mien.recipes.recipe import Recipe


def batch(
    recipe: Recipe, faces: FaceSet, *, count: int = 32, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32], list[str]]:
    """Return a training batch, float32 (N, C, S, S), without and with degradation and augmentation, and the labels.

    The faces are drawn from the training set.

    Raises:
        DataError: there is none.
    """
    part = parts.arrange(faces, recipe.data).part(parts.TRAIN)
    chosen = np.random.default_rng(seed).choice(len(part), min(count, len(part)), replace=False)
    plain = preprocess.apply(part.pixels[chosen], recipe.preprocess)
    degraded = degrade(part.pixels[chosen], recipe.degrade, np.random.default_rng(seed))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        augmented = Augment(recipe.augment)(torch.from_numpy(preprocess.apply(degraded, recipe.preprocess))).numpy()
    return plain, augmented, [faces.label_set.labels[label] for label in part.labels[chosen]]


def write(recipe: Recipe, faces: FaceSet, out: str | Path, *, count: int = 32, seed: int = 0) -> str:
    """Write the image as PNG and return its caption: shape, dtype, range and channels."""
    plain, augmented, labels = batch(recipe, faces, count=count, seed=seed)
    caption = (
        f"{tuple(augmented.shape)} {augmented.dtype}, {augmented.min():.2f} to {augmented.max():.2f}, "
        f"mean {augmented.mean():.2f}, {augmented.shape[1]} channel{'s' if augmented.shape[1] > 1 else ''}"
    )
    groups = [
        (f"{name}: {note}", list(zip(_to_images(values), labels, strict=True)))
        for name, note, values in (
            (f"{recipe.name}, as the network sees it", caption, augmented),
            ("the same faces", "before degradation and augmentation", plain),
        )
    ]
    sheets.save(sheets.draw_sheet(groups, columns=8), Path(out))
    return caption


def _to_images(values: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
    """Convert to images uint8 (S, S) or (S, S, 3); the batch's 1st to 99th percentile is mapped to 0 to 255."""
    low, high = np.quantile(values, (0.01, 0.99))
    scaled = np.clip((values - low) / max(float(high - low), 1e-6) * 255, 0, 255).astype(np.uint8)
    return [face[0] if len(face) == 1 else np.ascontiguousarray(face.transpose(1, 2, 0)) for face in scaled]
