"""Read a video file, a camera or a network stream as upright frames with exact times."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import count
from os import PathLike, fspath
from typing import TYPE_CHECKING

from mien.addresses import hide_passwords
from mien.errors import OptionError, OutOfMemoryError, VideoError, VideoLimitError
from mien.images import MAX_PIXELS
from mien.video.clock import FilmTimes, LiveTimes, read_packets
from mien.video.extent import Extent
from mien.video.patience import Patience
from mien.video.source import Stranger, describe_error, first_video, get_av_errors, has_clock, has_end, open_film
from mien.video.upright import Aspect, Orientations, Upright

if TYPE_CHECKING:
    import numpy as np
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

_ROUNDING = Fraction(1, 1000)  # the time base of Matroska; coarser ones belong to fixed frame rates and are exact
_TICK = Fraction(1, 90_000)  # the time base of MPEG, for files without one


@dataclass(frozen=True)
class About:
    """Metadata of a video, read without decoding frames.

    Attributes:
        frames, duration: number of visible frames, and seconds; None if unknown.
        start: the time at which players show 0:00; frame times count from 0 on the file's own clock.
        live: a camera or stream, which has no end and cannot be read twice.
        sound: whether there is a sound track.
    """

    frames: int | None
    duration: float | None
    start: float
    live: bool
    sound: bool


class FilmFrame:
    """One decoded frame.

    Args:
        number: index in the video, from 0, including frames that were skipped.
        time: exact presentation time stamp in seconds; for a live source since the first frame. Where the clock jumps
            back, as in concatenated recordings, time continues.
        tick: the time base of the video, of which ``time`` is a multiple.
    """

    def __init__(
        self, number: int, picture: VideoFrame, time: Fraction, tick: Fraction | None, upright: Upright
    ) -> None:
        self.number, self.time, self._picture = number, time, picture
        self.tick = tick or _TICK
        self._upright = upright

    @property
    def seconds(self) -> float:
        """``time`` as a float."""
        return float(self.time)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the frame as displayed: upright, with square pixels."""
        return self._upright.size(self._picture.width, self._picture.height)

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """uint8 (H, W, 3) RGB as displayed; converted on first access.

        Raises ``OutOfMemoryError`` where FFmpeg gets no memory or no thread, and ``VideoError`` for pixels that it
        cannot convert.
        """
        errors = get_av_errors()
        try:
            return self._upright.pixels(self._picture)
        except (errors.MemoryError, errors.BlockingIOError) as error:
            width, height = self.size
            raise OutOfMemoryError(
                f"No memory left to convert frame {self.number}, {width}×{height} pixels."
            ) from error
        except errors.FFmpegError as error:
            raise VideoError(f"Frame {self.number} cannot be converted to RGB: {describe_error(error)}.") from error


