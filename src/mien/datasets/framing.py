"""Image of a corpus → the face crop that ``mien predict`` would show a network: one geometry for every corpus.

Photos are searched as ``predict`` searches them. Corpora of ready-made crops (FER2013 48 pixels, RAF-DB 100, AffectNet
112) hold faces that fill or leave the frame, at sizes where YuNet's boxes jump from pixel to pixel. Such an image is
enlarged and given a border before the search, and the crop is cut from the enlarged image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mien.preprocess import rgb
from mien.recognition.crop import cut
from mien.recognition.detect import Detection
from mien.results import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.recognition.detect import Detector
    from mien.results import Point

ENLARGED = 240
"""Square images with a shorter side than this are ready-made crops; they are searched and cut at this side."""

BORDER = 60
"""Pixels that the enlarged image's border is repeated by, so that a face cut off by the frame is detected too."""

LEAST_WIDTH = 0.35
"""In a ready-made crop a narrower box, as a share of the frame's side, is no face but a detail."""

MOST_OFF_CENTRE = 0.25
"""In a ready-made crop a box whose centre is further from the frame's, as a share of its side, is somebody else."""


@dataclass(frozen=True)
class Framed:
    """face: in pixels of the image, None if none was detected.  crop: uint8 (S, S, 3) or (S, S), or the own frame."""

    face: Detection | None
    crop: NDArray[np.uint8]


def frame(image: NDArray[np.uint8], detector: Detector) -> Framed:
    """Find the person's face and cut it out in the detector's own geometry, ``detector.crop``.

    Args:
        image: uint8 (H, W, 3) RGB or (H, W) grey.
        detector: searches and says how much around a box is cut; outside the image the border is repeated.

    Returns:
        The largest detection and its crop in the image's colours. Without one the crop is the image's largest
        centred square. Of a ready-made crop (``is_close_up``) implausible detections are passed over.
    """
    if detector.name == "whole" or not is_close_up(image):
        # A corpus photo shows one person; false alarms are small. What is taken whole gets no border.
        face = max(detector.detect(rgb(image)), key=_area, default=None)
        return Framed(face, _own(image) if face is None else cut(image, face.box, face.landmarks, detector.crop))
    enlarged = _enlarged(image)
    factor = len(enlarged) / len(image)
    seen = [_moved(one, -BORDER, 1.0) for one in detector.detect(rgb(_bordered(enlarged)))]
    face = max((one for one in seen if _is_plausible(one)), key=_area, default=None)
    if face is None:
        return Framed(None, image)
    return Framed(_moved(face, 0.0, 1 / factor), cut(enlarged, face.box, face.landmarks, detector.crop))


def is_close_up(image: NDArray[np.uint8]) -> bool:
    """Say whether an image is a ready-made crop of a face: square, with a side below ``ENLARGED``."""
    height, width = image.shape[:2]
    return bool(height == width < ENLARGED)


def _is_plausible(one: Detection) -> bool:
    """Say whether a detection in an enlarged image is wide enough, central, and has the mouth below the eyes."""
    middle = ENLARGED / 2
    across = abs(one.box.left + one.box.width / 2 - middle)
    down = abs(one.box.top + one.box.height / 2 - middle)
    central = max(across, down) <= MOST_OFF_CENTRE * ENLARGED
    return one.box.width >= LEAST_WIDTH * ENLARGED and central and _is_upright(one.landmarks)


def _is_upright(marks: Sequence[Point] | None) -> bool:
    if marks is None:
        return True
    (right_x, right_y), (left_x, left_y), _, (_, mouth_right), (_, mouth_left) = marks
    return right_x < left_x and mouth_right + mouth_left > right_y + left_y


def _area(one: Detection) -> float:
    return one.box.width * one.box.height


def _moved(one: Detection, shift: float, factor: float) -> Detection:
    box = one.box
    moved = Box((box.left + shift) * factor, (box.top + shift) * factor, box.width * factor, box.height * factor)
    marks = one.landmarks and tuple(((x + shift) * factor, (y + shift) * factor) for x, y in one.landmarks)
    return Detection(moved, one.score, marks)


def _own(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def _enlarged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    return cv2.resize(image, (ENLARGED, ENLARGED), interpolation=cv2.INTER_CUBIC)  # type: ignore[return-value]


def _bordered(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    return cv2.copyMakeBorder(image, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_REPLICATE)  # type: ignore[return-value]
