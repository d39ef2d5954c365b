"""Recipe and faces become a scored run, of a network and of a baseline alike; several seeds become a spread."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import bars

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # pictures this small gain nothing from a second thread

from mien.classical import classical  # noqa: E402
from mien.datasets.faces import FaceSet  # noqa: E402
from mien.errors import DataError, OptionError  # noqa: E402
from mien.evaluation.reports import folds_table, seeds_table  # noqa: E402
from mien.preprocess import apply  # noqa: E402
from mien.recipes.recipe import ClassicalRecipe, Recipe, load_any, parse  # noqa: E402
from mien.recognition.model_files.bundle import read  # noqa: E402
from mien.runs import runs  # noqa: E402
from mien.training import parts  # noqa: E402
from mien.training.fit import Epoch, read_history  # noqa: E402

PARTS = {"Training": 12, "PublicTest": 3, "PrivateTest": 3}
RECORDS = {"recipe.json", "data.json", "environment.json", "metrics.json", "predictions.parquet"}
FIGURES = {"faces", "accuracy", "interval", "macro_f1", "ece"}


def network(seed: int = 0) -> Recipe:
    """Two epochs of the cheapest network."""
    layers = {"name": "conv_pool", "spatial_dropout": 0.0, "dropout": 0.0}
    table = {"epochs": 2, "batch_size": 8, "rate": 0.003, "seed": seed}
    return parse({"name": "quick", "preprocess": {"size": 16}, "network": layers, "train": table})


def baseline() -> ClassicalRecipe:
    found = load_any("pca-knn", "smoke")
    assert isinstance(found, ClassicalRecipe)
    return found


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    return bars(PARTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def seeds(faces: FaceSet, folder: Path) -> list[dict[str, Any]]:
    """The headline figures of two seeds of the network, in ``seed-0`` and ``seed-1``."""
    found = [runs.train(each, faces, folder / f"seed-{each.train.seed}") for each in runs.vary_seed(network(), 2)]
    return [figures for figures in found if figures is not None]


@pytest.fixture(scope="module")
def fitted(faces: FaceSet, folder: Path) -> dict[str, Any]:
    """The headline figures of the baseline, in ``baseline``."""
    figures = runs.train(baseline(), faces, folder / "baseline")
    assert figures is not None
    return figures


def metrics(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return found


def test_a_network_leaves_its_records_and_a_file_that_states_its_figures(
    seeds: list[dict[str, Any]], folder: Path
) -> None:
    run = folder / "seed-0"
    others = {"history.csv", "checkpoints", "tensorboard", "model.onnx"}
    assert {path.name for path in run.iterdir()} == RECORDS | others
    assert set(metrics(run)) == {"parity", "uncertain", "public_test", "private_test", "test_scorings"}
    assert read(run / "model.onnx").metrics == seeds[0]
    assert set(seeds[0]["private_test"]) == set(seeds[0]["private_test_without_training_copies"]) == FIGURES
    assert [row.epoch for row in read_history(run)] == [0, 1]


def test_a_baseline_leaves_its_records_and_the_model_that_was_scored(
    fitted: dict[str, Any], faces: FaceSet, folder: Path
) -> None:
    run = folder / "baseline"
    assert {path.name for path in run.iterdir()} == RECORDS | {"model.npz"}
    assert set(metrics(run)) == {"smoke", "temperature", "uncertain", "public_test", "private_test", "test_scorings"}
    test = faces.part(parts.TEST)
    answers = classical.load(run / "model.npz").logits(apply(test.pixels, baseline().preprocess))
    right = float(np.mean(answers.argmax(1) == test.labels))
    assert fitted["private_test"]["accuracy"] == metrics(run)["private_test"]["accuracy"] == right > 0.5
    assert fitted["private_test"]["faces"] == len(test) == 21


def test_seeds_differ_in_their_weights_and_share_their_data(seeds: list[dict[str, Any]], folder: Path) -> None:
    first, second = (
        torch.load(folder / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("seed-0", "seed-1")
    )
    assert any(not torch.equal(value, second["state_dict"][name]) for name, value in first["state_dict"].items())
    digests = {json.loads((folder / name / "data.json").read_text())["digest"] for name in ("seed-0", "seed-1")}
    assert len(digests) == 1


def test_the_result_of_the_seeds_is_that_of_their_metrics(seeds: list[dict[str, Any]], folder: Path) -> None:
    results = seeds_table.write(folder)
    for part, key, metric in (("PublicTest", "public_test", "accuracy"), ("PrivateTest", "private_test", "macro_f1")):
        values = [metrics(folder / name)[key][metric] for name in ("seed-0", "seed-1")]
        assert results[part].metrics[metric] == pytest.approx(sum(values) / 2)
        assert results[part].deviation[metric] == pytest.approx(abs(values[0] - values[1]) / math.sqrt(2))
        assert results[part].metrics["grouped_by"] == "face"
    assert {path.name for path in folder.glob("seeds.*")} == {"seeds.json", "seeds.csv", "seeds.tex"}


def test_seeds_change_the_seed_and_nothing_else() -> None:
    found = list(runs.vary_seed(network(seed=5), 3))
    assert [each.train.seed for each in found] == [5, 6, 7]
    assert len({each.digest() for each in found}) == 3
    assert len({each.with_values({"train.seed": 0}).digest() for each in found}) == 1


def test_every_scoring_of_the_test_part_is_counted(
    seeds: list[dict[str, Any]], fitted: dict[str, Any], faces: FaceSet, folder: Path
) -> None:
    for recipe, run, before in ((network(1), folder / "seed-1", seeds[1]), (baseline(), folder / "baseline", fitted)):
        assert metrics(run)["test_scorings"] == 1
        assert runs.train(recipe, faces, run, resume=True) == before
        assert metrics(run)["test_scorings"] == 2


def test_a_baseline_that_was_cut_off_starts_anew(
    fitted: dict[str, Any], faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(classical, "train", cut)
        with pytest.raises(KeyboardInterrupt):
            runs.train(baseline(), faces, run)
    assert {path.name for path in run.iterdir()} == RECORDS - {"metrics.json", "predictions.parquet"}
    with pytest.raises(OptionError, match=r"run is not empty\. Resume"):
        runs.train(baseline(), faces, run)
    with pytest.raises(OptionError, match="another recipe"):
        runs.train(baseline().with_values({"classical.neighbours": 2}), faces, run, resume=True)
    with pytest.raises(OptionError, match="was trained on other faces"):
        runs.train(baseline(), bars(PARTS, seed=1), run, resume=True)
    assert runs.train(baseline(), faces, run, resume=True) == fitted


@pytest.mark.parametrize("recipe", [network(), baseline()], ids=["network", "baseline"])
def test_missing_test_faces_are_told_before_any_work(
    recipe: Recipe | ClassicalRecipe, faces: FaceSet, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"No split 'PrivateTest'.*data\.split = 'image'"):
        runs.train(recipe, faces.where(faces.splits != "PrivateTest"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def past(run: Path, *validation: float) -> Path:
    """Write a history whose training loss falls throughout."""
    run.mkdir()
    rows = [Epoch(epoch, 48, 0.1, 1 / (epoch + 1), 0.5, value, 0.5, 1.0) for epoch, value in enumerate(validation)]
    with (run / "history.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(Epoch.__dataclass_fields__))
        writer.writeheader()
        writer.writerows([vars(each) for each in rows])
    return run


def test_advice_names_the_epoch_counted_from_one_and_what_to_do(tmp_path: Path) -> None:
    told = runs.advise(past(tmp_path / "bad", 1.0, 0.8, 0.9, 1.0, 1.1)) or ""
    assert "diverge since epoch 3" in told
    assert "train.patience" in told


def test_no_advice_where_there_is_nothing_to_advise(fitted: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    assert runs.advise(past(tmp_path / "good", 1.0, 0.8, 0.7, 0.6, 0.5)) is None
    assert runs.advise(folder / "baseline") is None


def test_folds_of_a_baseline_test_each_face_once_and_each_person_apart(faces: FaceSet, tmp_path: Path) -> None:
    people = np.array([f"p{row % 9}" for row in range(len(faces))])
    known = replace(faces, subjects=people)
    recipe = baseline()
    variants = list(runs.vary_fold(recipe.with_values({"data.limit": 0, "data.hold_out": 0.4}), known, 3))
    for variant in variants:
        assert variant.data.split == "subject"
        assert runs.train(variant, known, tmp_path / f"fold-{variant.data.fold}") is not None
    result = folds_table.write(tmp_path)
    assert (result.pooled["faces"], result.grouped_by, result.groups) == (len(faces), "subject", 9)
    assert len({variant.digest() for variant in variants}) == 3
    unknown = next(runs.vary_fold(recipe, faces, 3))
    assert unknown.data.split == "image"
    with pytest.raises(OptionError, match="at least 2"):
        next(runs.vary_fold(recipe, faces, 1))
