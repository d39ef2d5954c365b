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

    source: the path that it was given as, None for other inputs.  pixels: uint8 (H, W, 3) RGB.
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
