"""A face cut out of its photo for people and programs: upright, square, at any size."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.errors import OptionError
from mien.recognition.crop import corners

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.recognition.crop import CropSpec
    from mien.results import Face

LARGEST = 8192
"""Pixels of a side at most."""


@dataclass(frozen=True)
class Portraits:
    """The photo that faces were found in, uint8 (H, W, 3) RGB, and how much of it the network sees of a face."""

    pixels: NDArray[np.uint8]
    spec: CropSpec

    def crop(self, face: Face, size: int | None, margin: float) -> NDArray[np.uint8]:
        """Return the face as ``Face.crop`` does."""
        if size is not None and not 1 <= size <= LARGEST:
            raise OptionError(f"size = {size}: expected 1 to {LARGEST} pixels, or None for the photo's own resolution.")
        if not 0 <= margin <= 8:
            raise OptionError(f"margin = {margin}: expected a share of the face from 0 to 8.")
        spec = replace(self.spec, scale=self.spec.scale * (1 + margin)) if margin else self.spec
        square = np.array(corners(self.pixels.shape[:2], face.box, face.landmarks, spec))
        return _warped(self.pixels, square, size)


def _warped(pixels: NDArray[np.uint8], square: NDArray[np.float64], size: int | None) -> NDArray[np.uint8]:
    """Return what lies between the upper left, upper right and lower left corners of ``square``."""
    import cv2

    sides = np.hypot(*(square[1:] - square[0]).T)
    width, height = (min(max(1, round(side)), LARGEST) for side in sides) if size is None else (size, size)
    # Drawn at a whole multiple and averaged down, as warpAffine itself would skip pixels.
    factor = max(1, math.ceil(min(max(sides), LARGEST) / max(width, height)))
    drawn = np.array([(0, 0), (width, 0), (0, height)], np.float64) * factor - 0.5
    matrix = cv2.getAffineTransform((square - 0.5).astype(np.float32), drawn.astype(np.float32))
    options: dict[str, Any] = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
    large: Any = cv2.warpAffine(pixels, matrix, (width * factor, height * factor), **options)
    shown: NDArray[np.uint8] = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)
    return shown
