"""Summarise a video in bounded memory: people, their emotions over time, and events."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mien.recognition.crop import cut
from mien.recognition.detection.detect import WHOLE_CROP
from mien.video.events import Event, Events

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.results import FrameResult, Person
    from mien.tracking.stream import Frame

_STEP, _STEPS = 0.1, 1200  # seconds, and as many steps as a plot has pixels; more would not be visible
_PORTRAITS, _PORTRAIT = 64, 96
_CLEARLY_BETTER = 1.2  # so that a portrait is not replaced in every frame of somebody who comes closer
_EVENTS = 500
_PAUSE = 3.0  # a frame interval longer than this many average intervals is a gap


@dataclass
class Life:
    """One person: first and last second, number of frames, and summed smoothed probabilities, total and by step."""

    first: float
    last: float
    total: NDArray[np.float64]
    frames: int = 0
    steps: dict[int, tuple[NDArray[np.float64], int]] = field(default_factory=dict)
    portrait: NDArray[np.uint8] | None = None
    merit: float = 0.0


class Digest:
    """Accumulates frames; the attributes hold the summary.

    Args:
        labels: class names.
        gap: as for ``Events``.
        portraits: keep a thumbnail of each of the first people. step:   seconds covered by one step of the curves; it
            doubles whenever the video gets too long.
    """

    def __init__(self, labels: tuple[str, ...], gap: float, *, portraits: bool = True) -> None:
        self.labels, self.step = labels, _STEP
        self.frames = self.with_face = 0
        self.begin = self.end = 0.0
        self.lives: dict[int, Life] = {}
        self.events: list[Event] = []
        self.events_found = 0
        self._events, self._portraits, self._gap = Events(gap), portraits, gap
        self._sampled: set[int] = set()  # the steps with at least one frame

    def add(self, frame: Frame, result: FrameResult) -> None:
        """Add a frame."""
        if not self.frames:
            self.begin = result.seconds
        self.frames, self.with_face, self.end = self.frames + 1, self.with_face + bool(result.people), result.seconds
        while (result.seconds - self.begin) / self.step >= _STEPS:
            self._coarsen()
        self._sampled.add(self._place(result.seconds))
        for person in result.people:
            self._live(person, result.seconds, frame)
        self._keep(self._events.add(result))

    def close(self) -> None:
        """Add the events that are still open."""
        self._keep(self._events.close())

    def longest(self, count: int) -> list[tuple[int, Life]]:
        """Return the ``count`` people seen in most frames, in order of appearance."""
        return sorted(sorted(self.lives.items(), key=lambda pair: -pair[1].frames)[:count])

    def curve(self, life: Life) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the edges of the steps in seconds, (S + 1,), and mean probabilities, (C, S), 0 where not seen.

        A frame lasts until the next one, so steps between two frames repeat the values of the earlier one.
        """
        held = self._held(max(life.steps))
        last = max(held) + 1
        edges = (self.begin + self.step * np.arange(last + 1)).astype(np.float64)
        shares = np.zeros((len(self.labels), last))
        for step, source in held.items():
            if source in life.steps:
                total, count = life.steps[source]
                shares[:, step] = total / count
        return edges, shares

    def _held(self, last: int) -> dict[int, int]:
        """Return step → the step whose frames it repeats, up to the frame after step ``last``; gaps are left out."""
        usual = (self.end - self.begin) / max(self.frames - 1, 1)
        longest = max(self._gap, _PAUSE * usual) / self.step
        sampled = sorted(self._sampled)
        held = {step: step for step in sampled if step <= last}
        for before, after in pairwise(sampled):
            if before <= last and after - before <= longest + 1:
                held.update(dict.fromkeys(range(before, after), before))
        return held

    def _place(self, seconds: float) -> int:
        return max(0, int((seconds - self.begin) / self.step))

    def _live(self, person: Person, seconds: float, frame: Frame) -> None:
        values = np.array(person.values)
        life = self.lives.setdefault(person.id, Life(seconds, seconds, np.zeros_like(values)))
        life.last, life.frames, life.total = seconds, life.frames + 1, life.total + values
        step = self._place(seconds)
        total, count = life.steps.get(step, (0.0, 0))
        life.steps[step] = (total + values, count + 1)
        merit = (person.score or 0.0) * min(person.box.width, 2 * _PORTRAIT)
        if self._portraits and person.id <= _PORTRAITS and merit > life.merit * _CLEARLY_BETTER:
            life.merit, life.portrait = merit, _cut_portrait(frame, person)

    def _coarsen(self) -> None:
        self.step *= 2
        self._sampled = {step // 2 for step in self._sampled}
        for life in self.lives.values():
            merged: dict[int, tuple[NDArray[np.float64], int]] = {}
            for step, (total, count) in life.steps.items():
                before = merged.get(step // 2, (0.0, 0))
                merged[step // 2] = (before[0] + total, before[1] + count)
            life.steps = merged

    def _keep(self, events: list[Event]) -> None:
        """Keep the strongest events; a video of hours has thousands."""
        self.events_found += len(events)
        self.events += events
        if len(self.events) > 2 * _EVENTS:
            self.events = sorted(self.events, key=lambda event: -event.peak)[:_EVENTS]


def format_time(seconds: float) -> str:
    """Format seconds as minutes and seconds, 1:02.5."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(abs(tenths), 600)
    return f"{'-' if tenths < 0 else ''}{minutes}:{rest // 10:02}.{rest % 10}"


def _cut_portrait(frame: Frame, person: Person) -> NDArray[np.uint8]:
    import cv2

    face = cut(frame.pixels, person.box, None, WHOLE_CROP)
    return cv2.resize(face, (_PORTRAIT, _PORTRAIT), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
