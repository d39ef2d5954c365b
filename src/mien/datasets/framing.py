"""Cut faces out of corpus images with the geometry of ``mien predict``, so that all corpora share one framing.

In photos faces are detected as in ``predict``. Corpora of ready-made crops (FER2013 48 pixels, RAF-DB 100, AffectNet
112) hold faces that fill or exceed the frame, at sizes where YuNet's boxes jump from pixel to pixel. Such an image is
enlarged and padded before detection, and the crop is cut from the enlarged image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mien.preprocess import rgb
from mien.recognition.crop import cut
from mien.recognition.detection.detect import Detection
from mien.results import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.recognition.detection.detect import Detector
    from mien.results import Point

ENLARGED = 240
"""Square images smaller than this are ready-made crops; they are resized to this side before detection."""

BORDER = 60
"""Pixels of replicated border around the enlarged image, so that faces cut off by the frame are detected too."""

LEAST_WIDTH = 0.35
"""Minimum width of a box in a ready-made crop, as a share of the side; narrower ones are details, not faces."""

MOST_OFF_CENTRE = 0.25
"""Maximum distance of a box from the centre of a ready-made crop, as a share of the side; others are bystanders."""


@dataclass(frozen=True)
class Framed:
    """A face and its crop.

    Attributes:
        face: the detection in pixels of the image; None if none was detected.
        crop: uint8 (S, S, 3) or (S, S); without a detection, the centre square of the image.
    """

    face: Detection | None
    crop: NDArray[np.uint8]


def frame(image: NDArray[np.uint8], detector: Detector) -> Framed:
    """Detect the main face and cut it out with the detector's crop geometry, ``detector.crop``.

    Args:
        image: uint8 (H, W, 3) RGB or (H, W) grey.
        detector: finds faces and defines the margin around a box; outside the image the border is replicated.

    Returns:
        The largest detection and its crop in the image's colours. Without a detection the crop is the largest
        centred square of the image. In ready-made crops (``is_close_up``) implausible detections are ignored.
    """
    if detector.name == "whole" or not is_close_up(image):
        # A corpus photo shows one person; false detections are small. Whole images get no border.
        face = max(detector.detect(rgb(image)), key=_area, default=None)
        return Framed(
            face, _crop_centre(image) if face is None else cut(image, face.box, face.landmarks, detector.crop)
        )
    enlarged = _enlarge(image)
    factor = len(enlarged) / len(image)
    detections = [_transform(detection, -BORDER, 1.0) for detection in detector.detect(rgb(_add_border(enlarged)))]
    face = max((detection for detection in detections if _is_plausible(detection)), key=_area, default=None)
    if face is None:
        return Framed(None, image)
    return Framed(_transform(face, 0.0, 1 / factor), cut(enlarged, face.box, face.landmarks, detector.crop))


def is_close_up(image: NDArray[np.uint8]) -> bool:
    """Check whether an image is a ready-made face crop: square, with a side below ``ENLARGED``."""
    height, width = image.shape[:2]
    return bool(height == width < ENLARGED)


def _is_plausible(detection: Detection) -> bool:
    """Check whether a detection in an enlarged image is wide enough, central, and has the mouth below the eyes."""
    middle = ENLARGED / 2
    across = abs(detection.box.left + detection.box.width / 2 - middle)
    down = abs(detection.box.top + detection.box.height / 2 - middle)
    central = max(across, down) <= MOST_OFF_CENTRE * ENLARGED
    return detection.box.width >= LEAST_WIDTH * ENLARGED and central and _is_upright(detection.landmarks)


def _is_upright(marks: Sequence[Point] | None) -> bool:
    if marks is None:
        return True
    (right_x, right_y), (left_x, left_y), _, (_, mouth_right), (_, mouth_left) = marks
    return right_x < left_x and mouth_right + mouth_left > right_y + left_y


def _area(detection: Detection) -> float:
    return detection.box.width * detection.box.height


def _transform(detection: Detection, shift: float, factor: float) -> Detection:
    box = detection.box
    moved = Box((box.left + shift) * factor, (box.top + shift) * factor, box.width * factor, box.height * factor)
    landmarks = detection.landmarks and tuple(
        ((x + shift) * factor, (y + shift) * factor) for x, y in detection.landmarks
    )
    return Detection(moved, detection.score, landmarks)


def _crop_centre(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def _enlarge(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    return cv2.resize(image, (ENLARGED, ENLARGED), interpolation=cv2.INTER_CUBIC)  # type: ignore[return-value]


def _add_border(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    return cv2.copyMakeBorder(image, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_REPLICATE)  # type: ignore[return-value]
