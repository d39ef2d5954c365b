"""Onset, apex and offset with hysteresis; subtitles say the same as the frames."""

from __future__ import annotations

import io
from typing import Any

import pytest

from mien.results import Box, FrameResult, Person
from mien.video.events import HIGH, LOW, Event, EventList, Events
from mien.video.subtitles import Subtitles

LABELS = ("happiness", "sadness", "neutral")
FRAME: Any = None  # neither looks at the frame itself


def result(seconds: float, **happiness: float) -> FrameResult:
    """A frame; p1=0.7 is person 1 with happiness 0.7."""
    people = tuple(
        Person(int(name[1:]), Box(0, 0, 9, 9), True, 0.9, LABELS, None, (share, 0.0, 1 - share), share < 0.5)
        for name, share in happiness.items()
    )
    return FrameResult(round(seconds * 10), seconds, 64, 48, people)


def events(*frames: FrameResult, gap: float = 1.0) -> list[Event]:
    found = Events(gap)
    return [event for frame in frames for event in found.add(frame)] + found.close()


def test_an_event_has_onset_apex_and_offset() -> None:
    shares = [0.1, 0.45, 0.7, 0.9, 0.5, 0.42, 0.3, 0.2]
    assert events(*[result(at / 10, p1=share) for at, share in enumerate(shares)]) == [
        Event(1, "happiness", 0.1, 0.3, 0.5, 0.9)
    ]


def test_shaking_around_one_threshold_makes_one_event_or_none() -> None:
    around_high = [HIGH + 0.05 * (-1) ** at for at in range(20)]
    around_low = [LOW + 0.05 * (-1) ** at for at in range(20)]
    assert len(events(*[result(at / 10, p1=share) for at, share in enumerate(around_high)])) == 1
    assert events(*[result(at / 10, p1=share) for at, share in enumerate(around_low)]) == []


def test_neutral_is_no_event_and_people_do_not_mix() -> None:
    found = events(*[result(at / 10, p1=0.0, p2=0.8) for at in range(5)])
    assert [(event.person, event.emotion) for event in found] == [(2, "happiness")]


@pytest.mark.parametrize(("gap", "expected"), [(0.5, 2), (2.0, 1)])
def test_who_is_away_for_long_has_ended_the_event(gap: float, expected: int) -> None:
    frames = [result(0.0, p1=0.9), result(0.1, p1=0.9), *[result(at / 10) for at in range(2, 12)], result(1.2, p1=0.9)]
    found = events(*frames, gap=gap)
    assert len(found) == expected
    assert found[0].offset == (0.1 if expected == 2 else 1.2)


def test_the_list_is_csv() -> None:
    stream = io.StringIO()
    listed = EventList(stream, 1.0)
    for at, share in enumerate([0.7, 0.9, 0.1, 0.8]):
        listed.add(FRAME, result(at / 10, p1=share))
    assert stream.getvalue().splitlines()[1:] == ["1,happiness,0.0,0.1,0.1,0.9"]
    listed.close()
    assert stream.getvalue().splitlines() == [
        "person,emotion,onset,apex,offset,peak",
        "1,happiness,0.0,0.1,0.1,0.9",
        "1,happiness,0.3,0.3,0.3,0.8",
    ]


def subtitles(*frames: FrameResult, start: float = 0.0) -> str:
    stream = io.StringIO()
    shown = Subtitles(stream, start)
    for frame in frames:
        shown.add(FRAME, frame)
    shown.close()
    return stream.getvalue()


def test_a_cue_lasts_as_long_as_the_same_is_shown() -> None:
    frames = [result(at / 10, p2=0.9, p1=0.9 if at < 4 else 0.1) for at in range(8)]
    assert subtitles(*frames, result(0.8), result(3661.5, p1=0.45)) == (
        "WEBVTT\n"
        "\n00:00:00.000 --> 00:00:00.400\n<v Person 1>happiness</v>\n<v Person 2>happiness</v>\n"
        "\n00:00:00.400 --> 00:00:00.800\n<v Person 1>neutral?</v>\n<v Person 2>happiness</v>\n"
        "\n01:01:01.500 --> 01:01:01.501\n<v Person 1>neutral?</v>\n"
    )


def test_times_count_from_where_players_show_0() -> None:
    assert "00:00:00.500 --> 00:00:01.000" in subtitles(result(1.9, p1=0.9), result(2.4, p1=0.9), start=1.4)


def test_subtitles_are_whole_at_any_time() -> None:
    stream = io.StringIO()
    shown = Subtitles(stream)
    for at in range(50):
        shown.add(FRAME, result(at / 10, p1=(at // 5) % 2))
        blocks = stream.getvalue().rstrip("\n").split("\n\n")
        assert blocks[0] == "WEBVTT"
        assert all(" --> " in block.splitlines()[0] and len(block.splitlines()) == 2 for block in blocks[1:])
    assert len(blocks) == 10


def test_markup_in_class_names_is_escaped_in_subtitles() -> None:
    classes = ("a<b>", "R&D", "x-->y")
    stream = io.StringIO()
    subtitles = Subtitles(stream)
    for index in range(3):
        probabilities = tuple(float(index == column) for column in range(3))
        person = Person(1, Box(0, 0, 9, 9), True, 0.9, classes, None, probabilities, False)
        subtitles.add(FRAME, FrameResult(index, index / 10, 64, 48, (person,)))
    subtitles.close()
    cues = [line for line in stream.getvalue().splitlines() if line.startswith("<v")]
    assert cues == ["<v Person 1>a&lt;b&gt;</v>", "<v Person 1>R&amp;D</v>", "<v Person 1>x--&gt;y</v>"]
