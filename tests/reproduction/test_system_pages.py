"""The five pages in docs/systems are what the runs in docs/runs and the counted evidence give, and nothing else."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pages import ROOT

pytestmark = pytest.mark.train
pytest.importorskip("torch")
pytest.importorskip("torchvision")

sys.path.insert(0, str(ROOT / "scripts"))
import system_pages  # noqa: E402

from mien import run_files  # noqa: E402
from mien.errors import RecipeError  # noqa: E402
from mien.reproduction.reproduce import write_page  # noqa: E402
from mien.runs import scorings  # noqa: E402

EVIDENCE = ROOT / "docs/systems"


@pytest.mark.parametrize("system", "ABCDE")
def test_pages_are_up_to_date(system: str, tmp_path: Path) -> None:
    page = system_pages.write(system, tmp_path).read_text(encoding="utf-8")
    shown = (EVIDENCE / f"{system}.md").read_text(encoding="utf-8")
    assert page == shown, "run python scripts/system_pages.py"


def page_after(
    system: str, recipe: str, change: Callable[[dict[str, Any]], None], folder: Path, file: str = "metrics.json"
) -> list[str]:
    """The lines that a page has more than the one shown, after a mistake is put into a run's file."""
    runs = folder / "runs"
    names = {path.name for path in (ROOT / "docs/runs").iterdir() if path.name.startswith(f"system-{system.lower()}")}
    for name in names | ({"hog-svm"} if system == "E" else set()):
        shutil.copytree(ROOT / "docs/runs" / name, runs / name)
    path = runs / recipe / file
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")
    page = write_page(system, runs, EVIDENCE / f"{system}.json", folder).read_text(encoding="utf-8").splitlines()
    shown = (EVIDENCE / f"{system}.md").read_text(encoding="utf-8").splitlines()
    return [line for line in page if line not in shown]


def test_a_lower_accuracy_changes_the_comparison_of_d(tmp_path: Path) -> None:
    def change(metrics: dict[str, Any]) -> None:
        metrics["test"] |= {"accuracy": 0.60, "interval": [0.59, 0.61]}

    lines = page_after("D", "system-d-cnn-2core", change, tmp_path)
    assert any("| 60.00 % | 59.0 – 61.0 % | −1.54 points, claim outside |" in line for line in lines)
    assert any("better than the fine-tuned" in line and "| **no** |" in line for line in lines)
    assert any("statements, computed again" in line and "3 hold, 3 do not" in line for line in lines)


def test_a_claim_inside_the_interval_is_said_to_be(tmp_path: Path) -> None:
    def change(metrics: dict[str, Any]) -> None:
        metrics["test"] |= {"accuracy": 0.61, "interval": [0.60, 0.62]}

    lines = page_after("D", "system-d-cnn-2core", change, tmp_path)
    assert any("| −0.54 points, claim inside |" in line for line in lines)


def test_another_confusion_matrix_changes_the_means_of_c(tmp_path: Path) -> None:
    def change(metrics: dict[str, Any]) -> None:
        metrics["test"]["confusion"][0][0] += 1000

    lines = page_after("C", "system-c-2core", change, tmp_path)
    assert sum("(weighted mean)" in line for line in lines) == 3


def test_scorings_before_are_told(tmp_path: Path) -> None:
    def change(metrics: dict[str, Any]) -> None:
        metrics["earlier_scorings"] *= 2

    shown = (EVIDENCE / "D.md").read_text(encoding="utf-8")
    assert "had been scored once before" in shown
    assert "missed its aim of 66 %" in shown
    assert any(
        "had been scored 2 times before" in line for line in page_after("D", "system-d-cnn-2core", change, tmp_path)
    )


def test_the_first_scoring_of_d_is_that_of_its_run() -> None:
    first, second = ROOT / "docs/runs/system-d-cnn-2core-first", ROOT / "docs/runs/system-d-cnn-2core"
    recipes, metrics = (
        [json.loads((run / name).read_text(encoding="utf-8")) for run in (first, second)]
        for name in (run_files.RECIPE, run_files.METRICS)
    )
    (entry,) = metrics[1][scorings.EARLIER]
    assert entry == {**(scorings.summarise(first) or {}), "why": entry["why"]}
    assert recipes[0]["data"] == recipes[1]["data"]
    supports = [{label: row["support"] for label, row in run["test"]["per_class"].items()} for run in metrics]
    assert supports[0] == supports[1]  # the same test faces


def test_a_run_of_another_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="has an earlier version of the recipe"):
        page_after("C", "system-c-2core", lambda values: values.update(digest="0" * 64), tmp_path, "recipe.json")
