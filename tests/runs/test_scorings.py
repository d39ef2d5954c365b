"""Scorings of the same test faces by earlier versions of a recipe are recorded in the later run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from mien.errors import DataError
from mien.runs.scorings import describe, note_earlier

pytestmark = pytest.mark.train


def finished(
    folder: Path, *, name: str = "mine", epochs: int = 3, seed: int = 0, data: str = "same", count: int = 1
) -> Path:
    folder.mkdir(parents=True)
    recipe = {"digest": f"{epochs}{seed}" * 20, "name": name, "about": "", "train": {"epochs": epochs, "seed": seed}}
    metrics = {"test": {"accuracy": epochs / 100}, "test_scorings": count}
    for file, values in (("recipe", recipe), ("metrics", metrics), ("data", {"digest": data})):
        (folder / f"{file}.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def recorded(run: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return values


def test_another_version_counts(tmp_path: Path) -> None:
    finished(tmp_path / "first", epochs=26, count=2)
    run = finished(tmp_path / "second", epochs=36)
    expected = [{"run": "first", "recipe": "260" * 20, "scorings": 2, "accuracy": 0.26}]
    assert note_earlier(run, "mine") == expected
    assert recorded(run)["earlier_scorings"] == expected
    assert recorded(run)["test_scorings"] == 1
    assert describe(run) == (
        "Its test faces had been scored 2 times before, by another version of this recipe: 26.0 % in the run "
        "`first` with recipe `260260260260`."
    )


def test_seeds_other_recipes_and_other_data_do_not_count(tmp_path: Path) -> None:
    finished(tmp_path / "seed", seed=1)
    finished(tmp_path / "other", name="theirs", epochs=9)
    finished(tmp_path / "data", epochs=9, data="another")
    (tmp_path / "unfinished").mkdir()
    run = finished(tmp_path / "run")
    before = recorded(run)
    assert note_earlier(run, "mine") == []
    assert recorded(run) == before
    assert describe(run) == ""


def test_seeds_look_beside_their_folder(tmp_path: Path) -> None:
    finished(tmp_path / "old" / "seed-0", epochs=26)
    finished(tmp_path / "new" / "seed-0", epochs=36)
    run = finished(tmp_path / "new" / "seed-1", epochs=36, seed=1)
    assert [entry["run"] for entry in note_earlier(run, "mine")] == ["seed-0"]
    assert recorded(run)["earlier_scorings"][0]["accuracy"] == 0.26


def test_runs_that_record_no_data_are_not_compared(tmp_path: Path) -> None:
    for folder in (finished(tmp_path / "first", epochs=26), finished(tmp_path / "second", epochs=36)):
        (folder / "data.json").unlink()
    assert note_earlier(tmp_path / "second", "mine") == []


def test_damaged_entries_are_refused(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    (run / "metrics.json").write_text('{"earlier_scorings": [{"run": "first"}]}', encoding="utf-8")
    with pytest.raises(DataError, match="is not a list of scorings"):
        describe(run)
