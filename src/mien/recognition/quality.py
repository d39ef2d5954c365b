"""How well a photo shows a face: large enough, sharp, towards the camera, and not cut off by the frame.

Four measures and a limit for each, so that an application can leave out faces whose emotion nobody should believe.
The limits were set with ``benchmarks/face_quality.py``; docs/predict.md has the table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mien.preprocess import grey
from mien.results import Quality

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.recognition.detection.detect import Detection
    from mien.results import Point

LEAST_SIZE = 28.0
"""Pixels of the photo, the root of width × height of the box."""

LEAST_SHARPNESS = 0.22
LARGEST_TURN = 35.0
LEAST_INSIDE = 0.7

_SIDE = 48
# From the middle of the landmarks to the brow and to the chin, in halves of the face's width: medians of KDEF and CK+.
_UP, _DOWN = 1.1, 1.15
# How far the tip of the nose stands out before the line of the eyes, in distances between the pupils.
_NOSE = 0.5


def measure(shape: tuple[int, int], detection: Detection, crop: NDArray[np.uint8]) -> Quality:
    """Return the quality of one face.

    Args:
        shape: height and width of the photo.
        crop: what ``crop.cut`` cut out for it, uint8 (S, S, 3) RGB or (S, S).
    """
    size = math.sqrt(max(detection.box.width * detection.box.height, 0.0))
    sharp, inside, turned = sharpness(crop), share_inside(shape, detection), turn(detection.landmarks)
    reasons = {
        "tiny": size < LEAST_SIZE,
        "blurred": sharp < LEAST_SHARPNESS,
        "turned": turned is not None and turned > LARGEST_TURN,
        "cut off": inside < LEAST_INSIDE,
    }
    return Quality(size, sharp, turned, inside, tuple(reason for reason, true in reasons.items() if true))


def sharpness(crop: NDArray[np.uint8]) -> float:
    """Return the detail of a crop at 48 pixels: deviation of its Laplacian over its own; 0 for a plain surface.

    At the size that networks see, because a blur that vanishes in it does no harm.
    """
    import cv2

    small = cv2.resize(grey(crop), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    deviation = float(small.std())
    return float(cv2.Laplacian(small, cv2.CV_32F).std()) / deviation if deviation > 1 else 0.0


def share_inside(shape: tuple[int, int], detection: Detection) -> float:
    """Return the share of a face that lies in a photo of height and width ``shape``, 0 to 1.

    A detector's box ends where the photo does. So the face is taken to reach as far to one side of its landmarks as the
    box does to the other; without landmarks it is the box.
    """
    height, width = shape
    left, top, right, bottom = _expected(detection)
    across = min(right, width) - max(left, 0.0)
    down = min(bottom, height) - max(top, 0.0)
    area = (right - left) * (bottom - top)
    return max(across, 0.0) * max(down, 0.0) / area if area > 0 else 0.0


def _expected(detection: Detection) -> tuple[float, float, float, float]:
    box = detection.box
    if detection.landmarks is None:
        return box.left, box.top, box.left + box.width, box.top + box.height
    x, y = np.mean(detection.landmarks, axis=0).tolist()
    half = max(x - box.left, box.left + box.width - x)
    return x - half, y - _UP * half, x + half, y + _DOWN * half


def turn(landmarks: Sequence[Point] | None) -> float | None:
    """Return by how many degrees a face is turned aside or tilted by more than can be put right, 0 to 90.

    Args:
        landmarks: as in ``Face``; None gives None. Aside: the tip of the nose leaves the line from between the eyes to
            between the mouth's corners by the tangent of the angle. A rough estimate, meant for strongly turned faces.
    """
    if landmarks is None:
        return None
    right, left, nose, *mouth = np.asarray(landmarks, float)
    eyes, down = (right + left) / 2, np.mean(mouth, axis=0) - (right + left) / 2
    apart, length = float(np.hypot(*(left - right))), float(np.hypot(*down))
    if apart == 0 or length == 0:
        return 90.0
    off = abs(down[0] * (nose - eyes)[1] - down[1] * (nose - eyes)[0]) / length / apart
    return math.degrees(math.atan(off / _NOSE))
