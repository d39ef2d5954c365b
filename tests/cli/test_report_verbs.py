"""``mien report`` and ``mien compare`` from the command line, on folders as the other verbs write them."""

from __future__ import annotations

from pathlib import Path

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
