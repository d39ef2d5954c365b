"""The stated length of a video, and whether all of it was read."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_WRITTEN = re.compile(r"([0-9]{1,9}):([0-9]{1,9}):([0-9]{1,9}(?:\.[0-9]{1,20})?)")
"""A duration in Matroska: 00:01:02.500000000, counted from 0. A damaged one counts as none."""

_SLACK = 0.5  # seconds by which a track may end before the time in its header; encoders round durations


class Extent:
    """The stated length of a track, compared with the packets that were read.

    frames: number of visible frames; None without an index. Frames hidden by an edit list do not count.
    start:  seconds on the file's own clock at which the track begins.
    end:    seconds at which it ends; None if unknown.

    The number of frames in a header is not trusted: it includes frames that an edit list hides, and in AVI every tick
    without a frame. The index lists the packets themselves, so the track is complete if all of them were read.
    """

    def __init__(self, container: InputContainer, track: VideoStream) -> None:
        self._base = track.time_base or Fraction(1)
        index = track.index_entries if track.frames and container.format.name.startswith(("mov", "avi")) else ()
        self._promised = sum(entry.size > 0 for entry in index)
        self.frames = sum(entry.size > 0 and not entry.is_discard for entry in index) or None
        self.start = float((track.start_time or 0) * self._base)
        self.end = _find_end(container, track, self.start)
        # Durations in MP4 are often rounded or wrong, and its index is complete if the file can be opened.
        self._timed = not (self._promised and container.format.name.startswith("mov"))
        self._packets = 0
        self._last = self._longest = self._duration = 0

    def take(self, packet: Packet[VideoStream]) -> None:
        """Count a packet."""
        if not packet.size:
            return
        stamps = [stamp for stamp in (packet.pts, packet.dts) if stamp is not None]
        if stamps:
            if self._packets:
                self._longest = max(self._longest, max(stamps) - self._last)
            self._last, self._duration = max(self._last, *stamps), packet.duration or 0
        self._packets += 1

    def loss(self) -> str | None:
        """Describe what is missing at the end; None if all packets were read."""
        if self._packets < self._promised:
            return f"it ends after {self._packets:,} of {self._promised:,} frames"
        last = float((self._last + (self._duration or self._longest)) * self._base)
        if self._timed and self.end is not None and last + _SLACK < self.end:
            return f"it ends at {last - self.start:.1f} of {self.end - self.start:.1f} seconds"
        return None


def _find_end(container: InputContainer, track: VideoStream, start: float) -> float | None:
    """Return the seconds at which the video track ends, whatever the length of the sound track."""
    if track.duration is not None and track.time_base is not None:
        # AVI's header counts ticks; for a truncated file FFmpeg returns the duration of what is there.
        ticks = track.frames if container.format.name == "avi" else 0
        return start + float(max(track.duration, ticks) * track.time_base)
    written = _WRITTEN.fullmatch(track.metadata.get("DURATION", ""))
    if written is not None:
        hours, minutes, seconds = written.groups()
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    if container.duration is None or container.streams.audio:
        return None
    from_zero = container.format.name.startswith("matroska")
    return container.duration / 1_000_000 + (0.0 if from_zero else start)
