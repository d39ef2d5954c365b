"""The film again, in H.264, with boxes and emotions drawn in and its sound copied; faces made unreadable if asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.draw import draw, hidden
from mien.errors import VideoError
from mien.video.source import open_film

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet

    from mien.results import FrameResult
    from mien.video.film import FilmFrame

SUFFIXES = (".mp4", ".mkv", ".mov")

_ENCODER = {"preset": "veryfast", "crf": "20"}


class Annotated:
    """Write each frame at its own time.

    path:  ends in .mp4, .mkv or .mov.  sound: the file whose sound is copied, packet by packet; None for none.
    blur:  hide the faces, also of people who were there a moment ago and were not found in a frame.

    The first frame decides the size; frames of another size are scaled. Frames whose time does not go on are left out.
    Raises ``VideoError`` where the film cannot be written.
    """

    def __init__(self, path: Path, *, sound: str | None, blur: bool = False) -> None:
        self._path, self._blur = path, blur
        self._sound = None if sound is None else _Sound(sound)
        self._container: OutputContainer | None = None
        self._track: Any = None
        self._last: int | None = None
        self._step = 0

    def add(self, frame: FilmFrame, result: FrameResult) -> None:
        """Draw and write one frame."""
        import av

        pixels = hidden(frame.pixels, (*result.people, *result.missing)) if self._blur else frame.pixels
        if self._container is None:
            self._begin(frame)
        picture = av.VideoFrame.from_ndarray(np.asarray(draw(pixels, result.people)), "rgb24")
        picture = picture.reformat(self._track.width, self._track.height, "yuv420p")
        picture.time_base = self._track.codec_context.time_base
        picture.pts = round(frame.time / picture.time_base)
        if self._last is None or picture.pts > self._last:
            self._step = picture.pts - (picture.pts if self._last is None else self._last)
            self._last = picture.pts
            self._mux(self._track.encode(picture), frame.seconds)

    def close(self) -> None:
        """Write what the encoder holds and the sound up to the last frame, and end the file."""
        if self._container is None or self._last is None:
            return
        try:
            self._mux(self._track.encode(), float((self._last + self._step) * self._track.codec_context.time_base))
        finally:
            self._drop()

    def _begin(self, frame: FilmFrame) -> None:
        import av

        width, height = frame.size
        try:
            self._container = av.open(str(self._path), "w")
            track = self._container.add_stream("libx264", rate=30, options=_ENCODER)
            # Sides of H.264 in 4:2:0 are even.
            track.width, track.height, track.pix_fmt = max(2, width // 2 * 2), max(2, height // 2 * 2), "yuv420p"
            track.codec_context.time_base = frame.tick
            self._track = track
            if self._sound is not None:
                self._sound.begin(self._container)
            self._container.start_encoding()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._drop()
            reason = getattr(error, "strerror", None) or error
            raise VideoError(
                f"Cannot write {str(self._path)!r}: {reason}. A name ending in .mkv takes any sound."
            ) from None

    def _mux(self, packets: list[Packet[Any]], seconds: float) -> None:
        if self._container is not None:
            if self._sound is not None:
                self._sound.copy(self._container, seconds)
            self._container.mux(packets)

    def _drop(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            container.close()
        if self._sound is not None:
            self._sound.close()


class _Sound:
    """The sound tracks of a file, handed over as they are, up to a moment at a time."""

    def __init__(self, name: str) -> None:
        self._source = open_film(name)
        self._tracks: dict[int, Any] = {}
        self._packets = self._read()
        self._next: Packet[Any] | None = None

    def begin(self, container: OutputContainer) -> None:
        """Add the tracks to ``container``."""
        for track in self._source.streams.audio:
            self._tracks[track.index] = container.add_stream_from_template(track)

    def copy(self, container: OutputContainer, until: float) -> None:
        """Copy what begins before ``until`` seconds."""
        while (packet := self._next or next(self._packets, None)) is not None:
            self._next = packet
            if packet.dts is not None and float(packet.dts * packet.time_base) > until:
                return
            packet.stream = self._tracks[packet.stream_index]
            container.mux(packet)
            self._next = None

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()

    def _read(self) -> Iterator[Packet[Any]]:
        from av.error import FFmpegError

        try:
            yield from (each for each in self._source.demux(*self._source.streams.audio) if each.size)
        except FFmpegError:
            return  # a damaged end; Film.faults says so
