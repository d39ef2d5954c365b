"""A film file, a camera or a network stream → frames with their true times, upright."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from os import PathLike, fspath
from typing import TYPE_CHECKING

from mien.errors import OptionError, VideoError
from mien.video.extent import Extent
from mien.video.source import errors, is_live, open_film
from mien.video.upright import Aspect, upright

if TYPE_CHECKING:
    import numpy as np
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

_ROUNDING = Fraction(1, 1000)  # what Matroska counts in; coarser ticks are those of a fixed frame rate, and exact
_TICK = Fraction(1, 90_000)  # what MPEG counts in, for films that do not say


@dataclass(frozen=True)
class About:
    """What a film says of itself, without looking at its frames.

    frames, duration: number of frames that are shown, and seconds; None where the film does not say.
    start:   the time at which players show 0:00; times of frames count from 0 of the film's own clock.
    live:    a camera or stream, which cannot be read twice.
    sound:   it has a sound track.
    """

    frames: int | None
    duration: float | None
    start: float
    live: bool
    sound: bool


class FilmFrame:
    """One decoded frame.

    number: in the film, from 0, frames that were passed over counted.
    time:   its presentation time stamp times its time base, exactly; from a live source since the first frame.
    tick:   the film's time base, of which ``time`` is a multiple.
    """

    def __init__(self, number: int, time: Fraction, picture: VideoFrame, aspect: Fraction) -> None:
        self.number, self.time, self._picture = number, time, picture
        self.tick = picture.time_base or _TICK
        self._upright = upright(picture, aspect)

    @property
    def seconds(self) -> float:
        """``time`` as a float."""
        return float(self.time)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the frame as shown: upright, with square pixels."""
        return self._upright.size(self._picture.width, self._picture.height)

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """uint8 (H, W, 3) RGB as shown; converted when first asked for."""
        return self._upright.pixels(self._picture)


class Film:
    """The frames of a film, in order; iterate over it once or, for a file, again.

    source: a file; the number of a camera or its device (``/dev/video0``); or the address of a stream (``rtsp://…``).
    every:  take each Nth frame.
    fps:    take at most so many frames a second, by their time; not together with ``every``.

    ``faults`` says after the last frame what was wrong with the film: frames that could not be decoded, an end that
    came too early. Such a film gives the frames that it has.

    Raises, when it is opened: ``FileMissingError``; ``VideoError`` for what is no film, has no video track or not a
    single frame, or a camera that does not answer; ``OptionError``; ``MissingExtraError`` (extra ``video``).
    """

    def __init__(
        self, source: str | PathLike[str] | int, *, every: int = 1, fps: float | Fraction | None = None
    ) -> None:
        if every < 1 or (fps is not None and not 0 < fps < math.inf):
            raise OptionError(f"every = {every}, fps = {fps}: expected every from 1 and fps above 0.")
        if every > 1 and fps is not None:
            raise OptionError("every and fps were both given: choose one.")
        self.name = fspath(source) if isinstance(source, PathLike) else str(source)
        self.live = is_live(self.name)
        self.faults: list[str] = []
        self._every = every
        # A float is taken for the decimal number that it was written as: 29.97, not the nearest binary one.
        self._fps = None if fps is None else Fraction(str(fps))
        self._container: InputContainer | None = None

    @cached_property
    def about(self) -> About:
        """What the film says of itself; opens it."""
        container, track = self._opened()
        extent = Extent(container, track)
        start = 0.0 if self.live else (container.start_time or 0) / 1_000_000
        sound = bool(container.streams.audio) and not self.live
        duration = None if extent.end is None else extent.end - extent.start
        return About(extent.frames, duration, start, self.live, sound)

    def __iter__(self) -> Iterator[FilmFrame]:
        """Yield the frames; only those held by the caller and the decoder are in memory."""
        self.faults = []
        container, track = self._opened()
        track.thread_type = "AUTO"
        number, extent = -1, Extent(container, track)
        sampler = _Sampler(self._every, self._fps)
        aspect = Aspect(track)
        try:
            for frame in _timed(self._pictures(container, track, extent), track, aspect, self.live):
                number = frame.number
                if sampler.takes(frame):
                    yield frame
        finally:
            self.close()
        if number < 0:
            raise VideoError(f"{self.name!r} holds not a single frame that can be decoded. Record or copy it again.")
        if aspect.refused is not None:
            self.faults.append(f"its pixels are said to be {aspect.refused} times as wide as high; taken for square")
        if (loss := extent.loss()) is not None:
            self.faults.append(loss)

    def close(self) -> None:
        """Let go of the file or camera."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def _opened(self) -> tuple[InputContainer, VideoStream]:
        if self._container is None:
            self._container = open_film(self.name)
        tracks = [each for each in self._container.streams.video if not _is_cover(each)]
        if not tracks:
            kinds = ", ".join(sorted({each.type for each in self._container.streams})) or "none"
            self.close()
            raise VideoError(f"{self.name!r} has no video track; its tracks: {kinds}. Name a film.")
        return self._container, tracks[0]

    def _pictures(self, container: InputContainer, track: VideoStream, extent: Extent) -> Iterator[VideoFrame]:
        """Decode packet by packet, so that one damaged packet costs its own frames and no others."""
        damaged = 0
        for packet in self._packets(container, track):
            extent.take(packet)
            try:
                pictures = packet.decode()
            except errors().InvalidDataError:
                damaged += 1
                continue
            for picture in pictures:
                damaged += picture.is_corrupt
                yield picture
        if damaged:
            self.faults.append(
                f"{damaged} damaged {'piece' if damaged == 1 else 'pieces'} of it could not be decoded well"
            )

    def _packets(self, container: InputContainer, track: VideoStream) -> Iterator[Packet[VideoStream]]:
        try:
            yield from container.demux(track)
        except errors().EOFError:
            return
        except (errors().FFmpegError, OSError) as error:
            # Pictures that the decoder still holds are lost with the source: at most a few.
            self.faults.append(f"it broke off: {error.strerror or error}")


class _Sampler:
    """Which frames are taken; depends on their numbers and times alone.

    With ``fps``, the first frame of each span of 1 / fps seconds. A time stamp is rounded to the film's tick, so that a
    frame may come at 33 ms instead of 1/30 s: it belongs to the span that begins then.
    """

    def __init__(self, every: int, fps: Fraction | None) -> None:
        self._every, self._fps = every, fps
        self._slot: int | None = None

    def takes(self, frame: FilmFrame) -> bool:
        if self._fps is None:
            return frame.number % self._every == 0
        slot = math.floor((frame.time + min(frame.tick, _ROUNDING)) * self._fps)
        taken, self._slot = slot != self._slot, slot
        return taken


def _timed(pictures: Iterator[VideoFrame], track: VideoStream, aspect: Aspect, live: bool) -> Iterator[FilmFrame]:
    """Give each picture its time; where a film has no time stamps, its frame rate."""
    step = 1 / (track.guessed_rate or track.average_rate or Fraction(25))
    first: Fraction | None = None
    for number, picture in enumerate(pictures):
        base = picture.time_base or track.time_base
        time = number * step if picture.pts is None or base is None else picture.pts * base
        first = time if first is None else first
        yield FilmFrame(number, time - first if live else time, picture, aspect.now())


def _is_cover(track: VideoStream) -> bool:
    from av.stream import Disposition

    return bool(track.disposition & Disposition.attached_pic)
