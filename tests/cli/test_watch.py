"""``mien watch``: the table in a terminal, the window where there is a screen, an end by time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("av")
pytest.importorskip("scipy")

import films

from mien.cli import main
from mien.cli import watch as watching
from mien.results import Box, FrameResult, Person
from mien.video import film as film_module
from mien.video import source as source_module

Watch = Callable[..., int]
LABELS = ("happiness", "neutral")


@pytest.fixture
def watch(model: Path) -> Watch:
    """Run ``mien watch`` in this process, with the small model."""

    def run(*arguments: object) -> int:
        return main(["watch", *map(str, arguments), "--model", str(model), "--threads", "1"])

    return run


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg's test picture stands for camera 0."""
    address: tuple[str, str, dict[str, str]] = "testsrc=size=96x64:rate=25:duration=2", "lavfi", {}
    monkeypatch.setattr(source_module, "_to_ffmpeg", lambda name: address)


@pytest.mark.usefixtures("camera")
def test_a_camera_in_the_terminal(watch: Watch, capsys: pytest.CaptureFixture[str]) -> None:
    assert watch("--view", "terminal", "--detector", "whole") == 0
    output = capsys.readouterr().out
    assert "frames/s, 1 person" in output
    assert "█" in output


@pytest.mark.usefixtures("camera")
def test_it_ends_after_so_many_seconds(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[float] = []
    show = watching._Terminal.show

    def note(terminal: Any, result: Any, rate: float) -> bool:
        shown.append(rate)
        return show(terminal, result, rate)

    monkeypatch.setattr(watching._Terminal, "show", note)
    assert watch("--view", "terminal", "--seconds", "0") == 0
    assert len(shown) == 1


def test_a_film_is_shown_at_its_own_pace(watch: Watch, tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.5]
    film = films.write(tmp_path / "film.mp4", films.scene([], times), times)
    begun = time.monotonic()
    assert watch(film, "--view", "terminal") == 0
    assert time.monotonic() - begun >= 0.5


def test_frames_that_are_late_are_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    times = [at / 10 for at in range(10)]
    film = film_module.Film(films.write(tmp_path / "film.mp4", films.scene([], times), times))
    clock = [0.0]
    monkeypatch.setattr("mien.cli.watch.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("mien.cli.watch.time.sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    given = []
    for frame in watching._yield_in_real_time(film):
        given.append(frame.number)
        clock[0] += 0.28  # what reading a frame takes
    assert given == [0, 2, 5, 8]


def person(share: float, uncertain: bool) -> Person:
    return Person(3, Box(4, 4, 20, 20), True, 0.9, LABELS, None, (share, 1 - share), uncertain)


def test_the_cells_of_the_table() -> None:
    assert watching._cells(person(0.75, False)) == ("3", "happiness", "█" * 18 + " " * 6 + " 75%", "neutral 25%")
    assert watching._cells(person(0.5, True))[1] == "happiness ?"


def test_without_a_screen_the_terminal_is_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tkinter = pytest.importorskip("tkinter")

    def no_screen(*_given: object, **_named: object) -> None:
        raise tkinter.TclError("no display name")

    monkeypatch.setattr(tkinter, "Tk", no_screen)
    view = watching._view(None)
    view.close()
    assert isinstance(view, watching._Terminal)
    assert main(["watch", "--view", "window", "gone.mp4"]) == 2
    with pytest.raises(Exception, match="Use --view terminal"):
        watching._view("window")


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A screen in memory, where there is none."""
    pytest.importorskip("tkinter", reason="needs tkinter (Debian: python3-tk)")
    if os.environ.get("DISPLAY") or sys.platform != "linux":
        yield
        return
    if not shutil.which("Xvfb"):
        pytest.skip("needs Xvfb (Debian: xvfb)")
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        with os.fdopen(reading) as answer:
            monkeypatch.setenv("DISPLAY", f":{answer.readline().strip()}")
        yield
        server.terminate()


@pytest.mark.usefixtures("screen")
def test_the_window_shows_frames_until_it_is_closed() -> None:
    view: Any = watching._Window()
    try:
        import numpy as np

        frame = FrameResult(0, 0.0, 64, 48, (person(0.9, False),), pixels=np.full((48, 64, 3), 90, np.uint8))
        assert view.show(frame, 25.0)
        assert view._root.title() == "Mien: 25 frames/s"
        assert (view._picture.width(), view._picture.height()) == (64, 48)
        view._root.event_generate("<Escape>")
        view._end()
        assert not view.show(frame, 25.0)
    finally:
        view.close()


def test_a_camera_that_is_not_there(watch: Watch, capsys: pytest.CaptureFixture[str]) -> None:
    assert watch("/dev/video97") == 2
    assert "Check that it is plugged in" in capsys.readouterr().err
