"""Clustered intervals and paired tests have the values of pencil and paper."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")
pytest.importorskip("pyarrow")

from mien.errors import DataError
from mien.evaluation.metrics.clusters import (
    accuracy,
    clustered_interval,
    compare_runs,
    count_by_group,
    flip_signs,
    number_groups,
)
from mien.evaluation.metrics.significance import average, bootstrap_interval, confusion_interval, per_class

RIGHT = np.array([True] * 60 + [False] * 40)


def counts(right: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Confusion matrices by group, of faces that all have class 0."""
    return count_by_group(np.zeros(len(right), np.int64), (~right).astype(np.int64), groups, 2)


def width(interval: tuple[float, float]) -> float:
    return interval[1] - interval[0]


def test_unknown_groups_are_groups_of_their_own() -> None:
    numbers = number_groups(np.array(["b", "", "a", "b", ""]))
    assert numbers[0] == numbers[3]
    assert len(set(numbers.tolist())) == 4


def test_counts_of_groups() -> None:
    found = count_by_group(np.array([0, 1, 1]), np.array([0, 0, 1]), np.array([0, 0, 1]), 2)
    assert found.tolist() == [[[1, 0], [1, 0]], [[0, 0], [0, 1]]]


def test_faces_that_are_groups_give_the_plain_interval() -> None:
    plain = bootstrap_interval(0.6, 100)
    assert clustered_interval(counts(RIGHT, np.arange(100)), accuracy) == pytest.approx(plain, abs=0.011)


def test_copies_make_no_interval_narrower() -> None:
    """Three frames of each of 100 sequences, all read alike: the interval is that of 100, not of 300."""
    frames, sequences = np.repeat(RIGHT, 3), np.repeat(np.arange(100), 3)
    grouped = clustered_interval(counts(frames, sequences), accuracy)
    assert grouped == pytest.approx(clustered_interval(counts(RIGHT, np.arange(100)), accuracy))
    naive = clustered_interval(counts(frames, np.arange(300)), accuracy)
    assert width(grouped) / width(naive) == pytest.approx(np.sqrt(3), rel=0.1)


def test_runs_that_agree_add_nothing_and_runs_that_differ_widen() -> None:
    one = counts(RIGHT, np.arange(100))
    assert clustered_interval(np.stack([one, one]), accuracy) == clustered_interval(one[None].repeat(2, 0), accuracy)
    assert width(clustered_interval(np.stack([one] * 3), accuracy)) == pytest.approx(
        width(clustered_interval(one, accuracy)), abs=0.021
    )
    other = counts(~RIGHT, np.arange(100))  # 40 %
    low, high = clustered_interval(np.stack([one, other]), accuracy)
    assert low < 0.45
    assert high > 0.55


def test_signs_by_hand() -> None:
    assert flip_signs(np.array([1.0, 1.0, 1.0, 1.0])) == 2 / 16  # all plus, all minus
    assert flip_signs(np.array([1.0, 1.0, 1.0, -1.0])) == 10 / 16  # but the six with two of each
    assert flip_signs(np.zeros(5)) == 1.0
    assert flip_signs(np.ones(30)) == pytest.approx(1 / 10_001)
    assert flip_signs(np.array([1.0, -1.0] * 20)) == 1.0


def test_a_paired_test_of_groups() -> None:
    first, second = np.ones((1, 12), bool), np.zeros((1, 12), bool)
    by_face = compare_runs(first, second)
    assert (by_face.difference, by_face.groups, by_face.p_faces) == (1.0, 12, 2 / 2**12)
    by_person = compare_runs(first, second, np.repeat(np.arange(4), 3))
    assert (by_person.groups, by_person.p_faces, by_person.p_seeds) == (4, 2 / 16, None)
    assert by_person.p_value == 2 / 16


def test_seeds_are_tested_by_welch() -> None:

    def runs(*shares: float) -> np.ndarray:
        return np.stack([np.arange(1000) < 1000 * share for share in shares])

    paired = compare_runs(runs(0.70, 0.71, 0.72), runs(0.70, 0.71, 0.75))
    from scipy.stats import ttest_ind

    expected = ttest_ind([0.70, 0.71, 0.72], [0.70, 0.71, 0.75], equal_var=False).pvalue
    assert paired.p_seeds == pytest.approx(expected)
    assert paired.difference == pytest.approx(-0.01)
    assert paired.p_faces < 0.05 < paired.p_value == paired.p_seeds  # the seeds alone explain it
    same = runs(0.7, 0.7)
    assert compare_runs(same, same).p_value == 1.0
    assert compare_runs(same, runs(0.6, 0.6)).p_seeds == 0.0


def test_false_alarms_are_as_rare_as_promised() -> None:
    draw = np.random.default_rng(1)
    people = np.repeat(np.arange(30), 10)
    alarms = 0
    for _ in range(200):
        skill = draw.uniform(0.3, 0.9, (2, 30))  # each model reads some people better; on average neither is better
        first, second = (draw.random((1, 300)) < np.repeat(row, 10) for row in skill)
        alarms += compare_runs(first, second, people, draws=500).p_value < 0.05
    assert alarms / 200 < 0.10


def test_other_shapes_are_refused() -> None:
    with pytest.raises(DataError, match=r"bool \(1, 3\) and bool \(1, 4\): expected two bool arrays"):
        compare_runs(np.ones((1, 3), bool), np.ones((1, 4), bool))
    with pytest.raises(DataError, match="expected two bool arrays"):
        compare_runs(np.ones(3, bool), np.ones(3, bool))


def test_means_of_a_confusion_matrix() -> None:
    matrix = np.array([[3, 1, 0], [2, 4, 0], [0, 0, 0]])
    assert per_class(matrix, "precision")[:2] == pytest.approx([3 / 5, 4 / 5])
    assert per_class(matrix, "recall")[:2] == pytest.approx([3 / 4, 4 / 6])
    assert per_class(matrix, "f1")[:2] == pytest.approx([6 / 9, 8 / 11])
    assert np.isnan(per_class(matrix, "recall")[2])
    assert average(matrix, "recall", weighted=True) == pytest.approx(0.7)
    assert average(matrix, "recall", weighted=False) == pytest.approx((3 / 4 + 4 / 6) / 2)
    low, high = confusion_interval(matrix, lambda drawn: per_class(drawn, "recall")[..., 0], draws=2000)
    assert low < 0.75 < high
