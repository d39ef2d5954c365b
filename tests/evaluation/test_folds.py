"""A cross-validation is one result: known folds give known means, deviations, pooled metrics and intervals."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("pyarrow")

from answers import answers, evaluated

from mien.errors import DataError, FileMissingError
from mien.evaluation import folds
from mien.evaluation.metrics import clusters
from mien.evaluation.predictions import Predictions
from mien.evaluation.reports import folds_table
from mien.labels import LabelSet

PAIR = LabelSet("own", ("no", "yes"))


def fold(number: int, right: list[bool], people: list[str]) -> Predictions:
    """A fold's test set of two classes in turn; ``right`` says which faces are classified correctly."""
    base = answers(len(right), "test", classes=PAIR)
    labels = np.arange(len(right)) % 2
    predicted = np.where(right, labels, 1 - labels)
    return replace(
        base,
        probabilities=np.where(predicted[:, None] == [0, 1], 0.9, 0.1),
        labels=labels,
        source=np.array([f"{number}/{row}" for row in range(len(right))]),
        copy=np.zeros(len(right), bool),
        about=replace(base.about, model_digest=f"{number}" * 64, temperature=1.0 + number),
        groups={"subject": np.array(people)},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two folds: of four faces all are right, of eight faces half; four people of two or four faces."""
    evaluated(tmp_path / "fold-1", fold(1, [True] * 4, ["a", "a", "b", "b"]))
    evaluated(tmp_path / "fold-2", fold(2, [True, True, False, False] * 2, ["c"] * 4 + ["d"] * 4))
    return tmp_path


def test_mean_deviation_and_pooled_metrics_by_hand(folder: Path) -> None:
    result = folds.summarise(folds.read(folder))
    assert [row["faces"] for row in result.folds] == [4, 8]
    assert result.mean["accuracy"] == pytest.approx(0.75)
    assert result.deviation["accuracy"] == pytest.approx(0.5 / np.sqrt(2))
    assert result.mean["kappa"] == pytest.approx((1 + 0) / 2)
    assert result.pooled["accuracy"] == pytest.approx(8 / 12)
    assert result.pooled["kappa"] == pytest.approx(1 / 3)
    assert (result.grouped_by, result.groups) == ("subject", 4)
    low, high = result.intervals["accuracy"]
    # c and d have half of their four faces right, a and b all of their two: a draw of c and d alone has 1/2, of a and
    # b alone 1, and either comes with probability 1/16.
    assert (low, high) == (0.5, 1.0)
    assert result.intervals["kappa"] == (0.0, 1.0)


def test_kappa_by_hand() -> None:
    matrices = np.array([[[20, 5], [10, 15]], [[3, 0], [0, 0]]])
    assert clusters.kappa(matrices)[0] == pytest.approx(0.4)
    assert np.isnan(clusters.kappa(matrices)[1])


def test_files_for_people_and_programs(folder: Path) -> None:
    result = folds_table.write(folder)
    assert json.loads((folder / "folds.json").read_text("utf-8"))["mean"] == result.mean
    with (folder / "folds.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["fold"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["1", "2", "mean", "deviation", "pooled", "pooled low", "pooled high"]
    assert float(rows["mean"]["accuracy"]) == 0.75
    assert [float(rows[name]["kappa"]) for name in ("pooled low", "pooled high")] == [0.0, 1.0]
    latex = (folder / "folds.tex").read_text("utf-8")
    assert r"75.00 $\pm$ 35.36" in latex
    assert "66.67" in latex


def test_folds_that_share_a_face_or_a_person_are_refused(tmp_path: Path) -> None:
    first, other = fold(1, [True] * 4, list("aabb")), fold(2, [True] * 4, list("bbcc"))
    for name, second, what in (("face", replace(other, source=first.source), "4 faces"), ("person", other, "1 person")):
        evaluated(tmp_path / name / "fold-1", first)
        evaluated(tmp_path / name / "fold-2", second)
        with pytest.raises(DataError, match=what):
            folds.pool(folds.read(tmp_path / name))


def test_ten_folds_are_read_in_order_and_one_is_too_few(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        with pytest.raises(FileMissingError, match="mien train --folds"):
            folds.read(tmp_path / "none")
        evaluated(tmp_path / f"fold-{number}", fold(number, [True] * 2, ["", ""]))
    assert [run.folder.name for run in folds.read(tmp_path)] == ["fold-1", "fold-2", "fold-10"]
    result = folds.summarise(folds.read(tmp_path))
    assert (result.grouped_by, result.groups) == ("subject", 6)


def test_a_cross_validation_is_one_model_on_sorted_faces(folder: Path, tmp_path: Path) -> None:
    assert folds.is_cross_validation(folder)
    assert not folds.is_cross_validation(folder / "fold-1")
    runs = folds.read(folder)
    whole = folds.as_one(folder, runs)
    assert (whole.name, whole.folder, whole.trained, whole.scorings) == ("drawn, 2 folds", folder, False, None)
    assert whole.predictions.source.tolist() == sorted(whole.predictions.source.tolist())
    assert whole.predictions.right.mean() == pytest.approx(8 / 12)
    swapped = folds.as_one(folder, runs[::-1])
    np.testing.assert_array_equal(whole.predictions.source, swapped.predictions.source)
    np.testing.assert_array_equal(whole.predictions.probabilities, swapped.predictions.probabilities)
    evaluated(tmp_path / "other" / "fold-1", fold(1, [True] * 2, ["a", "b"]), test_scorings=1)
    evaluated(tmp_path / "other" / "fold-2", fold(2, [True] * 2, ["c", "d"]), test_scorings=3)
    assert folds.as_one(tmp_path / "other", folds.read(tmp_path / "other")).scorings == 3
