"""Slices are scored as the faces they hold; differences made of noise are not told as such, real ones are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy")

from scipy.stats import chi2_contingency, fisher_exact

from mien.datasets import landmarks
from mien.datasets.faces import FaceSet
from mien.datasets.quality.measures import of_image
from mien.errors import DataError, OptionError
from mien.evaluation.predictions import About, Predictions
from mien.evaluation.robustness import grouping
from mien.evaluation.robustness.slices import (
    Contrast,
    Groups,
    Slicing,
    compare_shares,
    correct_p_values,
    find_small,
    score_slices,
    wilson,
)
from mien.labels import LabelSet

THREE = LabelSet("three", ("happiness", "sadness", "neutral"))


def answered(labels: list[int], right: list[bool]) -> Predictions:
    known, good = np.array(labels), np.array(right)
    probabilities = np.eye(3)[np.where(good, known, (known + 1) % 3)]
    texts = np.array([str(place) for place in range(len(known))])
    about = About("model", "0", "0", 1.0)
    return Predictions(THREE, probabilities, known, texts, texts, np.zeros(len(known), bool), about)


def groups(places: Any, names: tuple[str, ...] = ("a", "b")) -> Groups:
    return Groups("sex", "", names, np.array(places))


def faces(count: int, **columns: Any) -> FaceSet:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 8)).astype(np.uint8)
    ids = tuple(f"face {place}" for place in range(count))
    told = {name: np.array([*values], object) for name, values in columns.items()}
    return FaceSet(THREE, pixels, np.arange(count) % 3, np.full(count, "test"), ids, columns=told)


def test_each_slice_is_scored_as_its_faces() -> None:
    found = score_slices(
        answered([0, 0, 1, 2, 0], [True, False, True, False, True]), groups([0, 0, 0, 1, 1]), smallest=3
    )
    first, second = found.slices
    assert (first.name, first.faces, first.small, second.faces, second.small) == ("a", 3, False, 2, True)
    assert (first.accuracy, second.accuracy) == pytest.approx((2 / 3, 1 / 2))
    # Of all faces, happiness is read rightly in 2 of 3, sadness in 1 of 1, neutral in 0 of 1.
    assert first.expected == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert second.expected == pytest.approx((0 + 2 / 3) / 2)
    # Happiness: precision 1, recall 1/2. Sadness: precision 1/2, recall 1. Neutral has no faces in the slice.
    assert first.macro_f1 == pytest.approx(2 / 3)
    assert found.contrast is None  # only one slice is large enough


def test_the_interval_is_wilsons_and_has_a_width_where_all_is_right() -> None:
    assert wilson(15, 20) == pytest.approx((0.5313, 0.8881), abs=1e-4)  # by his formula, with z = 1.95996
    low, high = wilson(10, 10)
    assert (low, high) == pytest.approx((1 / (1 + 1.959964**2 / 10), 1), abs=1e-6)


def test_a_slice_without_faces_is_left_out_and_a_small_one_is_not() -> None:
    found = score_slices(answered([0] * 41, [True] * 41), groups([0] * 40 + [2], ("many", "none", "one")))
    assert [(each.name, each.small) for each in found.slices] == [("many", False), ("one", True)]
    assert find_small([found]) == {"sex = one": 1}


def test_unequal_slices_are_named_with_the_chi_squared_test() -> None:
    right = [True] * 80 + [False] * 20 + [True] * 60 + [False] * 40 + [True, False]
    found = score_slices(answered([0] * 202, right), groups([0] * 100 + [1] * 100 + [2] * 2, ("old", "young", "few")))
    assert found.contrast is not None
    contrast = found.contrast
    assert (contrast.best, contrast.worst, contrast.method) == ("old", "young", "chi-squared")
    assert contrast.difference == pytest.approx(0.2)
    assert contrast.p_value == pytest.approx(chi2_contingency([[20, 80], [40, 60]], correction=False).pvalue)
    assert contrast.differs


def test_what_is_unknown_is_scored_and_not_tested() -> None:
    right = [True] * 80 + [False] * 20 + [True] * 78 + [False] * 22 + [False] * 50
    given = replace(groups([0] * 100 + [1] * 100 + [2] * 50, ("level", "tilted", "unknown")), unknown=2)
    found = score_slices(answered([0] * 250, right), given)
    assert [(each.name, each.accuracy) for each in found.slices][2] == ("unknown", 0)
    assert found.contrast is not None
    assert (found.contrast.worst, found.contrast.differs) == ("tilted", False)
    assert grouping.group_by_column(faces(3, sex=["F", None, "F"]), "sex").unknown == 1
    assert grouping.split_into_quarters("x", np.array([1.0, np.nan, 2.0]), "").unknown == 2
    assert grouping.split_into_quarters("x", np.array([1.0, 2.0]), "").unknown is None


def test_few_wrong_answers_are_tested_exactly() -> None:
    right = np.array([True] * 38 + [False] * 2 + [True] * 39 + [False])
    two = np.repeat([0, 1], 40)
    share, test = compare_shares(right, two)
    assert share == pytest.approx(fisher_exact([[2, 38], [1, 39]])[1])
    assert test == "Fisher"
    four = np.repeat([0, 1, 2, 3], 20)
    p_value, method = compare_shares(right, four)
    assert method == "permutation of faces"
    # Three wrong answers in slices of 20: only all in one, or two in one, and three apart. The draw is two and one.
    pairs = [
        len(set(draw)) < 4 - 1 for draw in np.random.default_rng(1).permuted(np.tile(four, (20000, 1)), axis=1)[:, :3]
    ]
    assert p_value == pytest.approx(np.mean(pairs), abs=0.02)
    assert compare_shares(np.ones(80, bool), four)[0] == 1.0


def test_noise_is_not_told_as_bias() -> None:
    """Of slicings of pure noise, Holm's correction lets at most one in twenty audits tell a difference."""
    told = 0
    for seed in range(100):
        draw = np.random.default_rng(seed)
        right = draw.random(400) < 0.7
        found = []
        for _ in range(6):
            p_value, _ = compare_shares(right, draw.integers(0, 5, 400))
            found.append(Slicing("x", "", (), Contrast("a", "b", 0.1, p_value, p_value, "chi-squared")))
        told += any(each.contrast.differs for each in correct_p_values(found) if each.contrast)
    assert told <= 10


