"""Faces in photos that lie on their side or stand on their head, and whose file does not say so.

YuNet finds a face in most of them and gives it the landmarks of an upright one, from which a network reads any emotion.
The score tells: it is lower than that of the same face upright. docs/predict.md has what was measured.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mien.recognition.detection.shrink import shrink
from mien.results import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mien.recognition.detection.detect import Detection, Detector
    from mien.results import Point

_FACE, _PHOTO = 320, 640  # pixels of the long side at which the ways round are compared, of one face and of a photo
_AROUND = 3.0  # what is looked at around a face, in sides of its box
_BETTER = 0.01  # of equal scores the photo's own way round wins


def detect(detector: Detector, pixels: NDArray[np.uint8]) -> tuple[Detection, ...]:
    """Find the faces in uint8 (H, W, 3) RGB, also where the photo is turned by 90°, 180° or 270°; best first.

    Where nothing is found, or the best score is below the detector's ``upright_score``, all four ways round are
    compared. Boxes and landmarks are in pixels of ``pixels`` as it is; landmarks of turned faces tell how they lie, and
    ``crop.cut`` cuts such faces out upright. Detectors without ``upright_score`` search one way round.
    """
    upright = detector.detect(pixels)
    sure: float | None = getattr(detector, "upright_score", None)
    if sure is None or (upright and upright[0].score >= sure):
        return upright
    near = _shrunk(_around(pixels, upright[0].box), _FACE) if upright else _shrunk(pixels, _PHOTO)
    quarters = _way_round(detector, near)
    if not quarters:
        return upright
    again = detector.detect(np.ascontiguousarray(np.rot90(pixels, quarters)))
    height, width = pixels.shape[:2]
    return tuple(_turned_back(one, quarters, (height, width)) for one in again) or upright


def _way_round(detector: Detector, pixels: NDArray[np.uint8]) -> int:
    """Return by how many quarters, counter-clockwise, the pixels must be turned for the best score."""
    views = [np.ascontiguousarray(np.rot90(pixels, quarters)) for quarters in range(4)]
    scores = [max((one.score for one in detector.detect(view)), default=0.0) for view in views]
    scores[0] += _BETTER
    return scores.index(max(scores)) if max(scores) > _BETTER else 0


def _around(pixels: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    half = _AROUND / 2 * max(box.width, box.height)
    x, y = box.left + box.width / 2, box.top + box.height / 2
    left, top = max(0, round(x - half)), max(0, round(y - half))
    return pixels[top : max(round(y + half), top + 1), left : max(round(x + half), left + 1)]


def _shrunk(pixels: NDArray[np.uint8], limit: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    factor = limit / max(height, width)
    if factor >= 1:
        return pixels
    return shrink(pixels, (max(1, round(width * factor)), max(1, round(height * factor))))


def _turned_back(one: Detection, quarters: int, shape: tuple[int, int]) -> Detection:
    """Move what was found in ``np.rot90(pixels, quarters)`` back into ``pixels``, of height and width ``shape``."""
    box = one.box
    ends = [(box.left, box.top), (box.left + box.width, box.top + box.height)]
    (x0, y0), (x1, y1) = (_point(end, quarters, shape) for end in ends)
    marks: Sequence[Point] | None = one.landmarks
    moved = None if marks is None else tuple(_point(mark, quarters, shape) for mark in marks)
    return replace(one, box=Box(min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0)), landmarks=moved)


def _point(point: Point, quarters: int, shape: tuple[int, int]) -> Point:
    (x, y), (height, width) = point, shape
    return {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[quarters]
