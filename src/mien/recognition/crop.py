"""Picture + face box → square face crop, the same for training pictures, photos and video frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mien.errors import ImageError, OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.results import Box, Point

MAX_SIDE = 512
"""Crops are at the picture's own resolution, but never larger than this many pixels a side."""

_MAX_TURN = 45.0
_DOWN = ((0, 1), (-1, 0), (0, -1), (1, 0))  # from brow to chin in (x, y), by quarters clockwise
# Turning resamples every pixel, which blurs small faces more than a degree of tilt disturbs a network.
_MIN_TURN = 1.0


@dataclass(frozen=True)
class CropSpec:
    """How much of the picture around a detector's box the network sees.

    Attributes:
        scale: side of the square in units of sqrt(width × height) of the box; above 0.
        shift: how far the centre moves down, in units of the box height.
        align: turn the crop so that the eyes are level, where landmarks exist: by up to 45° where they are the eyes'
            alone, all the way round where the mouth lies as the eyes say.
    """

    scale: float
    shift: float
    align: bool

    def __post_init__(self) -> None:
        if not 0.1 <= self.scale <= 10 or not -1 <= self.shift <= 1:
            raise OptionError(f"{self}: expected a scale from 0.1 to 10 and a shift from -1 to 1.")


def cut(pixels: NDArray[np.uint8], box: Box, landmarks: Sequence[Point] | None, spec: CropSpec) -> NDArray[np.uint8]:
    """Return the face as uint8 (S, S, 3) or (S, S), 1 <= S <= 512, in the colours of ``pixels``.

    Args:
        pixels: uint8 (H, W, 3) or (H, W). Outside the picture its border is repeated. Without a turn no pixel is
            resampled. A box that is the whole picture, with scale 1 and no shift, gives the picture itself, square or
            not.

    Raises:
        ImageError: the box or a landmark is not finite.
    """
    height, width = pixels.shape[:2]
    frame = _frame((height, width), box, landmarks, spec)
    if frame is None:
        return pixels
    centre, side, angle = frame
    if angle == 0:
        return _shrink(_square(pixels, centre, side), MAX_SIDE)
    return _turned(pixels, centre, side, angle)


def corners(
    shape: tuple[int, int], box: Box, landmarks: Sequence[Point] | None, spec: CropSpec
) -> tuple[Point, Point, Point]:
    """Return where the upper left, upper right and lower left corners of ``cut``'s crop lie in the picture.

    Args:
        shape: height and width of the picture. The points are (x, y) in pixels, where whole numbers are edges between
            pixels; exact to the pixel to which ``cut`` rounds.

    Raises:
        ImageError: as ``cut`` does.
    """
    height, width = shape
    frame = _frame(shape, box, landmarks, spec)
    if frame is None:
        return (0.0, 0.0), (float(width), 0.0), (0.0, float(height))
    (x, y), side, angle = frame
    across = (side / 2 * math.cos(math.radians(angle)), side / 2 * math.sin(math.radians(angle)))
    down = (-across[1], across[0])
    signs = ((-1, -1), (1, -1), (-1, 1))
    first, second, third = ((x + a * across[0] + b * down[0], y + a * across[1] + b * down[1]) for a, b in signs)
    return first, second, third


def _frame(
    shape: tuple[int, int], box: Box, landmarks: Sequence[Point] | None, spec: CropSpec
) -> tuple[Point, float, float] | None:
    """Return centre, side and turn in degrees of the crop's square; None where the crop is the picture itself."""
    height, width = shape
    if not all(math.isfinite(value) for value in (box.left, box.top, box.width, box.height)):
        raise ImageError(f"{box} is not finite: expected pixels.")
    if (box.left, box.top, box.width, box.height, spec) == (0, 0, width, height, CropSpec(1, 0, False)):
        return None
    # Four pictures wide shows nothing but border already; the limit keeps a senseless box from eating memory.
    side = min(spec.scale * math.sqrt(max(box.width * box.height, 0.0)), 4.0 * max(height, width))
    angle = _tilt(landmarks) if spec.align and landmarks else 0.0
    down, long = _DOWN[round(angle / 90) % 4], box.width if round(angle / 90) % 2 else box.height
    middle = (box.left + box.width / 2, box.top + box.height / 2)
    centre = (middle[0] + spec.shift * long * down[0], middle[1] + spec.shift * long * down[1])
    return centre, side, angle if abs(angle) >= _MIN_TURN else 0.0


def _tilt(landmarks: Sequence[Point]) -> float:
    """Degrees by which the line through the eyes falls to the picture's right, above -180 and up to 180."""
    (x0, y0), (x1, y1) = landmarks[0], landmarks[1]
    if not all(math.isfinite(value) for value in (x0, y0, x1, y1)):
        raise ImageError(f"Landmarks {tuple(landmarks)} are not finite: expected pixels.")
    angle = math.degrees(math.atan2(y1 - y0, x1 - x0)) if (x0, y0) != (x1, y1) else 0.0
    if abs(angle) > _MAX_TURN and _mouth_agrees(landmarks, angle):
        return angle
    return max(-_MAX_TURN, min(_MAX_TURN, angle))


def _mouth_agrees(landmarks: Sequence[Point], angle: float) -> bool:
    """Whether the mouth lies below the eyes, within 45°, of a face that is turned by ``angle``."""
    if len(landmarks) < 5:
        return False
    marks = np.asarray(landmarks, float)
    x, y = marks[3:5].mean(0) - marks[:2].mean(0)
    radians = math.radians(angle)
    return float(y * math.cos(radians) - x * math.sin(radians)) > math.cos(math.pi / 4) * math.hypot(x, y)


def _square(pixels: NDArray[np.uint8], centre: tuple[float, float], side: float) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    size = max(1, round(side))
    columns, rows = _span(centre[0], size, width), _span(centre[1], size, height)
    if rows[0] == rows[-1] - size + 1 and columns[0] == columns[-1] - size + 1:
        return np.ascontiguousarray(pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    return np.ascontiguousarray(pixels[rows[:, None], columns])


def _span(middle: float, size: int, limit: int) -> NDArray[np.intp]:
    """Indices of ``size`` pixels around ``middle``; those outside point at the border."""
    # Clamped before rounding: far outside there is border only, and huge floats do not fit an index.
    start = round(max(-2.0 * size - limit, min(middle - size / 2, 2.0 * (size + limit))))
    # Every second pixel of a square above 4096 still averages 4 × 4 into one, at a quarter of the memory.
    return np.clip(np.arange(start, start + size, 1 + size // (8 * MAX_SIDE)), 0, limit - 1)


def _shrink(crop: NDArray[np.uint8], limit: int) -> NDArray[np.uint8]:
    if crop.shape[0] <= limit:
        return crop
    import cv2

    return cv2.resize(crop, (limit, limit), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _turned(pixels: NDArray[np.uint8], centre: tuple[float, float], side: float, angle: float) -> NDArray[np.uint8]:
    import cv2

    radians = math.radians(angle)
    reach = side * (abs(math.cos(radians)) + abs(math.sin(radians)))
    # First the upright square that holds the turned one, shrunk by averaging, since warpAffine itself would alias.
    factor = min(1.0, MAX_SIDE / max(side, 1.0))
    outer = _shrink(_square(pixels, centre, reach), max(1, round(reach * factor)))
    size = max(1, min(MAX_SIDE, round(side * factor)))
    matrix = np.array(cv2.getRotationMatrix2D(((len(outer) - 1) / 2,) * 2, angle, 1.0), np.float64)
    matrix[:, 2] -= (len(outer) - size) / 2
    return cv2.warpAffine(outer, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[return-value]
