"""Conformal sets: bars by hand, and the promise kept on faces that were not fitted on."""

from __future__ import annotations

import numpy as np
import pytest

from mien.errors import DataError, OptionError
from mien.evaluation.metrics.conformal import Conformal, Kind, fit_conformal, measure
from mien.recognition.classifier import softmax


def two(first: list[float]) -> np.ndarray:
    return np.stack([np.array(first), 1 - np.array(first)], 1)


def test_the_bar_is_the_rank_of_one_face_more() -> None:
    # 19 faces, scores 0.01 to 0.19: of 20 the 90 % are 18, so the 18th smallest is the bar.
    rows = two((1 - np.arange(1, 20) / 100).tolist())
    found = fit_conformal(rows, np.zeros(19, np.int64), alpha=0.1)
    assert found.bar == pytest.approx(0.18)
    assert found.faces == 19
    assert found.sets(two([0.83, 0.81, 0.5, 0.1])).tolist() == [
        [True, False],
        [False, False],
        [False, False],
        [False, True],
    ]


def test_too_few_faces_promise_nothing() -> None:
    found = fit_conformal(two([0.9] * 8), np.zeros(8, np.int64), alpha=0.1)
    assert found.bar == float("inf")
    assert found.sets(two([0.99])).all()
    assert found.to_dict() == {"kind": "lac", "alpha": 0.1, "bar": None, "faces": 8}


def test_aps_sums_from_the_most_probable_class_down() -> None:
    found = Conformal("aps", 0.1, 0.85, 100).sets(np.array([[0.1, 0.6, 0.25, 0.05], [0.9, 0.05, 0.03, 0.02]]))
    assert found.tolist() == [[False, True, True, False], [False, False, False, False]]


@pytest.mark.parametrize("kind", ["lac", "aps"])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize("heat", [1.0, 4.0])
def test_the_promise_holds_on_other_faces_however_wrong_the_model(kind: Kind, alpha: float, heat: float) -> None:
    draw = np.random.default_rng(0)
    logits = draw.normal(0, 2, (40_000, 5))
    labels = (softmax(logits).cumsum(1) > draw.random((40_000, 1))).argmax(1)
    probabilities = softmax(logits * heat)  # overconfident where heat is not 1
    found = fit_conformal(probabilities[:20_000], labels[:20_000], alpha, kind)
    measured = measure(found.sets(probabilities[20_000:]), labels[20_000:])
    assert measured.coverage == pytest.approx(1 - alpha, abs=0.01)
    assert 1 - measured.empty >= measured.coverage
    assert 1 <= measured.mean_size < 4


def test_a_smaller_alpha_makes_larger_sets() -> None:
    draw = np.random.default_rng(1)
    probabilities = softmax(draw.normal(0, 1, (3000, 4)))
    labels = (probabilities.cumsum(1) > draw.random((3000, 1))).argmax(1)
    sizes = [
        measure(fit_conformal(probabilities, labels, alpha).sets(probabilities), labels).mean_size
        for alpha in (0.3, 0.1, 0.02)
    ]
    assert sizes == sorted(sizes)


def test_what_sets_are_worth_by_hand() -> None:
    sets = np.array([[True, True, False], [False, False, False], [False, True, False], [True, False, False]])
    found = measure(sets, np.array([1, 0, 1, 2]))
    assert found.to_dict() == {"faces": 4, "coverage": 0.5, "mean_size": 1.0, "empty": 0.25, "single": 0.5}


def test_mistakes() -> None:
    rows, labels = two([0.9, 0.8]), np.array([0, 0])
    for alpha in (0.0, 1.0, float("nan")):
        with pytest.raises(OptionError, match="alpha"):
            fit_conformal(rows, labels, alpha)
    with pytest.raises(OptionError, match="'raps'"):
        fit_conformal(rows, labels, 0.1, "raps")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="Sets of shape"):
        measure(np.ones((2, 3), bool), np.array([0]))
    with pytest.raises(DataError, match="Probabilities"):
        fit_conformal(rows * np.nan, labels)
