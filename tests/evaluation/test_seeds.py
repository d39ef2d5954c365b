"""Several seeds are one result, in numbers and as tables."""

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
from mien.evaluation import predictions, seeds
from mien.evaluation.evaluate import report
from mien.evaluation.reports import seeds_table


def people(count: int) -> np.ndarray:
    return np.array([f"p{row // 7}" for row in range(count)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("run")
    for seed in (0, 2, 10):
        run = replace(answers(70, seed=seed), groups={"subject": people(70)})
        evaluated(place / f"seed-{seed}", run)
    return place


def test_seeds_are_read_in_the_order_of_their_numbers(folder: Path) -> None:
    assert [run.folder.name for run in seeds.read(folder)] == ["seed-0", "seed-2", "seed-10"]
    assert [run.folder.name for run in seeds.read(folder / "seed-2")] == ["seed-2"]
    with pytest.raises(FileMissingError, match="No folder"):
        seeds.read(folder / "none")


def test_seeds_of_other_faces_are_refused(tmp_path: Path) -> None:
    evaluated(tmp_path / "seed-0", answers(70))
    evaluated(tmp_path / "seed-1", answers(77))
    with pytest.raises(DataError, match="70 and 77 faces"):
        seeds.read(tmp_path)


def test_mean_and_deviation_by_hand(folder: Path) -> None:
    runs = [run.predictions for run in seeds.read(folder)]
    accuracies = [float(run.right.mean()) for run in runs]
    result = seeds.summarise(runs, "PrivateTest")
    assert result.runs == 3
    assert result.metrics["accuracy"] == pytest.approx(sum(accuracies) / 3)
    assert result.deviation["accuracy"] == pytest.approx(np.std(accuracies, ddof=1))
    low, high = result.metrics["interval"]
    assert low < result.metrics["accuracy"] < high
    assert result.metrics["grouped_by"] == "subject"
    single = seeds.summarise(runs[:1], "PrivateTest")
    assert single.metrics["interval"] == list(report(runs[0])["interval"])
    assert set(single.deviation.values()) == {0.0}


def test_files_for_people_and_programs(folder: Path) -> None:
    results = seeds_table.write(folder)
    values = json.loads((folder / "seeds.json").read_text("utf-8"))["PrivateTest"]
    assert values["seeds"] == 3
    assert values["mean"]["accuracy"] == results["PrivateTest"].metrics["accuracy"]
    with (folder / "seeds.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["accuracy deviation"]) == values["deviation"]["accuracy"]
    assert row["grouped by"] == "subject"
    latex = (folder / "seeds.tex").read_text("utf-8")
    assert r"\toprule" in latex
    assert f"{100 * values['mean']['accuracy']:.2f} $\\pm$ {100 * values['deviation']['accuracy']:.2f}" in latex
    assert r"accuracy, \%" in latex


def test_average_of_json() -> None:
    first = {"a": 1, "b": [0.0, 1.0], "c": "word", "d": None, "e": True, "f": 2}
    second = {"a": 2, "b": [1.0, 2.0], "c": "word", "d": 3.0, "e": True}
    assert seeds.average([first, second]) == {"a": 1.5, "b": [0.5, 1.5], "c": "word", "d": None, "e": True}
    assert seeds.average([3, 3]) == 3
    assert isinstance(seeds.average([3, 3]), int)
    with pytest.raises(DataError, match="have no mean"):
        seeds.average([[1], [1, 2]])


def test_people_and_sessions_are_kept_with_the_predictions(tmp_path: Path) -> None:
    known = replace(answers(14), groups={"subject": people(14), "session": np.array(["", "s"] * 7)})
    path = known.write(tmp_path / "predictions.parquet")
    read = predictions.read(path)
    assert {name: values.tolist() for name, values in read.groups.items()} == {
        name: values.tolist() for name, values in known.groups.items()
    }
    assert read.grouping()[0] == "subject"
    assert len(set(read.grouping("session")[1].tolist())) == 8  # seven unknown ones, and s
    half = read.where(np.arange(14) < 7)
    assert half.groups["subject"].tolist() == ["p0"] * 7
    grouped = report(read)["grouped"]
    assert (grouped["subject"]["groups"], grouped["session"]["groups"]) == (2, 8)
    joined = predictions.join([known, replace(answers(7), groups={})])
    assert joined.groups["subject"].tolist() == [*people(14), *[""] * 7]
    plain = answers(7)
    assert plain.grouping()[0] == "face"
    assert "grouped" not in report(plain)
    with pytest.raises(DataError, match="equal lengths"):
        replace(plain, groups={"subject": people(3)})
