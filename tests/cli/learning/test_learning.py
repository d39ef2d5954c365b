"""``mien train``, ``evaluate`` and ``export`` from the command line, on a generated corpus."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from corpora import bars, png, write_zip

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from mien.cli import main  # noqa: E402
from mien.recognition.model_files.bundle import read  # noqa: E402

RECIPE = """
name = "smoke"
[preprocess]
size = 16
[network]
spatial_dropout = 0.0
dropout = 0.0
[augment]
flip = 0.0
[train]
epochs = 3
batch_size = 16
rate = 0.003
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zip(
        bars({"Training": 20, "PublicTest": 4, "PrivateTest": 4}), tmp_path_factory.mktemp("c") / "fer.zip"
    )


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "smoke.toml").write_text(RECIPE)
    assert main(["train", str(folder / "smoke.toml"), "--data", str(corpus), "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_train_leaves_a_whole_run_folder(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    records = {"recipe.json", "data.json", "environment.json", "history.csv", "metrics.json"}
    assert names == records | {"checkpoints", "tensorboard", "model.onnx", "predictions.parquet"}
    assert json.loads((trained / "metrics.json").read_text())["test_scorings"] == 1


def test_train_says_what_it_computes_in(
    corpus: Path, trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", str(trained.parent / "smoke.toml"), "--data", str(corpus), "--out", str(trained), "--resume"]
    for there, said in ((True, "smoke seed 0, bfloat16"), (False, "smoke seed 0, float32")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda there=there: there)
        assert main(arguments) == 0
        assert said in capsys.readouterr().err


def test_train_says_what_comes_next(corpus: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", str(trained.parent / "smoke.toml"), "--data", str(corpus), "--out", str(trained), "--resume"]
    assert main(arguments) == 0
    assert f"mien predict PHOTO --model {trained / 'model.onnx'}" in capsys.readouterr().out


def test_evaluate_finds_the_figure_that_the_file_states(trained: Path, corpus: Path, tmp_path: Path) -> None:
    arguments = ["evaluate", str(trained / "model.onnx"), "--data", str(corpus), "--split", "PrivateTest"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    stated = read(trained / "model.onnx").metrics["private_test"]
    found = json.loads((tmp_path / "metrics.json").read_text())["parts"]["PrivateTest"]
    assert {key: found[key] for key in stated} == stated


def test_evaluate_photos_counts_faces_and_foreign_classes(trained: Path, tmp_path: Path) -> None:
    faces = bars({"PublicTest": 2})
    for label, folder in enumerate(("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt")):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        for number in range(2):
            (tmp_path / "photos" / folder / f"{number}.png").write_bytes(png(faces.pixels[(2 * label + number) % 14]))
    out = tmp_path / "out"
    arguments = ["evaluate", str(trained / "model.onnx"), "--photos", str(tmp_path / "photos"), "--out", str(out)]
    assert main([*arguments, "--detector", "whole"]) == 0
    found = json.loads((out / "metrics.json").read_text())
    assert (found["photos"], found["found"], found["left_out"]) == (14, 1.0, {"contempt": 2})
    assert found["accuracy"] == found["of_found"]["accuracy"] >= 0.8


def test_export_writes_the_same_graph_again(trained: Path, corpus: Path) -> None:
    before = read(trained / "model.onnx")
    (trained / "model.onnx").unlink()
    assert main(["export", str(trained), "--data", str(corpus)]) == 0
    assert read(trained / "model.onnx").digest == before.digest


def test_export_int8(trained: Path, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(trained), "--data", str(corpus), "--int8"]) == 0
    printed = capsys.readouterr().out
    found = read(trained / "model-int8.onnx")
    assert f"Agreement with model.onnx: {found.metrics['agreement']:.1%} of the validation set" in printed
    assert str(trained / "model-int8.onnx") in printed
    assert (trained / "model-int8.onnx").stat().st_size < 0.5 * (trained / "model.onnx").stat().st_size
    assert main(["evaluate", str(trained / "model-int8.onnx"), "--data", str(corpus)]) == 0


def test_export_forms(trained: Path, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forms = {
        "--float16": ("model-float16.onnx", "Agreement with model.onnx: "),
        "--whole": ("model-whole.onnx", "Probabilities differ from model.onnx's by at most "),
        "--torch": ("model.pt2", "For programs without Mien: "),
    }
    for option, (name, says) in forms.items():
        assert main(["export", str(trained), "--data", str(corpus), option]) == 0
        printed = capsys.readouterr().out
        assert says in printed
        assert str(trained / name) in printed
        assert (trained / name).stat().st_size > 100_000


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "none.toml", "--data", "x"], "No recipe at none.toml"),
        (["train", "{recipe}", "--data", "nowhere.zip"], "nowhere.zip does not exist"),
        (["train", "{recipe}", "--dta", "x"], "--data"),
        (["evaluate", "{model}"], "one of --data and --photos"),
        (["evaluate", "{model}", "--data", "{corpus}", "--split", "Privat"], "Did you mean 'PrivateTest'"),
        (["evaluate", "nothing.onnx", "--data", "{corpus}"], "nothing.onnx"),
        (["export", "runs/nowhere", "--data", "{corpus}"], "recipe.json"),
        (["export", "runs/nowhere"], "needs --data DATA"),
        (["export", "nowhere"], "Unknown model 'nowhere'"),
        (["export", "nanno", "--whole", "--out", "{out}"], "Did you mean 'nano'?"),
        (["export", "nano"], "'nano' is a finished model, not a training run: expected --whole --out FOLDER, --hub"),
        (["export", "nano", "--int8"], "'nano' is a finished model, not a training run: expected --whole"),
        (["export", "nano", "--whole"], "needs --out FOLDER"),
        (["export", "runs/nowhere", "--whole", "--out", "{out}"], "--out is for --whole of a finished model"),
        (["export", "default", "--c", "{out}"], "colour"),
        (["export", "fer7", "--c", "{out}"], "int8"),
        (["export", "nowhere", "--int8", "--float16"], "not allowed with"),
        (["export", "nowhere.onnx", "--c", "out"], "No such model file"),
        (["trian"], "Did you mean 'train'"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], says: str, trained: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {
        "model": trained / "model.onnx",
        "corpus": corpus,
        "recipe": trained.parent / "smoke.toml",
        "out": trained.parent / "out",
    }
    assert main([argument.format(**places) for argument in arguments]) == 2
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.splitlines()[-1].startswith("mien: error: ")
    assert "Traceback" not in printed
