"""Write each person's emotion as WebVTT subtitles."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from mien.results import FrameResult
    from mien.tracking.stream import Frame

_SHORTEST = 0.001  # a cue must end after it begins


class Subtitles:
    """Writes a cue for each interval in which the same people show the same emotions.

    Args:
        start: seconds on the video's clock at which players show 0:00.
    """

    def __init__(self, stream: TextIO, start: float = 0.0) -> None:
        self._stream, self._start = stream, start
        self._lines: tuple[str, ...] = ()
        self._since = self._last = start
        stream.write("WEBVTT\n")
        stream.flush()

    def add(self, _frame: Frame, result: FrameResult) -> None:
        """Add a frame."""
        people = sorted(result.people, key=lambda person: person.id)
        lines = tuple(
            f"<v Person {one.id}>{escape(one.emotion, quote=False)}{'?' if one.uncertain else ''}</v>" for one in people
        )
        if lines != self._lines:
            self._cue(result.seconds)
            self._lines, self._since = lines, result.seconds
        self._last = result.seconds

    def close(self) -> None:
        """Write the last cue, which ends with the last frame."""
        self._cue(self._last)
        self._lines = ()

    def _cue(self, until: float) -> None:
        begin, end = self._since - self._start, until - self._start
        if self._lines and end >= begin:
            span = f"{_format_time(begin)} --> {_format_time(max(end, begin + _SHORTEST))}"
            self._stream.write("\n".join(["", span, *self._lines, ""]))
            self._stream.flush()


def _format_time(seconds: float) -> str:
    milliseconds = max(0, round(seconds * 1000))
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
