"""Write an annotated copy of a video in H.264: boxes and emotions drawn in, sound kept, faces optionally blurred."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.drawing.draw import draw, hidden
from mien.errors import VideoError
from mien.files import appearing
from mien.video.sound import Sound
from mien.video.source import describe_error, get_av_errors

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet

    from mien.results import FrameResult
    from mien.video.film import FilmFrame

_CONTAINERS = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov"}

SUFFIXES = tuple(_CONTAINERS)

_ENCODER = {"preset": "veryfast", "crf": "20"}


class Annotated:
    """Writes each frame at its own time, as it is displayed: upright, with square pixels.

    The first frame determines the size; frames of another size are scaled. The file has a hidden name beside ``path``
    until ``close``: it appears whole or not at all.

    Args:
        path: ends in .mp4, .mkv or .mov.
        sound: the file whose sound is copied packet by packet, or encoded as AAC if the container does not support it;
            None for no sound.
        blur: hide faces, including those of people who were seen a moment ago but not detected in the current frame.

    Raises:
        VideoError: the file cannot be written.
    """

    def __init__(self, path: Path, *, sound: str | None, blur: bool = False) -> None:
        self._path, self._blur = path, blur
        self._files = ExitStack()
        self._draft = path
        self._sound = None if sound is None else Sound(sound)
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
        if self._last is not None:
            picture.pts = max(picture.pts, self._last + 1)  # a coarser tick than the first frame's
            self._step = picture.pts - self._last
        self._last = picture.pts
        with self._failing_clearly():
            self._mux(self._track.encode(picture), frame.seconds)

    def close(self) -> None:
        """Flush the encoder, write the sound up to the last frame, and close the file."""
        if self._container is None or self._last is None:
            return
        with self._failing_clearly():
            self._mux(self._track.encode(), float((self._last + self._step) * self._track.codec_context.time_base))
            if self._sound is not None:
                self._sound.finish()
            self._drop()
            self._files.close()

    def _begin(self, frame: FilmFrame) -> None:
        """Open the file; if it does not support the sound as it is, open it again with the sound encoded."""
        if not self._path.exists() or self._path.is_file():  # a pipe or device is written to, not replaced
            self._draft = self._files.enter_context(appearing(self._path.resolve()))
        try:
            self._open(frame, encode=False)
        except (get_av_errors().FFmpegError, OSError, ValueError):
            self._leave()
            with self._failing_clearly():
                self._open(frame, encode=True)

    def _open(self, frame: FilmFrame, *, encode: bool) -> None:
        import av

        width, height = frame.size
        self._container = av.open(str(self._draft), "w", format=_CONTAINERS[self._path.suffix.lower()])
        track = self._container.add_stream("libx264", rate=30, options=_ENCODER)
        # H.264 in 4:2:0 needs even sides.
        track.width, track.height, track.pix_fmt = max(2, width // 2 * 2), max(2, height // 2 * 2), "yuv420p"
        track.codec_context.time_base = frame.tick
        track.codec_context.sample_aspect_ratio = Fraction(1)
        self._track = track
        if self._sound is not None:
            self._sound.begin(self._container, encode=encode)
        self._container.start_encoding()

    @contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        try:
            yield
        except (get_av_errors().FFmpegError, OSError, ValueError) as error:
            with suppress(get_av_errors().FFmpegError, OSError):  # closing fails for the same reason as writing
                self._drop()
            self._discard(error)
            advice = "Check the folder and its free space"
            if self._sound is not None and not isinstance(error, OSError):
                advice = "Try --no-sound"
            raise VideoError(f"Cannot write {str(self._path)!r}: {describe_error(error)}. {advice}.") from None

    def _mux(self, packets: list[Packet[Any]], seconds: float) -> None:
        if self._container is not None:
            if self._sound is not None:
                self._sound.copy(seconds)
            self._container.mux(packets)

    def _discard(self, error: Exception) -> None:
        """Drop the draft, which is not whole."""
        with suppress(type(error), OSError):
            self._files.__exit__(type(error), error, error.__traceback__)

    def _leave(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            container.close()

    def _drop(self) -> None:
        try:
            self._leave()
        finally:
            if self._sound is not None:
                self._sound.close()
