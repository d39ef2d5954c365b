"""How a video is displayed: rotated by its display matrix, and with square pixels by its aspect ratio."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

_SQUARE = Fraction(1)
_WIDEST = 10  # anamorphic lenses reach 2; a larger value in a header is wrong, and would exhaust memory


@dataclass(frozen=True)
class Upright:
    """The transformation from a decoded picture to the displayed one.

    Attributes:
        transposed: whether rows and columns are swapped, before any flip.
        flip_x, flip_y: whether the order of columns or rows is reversed.
        aspect: width of a decoded pixel divided by its height.
    """

    transposed: bool = False
    flip_x: bool = False
    flip_y: bool = False
    aspect: Fraction = _SQUARE

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return displayed width and height of a picture that is decoded to ``width`` × ``height``."""
        width, height = self._square(width, height)
        return (height, width) if self.transposed else (width, height)

    def pixels(self, picture: VideoFrame) -> NDArray[np.uint8]:
        """Return the displayed picture, uint8 (H, W, 3) RGB, C-contiguous."""
        size = self._square(picture.width, picture.height)
        if size != (picture.width, picture.height):
            picture = picture.reformat(*size, format="rgb24", interpolation="BICUBIC")
        rgb: Any = picture.to_ndarray(format="rgb24")
        rgb = rgb.swapaxes(0, 1) if self.transposed else rgb
        return np.ascontiguousarray(rgb[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1])

    def _square(self, width: int, height: int) -> tuple[int, int]:
        """Stretch the shorter side of each pixel; shrinking the longer one would lose detail."""
        if self.aspect >= 1:
            return round(width * self.aspect), height
        return width, round(height / self.aspect)


def read_orientation(picture: VideoFrame, aspect: Fraction) -> Upright:
    """Read the orientation of ``picture`` from its display matrix: the nearest quarter turn, mirrored or not.

    The matrix is FFmpeg's ``AV_FRAME_DATA_DISPLAYMATRIX``: int32 (a, b, u, c, d, v, x, y, w), where a decoded point
    (p, q) is shown at (a·p + c·q, b·p + d·q).

    Args:
        aspect: as for ``Upright``.
    """
    written: Any = picture.side_data.get("DISPLAYMATRIX")
    if written is None:
        return Upright(aspect=aspect)
    a, b, _, c, d, *_ = (int(value) for value in np.frombuffer(written, np.int32))
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Upright(False, a < 0, d < 0, aspect)
    return Upright(True, c < 0, b < 0, aspect)


class Orientations:
    """Reads the orientation of a track's pictures, one after the other.

    PyAV's side data and its picture refer to each other: each picture whose side data is read stays in memory, with the
    threads that converted it, until Python collects garbage. So it is read where the angle changes, which is free.
    """

    def __init__(self) -> None:
        self._angle: int | None = None
        self._last = Upright()

    def read(self, picture: VideoFrame, aspect: Fraction) -> Upright:
        """Return the orientation of the next picture; arguments as for ``read_orientation``."""
        if picture.rotation != self._angle:
            self._angle, self._last = picture.rotation, read_orientation(picture, aspect)
        return replace(self._last, aspect=aspect)


class Aspect:
    """The pixel aspect ratio of a track, which may change midway, as when a broadcast switches from 4:3 to 16:9.

    The container's value takes precedence over the codec's, as in FFmpeg's ``av_guess_sample_aspect_ratio``.
    ``refused`` is an implausible ratio that was replaced by square pixels; None if there was none.
    """

    def __init__(self, track: VideoStream) -> None:
        self._track, self._container = track, track.sample_aspect_ratio
        self._overruled: bool | None = None
        self.refused: Fraction | None = None

    def now(self) -> Fraction:
        """Return the pixel aspect ratio, width by height, of the last decoded picture."""
        codec = self._track.codec_context.sample_aspect_ratio
        if self._overruled is None:
            self._overruled = codec != self._container
        stated = (self._container if self._overruled else codec) or _SQUARE
        if not Fraction(1, _WIDEST) <= stated <= _WIDEST:
            self.refused, stated = stated, _SQUARE
        return stated
