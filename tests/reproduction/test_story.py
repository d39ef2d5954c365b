"""What a run folder tells of its training, its cost, and the published system that it reproduces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

from answers import RECIPE, answers, trained
from answers import evaluated as folder_of

from mien.errors import DataError, FileMissingError, RecipeError
from mien.evaluation.evaluated import Evaluated, read
from mien.evaluation.reports.report import BLOCKS, CLAIMED, Background
from mien.networks.networks import build, parameter_count
from mien.recipes import recipe
from mien.reproduction import story

pytestmark = pytest.mark.train

CLASSICAL: dict[str, Any] = {
    "name": "neighbours",
    "preprocess": {"size": 16},
    "classical": {"features": "pixels", "classifier": "knn", "neighbours": 3},
}


def run(folder: Path, plan: dict[str, Any] = RECIPE) -> Evaluated:
    return read(trained(folder, answers(35, "PublicTest"), answers(70), recipe=plan))


def test_a_folder_of_evaluate_has_no_story(tmp_path: Path) -> None:
    found = read(folder_of(tmp_path / "run", answers(35)))
    assert story.background(found) == Background()
    assert story.cost(found) == {}


def test_a_baseline_has_no_curves_and_no_cost(tmp_path: Path) -> None:
    found = run(tmp_path / "run", CLASSICAL)
    told = story.background(found)
    assert (told.curves, told.notes, story.cost(found)) == (None, (), {})
    assert told.facts["baseline"] == "pixels, knn"


def test_curves_count_from_one_and_tell_what_went_wrong(tmp_path: Path) -> None:
    told = story.background(run(tmp_path / "run"))
    assert told.curves is not None
    assert told.curves.loss == pytest.approx([1.9, 1.65, 1.4, 1.15, 0.9, 0.65])
    assert (told.curves.chosen, told.curves.diverged) == (3, 4)
    assert "diverge since epoch 4" in told.notes[0]


def test_a_last_epoch_that_nothing_selected_is_not_called_the_best(tmp_path: Path) -> None:
    plan = {**RECIPE, "train": {**RECIPE["train"], "choose": "last"}}
    told = story.background(run(tmp_path / "run", plan))
    assert told.curves is not None
    assert told.curves.chosen == 6
    assert not any("was the best" in note for note in told.notes)


def test_the_kept_epoch_has_full_size(tmp_path: Path) -> None:
    found = run(tmp_path / "run")
    path = found.folder / "history.csv"
    rows = path.read_text().splitlines()
    path.write_text("\n".join([rows[0], *(row.replace(",16,", ",8,", 1) for row in rows[1:5]), *rows[5:]]) + "\n")
    curves = story.curves_of(found)
    assert curves is not None
    assert curves.chosen == 5


def test_cost_is_the_networks_own(tmp_path: Path) -> None:
    found = run(tmp_path / "run")
    network = build("four_block", 7, 1, 16)
    assert story.cost(found)["parameters"] == parameter_count(network)
    told = story.background(found)
    assert told.facts["parameters"] == f"{parameter_count(network):,}"
    assert [block[0] for block in told.blocks] == ["block 1", "block 2", "block 3", "block 4", "dense"]
    assert all(len(block) == len(BLOCKS) for block in told.blocks)
    assert sum(int(str(block[1]).replace(",", "")) for block in told.blocks) == parameter_count(network)


@pytest.mark.parametrize(("seed", "differs"), [(0, False), (3, False), (None, True)])
def test_claims_of_the_system_that_a_recipe_reproduces(seed: int | None, differs: bool, tmp_path: Path) -> None:
    change: dict[str, Any] = {"train.rate": 0.5} if seed is None else {"train.seed": seed}
    plan = recipe.load("system-e").with_values(change).model_dump(mode="json")
    told = story.background(run(tmp_path / "run", plan))
    assert "System E (Class-weighted CNN, explained and deployed)" in told.claims
    assert ("differs from the one of that name" in told.claims) == differs
    rows = {row[0]: row for row in told.claimed}
    assert all(len(row) == len(CLAIMED) for row in told.claimed)
    accuracy = float(answers(70).right.mean())
    assert rows["CNN: accuracy"][1:3] == ("70.13 %", f"{accuracy * 100:.2f} %")
    assert rows["CNN: recall of fear"][1] == "80.00 %"


def test_other_recipes_claim_nothing(tmp_path: Path) -> None:
    told = story.background(run(tmp_path / "run"))
    assert (told.claims, told.claimed) == ("", ())


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    found = run(tmp_path / "run", recipe.load("system-e").model_dump(mode="json"))
    history = found.folder / "history.csv"
    history.write_text("epoch,size\n0,16\n")
    with pytest.raises(DataError, match=r"history\.csv is not a history"):
        story.curves_of(found)
    history.write_text("epoch,size,rate,loss,accuracy,validation_loss,validation_accuracy,minutes\n")
    with pytest.raises(DataError, match="has no epochs"):
        story.curves_of(found)
    history.unlink()
    told = story.background(found)
    assert "no history.csv" in told.notes[0]
    assert "without history.csv nothing is compared" in told.claims
    recorded = found.folder / "recipe.json"
    values = json.loads(recorded.read_text())
    recorded.write_text(json.dumps({**values, "trian": 1}))
    with pytest.raises(RecipeError, match="unknown key 'trian'"):
        story.background(found)
    recorded.unlink()
    with pytest.raises(FileMissingError, match=r"no recipe.json"):
        story.background(found)
