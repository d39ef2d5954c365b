"""Temperature, calibration error and threshold recover what the data were made with."""

from __future__ import annotations

import numpy as np
import pytest

from mien.evaluation.calibration import Threshold, calibration_error, fit_temperature, fit_threshold
from mien.recognition.session import softmax


@pytest.fixture(scope="module")
def honest() -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the true distribution of the labels."""
    draw = np.random.default_rng(0)
    logits = draw.normal(0, 2, (60_000, 5))
    labels = (softmax(logits).cumsum(1) > draw.random((60_000, 1))).argmax(1)
    return logits, labels


@pytest.mark.parametrize("heat", [0.4, 1.0, 2.5])
def test_temperature_is_recovered(heat: float, honest) -> None:
    logits, labels = honest
    assert fit_temperature(logits * heat, labels) == pytest.approx(heat, rel=0.03)


def test_calibration_error_sees_overconfidence_and_temperature_mends_it(honest) -> None:
    logits, labels = honest
    overconfident = logits * 3
    assert calibration_error(softmax(logits), labels) < 0.01
    assert calibration_error(softmax(overconfident), labels) > 0.1
    mended = softmax(overconfident, fit_temperature(overconfident, labels))
    assert calibration_error(mended, labels) < 0.01


def test_threshold_keeps_its_promise_and_no_lower_one_does(honest) -> None:
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
