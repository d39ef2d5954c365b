"""Every kind of trained model loads as the same thing; a run's own test part is recognised and its scorings counted."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import bars
from support import linear_graph, write_model

pytest.importorskip("pydantic")
pytest.importorskip("pyarrow")

from mien.classical import classical
from mien.datasets.faces import FaceSet
from mien.errors import DataError, FileMissingError, ModelError, OptionError
from mien.evaluation.evaluate import predict
from mien.labels import CKPLUS, FER2013
from mien.preprocess import apply
from mien.recipes.recipe import Recipe, parse_any
from mien.recognition.model_files import bundle
from mien.runs import models
from mien.runs.scoring import ALL, prepare
from mien.training import parts

NETWORK: dict[str, Any] = {
    "name": "small",
    "preprocess": {"size": 16},
    "network": {"name": "four_block"},
    "train": {"epochs": 1, "batch_size": 8, "rate": 0.01},
}
CLASSICAL: dict[str, Any] = {
    "name": "neighbours",
    "preprocess": {"size": 16},
    "classical": {"features": "pixels", "classifier": "knn", "neighbours": 3},
}


def record(run: Path, values: dict[str, Any], faces: FaceSet) -> Any:
    """Write what ``fit.prepare`` and ``export.record`` leave in a run folder; return the recipe."""
    plan = parse_any(values)
    run.mkdir()
    (run / "recipe.json").write_text(json.dumps({"digest": plan.digest(), **plan.model_dump(mode="json")}))
    (run / "data.json").write_text(json.dumps(parts.describe(parts.arrange(faces, plan.data))))
    (run / "metrics.json").write_text(json.dumps({"temperature": 1.7, "test_scorings": 1}))
    return plan


@pytest.fixture
def faces() -> FaceSet:
    return bars({"Training": 4, "PublicTest": 2, "PrivateTest": 2})


@pytest.fixture
def run(tmp_path: Path, faces: FaceSet) -> Path:
    plan = record(tmp_path / "run", NETWORK, faces)
    write_model(tmp_path / "run" / "model.onnx", recipe_digest=plan.digest(), preprocess=plan.preprocess)
    return tmp_path / "run"


def scorings(run: Path) -> int:
    return int(json.loads((run / "metrics.json").read_text())["test_scorings"])


def test_a_run_folder_and_its_file_are_the_same_model(run: Path, faces: FaceSet, tmp_path: Path) -> None:
    folder, file = models.load(run), models.load(str(run / "model.onnx"))
    assert (folder.run, file.run, folder.model.temperature) == (run, run, 2.0)
    assert folder.model.digest == file.model.digest
    first, second = (predict(each.model, faces, None).probabilities for each in (folder, file))
    np.testing.assert_array_equal(first, second)
    elsewhere = tmp_path / "copy.onnx"
    elsewhere.write_bytes((run / "model.onnx").read_bytes())
    assert models.load(elsewhere).run is None


def test_a_shipped_model_by_its_name_is_of_no_run(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = bundle.read("fer7").recipe_digest
    (run / "recipe.json").write_text(json.dumps({"digest": digest}))
    monkeypatch.chdir(run)  # even where one of the same recipe is at hand
    found = models.load("fer7")
    assert (found.run, found.model.label_set) == (None, FER2013)


def test_a_file_of_another_recipe_in_the_folder_is_not_the_runs(run: Path) -> None:
    write_model(run / "model.onnx", recipe_digest="1" * 64)
    assert models.load(run / "model.onnx").run is None


def test_a_classical_run(tmp_path: Path, faces: FaceSet) -> None:
    run = tmp_path / "knn"
    plan = record(run, CLASSICAL, faces)
    training = faces.part("Training")
    trained = classical.train(plan.classical, apply(training.pixels, plan.preprocess), training.labels, 7)
    classical.save(trained, run / "model.npz")
    found = models.load(run)
    assert found.model.digest == hashlib.sha256((run / "model.npz").read_bytes()).hexdigest()
    assert (found.model.name, found.model.temperature, found.run) == ("neighbours", 1.7, run)
    assert models.load(run / "model.npz").model.label_set == FER2013
    answers = predict(found.model, faces.part("PrivateTest"), training)
    expected = trained.logits(apply(faces.part("PrivateTest").pixels, plan.preprocess)).argmax(1)
    np.testing.assert_array_equal(answers.predicted, expected)
    with pytest.raises(OptionError, match="no checkpoints"):
        models.load(run, checkpoint=True)
    (run / "recipe.json").unlink()
    with pytest.raises(FileMissingError, match=r"no recipe\.json"):
        models.load(run / "model.npz")


@pytest.mark.train
def test_a_classical_run_has_no_network(tmp_path: Path, faces: FaceSet) -> None:
    pytest.importorskip("torch")
    from mien.export.export import recipe_of

    record(tmp_path / "knn", CLASSICAL, faces)
    with pytest.raises(OptionError, match="classical baseline, which has no network"):
        recipe_of(tmp_path / "knn")


@pytest.mark.train
def test_a_checkpoint_says_that_no_temperature_was_fitted(run: Path, faces: FaceSet) -> None:
    torch = pytest.importorskip("torch")
    from mien.training.module import network_of

    torch.manual_seed(0)
    plan = parse_any(NETWORK)
    assert isinstance(plan, Recipe)
    network = network_of(plan, 7).eval()
    (run / "checkpoints").mkdir()
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": weights}, run / "checkpoints" / "best.ckpt")
    found = models.load(run, checkpoint=True)
    assert (found.model.temperature, found.notes) == (2.0, ())
    (run / "model.onnx").unlink()
    found = models.load(run, checkpoint=True)
    assert found.model.temperature == 1.0
    assert "no temperature has been fitted" in found.notes[0]
    batch = apply(faces.pixels[:9], plan.preprocess)
    with torch.inference_mode():
        np.testing.assert_array_equal(found.model.session.logits(batch), network(torch.from_numpy(batch)).numpy())


def test_what_is_no_model_is_named(run: Path, tmp_path: Path) -> None:
    (run / "model.onnx").unlink()
    with pytest.raises(FileMissingError, match="finish it with `mien train"):
        models.load(run)
    with pytest.raises(FileMissingError, match="a folder that `mien train` wrote"):
        models.load(tmp_path)
    with pytest.raises(OptionError, match="no run folder"):
        models.load("default", checkpoint=True)
    with pytest.raises(ModelError, match="Unknown model 'defalt'"):
        models.load("defalt")
    (tmp_path / "foreign.onnx").write_bytes(linear_graph(parse_any(NETWORK).preprocess, 7))
    with pytest.raises(ModelError, match="without Mien's description"):
        models.load(tmp_path / "foreign.onnx")


def test_a_runs_own_faces_come_in_the_parts_of_its_recipe(tmp_path: Path) -> None:
    faces = bars({"": 20})
    drawn = {**NETWORK, "data": {"split": "image", "seed": 3}}
    plan = record(tmp_path / "run", drawn, faces)
    write_model(tmp_path / "run" / "model.onnx", recipe_digest=plan.digest(), preprocess=plan.preprocess)
    work = prepare(models.load(tmp_path / "run"), faces)
    assert work.own
    assert work.splits([]) == ["validation"]
    assert work.splits(["PrivateTest", "PublicTest", "test"]) == ["test", "validation"]
    assert len(work.part("test")) == 21
    assert work.training is not None
    assert not set(work.part("test").ids) & set(work.training.ids)
    assert work.notes() == []
    others = prepare(models.load(tmp_path / "run"), bars({"": 20}, seed=9))
    assert not others.own
    assert others.splits([]) == [ALL]
    assert others.training is None
    assert "not known" in others.notes()[0]


def test_splits_are_named_as_the_data_names_them(run: Path, faces: FaceSet) -> None:
    work = prepare(models.load(run), faces)
    assert work.splits([]) == ["PublicTest"]
    assert work.splits(["test", ALL]) == ["PrivateTest", ALL]
    assert len(work.part(ALL)) == len(faces)
    with pytest.raises(DataError, match="Did you mean 'PrivateTest'"):
        work.splits(["Privat"])
    trainless = faces.where(faces.splits == "PrivateTest")
    with pytest.raises(DataError, match="No split 'PublicTest'; this data has PrivateTest"):
        prepare(models.load(run), trainless).splits([])


def test_scorings_of_the_runs_test_part_are_counted(run: Path, faces: FaceSet) -> None:
    work = prepare(models.load(run), faces)
    assert work.find_tested_run(["PublicTest", "Training"]) is None
    assert work.find_tested_run(["PrivateTest"]) == work.find_tested_run(["PublicTest", ALL]) == run
    assert models.count_scoring(run) == 2
    assert models.count_scoring(run) == scorings(run) == 3
    assert json.loads((run / "metrics.json").read_text())["temperature"] == 1.7


def test_the_test_part_is_known_by_its_pixels_without_the_training_faces(run: Path, faces: FaceSet) -> None:
    private = faces.part("PrivateTest")
    predict(models.load(run).model, private, None).write(run / "predictions.parquet")
    alone = prepare(models.load(run), replace(private, splits=np.full(len(private), ""), ids=private.ids[::-1]))
    assert not alone.own
    assert alone.find_tested_run([ALL]) == run
    assert prepare(models.load(run), faces.part("PublicTest")).find_tested_run([ALL]) is None


def test_an_unfinished_run_is_not_scored_on_its_test_part(run: Path, faces: FaceSet) -> None:
    (run / "metrics.json").unlink()
    work = prepare(models.load(run), faces)
    assert work.find_tested_run(["PublicTest"]) is None
    with pytest.raises(OptionError, match="not finished"):
        work.find_tested_run(["PrivateTest"])
    assert not (run / "metrics.json").exists()


def test_classes_that_one_side_lacks(run: Path) -> None:
    work = prepare(models.load(run), bars({"": 2}, classes=CKPLUS))
    assert work.left_out == {"contempt": 2}
    assert "Left out, not among the model's classes: contempt 2." in work.notes()
