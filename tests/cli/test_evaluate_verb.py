"""``mien evaluate``: tables, files and mistakes, with a small network on generated faces."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from corpora import bars, pack_zip, png, write_zip
from support import linear_graph, write_model

pytest.importorskip("sklearn")
pytest.importorskip("pydantic")
pytest.importorskip("pyarrow")

from mien.cli import main
from mien.datasets import faces
from mien.evaluation.predictions import read
from mien.labels import CKPLUS
from mien.preprocess import PreprocessSpec
from mien.recipes.recipe import parse_any
from mien.recognition.views import KINDS
from mien.training import parts

FACES = bars({"Training": 4, "PublicTest": 3, "PrivateTest": 3})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zip(FACES, tmp_path_factory.mktemp("corpus") / "fer.zip")


@pytest.fixture(scope="module")
def peaks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CK+48's layout: seven classes, contempt among them and neutral not, and no parts."""
    faces = bars({"": 2}, classes=CKPLUS)
    files = {
        f"CK+48/{CKPLUS.labels[label]}/S{number:03}_001_00000017.png": png(pixels)
        for number, (pixels, label) in enumerate(zip(faces.pixels, faces.labels, strict=True))
    }
    return pack_zip(tmp_path_factory.mktemp("peaks") / "ckplus48.zip", files)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_model(tmp_path / "tiny.onnx")
    return tmp_path / "tiny.onnx"


def evaluate(*arguments: object) -> int:
    return main(["evaluate", *map(str, arguments)])


