"""What a film comes to, in bounded memory: its people, what each showed over time, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mien.recognition.crop import cut
from mien.recognition.detect import WHOLE_CROP
from mien.video.events import Event, Events

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.recognition.stream import Frame
    from mien.results import FrameResult, Person

_STEP, _STEPS = 0.1, 1200  # a curve of more steps than a figure has pixels would cost memory and show no more
_PORTRAITS, _PORTRAIT = 64, 96
_CLEARLY_BETTER = 1.2  # a portrait is taken anew a few times, not in every frame of somebody who comes nearer
_EVENTS = 500
_PAUSE = 3.0  # longer than so many usual distances between frames, the time between two frames is a gap


@dataclass
class Life:
    """One person: first and last second, frames, and the sums of the smoothed probabilities, over all and by step."""

    first: float
    last: float
    total: NDArray[np.float64]
    frames: int = 0
    steps: dict[int, tuple[NDArray[np.float64], int]] = field(default_factory=dict)
    portrait: NDArray[np.uint8] | None = None
    merit: float = 0.0


class Digest:
    """Take the frames in; the attributes say what they come to.

    labels: class names.  gap: as for ``Events``.  portraits: keep a small picture of each of the first people.
    step:   seconds that a step of the curves stands for; it doubles whenever the film outgrows them.
    """

    def __init__(self, labels: tuple[str, ...], gap: float, *, portraits: bool = True) -> None:
        self.labels, self.step = labels, _STEP
        self.frames = self.with_face = 0
        self.begin = self.end = 0.0
        self.lives: dict[int, Life] = {}
        self.events: list[Event] = []
        self.events_found = 0
        self._events, self._portraits, self._gap = Events(gap), portraits, gap
        self._sampled: set[int] = set()  # the steps in which there is a frame at all

    def add(self, frame: Frame, result: FrameResult) -> None:
        """Take a frame."""
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
        """Take in what the end cut off."""
        self._keep(self._events.close())

    def longest(self, count: int) -> list[tuple[int, Life]]:
        """Return the ``count`` people who were there in most frames, in order of appearance."""
        return sorted(sorted(self.lives.items(), key=lambda pair: -pair[1].frames)[:count])

    def curve(self, life: Life) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the edges of the steps in seconds, (S + 1,), and mean probabilities, (C, S), 0 where nobody was.

        A frame stands for the time until the next one, so that steps between two frames look as the one before.
        """
        held = self._held(max(life.steps))
        last = max(held) + 1
        edges = (self.begin + self.step * np.arange(last + 1)).astype(np.float64)
        shares = np.zeros((len(self.labels), last))
        for place, source in held.items():
            if source in life.steps:
                total, count = life.steps[source]
                shares[:, place] = total / count
        return edges, shares

    def _held(self, last: int) -> dict[int, int]:
        """Return step → the step whose frames it shows, up to the frame after step ``last``; gaps are left out."""
        usual = (self.end - self.begin) / max(self.frames - 1, 1)
        longest = max(self._gap, _PAUSE * usual) / self.step
        sampled = sorted(self._sampled)
        held = {place: place for place in sampled if place <= last}
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
        place = self._place(seconds)
        total, count = life.steps.get(place, (0.0, 0))
        life.steps[place] = (total + values, count + 1)
        merit = (person.score or 0.0) * min(person.box.width, 2 * _PORTRAIT)
        if self._portraits and person.id <= _PORTRAITS and merit > life.merit * _CLEARLY_BETTER:
            life.merit, life.portrait = merit, _portrait(frame, person)

    def _coarsen(self) -> None:
        self.step *= 2
        self._sampled = {place // 2 for place in self._sampled}
        for life in self.lives.values():
            merged: dict[int, tuple[NDArray[np.float64], int]] = {}
            for place, (total, count) in life.steps.items():
                before = merged.get(place // 2, (0.0, 0))
                merged[place // 2] = (before[0] + total, before[1] + count)
            life.steps = merged

    def _keep(self, events: list[Event]) -> None:
        """Keep the strongest; a film of hours has thousands."""
        self.events_found += len(events)
        self.events += events
        if len(self.events) > 2 * _EVENTS:
            self.events = sorted(self.events, key=lambda event: -event.peak)[:_EVENTS]


def clock(seconds: float) -> str:
    """Return minutes and seconds, 1:02.5."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(abs(tenths), 600)
    return f"{'-' if tenths < 0 else ''}{minutes}:{rest // 10:02}.{rest % 10}"


def _portrait(frame: Frame, person: Person) -> NDArray[np.uint8]:
    import cv2

    face = cut(frame.pixels, person.box, None, WHOLE_CROP)
    return cv2.resize(face, (_PORTRAIT, _PORTRAIT), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
