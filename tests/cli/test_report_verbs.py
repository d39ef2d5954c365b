"""``mien report`` and ``mien compare`` from the command line, on folders as the other verbs write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

from answers import answers, evaluated, trained

from mien.cli import DONE, FAILED, main

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return trained(folder, answers(35, "PublicTest"), answers(70), test_scorings=2)


def test_report_goes_into_the_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run), "--samples", "disgust,fear"]) == DONE
    printed = capsys.readouterr().out
    assert printed.startswith(f"{run / 'report' / 'index.html'}: 39 plots beside it")
    assert "diverge since epoch 4" in printed
    assert {path.name for path in (run / "report").glob("samples-*.png")} == {"samples-disgust.png", "samples-fear.png"}
    page = (run / "report" / "index.html").read_text("utf-8")
    assert "The test set has been scored 2 times." in page
    assert "FLOPs a face" in page


def test_compare_takes_runs_and_evaluations(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = evaluated(tmp_path / "other", answers(70, seed=1))
    assert main(["compare", str(run), str(other), "--out", str(tmp_path / "out")]) == DONE
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'out' / 'index.html'}: 18 plots beside it")
    text = (tmp_path / "out" / "compare.md").read_text("utf-8")
    assert "| drawn (run) | drawn (other) |" in text
    assert "VGGNet | 73.28%" in text


def test_compare_takes_cross_validations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, name in enumerate(("ours", "theirs")):
        whole = answers(28, "test", seed=seed, model=name)
        for number, mask in enumerate((np.arange(28) < 14, np.arange(28) >= 14), 1):
            trained(tmp_path / name / f"fold-{number}", whole.where(mask))
    folders = [str(tmp_path / name) for name in ("ours", "theirs")]
    assert main(["compare", *folders, "--out", str(tmp_path / "out")]) == DONE
    text = (tmp_path / "out" / "compare.md").read_text("utf-8")
    assert "| ours, 2 folds | test | 28 |" in text
    assert "| ours, 2 folds | theirs, 2 folds |" in text  # tested against each other
    capsys.readouterr()
    assert main(["compare", *folders, "--split", "test", "--out", str(tmp_path / "out")]) == FAILED
    assert "compared on the faces of all its test sets: omit --split" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["report"], "RUN"),
        (["report", "nowhere"], "No folder nowhere"),
        (["report", "{empty}"], "no predictions.parquet"),
        (["report", "{run}", "{run}", "--out", "x"], "leave it out"),
        (["report", "{run}", "--out", "{run}/recipe.json"], "expected a folder"),
        (["report", "{run}", "--split", "PrivatTest"], "Did you mean 'PrivateTest'"),
        (["report", "{run}", "--samples", "feer"], "Did you mean 'fear'"),
        (["compare", "{run}"], "--out"),
        (["compare", "{run}", "{run}", "--out", "{empty}"], "given twice"),
        (["compare", "{run}", "nowhere", "--out", "{empty}"], "No folder nowhere"),
        (["compare", "{run}", "--out", "{run}/recipe.json"], "expected a folder"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], says: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([each.format(run=run, empty=tmp_path) for each in arguments]) == FAILED
    printed = capsys.readouterr().err
    assert printed.startswith("mien: error: ")
    assert printed.count("\n") == 1
    assert says in printed
