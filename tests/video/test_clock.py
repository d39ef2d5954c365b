"""Times of frames: as ffprobe gives them, in one running time where clocks jump back, on arrival without a clock."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")

import films

from mien.video.clock import FilmTimes, LiveTimes, RunningTime
from mien.video.film import Film

TRACK: Any = SimpleNamespace(time_base=Fraction(1, 600), guessed_rate=Fraction(25), average_rate=None)


def picture(shown: int | None, decoded: int | None) -> Any:
    return SimpleNamespace(pts=shown, dts=decoded, time_base=Fraction(1, 600))


def stamps(pairs: Sequence[tuple[int | None, int | None]]) -> list[Fraction]:
    times = FilmTimes(TRACK)
    return [times(picture(*pair))[0] * 600 for pair in pairs]


def test_times_of_decoding_count_where_those_of_showing_go_back() -> None:
    """Pairs and answers are those of FFmpeg for an AVI file with B-frames."""
    pairs = [(24, 48), (72, 72), (96, 96), (48, 120), (144, 144), (168, 168), (120, 192), (100, None), (185, None)]
    assert stamps(pairs) == [24, 72, 96, 120, 144, 168, 192, 216, 240]


def test_times_of_showing_count_where_they_go_on() -> None:
    assert stamps([(0, 0), (24, 24), (48, 30), (72, None), (96, None)]) == [0, 24, 48, 72, 96]
    assert stamps([(None, 0), (None, 24), (None, 48)]) == [0, 24, 48]
    assert stamps([(0, 0), (24, 24), (24, 25), (48, 48)]) == [0, 24, 25, 48]
    assert stamps([(None, None), (None, None)]) == [0, 24]


def test_b_frames_in_avi_are_in_order(tmp_path: Path) -> None:
    shades = [np.full((64, 96, 3), 20 + 5 * at, np.uint8) for at in range(40)]
    frames = list(Film(films.write_reordered(tmp_path / "film.avi", shades)))
    seconds = [frame.seconds for frame in frames]
    assert [round(float(frame.pixels.mean()) / 5 - 4) for frame in frames] == list(range(40))
    assert min(np.diff(seconds)) > 0
    assert np.diff(seconds)[4:] == pytest.approx(0.04)


def packet(stream: int, shown: int, decoded: int, duration: int) -> Any:
    return SimpleNamespace(stream_index=stream, pts=shown, dts=decoded, duration=duration, time_base=Fraction(1, 100))


def test_joined_recordings_go_on_where_the_longer_track_ended() -> None:
    running = RunningTime()
    video = [packet(0, 110 + 10 * at, 100 + 10 * at, 10) for at in range(5)]
    sound = [packet(1, 100 + 13 * at, 100 + 13 * at, 13) for at in range(5)]
    again = [packet(0, 110 + 10 * at, 100 + 10 * at, 10) for at in range(5)]
    late = packet(1, 165, 165, 13)  # of the first recording, but after the first picture of the second
    more = [packet(1, 100 + 13 * at, 100 + 13 * at, 13) for at in range(5)]
    for one in (*video, *sound, again[0], late, *again[1:], *more):
        running.shift(one)
    assert [one.pts for one in video] == [110, 120, 130, 140, 150]
    assert again[0].pts == 165  # where the sound ended, at 100 + 5 * 13
    assert np.diff([one.pts for one in again]).tolist() == [10] * 4
    assert again[0].pts - again[0].dts == 10
    assert late.pts == 165
    assert more[0].pts == 178
    assert np.diff([one.pts for one in more]).tolist() == [13] * 4


def test_a_track_that_lacks_in_a_recording_goes_on_with_the_others() -> None:
    running = RunningTime()
    parts = [[packet(0, 10 * at, 10 * at, 10) for at in range(5)] for _ in range(3)]
    sound = [packet(1, 10 * at, 10 * at, 10) for at in range(5)]
    last = [packet(1, 10 * at, 10 * at, 10) for at in range(5)]
    for one in (*parts[0], *sound, *parts[1], *parts[2], *last):
        running.shift(one)
    assert [part[0].pts for part in parts] == [0, 50, 100]
    assert last[0].pts == 100


def test_what_only_shakes_is_left_alone() -> None:
    running, shaking = RunningTime(), [packet(0, 10, 10, 1), packet(0, 20, 20, 1), packet(0, 15, 15, 1)]
    for one in shaking:
        running.shift(one)
    assert [one.pts for one in shaking] == [10, 20, 15]
    without = SimpleNamespace(stream_index=0, pts=None, dts=None, duration=0, time_base=None)
    running.shift(without)  # type: ignore[arg-type]
    assert without.pts is None


def test_a_live_source_without_a_clock_goes_by_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [50.0]
    monkeypatch.setattr("mien.video.clock.time.monotonic", lambda: now[0])
    times = LiveTimes()
    times.connect(TRACK, clock=False)
    given = []
    for moment in (50.0, 50.2, 50.45, 50.45):
        now[0] = moment
        given.append(float(times(picture(0, 0))[0]))
    assert given == [0.0, 0.2, 0.45, 0.451]


@pytest.mark.parametrize("clock", [True, False])
def test_a_break_is_a_gap_in_time(monkeypatch: pytest.MonkeyPatch, clock: bool) -> None:
    now = [50.0]
    monkeypatch.setattr("mien.video.clock.time.monotonic", lambda: now[0])
    times, given = LiveTimes(), []
    for begun, ticks in ((50.0, 6000), (53.0, 0)):
        times.connect(TRACK, clock=clock)
        for at in range(3):
            now[0] = begun + at / 25
            given.append(float(times(picture(ticks + 24 * at, ticks + 24 * at))[0]))
    assert given == pytest.approx([0.0, 0.04, 0.08, 3.0, 3.04, 3.08])
