"""A film file, a camera or a network stream → frames with their true times, upright."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import count
from os import PathLike, fspath
from typing import TYPE_CHECKING

from mien.errors import OptionError, VideoError
from mien.video.clock import FilmTimes, LiveTimes, running
from mien.video.extent import Extent
from mien.video.patience import Patience
from mien.video.source import errors, first_video, has_clock, has_end, open_film, reason, without_passwords
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
    live:    a camera or stream, which has no end and cannot be read twice.
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
    time:   its presentation time stamp times its time base, exactly; from a live source since the first frame. Where
            the film's clock jumps back, as where recordings were joined, time goes on.
    tick:   the film's time base, of which ``time`` is a multiple.
    """

    def __init__(
        self, number: int, picture: VideoFrame, time: Fraction, tick: Fraction | None, aspect: Fraction
    ) -> None:
        self.number, self.time, self._picture = number, time, picture
        self.tick = tick or _TICK
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
    """The frames of a film, in order; iterate over it once or, for what has an end, again.

    source:    a file; the number of a camera or its device (``/dev/video0``); or the address of a film or of a stream
               (``https://…``, ``rtsp://…``). What has an end is read whole; what has none is live.
    every:     take each Nth frame.
    fps:       take at most so many frames a second, by their time; not together with ``every``.
    reconnect: seconds for which a live source that broke off is tried again; 0 for not at all. Time goes on meanwhile.

    ``faults`` says after the last frame what was wrong with the film: frames that could not be decoded, an end that
    came too early, breaks. Such a film gives the frames that it has. ``name`` is the source without passwords, and
    ``address`` the source as it was given.

    Raises, when it is opened: ``FileMissingError``; ``VideoError`` for what is no film, has no video track or not a
    single frame, or a camera that does not answer; ``OptionError``; ``MissingExtraError`` (extra ``video``).
    """

    def __init__(
        self,
        source: str | PathLike[str] | int,
        *,
        every: int = 1,
        fps: float | Fraction | None = None,
        reconnect: float = 0.0,
    ) -> None:
        if every < 1 or (fps is not None and not 0 < fps < math.inf):
            raise OptionError(f"every = {every}, fps = {fps}: expected every from 1 and fps above 0.")
        if every > 1 and fps is not None:
            raise OptionError("every and fps were both given: choose one.")
        if not 0 <= reconnect < math.inf:
            raise OptionError(f"reconnect = {reconnect}: expected seconds, 0 (not at all) or more.")
        self.address = fspath(source) if isinstance(source, PathLike) else str(source)
        self.name = without_passwords(self.address)
        self.faults: list[str] = []
        self._every = every
        # A float is taken for the decimal number that it was written as: 29.97, not the nearest binary one.
        self._fps = None if fps is None else Fraction(str(fps))
        self._patience = Patience(reconnect)
        self._container: InputContainer | None = None
        self._broken = ""
        self._damaged = 0

    @property
    def live(self) -> bool:
        """A camera or stream, which has no end and cannot be read twice; opens it."""
        return self.about.live

    @cached_property
    def about(self) -> About:
        """What the film says of itself; opens it."""
        container, track = self._opened()
        live = not has_end(container, self.address)
        if self._patience.seconds and not live:
            self.close()
            raise OptionError(f"reconnect needs a camera or a stream; {self.name!r} has an end. Leave it out.")
        extent = Extent(container, track)
        start = 0.0 if live else (container.start_time or 0) / 1_000_000
        sound = bool(container.streams.audio) and not live
        duration = None if extent.end is None else extent.end - extent.start
        return About(extent.frames, duration, start, live, sound)

    def __iter__(self) -> Iterator[FilmFrame]:
        """Yield the frames; only those held by the caller and the decoder are in memory."""
        self.faults, self._damaged, number = [], 0, -1
        sampler = _Sampler(self._every, self._fps)
        try:
            for frame in self._frames():
                number = frame.number
                if sampler.takes(frame):
                    yield frame
        finally:
            self.close()
        if number < 0:
            raise VideoError(f"{self.name!r} holds not a single frame that can be decoded. Record or copy it again.")
        if self._damaged:
            pieces = "piece" if self._damaged == 1 else "pieces"
            self.faults.append(f"{self._damaged} damaged {pieces} of it could not be decoded well")

    def close(self) -> None:
        """Let go of the file or camera."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def stop(self) -> None:
        """Let another thread, which waits until a live source can be reached again, wait no longer."""
        self._patience.stop()

    def _opened(self) -> tuple[InputContainer, VideoStream]:
        if self._container is None:
            self._container = open_film(self.address)
        track = first_video(self._container)
        if track is None:
            kinds = ", ".join(sorted({stream.type for stream in self._container.streams})) or "none"
            self.close()
            raise VideoError(f"{self.name!r} has no video track; its tracks: {kinds}. Name a film.")
        return self._container, track

    def _frames(self) -> Iterator[FilmFrame]:
        numbers, live = count(), LiveTimes() if self.live else None
        for container, track in self._connections():
            # Several frames in the decoder at once are quicker, but would come late from a camera.
            track.thread_type = "SLICE" if live else "AUTO"
            times = live or FilmTimes(track)
            if live is not None:
                live.connect(track, clock=has_clock(container))
            extent, aspect = Extent(container, track), Aspect(track)
            for picture in self._pictures(container, track, extent):
                self._patience.reset()
                yield FilmFrame(next(numbers), picture, *times(picture), aspect.now())
            self._judge(extent, aspect)

    def _connections(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        """Yield the source, and again after each break of a live one."""
        yield self._opened()
        breaks, broken = 0, self._broken
        while self.live and self._patience.wait():
            self.close()
            try:
                opened = self._opened()
            except VideoError:
                continue
            yield opened
            breaks, broken = breaks + 1, self._broken
        if breaks:
            self.faults.append(
                f"it broke off {breaks} {'time' if breaks == 1 else 'times'} and came back; gaps are left"
            )
        if broken:
            self.faults.append(f"it broke off: {broken}")

    def _judge(self, extent: Extent, aspect: Aspect) -> None:
        """Note what was wrong with a source that was read to its end."""
        if aspect.refused is not None:
            self.faults.append(f"its pixels are said to be {aspect.refused} times as wide as high; taken for square")
        if (loss := extent.loss()) is not None:
            self.faults.append(loss)

    def _pictures(self, container: InputContainer, track: VideoStream, extent: Extent) -> Iterator[VideoFrame]:
        """Decode packet by packet, so that one damaged packet costs its own frames and no others."""
        for packet in self._packets(container, track):
            extent.take(packet)
            try:
                pictures = packet.decode()
            except errors().InvalidDataError:
                self._damaged += 1
                continue
            for picture in pictures:
                self._damaged += picture.is_corrupt
                yield picture

    def _packets(self, container: InputContainer, track: VideoStream) -> Iterator[Packet[VideoStream]]:
        self._broken = ""
        sound = () if self.live else container.streams.audio
        try:
            # Of the empty packets at the end, which make decoders give what they hold, only the stream is right.
            yield from (packet for packet in running(container, track, sound) if packet.stream.index == track.index)
        except errors().EOFError:
            return
        except (errors().FFmpegError, OSError) as error:
            # Pictures that the decoder still holds are lost with the source: at most a few.
            self._broken = reason(error)


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