def test_holm() -> None:
    given = [0.04, 0.01, 0.03, 0.9]
    plain = [Slicing("x", "", (), Contrast("a", "b", 0.1, each, each, "Fisher")) for each in given]
    found = correct_p_values([*plain[:2], Slicing("y", "", (), None), *plain[2:]])
    adjusted = [each.contrast.adjusted for each in found if each.contrast]
    assert adjusted == pytest.approx([0.09, 0.04, 0.09, 0.9])
    assert [each.contrast.p_value for each in found if each.contrast] == given


def test_faces_of_one_person_are_not_independent() -> None:
    """Ten people, all or none of whose faces are read rightly, by chance: no matter how many faces, they are ten."""
    people = np.repeat([f"person {place}" for place in range(10)], 50)
    right = np.repeat([True, True, True, True, False, False, False, True, True, False], 50)
    places = np.repeat([0] * 5 + [1] * 5, 50)
    assert compare_shares(right, places)[0] < 1e-6
    p_value, method = compare_shares(right, places, people)
    assert method == "permutation of people"
    assert p_value == pytest.approx(fisher_exact([[1, 4], [3, 2]])[1], abs=0.02)


@pytest.mark.parametrize("case", ["crossed", "unknown", "themselves"])
def test_where_people_cannot_be_exchanged_faces_are_tested(case: str) -> None:
    right, places = np.arange(80) % 3 > 0, np.repeat([0, 1], 40)
    people = np.array([str(place % 20 if case == "crossed" else place // 20) for place in range(80)])
    if case == "unknown":
        people[3] = ""
    if case == "themselves":
        people = places.astype(str)
    assert compare_shares(right, places, people)[1] == "chi-squared"


def test_other_numbers_of_faces_are_refused() -> None:
    with pytest.raises(DataError, match="2 slice indices for 1 predictions"):
        score_slices(answered([0], [True]), groups([0, 1]))


def test_a_slicing_is_json() -> None:
    right = [True] * 60 + [False] * 60
    found = score_slices(answered([0] * 120, right), groups([0] * 60 + [1] * 60)).to_dict()
    assert found["contrast"]["differs"] is True
    assert found["slices"][1]["accuracy"] == 0


def test_quarters_hold_as_many_faces_each() -> None:
    values = np.random.default_rng(0).permutation(np.arange(100.0))
    values[7] = np.nan
    found = grouping.split_into_quarters("brightness", values, "grey levels")
    assert found.names[-1] == "unknown"
    assert np.bincount(found.indices).tolist() in ([25, 25, 24, 25, 1], [25, 24, 25, 25, 1], [25, 25, 25, 24, 1])
    known = np.isfinite(values)
    tops = [values[known & (found.indices == place)].max() for place in range(4)]
    assert tops == sorted(tops)
    assert grouping.split_into_quarters("x", np.full(5, 3.0), "").names == ("3",)
    assert grouping.split_into_quarters("x", np.full(5, np.nan), "").names == ("unknown",)


def test_equal_numbers_stay_together() -> None:
    found = grouping.split_into_quarters("x", np.array([0.0] * 60 + [1.0] * 40), "")
    assert (found.names, np.bincount(found.indices).tolist()) == (("0", "1"), [60, 40])


def test_what_is_measured() -> None:
    given = faces(40, box_width=range(40), box_height=[4.0] * 40)
    points = np.zeros((40, 5, 2))
    points[:, 1] = 1, 1
    points[3] = np.nan
    found = {each.by: each for each in grouping.group_by_measures(given, points)}
    assert list(found) == ["brightness", "contrast", "sharpness", "face size", "head tilt"]
    darkest = min(range(40), key=lambda place: of_image(given.pixels[place])["brightness"])
    assert found["brightness"].indices[darkest] == 0
    assert found["face size"].names[-1].endswith(f"{np.sqrt(39 * 4):.3g}")
    assert found["head tilt"].names == ("45", "unknown")
    assert [each.by for each in grouping.group_by_measures(faces(40))] == ["brightness", "contrast", "sharpness"]
    with pytest.raises(DataError, match="'box_width' must contain numbers"):
        grouping.group_by_measures(faces(2, box_width=["wide", "1"], box_height=[1, 1]))


def test_values_of_a_column_are_slices() -> None:
    given = faces(12, sex=["F", "M", None] * 4, group=[2, 10, 1, 2] * 3, smiling=[True, False] * 6)
    assert grouping.group_by_column(given, "sex").names == ("F", "M", "unknown")
    assert grouping.group_by_column(given, "group").names == ("1", "2", "10")
    assert grouping.group_by_column(given, "smiling").names == ("False", "True")
    assert grouping.group_by_column(given, "label").names == ("happiness", "neutral", "sadness")
    assert grouping.group_by_column(given, "sex").indices.tolist() == [0, 1, 2] * 4


def test_numbers_of_many_values_are_cut_into_quarters() -> None:
    given = faces(200, age=[20 + place % 60 for place in range(200)], score=np.arange(200) / 7)
    assert len(grouping.group_by_column(given, "age").names) == 4
    assert len(grouping.group_by_column(given, "score").names) == 4


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("sexe", "No column 'sexe'.*has label, id, split, sex, number. Did you mean 'sex'"),
        ("id", "'id' has 30 distinct values for 30 faces"),
        ("number", "'number' has 16 distinct values for 30 faces"),
        ("empty", "'empty' is empty for all 30 faces"),
    ],
)
def test_columns_that_make_no_slices(name: str, says: str) -> None:
    given = faces(
        30,
        sex=["F", "M"] * 15,
        number=[place // 2 + 1 if place else 0 for place in range(30)],
        empty=[None, float("nan")] * 15,
    )
    with pytest.raises(OptionError, match=says) as caught:
        grouping.group_by_column(given, name)
    assert "\n" not in str(caught.value)


def test_people_and_corpora_are_columns() -> None:
    given = replace(faces(6), subjects=np.array(["a", "a", "", "b", "b", "b"]), datasets=np.full(6, "kdef"))
    assert grouping.group_by_column(given, "subject").names == ("a", "b", "unknown")
    assert grouping.group_by_column(given, "dataset").names == ("kdef",)
    assert set(landmarks.COLUMNS).isdisjoint(grouping.list_columns(given))
