"""Figures are held to hand-made cases, to scikit-learn and to plain bootstrap resampling."""

from __future__ import annotations

import numpy as np
import pytest

from mien.errors import DataError
from mien.evaluation.metrics import bootstrap_interval, score
from mien.labels import LabelSet

THREE = LabelSet("three", ("anger", "fear", "neutral"))


def certain(predicted: list[int], confidence: float = 0.8) -> np.ndarray:
    rows = np.full((len(predicted), 3), (1 - confidence) / 2)
    rows[np.arange(len(predicted)), predicted] = confidence
    return rows


def test_figures_of_a_hand_made_case() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    found = score(certain([0, 0, 1, 1, 1, 0]), labels, THREE)
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.confusion == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert found.per_class["anger"]["recall"] == pytest.approx(2 / 3)
    assert found.per_class["fear"]["precision"] == pytest.approx(2 / 3)
    assert found.per_class["neutral"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}
    assert found.macro_f1 == pytest.approx((2 / 3 + 0.8 + 0) / 3)
    assert found.log_loss == pytest.approx(-(4 * np.log(0.8) + 2 * np.log(0.1)) / 6)
    assert found.ece == pytest.approx(abs(0.8 - 4 / 6))


def test_label_order_matters() -> None:
    labels = np.array([0, 1, 2, 1])
    probabilities = certain([0, 1, 2, 1])
    assert score(probabilities, labels, THREE).accuracy == 1
    assert score(probabilities[:, [1, 0, 2]], labels, THREE).accuracy == 0.25


def test_interval_is_the_bootstrap_of_right_and_wrong_answers() -> None:
    right = np.random.default_rng(1).random(800) < 0.7
    draws = np.random.default_rng(2).choice(right, (4_000, 800)).mean(1)
    low, high = bootstrap_interval(float(right.mean()), 800)
    assert (low, high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.003)
    assert low < right.mean() < high


@pytest.mark.parametrize(
    "probabilities", [certain([0, 1])[:, :2], certain([0]), certain([0, 1]) * 0.5, certain([0, 1]) * np.nan]
)
def test_what_is_not_a_probability_is_refused(probabilities: np.ndarray) -> None:
    with pytest.raises(DataError, match="Probabilities"):
        score(probabilities, np.array([0, 1]), THREE)


def test_no_faces_is_refused() -> None:
    with pytest.raises(DataError, match="at least 1"):
        score(np.empty((0, 3)), np.empty(0, np.int64), THREE)
