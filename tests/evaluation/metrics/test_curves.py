"""Curves of one class against the rest: a case by hand, and None where the data cannot show one."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from mien.errors import DataError
from mien.evaluation.metrics.curves import compute_curves
from mien.labels import LabelSet

THREE = LabelSet("three", ("anger", "fear", "neutral"))


def rows(anger: list[float]) -> np.ndarray:
    first = np.array(anger)
    return np.stack([first, (1 - first) / 2, (1 - first) / 2], 1)


def test_a_case_by_hand() -> None:
    found = compute_curves(rows([0.9, 0.8, 0.7, 0.1]), np.array([0, 1, 0, 1]), THREE)["anger"]
    assert found.roc is not None
    assert found.roc.area == pytest.approx(3 / 4)  # of four pairs, one is the wrong way round
    np.testing.assert_allclose(found.roc.x, [0, 0, 0.5, 0.5, 1])
    np.testing.assert_allclose(found.roc.y, [0, 0.5, 0.5, 1, 1])
    assert found.precision_recall is not None
    assert found.precision_recall.area == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    np.testing.assert_allclose(found.precision_recall.x, [0, 0.5, 0.5, 1, 1])
    np.testing.assert_allclose(found.precision_recall.y, [1, 1, 0.5, 2 / 3, 0.5])
    np.testing.assert_allclose(found.precision_recall.thresholds, [np.inf, 0.9, 0.8, 0.7, 0.1])


def test_thresholds_fall_and_points_are_what_they_give() -> None:
    draw = np.random.default_rng(0)
    scores, labels = draw.random(200), draw.integers(0, 2, 200)
    found = compute_curves(rows(scores.tolist()), labels, THREE)["anger"]
    for curve in (found.roc, found.precision_recall):
        assert curve is not None
        assert (np.diff(curve.thresholds) < 0).all()
    own = labels == 0
    assert found.roc is not None
    for x, y, threshold in zip(found.roc.x, found.roc.y, found.roc.thresholds, strict=True):
        taken = scores >= threshold
        assert (x, y) == pytest.approx((taken[~own].mean(), taken[own].mean()))


def test_an_absent_class_has_no_curve_and_a_class_alone_has_no_roc() -> None:
    found = compute_curves(rows([0.9, 0.8]), np.array([0, 0]), THREE)
    assert found["fear"].roc is found["fear"].precision_recall is found["neutral"].roc is None
    assert found["anger"].roc is None
    assert found["anger"].precision_recall is not None
    assert found["anger"].precision_recall.area == 1


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(DataError, match="Probabilities"):
        compute_curves(rows([0.9, np.nan]), np.array([0, 1]), THREE)
