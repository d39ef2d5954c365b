"""Temperature, calibration error, threshold and risk are what the data were made with."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest

pytest.importorskip("scipy")
pytest.importorskip("sklearn")

from mien.errors import OptionError
from mien.evaluation.metrics.calibration import (
    Threshold,
    accuracy_at,
    calibration_error,
    fit_temperature,
    fit_threshold,
    fit_vector,
    reliability,
    risk_coverage,
)
from mien.recognition.classifier import softmax

Honest = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def honest() -> Honest:
    """Logits whose softmax is the true distribution of the labels."""
    draw = np.random.default_rng(0)
    logits = draw.normal(0, 2, (60_000, 5))
    labels = (softmax(logits).cumsum(1) > draw.random((60_000, 1))).argmax(1)
    return logits, labels


@pytest.mark.parametrize("heat", [0.4, 1.0, 2.5])
def test_temperature_is_recovered(heat: float, honest: Honest) -> None:
    logits, labels = honest
    assert fit_temperature(logits * heat, labels) == pytest.approx(heat, rel=0.03)


def test_calibration_error_sees_overconfidence_and_temperature_mends_it(honest: Honest) -> None:
    logits, labels = honest
    overconfident = logits * 3
    assert calibration_error(softmax(logits), labels) < 0.01
    assert calibration_error(softmax(overconfident), labels) > 0.1
    mended = softmax(overconfident, fit_temperature(overconfident, labels))
    assert calibration_error(mended, labels) < 0.01


def test_vector_scaling_is_recovered(honest: Honest) -> None:
    logits, labels = honest
    scale, bias = np.array([0.5, 1.0, 2.0, 1.5, 0.8]), np.array([0.6, -0.4, 0.0, 0.3, -0.5])
    found = fit_vector((logits - bias) / scale, labels)
    np.testing.assert_allclose(found.scale, scale, rtol=0.06)
    np.testing.assert_allclose(found.bias - found.bias.mean(), bias, atol=0.06)  # a shift of all changes nothing


def test_vector_scaling_by_weights_and_by_the_classes_that_are_told_apart(honest: Honest) -> None:
    logits, labels = honest
    half = len(labels) // 2
    mixed = np.concatenate([logits[:half], logits[half:] * 4])
    light = np.where(np.arange(len(labels)) < half, 1.0, 1e-6)
    np.testing.assert_allclose(fit_vector(mixed, labels, light).scale, np.ones(5), rtol=0.08)
    known = np.ones(logits.shape, bool)
    known[:, 4] = labels == 4  # a class that most faces' corpus lacks
    shouting = np.where(known, logits, 50.0)
    assert fit_vector(shouting, labels, known=known).scale[:4].min() > 0.5
    assert fit_vector(shouting, labels).scale[4] < 0.2


def test_vector_scaling_mends_what_no_temperature_can(honest: Honest) -> None:
    logits, labels = honest
    shy = logits - np.array([3.0, 0, 0, 0, 0])  # the first class is called too seldom
    heat, found = fit_temperature(shy, labels), fit_vector(shy, labels)
    assert calibration_error(softmax(shy, heat), labels) > 0.04
    assert calibration_error(softmax(shy * found.scale + found.bias), labels) < 0.01


def test_vector_scaling_of_a_class_without_faces_stays_finite(honest: Honest) -> None:
    logits, labels = honest
    there = labels != 2
    found = fit_vector(logits[there], labels[there])
    assert np.isfinite([found.scale, found.bias]).all()
    shares = softmax(logits[there] * found.scale + found.bias)
    assert shares[:, 2].mean() < 0.01


def test_vector_scaling_of_faces_all_answered_rightly_stays_near_what_the_network_says() -> None:
    labels = np.arange(42) % 7
    logits = np.random.default_rng(0).normal(size=(42, 7))
    logits[np.arange(42), labels] = logits.max() + 2
    assert 1 < fit_vector(logits, labels).scale.max() < 4  # without a cost of scales 19, and a confidence of 1


def test_threshold_keeps_its_promise_and_no_lower_one_does(honest: Honest) -> None:
    logits, labels = honest
    probabilities = softmax(logits)
    found = fit_threshold(probabilities, labels, accuracy=0.9)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    kept = confidence >= found.confidence
    assert right[kept].mean() == pytest.approx(found.accuracy)
    assert kept.mean() == pytest.approx(found.coverage)
    assert found.accuracy >= 0.9
    for lower in np.unique(confidence[~kept])[::500]:
        assert right[confidence >= lower].mean() < 0.9


def test_threshold_that_cannot_be_reached() -> None:
    assert fit_threshold(np.array([[0.9, 0.1]]), np.array([1])) == Threshold(1.0, 0.0, 0.0)


def test_softmax_of_large_logits() -> None:
    np.testing.assert_allclose(softmax(np.array([[1000.0, 999.0]]), 2.0), [[0.62245933, 0.37754067]], rtol=1e-6)


def test_reliability_of_a_case_by_hand() -> None:
    confidence = np.array([0.55, 0.58, 0.95, 1.0])
    rows = np.stack([confidence, 1 - confidence], 1)
    found = reliability(rows, np.array([0, 1, 0, 0]), bins=10)
    assert found.faces.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 0, 2]
    assert (found.confidence[5], found.accuracy[5]) == pytest.approx((0.565, 0.5))
    assert (found.confidence[9], found.accuracy[9]) == pytest.approx((0.975, 1.0))
    assert np.isnan(found.accuracy[0])
    assert found.error == pytest.approx((0.065 + 0.025) / 2)


def test_reliability_is_scikit_learns_calibration_curve(honest: Honest) -> None:
    from sklearn.calibration import calibration_curve

    probabilities, labels = softmax(honest[0][:5000]), honest[1][:5000]
    found = reliability(probabilities, labels)
    right = probabilities.argmax(1) == labels
    accuracy, confidence = calibration_curve(right, probabilities.max(1), n_bins=15)
    used = found.faces > 0
    np.testing.assert_allclose(found.accuracy[used], accuracy, atol=1e-9)
    np.testing.assert_allclose(found.confidence[used], confidence, atol=1e-9)


def rows(confidence: list[float]) -> np.ndarray:
    first = np.array(confidence)
    return np.stack([first, 1 - first], 1)


def test_risk_and_coverage_of_a_case_by_hand() -> None:
    found = risk_coverage(rows([0.6, 0.9, 0.8, 0.7]), np.array([1, 0, 0, 1]))
    np.testing.assert_allclose(found.confidence, [0.9, 0.8, 0.7, 0.6])
    np.testing.assert_allclose(found.coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(found.accuracy, [1, 1, 2 / 3, 1 / 2])
    assert found.area == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)


def test_faces_of_equal_confidence_are_taken_together() -> None:
    labels = np.array([0, 1, 0, 1])
    found = risk_coverage(rows([0.8, 0.8, 0.8, 0.6]), labels)
    np.testing.assert_allclose(found.coverage, [0.75, 1])
    np.testing.assert_allclose(found.accuracy, [2 / 3, 1 / 2])
    assert found.area == pytest.approx(3 / 4 * 1 / 3 + 1 / 4 * 1 / 2)
    # The order of equal faces decides nothing: a threshold of 0.8 gives 2/3 whatever stands first.
    assert fit_threshold(rows([0.8, 0.8, 0.8, 0.6]), labels, 0.9) == Threshold(1.0, 0.0, 0.0)
    assert fit_threshold(rows([0.8, 0.8, 0.8, 0.6]), labels, 0.6) == Threshold(0.8, 2 / 3, 0.75)


def test_accuracy_of_the_most_confident_share() -> None:
    curve = risk_coverage(rows([0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.59, 0.58, 0.57]), np.repeat([0, 1], 5))
    assert accuracy_at(curve, 0.7) == Threshold(0.6, cast("float", pytest.approx(5 / 7)), 0.7)
    assert accuracy_at(curve, 0.61) == Threshold(0.6, cast("float", pytest.approx(5 / 7)), 0.7)
    assert accuracy_at(curve, 1).accuracy == 0.5
    for coverage in (0, 1.1, -1):
        with pytest.raises(OptionError, match="coverage"):
            accuracy_at(curve, coverage)


def test_confident_answers_of_an_honest_model_are_better(honest: Honest) -> None:
    curve = risk_coverage(softmax(honest[0]), honest[1])
    assert accuracy_at(curve, 0.3).accuracy > accuracy_at(curve, 0.7).accuracy > accuracy_at(curve, 1).accuracy
    assert curve.area < 1 - accuracy_at(curve, 1).accuracy
