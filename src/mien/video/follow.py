"""Yield every frame of a video with its result, reusing the results of an interrupted run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from threading import Condition
from typing import TYPE_CHECKING

from mien.errors import OptionError

if TYPE_CHECKING:
    from mien.results import FrameResult
    from mien.tracking.stream import Follower
    from mien.video.film import Film, FilmFrame


_GRACE = 2.0  # seconds to wait for the camera thread to end


def follow(
    follower: Follower, frames: Iterable[FilmFrame], kept: Iterator[FrameResult]
) -> Iterator[tuple[FilmFrame, FrameResult, bool]]:
    """Yield each frame, its result, and whether it is new.

    Args:
        kept: the results of an interrupted run, used instead of reading the first frames again. They restore the
            follower's state, which depends on results alone.

    Raises:
        OptionError: they belong to another video.
    """
    for frame in frames:
        before = next(kept, None)
        if before is None:
            yield frame, follower.step(frame), True
            continue
        result = follower.replay(before)
        if (before.frame, before.seconds) != (frame.number, frame.seconds) or replace(result, missing=()) != before:
            raise _mismatch(f"frame {before.frame} at {before.seconds} s does not match this video")
        yield frame, result, False
    if next(kept, None) is not None:
        raise _mismatch("it has more frames than this video")


def _mismatch(why: str) -> OptionError:
    return OptionError(f"--resume: the output belongs to another video or run ({why}). Remove --resume to start again.")


class Newest:
    """Iterates over the newest frames of a live source; frames that come in while one is processed are dropped.

    Otherwise the frames of a camera that is faster than the network would lag ever further behind, or fill the memory.
    """

    def __init__(self, film: Film) -> None:
        self._film = film
        self._news = Condition()
        self._frame: FilmFrame | None = None
        self._over = False
        self._pool: ThreadPoolExecutor | None = None
        self._reading: Future[None] | None = None
        self.dropped = 0

    def start(self) -> None:
        """Start reading, before the first frame is asked for: a frame's time is that of its arrival."""
        if self._pool is None:
            self._over, self._pool = False, ThreadPoolExecutor(1, "camera")
            self._reading = self._pool.submit(self._read)

    def __iter__(self) -> Iterator[FilmFrame]:
        """Yield frames until the camera ends; its errors are raised here."""
        self.start()
        reading = self._reading
        try:
            while (frame := self._take()) is not None:
                yield frame
        finally:
            self.close()
        if reading is not None:
            reading.result()

    def close(self) -> None:
        """Stop reading."""
        if self._pool is None or self._reading is None:
            return
        self._over = True
        self._film.stop()
        # A silent camera that FFmpeg is waiting for must not keep files from being closed.
        self._pool.shutdown(wait=bool(wait([self._reading], _GRACE).done))
        self._pool = self._reading = None

    def _take(self) -> FilmFrame | None:
        with self._news:
            self._news.wait_for(lambda: self._frame is not None or self._over)
            frame, self._frame = self._frame, None
            return frame

    def _read(self) -> None:
        try:
            for frame in self._film:
                if self._over:
                    return
                self._put(frame)
        finally:
            with self._news:
                self._over = True
                self._news.notify()

    def _put(self, frame: FilmFrame) -> None:
        with self._news:
            self.dropped += self._frame is not None
            self._frame = frame
            self._news.notify()
