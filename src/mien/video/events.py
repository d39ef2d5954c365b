"""When an emotion came, was strongest and went: onset, apex and offset, with hysteresis.

An event of an emotion begins where its smoothed probability rises to ``LOW`` and ends where it was last there; it
counts if it reached ``HIGH`` in between. The space between the two keeps a value that shakes around one threshold from
making many events of one.
"""

from __future__ import annotations

import csv
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from mien.recognition.stream import Frame
    from mien.results import FrameResult

LOW, HIGH = 0.4, 0.6
_REST = "neutral"  # what is there between emotions is no event


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
    """Find events as frames come. gap: seconds after which a person who is not seen has ended all events."""

    def __init__(self, gap: float) -> None:
        self._gap = gap
        self._open: dict[tuple[int, str], Event] = {}

    def add(self, result: FrameResult) -> list[Event]:
        """Take a frame; return the events that are over."""
        over = []
        for person in result.people:
            for emotion, share in person.probabilities.items():
                if share >= LOW and emotion != _REST:
                    self._rise(person.id, emotion, result.seconds, share)
                elif (person.id, emotion) in self._open:
                    over.append(self._open.pop((person.id, emotion)))
        gone = [key for key, event in self._open.items() if result.seconds - event.offset > self._gap]
        return _strong(over + [self._open.pop(key) for key in gone])

    def close(self) -> list[Event]:
        """Return the events that the end of the film cut off."""
        over, self._open = list(self._open.values()), {}
        return _strong(over)

    def _rise(self, person: int, emotion: str, seconds: float, share: float) -> None:
        before = self._open.get((person, emotion)) or Event(person, emotion, seconds, seconds, seconds, share)
        apex, peak = (seconds, share) if share > before.peak else (before.apex, before.peak)
        self._open[person, emotion] = Event(person, emotion, before.onset, apex, seconds, peak)


class EventList:
    """Write events as CSV, each when it is over."""

    def __init__(self, stream: TextIO, gap: float) -> None:
        self._events, self._stream = Events(gap), stream
        self._writer = csv.writer(stream, lineterminator="\n")
        self._writer.writerow(each.name for each in fields(Event))

    def add(self, _frame: Frame, result: FrameResult) -> None:
        """Take a frame."""
        self._write(self._events.add(result))

    def close(self) -> None:
        """Write the events that the end cut off."""
        self._write(self._events.close())

    def _write(self, events: list[Event]) -> None:
        self._writer.writerows(astuple(event) for event in events)
        self._stream.flush()


def _strong(events: list[Event]) -> list[Event]:
    return sorted((event for event in events if event.peak >= HIGH), key=lambda event: (event.onset, event.person))
