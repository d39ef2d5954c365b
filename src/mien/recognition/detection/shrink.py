"""Pixels reduced to the size of a search: halved as often as they can be, the rest interpolated."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_NEAR = 1.5
"""Times the wanted size."""


def shrink(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return ``pixels`` at a smaller size; ``pixels`` itself at its own size.

    Where both sides are even and at least twice as long as asked for, they are halved first: OpenCV has a fast loop
    for the mean of four. What is then left is averaged, or interpolated from the nearest four pixels where it is less
    than ``_NEAR``: 2 instead of 10.5 ms from 2000×1400 to 1600×1120, and no pixel is left out.

    Args:
        pixels: uint8 (H, W, 3) RGB or (H, W).
        size: width and height in pixels, neither above that of ``pixels``.
    """
    import cv2

    pixels = halve(pixels, size)
    if pixels.shape[1::-1] == size:
        return pixels
    near = pixels.shape[1] < _NEAR * size[0] and pixels.shape[0] < _NEAR * size[1]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR if near else cv2.INTER_AREA)  # type: ignore[return-value]


def halve(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return ``pixels`` halved as often as both sides are even and not below ``size``, width and height."""
    import cv2

    while (half := _half(pixels)) is not None and half[0] >= size[0] and half[1] >= size[1]:
        pixels = cv2.resize(pixels, half, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return pixels


def _half(pixels: NDArray[np.uint8]) -> tuple[int, int] | None:
    height, width = pixels.shape[:2]
    return None if height % 2 or width % 2 else (width // 2, height // 2)
