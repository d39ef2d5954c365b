"""``mien tune`` and ``mien find-rate`` from the command line, on a generated corpus."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import bars, write_zip
from numpy.typing import NDArray

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
torch.set_num_threads(1)
pytest.importorskip("optuna")

from mien.cli import main  # noqa: E402
from mien.cli.learning import tune as verb  # noqa: E402
from mien.recipes.recipe import load  # noqa: E402
from mien.search import rate  # noqa: E402

RECIPE = """
name = "small"
[preprocess]
size = 16
[network]
name = "conv_pool"
spatial_dropout = 0.0
[train]
epochs = 2
batch_size = 16
rate = 0.003
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``small.toml`` and ``fer.zip``."""
    folder = tmp_path_factory.mktemp("tune")
    (folder / "small.toml").write_text(RECIPE)
    write_zip(bars({"Training": 8, "PublicTest": 2, "PrivateTest": 2}), folder / "fer.zip")
    return folder


def tuned(place: Path, out: Path, *options: str) -> int:
    space = ["--space", "train.rate=1e-4:1e-1:log", "--space", "train.batch_size=16,2048,4096,8192"]
    return main(
        ["tune", str(place / "small.toml"), "--data", str(place / "fer.zip"), "--out", str(out), *space, *options]
    )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_tune_goes_on_after_ctrl_c_and_its_next_command_trains(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Batches of thousands are more than the faces: such trials fail, and the search goes on."""
    out = tmp_path / "search"

    def interrupt(*given: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(verb, "_advance", interrupt)
        assert tuned(place, out, "--trials", "5") == 130
    assert capsys.readouterr().err.splitlines()[-1] == "mien: interrupted"

    assert tuned(place, out, "--trials", "5") == 0
    told, progress = capsys.readouterr()
    found = rows(out / "trials.csv")
    states = [row["state"] for row in found]
    assert states[:2] == ["cut off", "complete"]
    assert len(states) == 6
    assert 1 <= states.count("failed") <= 4
    for row in found:
        assert (row["state"] == "failed") == (row["train.batch_size"] != "16")
        assert ("is more than the 56 training faces" in row["reason"]) == (row["state"] == "failed")
    assert f"Trials: {states.count('complete')} complete, 1 cut off, {states.count('failed')} failed" in told
    assert "the recipe's own" in told
    assert "best: trial" in told
    assert f"Results: {out}" in told
    assert progress.count("trial   ") == 5
    assert "trial   1  complete" in progress

    (command,) = (line.removeprefix("Next:    ") for line in told.splitlines() if line.startswith("Next:"))
    assert shlex.split(command) == ["mien", "train", str(out / "best.toml"), "--data", str(place / "fer.zip")]
    best = max((row for row in found if row["state"] == "complete"), key=lambda row: float(row["accuracy"]))
    assert load(out / "best.toml").train.rate == float(best["train.rate"])
    assert main([*shlex.split(command)[1:], "--out", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "model.onnx").exists()


def test_find_rate_writes_and_suggests(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["find-rate", str(place / "small.toml"), "--data", str(place / "fer.zip"), "--out", str(tmp_path)]
    chosen = ["--set", "train.bfloat16=false", "--set", "train.optimizer=sgd", "--set", "train.rate=9"]
    assert main([*arguments, *chosen, "--low", "1e-5", "--high", "0.5", "--steps", "40"]) == 0
    told = capsys.readouterr().out
    found = rows(tmp_path / "rate.csv")
    assert float(found[0]["rate"]) == pytest.approx(1e-5)
    assert 20 <= len(found) <= 40
    suggested = told.splitlines()[0].removeprefix("Suggested rate: ").split(",")[0]
    assert any(f"{float(row['rate']):.1e}" == suggested for row in found)
    assert f"Tested: 1.0e-05 to {float(found[-1]['rate']):.1e} (" in told
    assert "No minimum" not in told
    assert (tmp_path / "rate.png").read_bytes().startswith(b"\x89PNG")
    (command,) = (line.removeprefix("Next:   ") for line in told.splitlines() if line.startswith("Next:"))
    words = shlex.split(command)
    assert words[:5] == ["mien", "train", str(place / "small.toml"), "--data", str(place / "fer.zip")]
    kept = ["--set", "train.bfloat16=false", "--set", "train.optimizer=sgd", "--set", f"train.rate={suggested}"]
    assert words[5:] == kept
    assert not list(tmp_path.glob("*.ckpt"))


@pytest.mark.parametrize(
    "case",
    [
        (np.linspace(2, 1, 100), 0, "No minimum: the loss does not rise again up to the highest rate"),
        (np.full(100, 2.0), 2, "the curve has no valley and there is no rate to suggest. Start lower"),
    ],
)
def test_find_rate_says_that_there_is_no_valley(
    case: tuple[NDArray[np.float64], int, str],
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    losses, code, says = case
    curve = rate.Curve(np.geomspace(1e-6, 1, 100), losses, losses)
    monkeypatch.setattr(rate, "find", lambda *_, **__: curve)
    arguments = ["find-rate", str(place / "small.toml"), "--data", str(place / "fer.zip"), "--out", str(tmp_path)]
    assert main(arguments) == code
    assert says in "".join(capsys.readouterr())
    assert (tmp_path / "rate.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["tune", "{recipe}", "--data", "{corpus}", "--out", "{out}"], "--space"),
        (["tune", "{recipe}", "--data", "{corpus}", "--space", "train.rate=1:2"], "--out"),
        (
            ["tune", "{recipe}", "--data", "{corpus}", "--out", "{out}", "--space", "train.rat=1:2"],
            "Did you mean 'rate'",
        ),
        (
            ["tune", "{recipe}", "--data", "{corpus}", "--out", "{out}", "--space", "train.rate=1:2", "--trials", "0"],
            "'0': expected a whole number, 1 or more",
        ),
        (
            ["tune", "{recipe}", "--data", "{corpus}", "--out", "{out}", "--space", "train.rate=1:2", "--seed", "-1"],
            "--seed: '-1': expected a whole number from 0",
        ),
        (
            ["tune", "{recipe}", "--data", "{corpus}", "--out", "{used}", "--space", "train.rate=1:2"],
            "is not empty and has no study.db",
        ),
        (
            ["tune", "hog-svm", "--data", "{corpus}", "--out", "{out}", "--space", "a=1,2"],
            "hog-svm is a classical baseline",
        ),
        (["find-rate", "{recipe}", "--data", "{corpus}"], "--out"),
        (
            ["find-rate", "{recipe}", "--data", "{corpus}", "--out", "{out}", "--steps", "5"],
            "5 steps: expected 20 or more",
        ),
        (
            ["find-rate", "{recipe}", "--data", "{corpus}", "--out", "{out}", "--low", "2"],
            "Rates from 2 to 1: expected",
        ),
        (
            ["find-rate", "{recipe}", "--data", "{corpus}", "--out", "{out}", "--high", "fast"],
            "'fast': expected a number",
        ),
        (["find-rat", "{recipe}"], "Did you mean 'find-rate'"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], says: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"recipe": place / "small.toml", "corpus": place / "fer.zip", "used": place, "out": tmp_path / "out"}
    assert main([argument.format(**places) for argument in arguments]) == 2
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.splitlines()[-1].startswith("mien: error: ")
    assert "Traceback" not in printed
    assert not (tmp_path / "out").exists()
