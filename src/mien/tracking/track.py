"""Who is who from frame to frame: a constant-velocity Kalman filter for each face, an assignment for each frame.

After SORT (Bewley et al. 2016), with three changes: time is seconds, not frames, so that variable frame rates and
sampled films are followed alike; distances are in the person's own face size, so that near and far faces have the same
rules; and a face that is not found is waited for a number of seconds, not frames.

Boxes are in shares of the frame's width and height, so that a film that changes its size loses nobody.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.errors import MissingExtraError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Corners = tuple[float, float, float, float]
"""Left, top, width and height, each as a share of the frame's."""

BRIDGE = 1.0
"""Seconds for which a face that is not found is waited for."""

# In face sizes. A detector's box shakes by a few hundredths; heads turn around within a good half second.
_BOX_NOISE, _SIZE_NOISE = 0.05, 0.08
_PUSH, _GROWTH = 3.0, 0.3  # white noise that moves velocity (face sizes / s^1.5) and size (face sizes / s^0.5)
_FIRST_SPEED = 1.5  # face sizes a second: how fast an unknown face may be
_REACH, _REACH_PER_SECOND, _REACH_AT_MOST = 0.8, 1.5, 2.5
_SIZES = 2.2  # a face does not grow or shrink by more than this factor while it is out of sight
_NEVER = 1e6


@dataclass
class _Track:
    """State: centre x and y, width, height, velocity x and y; the first four are what is measured."""

    id: int
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    seconds: float
    last_seen: float

    def box(self) -> Corners:
        x, y, width, height = self.mean[:4].tolist()
        return x - width / 2, y - height / 2, width, height


class Tracker:
    """Give each face of each frame the id of its person.

    Args:
        bridge: seconds for which a face that is not found is waited for; then its id is gone for good.

    Raises:
        MissingExtraError: without SciPy.
    """

    def __init__(self, bridge: float = BRIDGE) -> None:
        self._assign = _assignment()
        self._bridge = bridge
        self._tracks: list[_Track] = []
        self._next = 1
        self._now = -math.inf

    def found(self, seconds: float, boxes: Sequence[Corners]) -> tuple[int, ...]:
        """Take the boxes of a frame that was searched; return the id of each.

        Args:
            seconds: the frame's time; one before the last frame's counts as the same moment.
        """
        seconds = self._predict(seconds)
        measured = [np.array([left + w / 2, top + h / 2, w, h]) for left, top, w, h in boxes]
        ids = [0] * len(boxes)
        for track, index in self._matched(seconds, measured):
            _correct(track, measured[index])
            track.last_seen, ids[index] = seconds, track.id
        self._tracks = [track for track in self._tracks if seconds - track.last_seen <= self._bridge]
        for index, box in enumerate(measured):
            ids[index] = ids[index] or self._begin(seconds, box)
        return tuple(ids)

    def coast(self, seconds: float) -> None:
        """Pass over a frame that was not searched."""
        self._predict(seconds)

    def expected(self) -> dict[int, Corners]:
        """Return id → the box where a person is, or is expected, at the last frame."""
        return {track.id: track.box() for track in self._tracks}

    def _begin(self, seconds: float, box: NDArray[np.float64]) -> int:
        deviations = np.array([_BOX_NOISE, _BOX_NOISE, _SIZE_NOISE, _SIZE_NOISE, _FIRST_SPEED, _FIRST_SPEED])
        spread = np.diag((deviations * _sides(box)) ** 2)
        self._tracks.append(_Track(self._next, np.concatenate([box, np.zeros(2)]), spread, seconds, seconds))
        self._next += 1
        return self._next - 1

    def _predict(self, seconds: float) -> float:
        self._now = max(self._now, seconds)
        for track in self._tracks:
            _advance(track, self._now - track.seconds)
            track.seconds = self._now
        return self._now

    def _matched(self, seconds: float, boxes: Sequence[NDArray[np.float64]]) -> list[tuple[_Track, int]]:
        if not self._tracks or not boxes:
            return []
        costs = np.array([[_cost(track, box, seconds) for box in boxes] for track in self._tracks])
        rows, columns = self._assign(costs)
        pairs = zip(rows.tolist(), columns.tolist(), strict=True)
        return [(self._tracks[row], column) for row, column in pairs if costs[row, column] < _NEVER]


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the shared area of two boxes (left, top, width, height) as a share of their union."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    union = one[2] * one[3] + other[2] * other[3] - shared
    return shared / union if union > 0 else 0.0


def _sides(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Width and height of the face, as the six parts of the state count in them."""
    return np.maximum(np.tile(box[2:4], 3), 1e-6).astype(np.float64)


def _advance(track: _Track, step: float) -> None:
    move = np.eye(6)
    move[0, 4] = move[1, 5] = step
    sides = _sides(track.mean)
    push = np.zeros((6, 6))
    for axis in (0, 1):
        push[axis, axis], push[axis + 4, axis + 4] = step**3 / 3, step
        push[axis, axis + 4] = push[axis + 4, axis] = step**2 / 2
        push[axis + 2, axis + 2] = step * (_GROWTH / _PUSH) ** 2
    track.mean = move @ track.mean
    track.spread = move @ track.spread @ move.T + _PUSH**2 * push * np.outer(sides, sides)


def _correct(track: _Track, box: NDArray[np.float64]) -> None:
    noise = np.array([_BOX_NOISE, _BOX_NOISE, _SIZE_NOISE, _SIZE_NOISE]) * _sides(box)[:4]
    gain = np.linalg.solve(track.spread[:4, :4] + np.diag(noise**2), track.spread[:4]).T
    track.mean = track.mean + gain @ (box - track.mean[:4])
    track.spread = track.spread - gain @ track.spread[:4]


def _cost(track: _Track, box: NDArray[np.float64], seconds: float) -> float:
    """Distance in face sizes and lack of overlap; who was out of sight for longer stands back."""
    sides = (_sides(track.mean)[:2] + _sides(box)[:2]) / 2
    distance = float(np.hypot(*((box[:2] - track.mean[:2]) / sides)))
    away = seconds - track.last_seen
    growth = float(np.abs(np.log(_sides(box)[:2] / _sides(track.mean)[:2])).max())
    if distance > min(_REACH + _REACH_PER_SECOND * away, _REACH_AT_MOST) or growth > math.log(_SIZES):
        return _NEVER
    left, top, width, height = box[0] - box[2] / 2, box[1] - box[3] / 2, box[2], box[3]
    return distance + 1 - overlap(track.box(), (left, top, width, height)) + 0.3 * min(away, 1.0)


def _assignment() -> Any:
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        raise MissingExtraError.for_extra("following people through frames", "video") from None
    return linear_sum_assignment
