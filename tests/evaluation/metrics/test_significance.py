"""Intervals are held to plain resampling of faces, McNemar's test to counts whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.metrics import confusion_matrix, f1_score

from mien.errors import DataError
from mien.evaluation.metrics.significance import bootstrap_interval, macro_f1, macro_f1_interval, mcnemar


def test_interval_is_the_bootstrap_of_right_and_wrong_answers() -> None:
    right = np.random.default_rng(1).random(800) < 0.7
    draws = np.random.default_rng(2).choice(right, (4_000, 800)).mean(1)
    low, high = bootstrap_interval(float(right.mean()), 800)
    assert (low, high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.003)
    assert low < right.mean() < high


def test_interval_of_macro_f1_is_the_bootstrap_of_faces() -> None:
    draw = np.random.default_rng(3)
    labels = draw.choice(4, 300, p=[0.55, 0.3, 0.14, 0.01])
    predicted = np.where(draw.random(300) < 0.6, labels, draw.choice(4, 300))
    scores = []
    for _ in range(500):
        rows = draw.integers(0, 300, 300)
        present = np.unique(labels[rows])
        scores.append(f1_score(labels[rows], predicted[rows], labels=present, average="macro", zero_division=0.0))
    found = macro_f1_interval(confusion_matrix(labels, predicted))
    assert found == pytest.approx(tuple(np.quantile(scores, [0.025, 0.975])), abs=0.03)
    assert found[0] < macro_f1(confusion_matrix(labels, predicted)) < found[1]


def test_intervals_narrow_with_more_faces() -> None:
    confusion = np.array([[30, 10], [5, 15]])
    widths = [high - low for low, high in (macro_f1_interval(confusion * times) for times in (1, 16))]
    assert widths[0] == pytest.approx(4 * widths[1], rel=0.1)


def answers(only_first: int, only_second: int, both: int = 50) -> tuple[np.ndarray, np.ndarray]:
    first = [True] * only_first + [False] * only_second + [True] * both + [False] * 7
    second = [False] * only_first + [True] * only_second + [True] * both + [False] * 7
    return np.array(first), np.array(second)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value", "method"),
    [
        (0, 0, 1.0, "exact"),
        (1, 9, 2 * (1 + 10) / 2**10, "exact"),
        (9, 1, 2 * (1 + 10) / 2**10, "exact"),
        (12, 12, 1.0, "exact"),
        # (|40 - 20| - 1)² / 60 = 6.0167, whose upper tail of chi-squared with one degree is 0.01417
        (40, 20, 0.01417, "chi-squared"),
        (30, 30, 1.0, "chi-squared"),
    ],
)
def test_mcnemar(only_first: int, only_second: int, p_value: float, method: str) -> None:
    found = mcnemar(*answers(only_first, only_second))
    assert (found.only_first, found.only_second, found.method) == (only_first, only_second, method)
    assert found.p_value == pytest.approx(p_value, rel=1e-3)


def test_mcnemar_does_not_count_what_both_got_right() -> None:
    assert mcnemar(*answers(3, 11, both=0)).p_value == mcnemar(*answers(3, 11, both=5000)).p_value


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.ones(3, bool), np.ones(4, bool)),
        (np.ones(3, bool), np.ones(3)),
        (np.ones((3, 1), bool), np.ones((3, 1), bool)),
        (np.ones(0, bool), np.ones(0, bool)),
    ],
)
def test_mcnemar_refuses_other_arrays(first: np.ndarray, second: np.ndarray) -> None:
    with pytest.raises(DataError, match="the same N faces"):
        mcnemar(first, second)
