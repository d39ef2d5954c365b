"""Detect emotion events, with onset, apex and offset, by hysteresis thresholding.

An event begins when the smoothed probability of an emotion rises to ``LOW`` and ends when it was last at or above it;
it counts if it reached ``HIGH`` in between. Two thresholds keep a value that fluctuates around one of them from
splitting an event.
"""

from __future__ import annotations

import csv
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from mien.results import FrameResult
    from mien.tracking.stream import Frame

LOW, HIGH = 0.4, 0.6
_REST = "neutral"  # the resting state is not an event


@dataclass(frozen=True)
class Event:
    """One emotion of one person from ``onset`` over ``apex`` to ``offset``, in seconds; ``peak`` is its probability."""

    person: int
    emotion: str
    onset: float
    apex: float
    offset: float
    peak: float


class Events:
    """Detects events frame by frame. gap: seconds after which the events of a person who is not seen end."""

    def __init__(self, gap: float) -> None:
        self._gap = gap
        self._open: dict[tuple[int, str], Event] = {}

    def add(self, result: FrameResult) -> list[Event]:
        """Add a frame; return the events that have ended."""
        over = []
        for person in result.people:
            for emotion, share in person.probabilities.items():
                if share >= LOW and emotion != _REST:
                    self._rise(person.id, emotion, result.seconds, share)
                elif (person.id, emotion) in self._open:
                    over.append(self._open.pop((person.id, emotion)))
        gone = [key for key, event in self._open.items() if result.seconds - event.offset > self._gap]
        return _select_strong(over + [self._open.pop(key) for key in gone])

    def close(self) -> list[Event]:
        """Return the events that are still open at the end of the video."""
        over, self._open = list(self._open.values()), {}
        return _select_strong(over)

    def _rise(self, person: int, emotion: str, seconds: float, share: float) -> None:
        before = self._open.get((person, emotion)) or Event(person, emotion, seconds, seconds, seconds, share)
        apex, peak = (seconds, share) if share > before.peak else (before.apex, before.peak)
        self._open[person, emotion] = Event(person, emotion, before.onset, apex, seconds, peak)


class EventList:
    """Writes events as CSV as they end."""

    def __init__(self, stream: TextIO, gap: float) -> None:
        self._events, self._stream = Events(gap), stream
        self._writer = csv.writer(stream, lineterminator="\n")
        self._writer.writerow(column.name for column in fields(Event))

    def add(self, _frame: Frame, result: FrameResult) -> None:
        """Add a frame."""
        self._write(self._events.add(result))

    def close(self) -> None:
        """Write the events that are still open."""
        self._write(self._events.close())

    def _write(self, events: list[Event]) -> None:
        self._writer.writerows(astuple(event) for event in events)
        self._stream.flush()


def _select_strong(events: list[Event]) -> list[Event]:
    return sorted((event for event in events if event.peak >= HIGH), key=lambda event: (event.onset, event.person))