def test_several_splits_and_the_files(
    corpus: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    splits = ["--split", "PublicTest", "--split", "PrivateTest"]
    assert evaluate(model, "--data", corpus, *splits, "--out", out) == 0
    printed = capsys.readouterr().out
    assert "PrivateTest*" in printed
    assert "…" not in printed  # everything fits on 80 columns
    found = json.loads((out / "metrics.json").read_text())
    assert list(found["parts"]) == ["PublicTest", "PrivateTest"]
    assert (found["data"], found["left_out"]) == (["fer.zip"], {})
    assert found["parts"]["PrivateTest"]["without_training_copies"]["faces"] == 21
    answers = read(out / "predictions.parquet")
    assert sorted(set(answers.split.tolist())) == ["PrivateTest", "PublicTest"]
    assert answers.part("PrivateTest").right.mean() == pytest.approx(found["parts"]["PrivateTest"]["accuracy"])
    assert answers.about.model_digest == found["digest"]
    assert not (out / "predictions-flip.parquet").exists()


def test_training_faces_are_not_told_apart_from_themselves(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faces = bars({"Training": 4, "PublicTest": 3})
    pixels = np.asarray(faces.pixels)
    pixels[np.flatnonzero(faces.splits == "Training")[:2]] = 128  # blank images, which are no copies of a face
    corpus = write_zip(faces, tmp_path / "fer.zip")
    splits = ["--split", "Training", "--split", "PublicTest"]
    assert evaluate(model, "--data", corpus, *splits, "--out", tmp_path / "out") == 0
    assert "Training*" not in capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())["parts"]
    assert "without_training_copies" not in found["Training"]
    assert "without_training_copies" in found["PublicTest"]


@pytest.mark.parametrize("kind", ["flip", "crops"])
def test_several_views_stand_beside_the_single_one(
    corpus: Path, model: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(model, "--data", corpus, "--out", tmp_path / "single") == 0
    assert evaluate(model, "--data", corpus, "--views", kind, "--out", tmp_path / "both") == 0
    printed = capsys.readouterr().out
    assert printed.count(f"Mean of {KINDS[kind]} views") == 1
    single, both = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("single", "both"))
    assert both["parts"] == single["parts"]
    assert both["mean_of_views"]["parts"]["PublicTest"]["log_loss"] != single["parts"]["PublicTest"]["log_loss"]
    views = [read(tmp_path / "both" / f"predictions{name}.parquet") for name in ("", f"-{kind}")]
    assert [each.about.views for each in views] == [1, KINDS[kind]]
    assert not np.allclose(views[0].probabilities, views[1].probabilities)


def test_another_label_set(peaks: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(model, "--data", peaks, "--out", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert "Left out, not among the model's classes: contempt 2." in printed
    assert "No faces of neutral in all" in printed
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (found["left_out"], found["parts"]["all"]["absent"]) == ({"contempt": 2}, ["neutral"])
    assert found["parts"]["all"]["faces"] == 12
    assert "without_training_copies" not in found["parts"]["all"]


def test_a_run_folders_test_part_is_counted(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    values = {"name": "r", "preprocess": {"size": 16}, "train": {"epochs": 1, "batch_size": 8, "rate": 0.01}}
    plan = parse_any(values)
    run.mkdir()
    write_model(run / "model.onnx", recipe_digest=plan.digest(), preprocess=plan.preprocess)
    (run / "recipe.json").write_text(json.dumps({"digest": plan.digest(), **plan.model_dump(mode="json")}))
    (run / "metrics.json").write_text(json.dumps({"test_scorings": 1}))
    (run / "data.json").write_text(json.dumps(parts.describe(faces.load(corpus))))
    assert evaluate(run, "--data", corpus) == 0
    assert "has now been scored" not in capsys.readouterr().out
    assert evaluate(run, "--data", corpus, "--split", "PrivateTest") == 0
    assert "has now been scored 2 times" in capsys.readouterr().out
    assert evaluate(run, "--matrix", "--data", corpus, "--split", "PrivateTest") == 0
    assert "has now been scored 3 times" in capsys.readouterr().out
    assert json.loads((run / "metrics.json").read_text())["test_scorings"] == 3


def test_sets_are_fitted_on_the_validation_part(corpus: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert evaluate(model, "--data", corpus, "--split", "PrivateTest", "--conformal", "0.2", "--out", out) == 0
    found = json.loads((out / "metrics.json").read_text())["conformal"]
    assert set(found) == {"lac", "aps"}
    for fitted in found.values():
        assert (fitted["fitted_on"], fitted["alpha"], fitted["faces"]) == ("PublicTest", 0.2, 21)
        assert 0 <= fitted["parts"]["PrivateTest"]["coverage"] <= 1
        assert list(fitted["parts"]) == ["PrivateTest"]


def test_a_foreign_file_with_an_adapter(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "foreign.onnx").write_bytes(linear_graph(PreprocessSpec(size=16), 2, inputs="x", outputs="y"))
    note = tmp_path / "note.toml"
    note.write_text('labels = ["sad", "happy"]\noutputs = "logits"\n[preprocess]\nsize = 16\n')
    out = tmp_path / "out"
    assert evaluate(tmp_path / "foreign.onnx", "--adapter", note, "--data", corpus, "--out", out) == 0
    found = json.loads((out / "metrics.json").read_text())
    assert found["labels"] == ["sadness", "happiness"]
    assert found["parts"]["PublicTest"]["faces"] == 6
    assert sum(found["left_out"].values()) == 50


def test_the_matrix(corpus: Path, peaks: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(tmp_path / "other.onnx", name="other", temperature=1.0)
    out = tmp_path / "out"
    models = [model, tmp_path / "other.onnx"]
    assert evaluate(*models, "--matrix", "--data", corpus, "--data", peaks, "--out", out) == 0
    assert (out / "matrix.md").read_text() in capsys.readouterr().out
    assert "| model | fer.zip (PublicTest) | ckplus48.zip (all) |" in (out / "matrix.md").read_text()
    cells = json.loads((out / "matrix.json").read_text())
    assert [each["figures"]["faces"] for each in cells] == [21, 21, 12, 12]
    assert cells[1]["against_first"]["p_value"] == 1.0  # another temperature moves no answer


def test_the_matrix_says_public_names(peaks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("nano", "fer7-nano", "--matrix", "--data", peaks, "--split", "all") == 0
    shown = capsys.readouterr().out
    assert "| fer7-nano |" in shown
    assert "| nano |" not in shown


@pytest.fixture
def places(model: Path, corpus: Path, peaks: Path) -> dict[str, Path]:
    return {"model": model, "corpus": corpus, "peaks": peaks}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{model}"], "one of --data and --photos"),
        (["{model}", "--data", "{corpus}", "--photos", "x"], "one of --data and --photos"),
        (["{model}", "{model}", "--data", "{corpus}"], "--matrix to compare"),
        (["{model}", "--matrix", "--data", "{corpus}", "--views", "flip"], "--matrix needs --data"),
        (["{model}", "--data", "{corpus}", "--views", "flop"], "Did you mean 'flip'"),
        (["{model}", "--data", "{corpus}", "--checkpoint"], "no run folder"),
        (["{model}", "--photos", "x", "--checkpoint"], "--checkpoint need --data"),
        (["{model}", "--data", "{corpus}", "--out", "found.json"], "expected a folder"),
        (["{model}", "--data", "{corpus}", "--conformal", "0.1"], "another split to evaluate on"),
        (["{model}", "--data", "{corpus}", "--split", "PrivateTest", "--conformal", "2"], "alpha = 2.0"),
        (["{model}", "--data", "{peaks}", "--split", "PrivateTest"], "no split at all"),
        (["{model}", "--data", "{corpus}", "--adapter", "none.toml"], "No adapter at none.toml"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], says: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(*(each.format(**places) for each in arguments)) == 2
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.splitlines()[-1].startswith("mien: error: ")
    assert "Traceback" not in printed


@pytest.mark.data
def test_a_shipped_model_on_the_real_ckplus48(data_dir: Path, tmp_path: Path) -> None:
    assert evaluate("fer2013-four-block", "--data", data_dir / "ckplus48.zip", "--out", tmp_path) == 0
    found = json.loads((tmp_path / "metrics.json").read_text())
    figures = found["parts"]["all"]
    assert (found["left_out"], figures["absent"], figures["faces"]) == ({"contempt": 54}, ["neutral"], 927)
    assert figures["accuracy"] == pytest.approx(0.739, abs=0.005)
    assert figures["macro_f1"] == pytest.approx(0.705, abs=0.005)


def test_some_classes_only(corpus: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(model, "--data", corpus, "--classes", "happy,sad,neutral", "--out", tmp_path / "out") == 0
    assert "3 of the model's 7 classes: happiness, sadness, neutral." in capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert found["labels"] == ["happiness", "sadness", "neutral"]
    assert set(found["left_out"]) == {"anger", "disgust", "fear", "surprise"}
    assert read(tmp_path / "out" / "predictions.parquet").probabilities.sum(1) == pytest.approx(1)
