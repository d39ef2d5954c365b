"""An exponential mean in seconds: sums of 1, old frames fade with time and not with frames."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mien.errors import OptionError
from mien.tracking.smoothing import Smoother

A, B = (0.8, 0.1, 0.1), (0.1, 0.1, 0.8)


def test_the_weights_are_those_of_the_formula() -> None:
    smoother, times, rows = Smoother(0.5), [0.0, 0.1, 0.5, 0.6], [A, B, B, A]
    for time, row in zip(times, rows, strict=True):
        got = smoother.update(1, time, row)
    weights = np.array([math.exp((time - times[-1]) / 0.5) for time in times])
    assert got == pytest.approx(tuple(weights @ np.array(rows) / weights.sum()))
    assert sum(got) == pytest.approx(1)
    assert smoother.now(1) == got


def test_the_first_frame_is_as_it_is_and_people_do_not_mix() -> None:
    smoother = Smoother(1.0)
    assert smoother.update(1, 0.0, A) == A
    assert smoother.update(2, 0.0, B) == B


def test_a_constant_of_0_smooths_nothing() -> None:
    smoother = Smoother(0.0)
    assert [smoother.update(1, time, row) for time, row in ((0.0, A), (0.01, B))] == [A, B]


def test_after_a_long_gap_only_the_new_frame_counts() -> None:
    smoother = Smoother(0.1)
    smoother.update(1, 0.0, A)
    assert smoother.update(1, 10.0, B) == pytest.approx(B)


def test_who_is_gone_is_forgotten() -> None:
    smoother = Smoother(1.0)
    smoother.update(1, 0.0, A)
    smoother.update(2, 0.0, A)
    smoother.keep([2])
    assert smoother.update(1, 0.1, B) == B
    assert smoother.update(2, 0.1, B) != B


@pytest.mark.parametrize("constant", [-0.1, math.inf, math.nan])
def test_a_constant_must_be_seconds(constant: float) -> None:
    with pytest.raises(OptionError, match="expected seconds"):
        Smoother(constant)
