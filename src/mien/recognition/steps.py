"""What a photo is between the steps of its recognition: decoded, then searched, then an ``ImageResult``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mien.recognition.detection.detect import Detection
    from mien.results import ImageResult, Quality


@dataclass(frozen=True)
class Decoded:
    """A photo whose faces are still to be detected.

    Attributes:
        source: the path that it was given as, None for other inputs.
        pixels: uint8 (H, W, 3) RGB.
        truncated: whether its file is cut off.
    """

    source: str | None
    pixels: NDArray[np.uint8]
    truncated: bool = False


@dataclass(frozen=True)
class Found:
    """A photo whose faces are detected and not yet classified: the result without them, their crops and qualities."""

    blank: ImageResult
    detections: tuple[Detection, ...]
    crops: tuple[NDArray[np.uint8], ...]
    qualities: tuple[Quality, ...]


def largest(detections: tuple[Detection, ...], most: int | None) -> tuple[Detection, ...]:
    """Return the ``most`` largest detections in the order in which they come; all of them for None."""
    if most is None or len(detections) <= most:
        return detections
    areas = [one.box.width * one.box.height for one in detections]
    kept = sorted(range(len(areas)), key=lambda index: -areas[index])[:most]
    return tuple(detections[index] for index in sorted(kept))
