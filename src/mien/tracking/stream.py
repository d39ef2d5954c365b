"""Frame after frame → people with ids and smoothed emotions: detect, follow, classify, smooth."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from mien import images
from mien.errors import OptionError
from mien.results import Box, FrameResult, Person, Pose, Quality
from mien.tracking.searches import FULL_EVERY, Searches
from mien.tracking.smoothing import SMOOTH, Smoother
from mien.tracking.track import BRIDGE, Corners, Tracker

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mien.images import ImageInput
    from mien.recognition.recognizer import Recognizer
    from mien.recognition.steps import Found


class Frame(Protocol):
    """A picture with its place in time, as ``mien.Film`` gives it."""

    @property
    def number(self) -> int:
        """Number in the film, from 0."""
        ...

    @property
    def seconds(self) -> float:
        """Time in the film."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright frame."""
        ...

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """uint8 (H, W, 3) RGB, upright."""
        ...


@dataclass(frozen=True)
class Following:
    """How people are followed.

    Attributes:
        detect_every: faces are searched in each Nth frame; in between, people are where the tracker expects them and
            look as they did. 1 searches every frame.
        bridge: seconds for which a face that is not found is waited for.
        smooth: time constant of the smoothing in seconds; 0 for none.
        full_every: seconds between full searches of a frame, see ``searches``; 0 searches every frame in full.

    Raises:
        OptionError: outside these ranges.
    """

    detect_every: int = 1
    bridge: float = BRIDGE
    smooth: float = SMOOTH
    full_every: float = FULL_EVERY

    def __post_init__(self) -> None:
        if self.detect_every < 1:
            raise OptionError(f"detect_every = {self.detect_every}: expected 1 (every frame) or more.")
        if not 0 <= self.bridge <= 60:
            raise OptionError(f"bridge = {self.bridge}: expected seconds, from 0 to 60.")


class _Seen(NamedTuple):
    """What one frame by itself says of a face."""

    box: Box
    score: float
    raw: tuple[float, ...]
    quality: Quality | None
    pose: Pose | None


@dataclass(frozen=True)
class _Still:
    number: int
    seconds: float
    pixels: NDArray[np.uint8]

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[0]


def stream(
    recognizer: Recognizer,
    frames: Iterable[Frame | tuple[float, ImageInput] | ImageInput],
    following: Following,
    *,
    keep_pixels: bool = False,
) -> Iterator[FrameResult]:
    """Yield a result for each frame; see ``Recognizer.stream``."""
    follower = Follower(recognizer, following, keep_pixels=keep_pixels)
    begun = time.monotonic()
    for number, frame in enumerate(frames):
        yield follower.step(_framed(frame, number, begun))


def _framed(frame: Any, number: int, begun: float) -> Frame:
    if hasattr(frame, "seconds"):
        return frame  # type: ignore[no-any-return]
    seconds, picture = frame if isinstance(frame, tuple) else (time.monotonic() - begun, frame)
    return _Still(number, float(seconds), images.load(picture))


class Follower:
    """The state between frames. What it answers depends on the earlier results alone, so these can be replayed."""

    def __init__(self, recognizer: Recognizer, following: Following, *, keep_pixels: bool = False) -> None:
        self._recognizer, self._following, self._keep_pixels = recognizer, following, keep_pixels
        self._tracker, self._smoother = Tracker(following.bridge), Smoother(following.smooth)
        self._search = Searches(following.full_every)
        self._steps = 0
        self._visible: tuple[int, ...] = ()

    def step(self, frame: Frame) -> FrameResult:
        """Read the next frame."""
        pixels = frame.pixels if self._keep_pixels else None
        blank = FrameResult(frame.number, frame.seconds, *frame.size, (), pixels=pixels)
        if not self._searches():
            return self._between(blank)
        (read,) = self._recognizer.decide([self._focused(frame, blank) or self._in_full(frame)])
        seen = [_Seen(face.box, face.score, face.values, face.quality, face.pose) for face in read.faces]
        return self._followed(blank, seen)

    def _in_full(self, frame: Frame) -> Found:
        return self._recognizer.find(frame.pixels, keep_pixels=False)

    def _focused(self, frame: Frame, blank: FrameResult) -> Found | None:
        """Search at the size that the last frame's faces need; None where that is not enough."""
        focused = getattr(self._recognizer.detector, "focused", None)
        side = None if focused is None else self._search.side(frame.seconds, frame.size)
        if focused is None or side is None:
            return None
        searched = self._recognizer.with_detector(focused(side)).find(frame.pixels, keep_pixels=False)
        shares = [_shares(detection.box, blank) for detection in searched.detections]
        return searched if self._search.shows_the_same(shares) else None

    def replay(self, result: FrameResult) -> FrameResult:
        """Take an earlier run's result for the next frame, as if the frame had been read; return it complete.

        What is returned differs from ``result`` if that came from another model, film or setting.
        """
        blank = replace(result, people=(), missing=())
        if not self._searches():
            return self._between(blank)
        seen = [
            _Seen(one.box, one.score or 0.0, one.raw, one.quality, one.pose)
            for one in result.people
            if one.raw is not None
        ]
        return self._followed(blank, seen)

    def _searches(self) -> bool:
        self._steps += 1
        return (self._steps - 1) % self._following.detect_every == 0

    def _followed(self, blank: FrameResult, seen: list[_Seen]) -> FrameResult:
        boxes = [_shares(one.box, blank) for one in seen]
        self._search.took(blank.seconds, boxes)
        ids = self._tracker.found(blank.seconds, boxes)
        people = [
            self._person(who, one.box, self._smoother.update(who, blank.seconds, one.raw), one)
            for who, one in zip(ids, seen, strict=True)
        ]
        self._visible = ids
        return self._with_missing(blank, people)

    def _between(self, blank: FrameResult) -> FrameResult:
        self._tracker.coast(blank.seconds)
        expected = self._tracker.expected()
        people = [self._person(who, _pixels(expected[who], blank), self._smoother.now(who)) for who in self._visible]
        return self._with_missing(blank, people)

    def _with_missing(self, blank: FrameResult, people: list[Person]) -> FrameResult:
        expected = self._tracker.expected()
        self._smoother.keep(expected)
        missing = [
            self._person(who, _pixels(shares, blank), self._smoother.now(who))
            for who, shares in expected.items()
            if who not in self._visible
        ]
        return replace(blank, people=tuple(people), missing=tuple(missing))

    def _person(self, who: int, box: Box, values: tuple[float, ...], seen: _Seen | None = None) -> Person:
        uncertain, labels = max(values) < self._recognizer.bundle.uncertain_below, self._recognizer.labels
        if seen is None:
            return Person(who, box, False, None, labels, None, values, uncertain)
        return Person(who, box, True, seen.score, labels, seen.raw, values, uncertain, seen.quality, seen.pose)


def _shares(box: Box, frame: FrameResult) -> Corners:
    return box.left / frame.width, box.top / frame.height, box.width / frame.width, box.height / frame.height


def _pixels(shares: Corners, frame: FrameResult) -> Box:
    left, top, width, height = shares
    return Box(left * frame.width, top * frame.height, width * frame.width, height * frame.height)
