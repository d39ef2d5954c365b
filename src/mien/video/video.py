"""A video and what the people in it show: open a file, a camera or a stream, iterate over its results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import takewhile
from os import PathLike
from typing import TYPE_CHECKING, Any, NoReturn, Self

from mien import foreign
from mien.errors import MissingExtraError, OptionError
from mien.recognition.recognizer import Recognizer, load
from mien.video.film import Film
from mien.video.follow import Newest

if TYPE_CHECKING:
    from fractions import Fraction

    import pandas as pd

    from mien.results import FrameResult
    from mien.tracking.stream import Following
    from mien.video.film import About


class Video:
    """The results of a video, frame by frame: people with ids, their emotions smoothed over time.

    Iterating yields a ``FrameResult`` for each frame and holds one frame at a time. Files can be iterated over again,
    live sources only once; of a live source the newest frame is read, and ``dropped`` counts those that came while
    another was read. After the last frame ``faults`` says what was wrong with the video.

    Raises ``OptionError`` or what ``mien.load`` raises; on the first access to ``about`` or to a frame what ``Film``
    raises, and ``MissingExtraError`` (extra ``video``).

    Args:
        source: a file; the number of a camera or its device; the URL of a file or stream, as for ``mien.Film``.
        model: a name, a model file or a run folder as for ``mien.load``, or a recognizer that is loaded already.
        every, fps, reconnect: which frames are taken, and what happens to a lost camera; see ``mien.Film``.
        seconds: stop after this many seconds of the video; None for the end.
        detect_every, bridge, smooth: see ``mien.tracking.stream.Following``; None takes its default.
        keep_pixels: let each result be drawn.
    """

    def __init__(
        self,
        source: str | PathLike[str] | int,
        *,
        model: str | PathLike[str] | Recognizer = "default",
        every: int = 1,
        fps: float | Fraction | None = None,
        reconnect: float = 0.0,
        seconds: float | None = None,
        detect_every: int = 1,
        bridge: float | None = None,
        smooth: float | None = None,
        keep_pixels: bool = False,
    ) -> None:
        if seconds is not None and not seconds > 0:
            raise OptionError(f"seconds = {seconds}: expected a time above 0, or None for the whole video.")
        self.film = Film(source, every=every, fps=fps, reconnect=reconnect)
        self.following = _following(detect_every=detect_every, bridge=bridge, smooth=smooth)
        self.recognizer = model if isinstance(model, Recognizer) else load(model)
        self.dropped = 0
        self._seconds, self._keep_pixels = seconds, keep_pixels

    def __repr__(self) -> str:
        return f"<Video {self.film.name}, model {self.recognizer.name}>"

    def __iter__(self) -> Iterator[FrameResult]:
        """Yield the results of the frames; the source is closed after the last one."""
        from mien.tracking.stream import Follower

        about = self.about
        frames = Newest(self.film) if about.live else self.film
        follower = Follower(self.recognizer, self.following, keep_pixels=self._keep_pixels)
        end = None if self._seconds is None else about.start + self._seconds
        try:
            with closing(iter(frames)) as shown:  # type: ignore[type-var]  # both are generators
                for frame in takewhile(lambda frame: end is None or frame.seconds < end, shown):
                    yield follower.step(frame)
        finally:
            self.dropped = frames.dropped if isinstance(frames, Newest) else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    if not TYPE_CHECKING:  # a type checker would take every name for known

        def __getattr__(self, name: str) -> NoReturn:
            raise foreign.attribute_error("A video", name, foreign.VIDEO)

    @property
    def about(self) -> About:
        """The metadata of the video: frames, duration, start, live, sound; opens the source."""
        return self.film.about

    @property
    def faults(self) -> list[str]:
        """What was wrong with the video, once it is read; empty if nothing was."""
        return self.film.faults

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of each person's ``values``."""
        return self.recognizer.labels

    def close(self) -> None:
        """Close the file or camera."""
        self.film.close()

    def to_pandas(self) -> pd.DataFrame:
        """Read the whole video; return a row a person a frame, with the columns of ``mien video --out FILE.csv``.

        A frame without a face has a row that lacks the person.

        Raises:
            OptionError: a live source without ``seconds``, which has no end.
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise MissingExtraError("to_pandas() needs pandas. Run: pip install pandas") from None
        from mien.video.timeline import list_columns, to_rows

        if self._seconds is None and self.film.live:
            raise OptionError(f"{self.film.name!r} has no end. Give mien.Video(…, seconds=…), or iterate over it.")
        rows: list[dict[str, Any]] = [row for result in self for row in to_rows(result)]
        return pd.DataFrame(rows, columns=list(list_columns(self.labels)))


def _following(**chosen: float | None) -> Following:
    from mien.tracking.stream import Following

    return Following(**{name: value for name, value in chosen.items() if value is not None})  # type: ignore[arg-type]