class Film:
    """The frames of a video, in order. Files can be iterated over again, live sources only once.

    After the last frame, ``faults`` lists problems: frames that could not be decoded, a premature end, lost
    connections. All readable frames are yielded nevertheless. ``name`` is the source without passwords, and ``address``
    the source as given.

    Raises on opening: ``FileMissingError``; ``VideoError`` for a source that is no video, has no video track or no
    frames, or a camera that does not respond; ``OptionError``; ``MissingExtraError`` (extra ``video``).

    Args:
        source: a file; the number of a camera or its device (``/dev/video0``); or the URL of a file or stream
            (``https://…``, ``rtsp://…``). Sources with an end are read completely; sources without one are live.
        every: take every Nth frame.
        fps: take at most this many frames per second of video; not together with ``every``.
        reconnect: seconds during which a lost live source is retried; 0 for never. Time continues meanwhile.
        stranger: bounds for a file from somebody who is not trusted; None for none.
    """

    def __init__(
        self,
        source: str | PathLike[str] | int,
        *,
        every: int = 1,
        fps: float | Fraction | None = None,
        reconnect: float = 0.0,
        stranger: Stranger | None = None,
    ) -> None:
        if every < 1 or (fps is not None and not 0 < fps < math.inf):
            raise OptionError(f"every = {every}, fps = {fps}: expected every to be at least 1 and fps above 0.")
        if every > 1 and fps is not None:
            raise OptionError("every and fps exclude each other: choose one.")
        if not 0 <= reconnect < math.inf:
            raise OptionError(f"reconnect = {reconnect}: expected seconds, 0 (never) or more.")
        self.address = fspath(source) if isinstance(source, PathLike) else str(source)
        self.name = hide_passwords(self.address)
        self.faults: list[str] = []
        self._stranger = stranger
        self._every, self._fps = every, _exact(fps)
        self._patience = Patience(reconnect)
        self._container: InputContainer | None = None
        self._broken = ""
        self._damaged = 0

    @property
    def live(self) -> bool:
        """Whether this is a camera or stream, which has no end and cannot be read twice; opens the source."""
        return self.about.live

    @cached_property
    def about(self) -> About:
        """The video's metadata; opens the source."""
        container, track = self._opened()
        live = not has_end(container, self.address)
        if self._patience.seconds and not live:
            self.close()
            raise OptionError(f"reconnect needs a camera or a stream, but {self.name!r} has an end. Remove the option.")
        extent = Extent(container, track)
        start = 0.0 if live else (container.start_time or 0) / 1_000_000
        sound = bool(container.streams.audio) and not live
        duration = None if extent.end is None else extent.end - extent.start
        return About(extent.frames, duration, start, live, sound)

    def __iter__(self) -> Iterator[FilmFrame]:
        """Yield the frames; only those held by the caller and the decoder stay in memory."""
        self.faults, self._damaged, number = [], 0, -1
        sampler = Sampler(self._every, self._fps)
        try:
            for frame in self._frames():
                number = frame.number
                if sampler.takes(frame):
                    yield frame
        finally:
            self.close()
        if number < 0:
            raise VideoError(f"{self.name!r} has no frame that can be decoded. Record or copy it again.")
        if self._damaged:
            packets = "packet" if self._damaged == 1 else "packets"
            self.faults.append(f"{self._damaged} damaged {packets} could not be decoded correctly")

    def close(self) -> None:
        """Close the file or camera."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def stop(self) -> None:
        """Stop waiting, in another thread, for a lost live source."""
        self._patience.stop()

    def _opened(self) -> tuple[InputContainer, VideoStream]:
        if self._container is None:
            self._container = open_film(self.address, self._stranger)
        track = first_video(self._container)
        if track is None:
            kinds = ", ".join(sorted({stream.type for stream in self._container.streams})) or "none"
            self.close()
            raise VideoError(f"{self.name!r} has no video track; its tracks: {kinds}. Give a source with video.")
        if track.codec_context is None:
            self.close()
            raise VideoError(
                f"{self.name!r} has a video track of a codec that FFmpeg does not know. Convert it to H.264."
            )
        if self._stranger is not None and track.width * track.height > self._stranger.pixels:
            self.close()
            raise VideoLimitError(
                f"The frames have {track.width}×{track.height} pixels: expected at most {self._stranger.pixels}. "
                "Scale the video down.",
                "pixels",
                self._stranger.pixels,
                track.width * track.height,
            )
        return self._container, track

    def _frames(self) -> Iterator[FilmFrame]:
        numbers, live = count(), LiveTimes() if self.live else None
        for container, track in self._connections():
            # Frame threading is faster, but would delay the frames of a camera.
            track.thread_type = "SLICE" if live else "AUTO"
            pixels = MAX_PIXELS if self._stranger is None else min(self._stranger.pixels, MAX_PIXELS)
            track.codec_context.options = {"max_pixels": str(pixels)}  # beyond, packets are damaged
            times = live or FilmTimes(track)
            if live is not None:
                live.connect(track, clock=has_clock(container))
            extent, aspect, orientations = Extent(container, track), Aspect(track), Orientations()
            for picture in self._pictures(container, track, extent):
                self._patience.reset()
                upright = orientations.read(picture, aspect.now())
                frame = FilmFrame(next(numbers), picture, *times(picture), upright)
                self._check_size(*frame.size)
                yield frame
            self._judge(extent, aspect)

    def _check_size(self, width: int, height: int) -> None:
        if width * height > MAX_PIXELS:
            raise VideoError(
                f"{self.name!r} has a frame of {width}×{height} pixels: expected at most {MAX_PIXELS}. Scale it down."
            )

    def _connections(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        """Yield the open source, and again after each reconnect of a live one."""
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
                f"the connection was lost and restored {breaks} {'time' if breaks == 1 else 'times'}, leaving gaps"
            )
        if broken:
            self.faults.append(f"the connection was lost: {broken}")

    def _judge(self, extent: Extent, aspect: Aspect) -> None:
        """Record the faults of a source that was read to its end."""
        if aspect.refused is not None:
            self.faults.append(f"the pixel aspect ratio {aspect.refused} is implausible; pixels taken for square")
        if (loss := extent.loss()) is not None:
            self.faults.append(loss)

    def _pictures(self, container: InputContainer, track: VideoStream, extent: Extent) -> Iterator[VideoFrame]:
        """Decode packet by packet, so that a damaged packet loses its own frames only."""
        for packet in self._packets(container, track):
            extent.take(packet)
            try:
                pictures = packet.decode()
            except get_av_errors().MemoryError as error:
                raise OutOfMemoryError(f"No memory left to decode {self.name!r}.") from error
            except get_av_errors().FFmpegError:  # of several kinds: a damaged GIF gives "Operation not permitted"
                self._damaged += 1
                continue
            for picture in pictures:
                self._damaged += picture.is_corrupt
                yield picture

    def _packets(self, container: InputContainer, track: VideoStream) -> Iterator[Packet[VideoStream]]:
        self._broken = ""
        sound = () if self.live else container.streams.audio
        try:
            # The empty packets at the end, which flush the decoders, have a valid stream but nothing else.
            yield from (
                packet for packet in read_packets(container, track, sound) if packet.stream.index == track.index
            )
        except get_av_errors().EOFError:
            return
        except (get_av_errors().FFmpegError, OSError) as error:
            # The few frames still in the decoder are lost with the source.
            self._broken = describe_error(error)


class Sampler:
    """Selects frames by their numbers and times alone.

    With ``fps`` it takes the first frame of each interval of 1 / fps seconds. Time stamps are rounded to the time base,
    so a frame may come at 33 ms instead of 1/30 s; it belongs to the interval that begins there.

    Args:
        every, fps: as of ``Film``.
    """

    def __init__(self, every: int = 1, fps: float | Fraction | None = None) -> None:
        self._every, self._fps = every, _exact(fps)
        self._slot: int | None = None

    def takes(self, frame: FilmFrame) -> bool:
        """Return whether a frame is selected; ask once for each frame, in order."""
        if self._fps is None:
            return frame.number % self._every == 0
        slot = math.floor((frame.time + min(frame.tick, _ROUNDING)) * self._fps)
        taken, self._slot = slot != self._slot, slot
        return taken


def _exact(fps: float | Fraction | None) -> Fraction | None:
    """Return the decimal number that a float was written as: 29.97, not its binary approximation."""
    return None if fps is None else Fraction(str(fps))
