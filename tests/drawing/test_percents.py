"""Probabilities as people read them: the almost certain is not written as certain, nor the rare as impossible."""

from __future__ import annotations

import pytest

from mien.drawing.percents import percent


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (0.0, "0%"), (1e-9, "<1%"), (0.00499, "<1%"), (0.0051, "1%"), (0.5, "50%"), (0.99, "99%"), (0.9949, "99%"),
        (0.995, ">99%"), (0.99999, ">99%"), (1.0, "100%"),
    ],
)  # fmt: skip
def test_only_0_and_1_are_written_so(probability: float, text: str) -> None:
    assert percent(probability) == text
