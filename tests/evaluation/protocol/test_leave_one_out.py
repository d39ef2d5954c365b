"""Calibration across corpora: what was fitted on the others is recovered, reported, and said where it does not hold."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("scipy")
pytest.importorskip("sklearn")
pytest.importorskip("pyarrow")

from mien.errors import DataError, OptionError
from mien.evaluation.metrics.calibration import calibration_error, fit_vector
from mien.evaluation.protocol.leave_one_out import calibrate, choose_threshold, leave_one_out, table
from mien.recognition.classifier import softmax


def corpus(
    faces: int, seed: int, *, heat: float = 1.0, spread: float = 3.0, classes: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, C) that are ``heat`` times those whose softmax is the true distribution of the labels (N,)."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, spread, (faces, classes))
    labels = (softmax(logits).cumsum(1) > draw.random((faces, 1))).argmax(1)
    return logits * heat, labels


def several(**given: tuple[np.ndarray, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    return {name: logits for name, (logits, _) in given.items()}, {name: labels for name, (_, labels) in given.items()}


def test_a_corpus_like_the_others_is_calibrated_by_them() -> None:
    logits, targets = several(
        **{name: corpus(3000 + 1000 * seed, seed, heat=2, spread=4) for seed, name in enumerate("abc")}
    )
    results = leave_one_out(logits, targets)
    assert [result.corpus for result in results] == ["a", "b", "c"]
    for result in results:
        assert calibration_error(softmax(logits[result.corpus]), targets[result.corpus]) > 0.05
        assert result.scores.ece.value < 0.025
        assert result.calibration.met
        assert result.scores.right_if_answered is not None
        assert result.scores.answered is not None
        assert result.scores.right_if_answered.value == pytest.approx(0.92, abs=0.02)
        assert result.scores.answered.value > 0.5
        assert result.calibration.scaling.scale == pytest.approx(np.full(5, 0.5), rel=0.1)
        assert result.calibration.temperature == pytest.approx(1, abs=0.02)  # the scales have taken all of it


def test_the_corpus_itself_is_never_fitted_on() -> None:
    logits, targets = several(a=corpus(500, 0), b=corpus(500, 1), odd=corpus(500, 2, heat=5))
    first = leave_one_out(logits, targets)[2]
    shuffled = {**targets, "odd": np.random.default_rng(3).permutation(targets["odd"])}
    second = leave_one_out(logits, shuffled)[2]
    assert first.calibration.to_dict() == second.calibration.to_dict()
    assert first.scores.accuracy.value > second.scores.accuracy.value
    assert first.scores.ece.value > 0.03  # the others' temperature does not mend it


def test_every_corpus_counts_the_same_whatever_its_size() -> None:
    large, small = corpus(9000, 0, heat=1), corpus(300, 1, heat=4)
    doubled = np.concatenate([small[0]] * 3), np.concatenate([small[1]] * 3)
    one = calibrate(*several(large=large, small=small))
    three = calibrate(*several(large=large, small=doubled))
    assert three.scaling.scale == pytest.approx(one.scaling.scale, rel=1e-3)
    assert three.threshold.confidence == pytest.approx(one.threshold.confidence, abs=1e-3)
    logits, targets = np.concatenate([large[0], small[0]]), np.concatenate([large[1], small[1]])
    pooled = fit_vector(logits, targets)  # where the large corpus drowns the small one
    assert pooled.scale.mean() > one.scaling.scale.mean() + 0.1


def test_only_corpora_that_may_be_fitted_on_are() -> None:
    logits, targets = several(a=corpus(800, 0), b=corpus(800, 1), tested=corpus(800, 2, heat=6))
    results = leave_one_out(logits, targets, fitted_on=["a", "b"])
    only_b = calibrate({"b": logits["b"]}, targets)
    assert results[0].calibration.to_dict() == only_b.to_dict()
    assert results[2].calibration.to_dict() == calibrate({"a": logits["a"], "b": logits["b"]}, targets).to_dict()


def test_classes_that_a_corpus_does_not_tell_apart_get_nothing() -> None:
    wide, narrow = corpus(3000, 0, heat=2), corpus(3000, 1, heat=2, classes=4)
    confusing = np.column_stack([narrow[0], np.full(3000, 9.0)])  # the fifth class shouts where it cannot be right
    logits, targets = several(wide=wide, narrow=(confusing, narrow[1]))
    results = leave_one_out(logits, targets, classes_by_corpus={"narrow": range(4)})
    held = results[1]
    probabilities = held.calibration.probabilities(confusing, range(4))
    assert (probabilities[:, 4] == 0).all()
    assert probabilities.sum(1) == pytest.approx(np.ones(3000))
    assert held.scores.ece.value < 0.03
    assert results[0].calibration.scaling.scale[:4] == pytest.approx(np.full(4, 0.5), rel=0.1)  # not led astray


def test_a_promise_that_cannot_be_met_is_said() -> None:
    logits, targets = several(a=corpus(2000, 0, spread=0.7), b=corpus(2000, 1, spread=0.7))
    result = leave_one_out(logits, targets)[0]
    assert not result.calibration.met
    assert result.calibration.threshold.coverage == pytest.approx(0.5, abs=0.001)  # the most confident half
    assert result.calibration.threshold.accuracy < 0.92
    assert "(not met)" in table([result])[2]


def test_the_threshold_is_the_lowest_that_holds() -> None:
    probabilities = np.array([[0.9, 0.1], [0.85, 0.15], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    targets, weights = np.array([0, 1, 0, 0, 1]), np.ones(5)
    threshold, met = choose_threshold(probabilities, targets, weights, right=0.7, answered=0.5)
    assert (threshold.confidence, met) == (0.7, True)
    assert threshold.accuracy == pytest.approx(0.75)
    assert threshold.coverage == pytest.approx(0.8)
    threshold, met = choose_threshold(probabilities, targets, weights, right=0.9, answered=0.5)
    assert (threshold.confidence, met) == (0.8, False)  # right from 0.9 on, but that is one face of five
    heavy = np.array([5.0, 1, 1, 1, 1])
    threshold, met = choose_threshold(probabilities, targets, heavy, right=0.9, answered=0.5)
    assert (threshold.confidence, met) == (0.9, True)


def test_the_table_and_the_values() -> None:
    logits, targets = several(a=corpus(600, 0), b=corpus(600, 1))
    results = leave_one_out(logits, targets)
    lines = table(results)
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| a", "| b"]
    values = json.loads(json.dumps([result.to_dict() for result in results]))
    assert values[0]["calibration"]["threshold"]["confidence"] == results[0].calibration.threshold.confidence
    assert values[1]["scores"]["faces"] == 600


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"targets": {"a": np.zeros(5, int)}}, "No targets for b"),
        ({"logits": {"b": np.zeros((5, 4))}}, r"a \(5, 3\), b \(5, 4\); expected \(N, C\)"),
        ({"logits": {"b": np.zeros(5)}}, r"b \(5,\); expected"),
        ({"targets": {"b": np.zeros(4, int)}}, "b: 4 targets for 5 logits"),
        ({"targets": {"b": np.full(5, 3)}}, "0 to 2"),
        ({"classes_by_corpus": {"b": [1, 2]}}, r"b: targets \[0\] are not among"),
        ({"fitted_on": ["a"]}, "No corpus left"),
    ],
)
def test_what_does_not_fit_is_an_error(change: dict[str, dict[str, np.ndarray]], says: str) -> None:
    logits = {"a": np.zeros((5, 3)), "b": np.zeros((5, 3))} | change.pop("logits", {})
    targets = {"a": np.zeros(5, int), "b": np.zeros(5, int)}
    given = change.pop("targets", None)
    if given is not None:
        targets = given if "b" not in given else targets | given
    with pytest.raises(DataError, match=says):
        leave_one_out(logits, targets, **change)  # type: ignore[arg-type]


def test_shares_have_limits() -> None:
    logits, targets = several(a=corpus(50, 0), b=corpus(50, 1))
    with pytest.raises(OptionError, match=r"right = 1\.2"):
        leave_one_out(logits, targets, right=1.2)
    with pytest.raises(OptionError, match="answered = 0"):
        leave_one_out(logits, targets, answered=0)
