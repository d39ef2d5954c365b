"""Presentation times of frames: continuous, increasing, and by arrival where a live source has no time stamps."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_JUMP = Fraction(1, 10)  # seconds; jitter of damaged files is smaller
_MILLISECOND = Fraction(1, 1000)


def read_packets(container: InputContainer, track: VideoStream, sound: Sequence[Any]) -> Iterator[Packet[Any]]:
    """Yield the packets of the video track and of sound tracks, in file order, with continuous time stamps.

    Recordings that were concatenated byte by byte restart their clocks. Video and sound then continue together where
    the longer of the two ended. Reading the same tracks of the same file again gives the same times.
    """
    clock = RunningTime()
    for packet in container.demux(track, *sound):
        clock.shift(packet)
        yield packet


@dataclass
class _Track:
    """State of one track: number of the recording, and in seconds the offset, the last time stamp and the end."""

    part: int
    shift: Fraction
    last: Fraction
    end: Fraction


class RunningTime:
    """Shifts the time stamps of packets so that they continue where a clock jumps back."""

    def __init__(self) -> None:
        self._tracks: dict[int, _Track] = {}
        self._part, self._shift, self._end = 0, Fraction(0), Fraction(0)

    def shift(self, packet: Packet[Any]) -> None:
        """Shift the packet's time stamps in place; missing ones stay missing."""
        if packet.dts is None or packet.time_base is None:
            return
        base = Fraction(packet.time_base)
        decoded = packet.dts * base
        shown = decoded if packet.pts is None else packet.pts * base
        track = self._tracks.setdefault(packet.stream_index, _Track(self._part, self._shift, decoded, self._end))
        if decoded < track.last - _JUMP:
            self._begin_part(track, shown)
        ticks = math.ceil(track.shift / base)
        packet.dts += ticks
        packet.pts = None if packet.pts is None else packet.pts + ticks
        track.last = decoded
        track.end = max(track.end, shown + (ticks + (packet.duration or 0)) * base)
        self._end = max(self._end, track.end)

    def _begin_part(self, track: _Track, shown: Fraction) -> None:
        """Move a track to the next recording, which another track may have started already."""
        if track.part == self._part:
            self._part, self._shift = self._part + 1, self._end - shown
        track.part = self._part
        track.shift = max(self._shift, track.end - shown)


class FilmTimes:
    """The time of each decoded frame of a file: FFmpeg's best-effort time stamp.

    If a container's presentation time stamps are out of order, as in AVI with B-frames, the decoding time stamps are
    used. A file without time stamps uses its frame rate.
    """

    def __init__(self, track: VideoStream) -> None:
        self._base = track.time_base
        self._step = 1 / (track.guessed_rate or track.average_rate or Fraction(25))
        self._number = -1
        self._last_shown: int | None = None
        self._last_decoded: int | None = None
        self._late_shown = self._late_decoded = 0
        self._last: int | None = None
        self._usual = 0

    def __call__(self, picture: VideoFrame) -> tuple[Fraction, Fraction | None]:
        """Return the time in seconds, and the time base of which it is a multiple; None if there is none."""
        self._number += 1
        base = picture.time_base or self._base
        ticks = self._best(picture.pts, picture.dts)
        if ticks is None or base is None:
            return self._number * self._step, None
        if self._last is not None:
            ticks = self._rising(ticks, self._last, drained=picture.dts is None)
        self._last = ticks
        return ticks * base, base

    def _best(self, shown: int | None, decoded: int | None) -> int | None:
        """Choose the kind of time stamp that went backwards less often, like ``guess_correct_pts`` in FFmpeg."""
        if decoded is not None:
            self._late_decoded += self._last_decoded is not None and decoded <= self._last_decoded
        if shown is not None:
            self._late_shown += self._last_shown is not None and shown <= self._last_shown
        self._last_decoded = shown if decoded is None else decoded
        self._last_shown = decoded if shown is None else shown
        if shown is not None and (decoded is None or self._late_shown <= self._late_decoded):
            return shown
        return decoded

    def _rising(self, ticks: int, last: int, *, drained: bool) -> int:
        """Keep time increasing: the last frames from the decoder have no decoding time stamp to fall back on."""
        if ticks > last and not (drained and self._late_shown > self._late_decoded):
            self._usual = ticks - last
            return ticks
        return last + (self._usual if drained and self._usual else 1)


class LiveTimes:
    """The time of each frame of a live source since the first one, across reconnects.

    A source with time stamps uses them, one without uses the arrival times. After a reconnect the time that passed is
    added, so the gap is preserved.
    """

    def __init__(self) -> None:
        self._begun: float | None = None
        self._film: FilmTimes | None = None
        self._offset, self._first, self.last = Fraction(0), Fraction(0), Fraction(-1)

    def connect(self, track: VideoStream, *, clock: bool) -> None:
        """Start a connection. clock: whether it has time stamps of its own."""
        self._film, self._fresh = (FilmTimes(track) if clock else None), True

    def __call__(self, picture: VideoFrame) -> tuple[Fraction, Fraction | None]:
        """Return seconds since the first frame, and the time base."""
        now = time.monotonic()
        self._begun = now if self._begun is None else self._begun
        arrived = Fraction(round((now - self._begun) * 1000), 1000)
        stamp, tick = (arrived, _MILLISECOND) if self._film is None else self._film(picture)
        if self._fresh:
            self._offset, self._first, self._fresh = arrived, (arrived if self._film is None else stamp), False
        tick = tick or _MILLISECOND
        moment = round((stamp - self._first + self._offset) / tick) * tick
        self.last = max(moment, self.last + tick if self.last >= 0 else moment)
        return self.last, tick
