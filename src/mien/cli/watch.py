"""SOURCE is the number of a camera (default: 0) or its device, the URL of a stream (rtsp://…), or a video file.

Only the newest frame of a camera is processed; others are skipped. q, Esc or Ctrl-C ends. Nothing is stored.

Next: mien video 0 --out session.csv --annotated session.mp4
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from mien.cli import DONE, PARTLY, one_line
from mien.cli.ending import ended_well
from mien.cli.parser import not_negative, one_of
from mien.cli.video import following_arguments, following_of, recognizer_of
from mien.drawing.percents import percent
from mien.errors import MissingExtraError

if TYPE_CHECKING:
    from rich.table import Table

    from mien.results import FrameResult, Person
    from mien.tracking.stream import Frame
    from mien.video.film import Film

_BAR = 24
_SECONDS_OF_RATE = 1.0


class View(Protocol):
    """Where the frames are shown."""

    def show(self, result: FrameResult, rate: float) -> bool:
        """Show a frame, processed at ``rate`` frames per second; return False if the user wants to end."""
        ...

    def close(self) -> None:
        """Clear up."""
        ...


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien watch``."""
    parser.add_argument(
        "source", nargs="?", default="0", metavar="SOURCE", help="camera, URL or video file (default: 0)"
    )
    parser.add_argument(
        "--view",
        type=one_of("window", "terminal"),
        metavar="V",
        help="window (default if there is a screen) or terminal",
    )
    parser.add_argument(
        "--reconnect", type=not_negative, default=0.0, metavar="S", help="try to reconnect a lost camera for S seconds"
    )
    parser.add_argument("--seconds", type=not_negative, metavar="S", help="end after S seconds")
    following_arguments(parser)


def run(options: Namespace) -> int:
    """Show frame after frame until the user, the source or ``--seconds`` ends it; return the exit code."""
    from mien.video.film import Film
    from mien.video.follow import Newest

    film, following = Film(options.source, reconnect=options.reconnect), following_of(options)
    recognizer = recognizer_of(options)
    _ = film.about  # report a missing camera before a window opens
    frames = Newest(film) if film.live else _yield_in_real_time(film)
    view = _view(options.view)
    try:
        pixels = isinstance(view, _Window)
        with ended_well():
            _watch(view, recognizer.stream(frames, **vars(following), keep_pixels=pixels), options.seconds)
    finally:
        view.close()
    for fault in film.faults:
        sys.stderr.write(f"mien: {one_line(film.name)}: {fault}\n")
    return PARTLY if film.faults else DONE


def _watch(view: View, results: Iterable[FrameResult], seconds: float | None) -> None:
    begun, times = time.monotonic(), [time.monotonic()]
    for result in results:
        now = time.monotonic()
        times = [*(shown for shown in times if now - shown < _SECONDS_OF_RATE), now]
        rate = (len(times) - 1) / max(now - times[0], 1e-9)
        if not view.show(result, rate) or (seconds is not None and now - begun >= seconds):
            return


def _yield_in_real_time(film: Film) -> Iterator[Frame]:
    """Yield a video's frames in real time, dropping frames if processing is too slow."""
    begun: float | None = None
    for frame in film:
        begun = time.monotonic() - frame.seconds if begun is None else begun
        early = frame.seconds - (time.monotonic() - begun)
        if early >= -0.1:
            time.sleep(max(0.0, early))
            yield frame


def _view(chosen: str | None) -> View:
    if chosen == "terminal":
        return _Terminal()
    try:
        return _Window()
    except MissingExtraError:
        if chosen == "window":
            raise
        return _Terminal()


class _Window:
    """A window of Tk, which most Python installations include."""

    def __init__(self) -> None:
        try:
            import tkinter
        except ImportError:
            raise _no_window("this Python has no tkinter") from None
        try:
            self._root = tkinter.Tk(className="Mien")
        except tkinter.TclError as error:
            raise _no_window(str(error)) from None
        self._root.title("Mien")
        self._label = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()
        self._open = True
        self._root.protocol("WM_DELETE_WINDOW", self._end)
        for key in ("q", "<Escape>"):
            self._root.bind(key, self._end)

    def show(self, result: FrameResult, rate: float) -> bool:
        """Show the frame with its boxes and the rate in the title."""
        from PIL import ImageTk

        self._picture = ImageTk.PhotoImage(result.draw(), master=self._root)  # Tk keeps no reference
        self._label.configure(image=self._picture)
        self._root.title(f"Mien: {rate:.0f} frames/s")
        self._root.update()
        return self._open

    def close(self) -> None:
        """Close the window."""
        self._root.destroy()

    def _end(self, _event: object = None) -> None:
        self._open = False


class _Terminal:
    """A live table in the terminal; if stdout is not a terminal, only the last table is printed."""

    def __init__(self) -> None:
        from rich.live import Live

        from mien.cli.writing.terminal import console

        self._live = Live(console=console(sys.stdout), auto_refresh=False, transient=False)
        self._live.start()

    def show(self, result: FrameResult, rate: float) -> bool:
        """Show one row per person."""
        self._live.update(_table(result, rate), refresh=sys.stdout.isatty())
        return True

    def close(self) -> None:
        """Stop, leaving the last table visible."""
        self._live.stop()


def _table(result: FrameResult, rate: float) -> Table:
    from rich import box, table
    from rich.text import Text

    people = sorted(result.people, key=lambda person: person.id)
    title = f"{result.seconds:.1f} s, {rate:.0f} frames/s, {len(people)} {'person' if len(people) == 1 else 'people'}"
    view = table.Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for name in ("person", "emotion", "confidence", "second guess"):
        view.add_column(name, justify="right" if name == "person" else "left")
    for person in people:
        view.add_row(*[Text(cell, "yellow" if person.uncertain else "") for cell in _cells(person)])
    return view


def _cells(person: Person) -> tuple[str, ...]:
    best, *others = sorted(person.probabilities.items(), key=lambda pair: -pair[1])
    bar = "█" * round(_BAR * best[1])
    second = f"{others[0][0]} {percent(others[0][1])}" if others else ""
    return str(person.id), best[0] + " ?" * person.uncertain, f"{bar:<{_BAR}} {percent(best[1])}", second


def _no_window(reason: str) -> MissingExtraError:
    return MissingExtraError(f"No window can be opened: {reason}. Use --view terminal.")
