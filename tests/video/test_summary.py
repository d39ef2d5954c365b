"""The page on a film: right figures, legible, in memory that does not grow with the film."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("pyarrow")

from mien.results import Box, FrameResult, Person
from mien.video import digest as digests
from mien.video import summary
from mien.video.digest import Digest, format_time

LABELS = ("happiness", "sadness", "neutral")
FRAME: Any = SimpleNamespace(pixels=np.full((48, 64, 3), 90, np.uint8))


def person(who: int, share: float) -> Person:
    values = (share, 0.0, 1 - share)
    return Person(who, Box(10, 10, 20, 20), True, 0.9, LABELS, values, values, False)


def told(frames: int, step: float = 0.04, people: int = 2) -> Digest:
    digest = Digest(LABELS, 1.0)
    for at in range(frames):
        there = tuple(person(who + 1, (at // 50) % 2) for who in range(people)) if at % 10 else ()
        digest.add(FRAME, FrameResult(at, at * step, 64, 48, there))
    digest.close()
    return digest


def test_the_figures_are_right() -> None:
    digest = told(200)
    assert (digest.frames, digest.with_face, sorted(digest.lives)) == (200, 180, [1, 2])
    life = digest.lives[1]
    assert (life.first, life.last, life.frames) == (0.04, 199 * 0.04, 180)
    assert life.total.tolist() == [90, 0, 90]
    assert digest.events_found == len(digest.events) == 4
    edges, shares = digest.curve(life)
    assert len(edges) == shares.shape[1] + 1
    assert shares[:, 30].tolist() == [1, 0, 0]


@pytest.mark.parametrize("rate", [0.5, 1, 3, 5, 10, 12.5, 23.976, 29.97, 30, 100])
@pytest.mark.parametrize("begin", [0.0, 1.48])
def test_who_is_in_every_frame_has_no_gap(rate: float, begin: float) -> None:
    digest = Digest(LABELS, 1.0)
    for at in range(30):
        digest.add(FRAME, FrameResult(at, begin + at / rate, 64, 48, (person(1, 0.9),)))
    edges, shares = digest.curve(digest.lives[1])
    assert shares.sum(axis=0).tolist() == pytest.approx([1.0] * shares.shape[1])
    assert edges[-1] >= digest.end


def test_who_is_away_has_a_gap_of_that_length() -> None:
    digest = Digest(LABELS, 1.0)
    for at in range(60):
        there = (person(1, 0.9),) if at < 20 or at >= 30 else ()
        digest.add(FRAME, FrameResult(at, at / 5, 64, 48, there))
    edges, shares = digest.curve(digest.lives[1])
    away = edges[:-1][shares.sum(axis=0) == 0]
    assert (away[0], away[-1]) == pytest.approx((4.0, 5.9))


def test_where_frames_are_missing_there_is_a_gap() -> None:
    digest = Digest(LABELS, 1.0)
    for at in (*range(50), *range(150, 200)):
        digest.add(FRAME, FrameResult(at, at / 5, 64, 48, (person(1, 0.9),)))
    edges, shares = digest.curve(digest.lives[1])
    away = edges[:-1][shares.sum(axis=0) == 0]
    assert (away[0], away[-1]) == pytest.approx((9.9, 29.9))


def test_memory_does_not_grow_with_the_film(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_STEPS", 64)
    monkeypatch.setattr(digests, "_EVENTS", 20)
    for frames in (2_000, 20_000):
        digest = told(frames)
        assert max(len(life.steps) for life in digest.lives.values()) <= 64
        assert len(digest.events) <= 40
        assert sum(count for _, count in digest.lives[1].steps.values()) == digest.lives[1].frames
    assert digest.events_found > 300


def test_the_page_and_its_figure(tmp_path: Path) -> None:
    written = summary.write(tmp_path / "page", "film <1>.mp4", told(400), ["The film is damaged: it broke off."])
    text = written.page.read_text("utf-8")
    assert "Emotions in film &lt;1&gt;.mp4" in text
    assert "400 frames from 0:00.0 to 0:16.0; a face in 90% of them; 2 people" in text
    assert "it broke off" in text
    assert text.count("<tr>") == 3 + 1 + 8
    assert {path.name for path in written.figures} == {"timeline.png", "timeline.svg", "timeline.pdf"}
    assert "| 1 | 0:00.0 | 0:16.0 | 360 | happiness | 50% |" in written.markdown.read_text("utf-8")


def test_many_people_and_a_long_film_stay_legible(tmp_path: Path) -> None:
    digest = told(300, step=2.0, people=40)
    figure = summary.draw_timeline(digest)
    assert len(figure.axes) == 16
    text = summary.write(tmp_path, "film.mp4", digest, []).page.read_text("utf-8")
    assert "The 30 people seen longest, of 40." in text
    assert "Of 40 people, the 8 seen longest." in text
    assert "strongest of" in text


def test_people_without_an_event(tmp_path: Path) -> None:
    digest = told(30)
    assert digest.events == []
    assert "No emotion other than neutral" in summary.write(tmp_path, "film.mp4", digest, []).page.read_text("utf-8")


def test_a_film_without_faces(tmp_path: Path) -> None:
    written = summary.write(tmp_path, "film.mp4", told(20, people=0), [])
    assert "No face was detected in any frame." in written.page.read_text("utf-8")


def test_no_portraits_where_faces_are_hidden() -> None:
    digest = Digest(LABELS, 1.0, portraits=False)
    digest.add(FRAME, FrameResult(0, 0.0, 64, 48, (person(1, 0.9),)))
    assert digest.lives[1].portrait is None


def test_clock() -> None:
    assert [format_time(seconds) for seconds in (0, 59.96, 61.04, 3725.5, -0.3)] == [
        "0:00.0", "1:00.0", "1:01.0", "62:05.5", "-0:00.3",
    ]  # fmt: skip
