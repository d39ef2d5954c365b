"""Ids stay with their people: noise, crossings, gaps, uneven times; and are never used again."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("scipy")

from mien.tracking.track import Tracker, overlap

Box = tuple[float, float, float, float]


def box(x: float, y: float = 0.5, side: float = 0.1) -> Box:
    return x - side / 2, y - side / 2, side, side


def test_noise_and_uneven_times_change_no_id() -> None:
    draw, tracker, time = np.random.default_rng(0), Tracker(), 0.0
    for _ in range(200):
        time += float(draw.choice([0.02, 0.04, 0.1]))
        shake = draw.normal(0, 0.004, 4)
        people = [box(0.3 + 0.1 * np.sin(time) + shake[0], 0.4 + shake[1]), box(0.7 + shake[2], 0.6 + shake[3], 0.2)]
        assert tracker.found(time, people) == (1, 2)


@pytest.mark.parametrize("step", [0.02, 0.04, 0.08])
def test_people_who_cross_keep_their_ids_though_one_is_hidden(step: float) -> None:
    tracker = Tracker()
    for time in np.arange(0, 3, step).tolist():
        left, right = box(0.1 + 0.25 * time), box(0.85 - 0.25 * time, 0.52)
        hidden = abs(left[0] - right[0]) < 0.07
        ids = tracker.found(time, [left] if hidden else [left, right])
        assert ids == ((1,) if hidden else (1, 2))


def test_the_order_of_the_boxes_does_not_matter() -> None:
    tracker = Tracker()
    assert tracker.found(0.0, [box(0.2), box(0.8)]) == (1, 2)
    assert tracker.found(0.04, [box(0.8), box(0.2)]) == (2, 1)


def test_a_gap_is_bridged_for_so_many_seconds_and_no_longer() -> None:
    for away, expected in ((0.9, 1), (1.1, 2)):
        tracker = Tracker(bridge=1.0)
        for time in (0.0, 0.1, 0.2):
            tracker.found(time, [box(0.5)])
        for time in np.arange(0.3, 0.2 + away - 1e-9, 0.1).tolist():
            assert tracker.found(time, []) == ()
        assert tracker.found(0.2 + away, [box(0.5)]) == (expected,)


def test_a_film_with_frames_far_apart_is_followed_too() -> None:
    tracker = Tracker(bridge=1.0)
    assert [tracker.found(float(time), [box(0.5)])[0] for time in range(0, 20, 5)] == [1, 1, 1, 1]


def test_ids_are_never_used_again() -> None:
    tracker, seen = Tracker(bridge=0.1), list[int]()
    for time in range(20):
        seen += tracker.found(float(time), [box(0.1 if time % 2 else 0.9)])
    assert seen == list(range(1, 21))


def test_a_face_elsewhere_or_of_another_size_is_somebody_else() -> None:
    tracker = Tracker()
    tracker.found(0.0, [box(0.5)])
    assert tracker.found(0.04, [box(0.65)]) == (2,)
    assert tracker.found(0.08, [box(0.5, side=0.3)]) == (3,)


def test_between_searches_people_are_where_their_speed_takes_them() -> None:
    tracker = Tracker()
    for step in range(10):
        tracker.found(step * 0.1, [box(0.2 + 0.03 * step)])
    tracker.coast(1.0)
    left, _, width, _ = tracker.expected()[1]
    assert left + width / 2 == pytest.approx(0.2 + 0.03 * 10, abs=0.005)


def test_time_that_goes_back_counts_as_the_same_moment() -> None:
    tracker = Tracker()
    assert [tracker.found(time, [box(0.5)])[0] for time in (5.0, 5.04, 1.0, 5.08)] == [1, 1, 1, 1]


def test_overlap() -> None:
    assert overlap((0, 0, 2, 2), (1, 0, 2, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 1, 1), (2, 2, 1, 1)) == 0
    assert overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0


def test_without_scipy_the_command_is_named() -> None:
    code = (
        "import sys; sys.modules['scipy.optimize'] = None\n"
        "from mien.errors import MissingExtraError\nfrom mien.tracking.track import Tracker\n"
        "try: Tracker()\nexcept MissingExtraError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'mien[video]'" in done.stdout
