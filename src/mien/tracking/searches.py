"""How much of a frame's detail is searched: as much as the last frame's faces need, and all of it now and then.

A face of 48 pixels is found as surely as a large one, so that a frame is searched at the size at which the smallest
face of the last frame has as many. That search counts only if it shows the faces of the last frame and no others; where
one appears or is missing, as at a cut, the same frame is searched in full. What is left to miss are faces that appear
beside others while being much smaller than these: up to the next full search. On generated films a face of 60 pixels
that came in beside one of 260 was late by 3 frames of 0.08 s with full searches every 0.4 s; nothing else was lost
(tests/tracking/test_focused_search.py).

The state are the times and boxes of the last searched frame alone, so that an interrupted run can be replayed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mien.errors import OptionError
from mien.tracking.track import overlap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mien.tracking.track import Corners

FULL_EVERY = 0.4
"""Seconds between full searches: 1080p takes half of the time, and what they alone would show is late by that much."""

FACE = 48
"""Pixels that the smallest face of the last frame has in a search."""

SIDES = (320, 448, 640, 896, 1152)
"""Long sides of such searches; few, since ONNX Runtime plans its memory for each size anew."""

_WORTH = 0.75  # a search at more than this share of the full one's side saves too little
_FULL = 1600  # long side of the full search of a large frame
_SAME = 0.3  # boxes of one face in two frames overlap by this share of their union


class Searches:
    """Decide how each frame is searched.

    Args:
        full_every: seconds between full searches; 0 searches every frame in full. Raises ``OptionError`` below 0.
    """

    def __init__(self, full_every: float = FULL_EVERY) -> None:
        if not 0 <= full_every < math.inf:
            raise OptionError(f"full_every = {full_every}: expected seconds, 0 (always) or more.")
        self._full_every = full_every
        self._seconds = -math.inf
        self._boxes: Sequence[Corners] = ()

    def side(self, seconds: float, size: tuple[int, int]) -> int | None:
        """Return the long side in pixels at which to search the next frame; None for a full search.

        Args:
            size: width and height of the frame.
        """
        if not self._boxes or self._is_due(seconds):
            return None
        width, height = size
        least = min(math.sqrt(box[2] * width * box[3] * height) for box in self._boxes)
        needed = max(width, height) * FACE / max(least, 1e-6)
        side = next((side for side in SIDES if side >= needed), math.inf)
        return int(side) if side <= _WORTH * min(max(width, height), _FULL) else None

    def shows_the_same(self, boxes: Sequence[Corners]) -> bool:
        """Return whether these boxes, as shares of the frame, are of the last frame's faces: all of them, no others."""
        pairs = [[overlap(box, before) >= _SAME for before in self._boxes] for box in boxes]
        return len(boxes) == len(self._boxes) and all(map(any, pairs)) and all(map(any, zip(*pairs, strict=True)))

    def took(self, seconds: float, boxes: Sequence[Corners]) -> None:
        """Note the faces of a frame that was searched, in full or not."""
        self._seconds, self._boxes = seconds, tuple(boxes)

    def _is_due(self, seconds: float) -> bool:
        """Return whether a full search is due, by the clock alone: an earlier one out of turn moves no later one."""
        if not self._full_every or math.isinf(self._seconds):
            return True
        return self._interval(seconds) != self._interval(self._seconds)

    def _interval(self, seconds: float) -> int:
        return math.floor(seconds / self._full_every + 1e-6)  # of 1.2 / 0.4 floats make a little less than 3
