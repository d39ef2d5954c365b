"""Training learns what can be learned, resumes to the same weights, and exports what it trained."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import bars

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # pictures this small gain nothing from a second thread

from mien.datasets.faces import FaceSet  # noqa: E402
from mien.errors import FileMissingError, ModelError, OptionError, TrainingError  # noqa: E402
from mien.learning import export as exporting  # noqa: E402
from mien.learning.fit import Epoch, fit  # noqa: E402
from mien.learning.recipe import Recipe, parse  # noqa: E402
from mien.preprocess import apply  # noqa: E402
from mien.recognition.bundle import read  # noqa: E402
from mien.recognition.recognizer import load  # noqa: E402
from mien.recognition.session import softmax  # noqa: E402


def smoke(**train: Any) -> Recipe:
    """Four epochs on small pictures: seconds on one core."""
    table = {
        "epochs": 4,
        "batch_size": 16,
        "rate": 0.003,
        "ema": 0.5,
        "sizes": [{"epoch": 0, "size": 16}, {"epoch": 1, "size": 24}],
        **train,
    }
    return parse(
        {
            "name": "smoke",
            "preprocess": {"size": 24},
            "network": {"spatial_dropout": 0.0, "dropout": 0.1},
            "augment": {"flip": 0.0, "shift": 0.02},
            "train": table,
        }
    )


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    return bars({"Training": 24, "PublicTest": 6, "PrivateTest": 6})


@pytest.fixture(scope="module")
def run(faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "smoke"
    fit(smoke(), faces, folder)
    return folder


@pytest.fixture(scope="module")
def exported(run: Path, faces: FaceSet) -> Path:
    exporting.export(run, faces)
    return run / "model.onnx"


def history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def test_it_learns(run: Path) -> None:
    rows = history(run)
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2, 3]
    assert [int(row["size"]) for row in rows] == [16, 24, 24, 24]
    assert float(rows[-1]["validation_accuracy"]) >= 0.9
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"]) / 2


def test_the_epoch_that_ships_is_the_best_on_full_size_public_test(run: Path) -> None:
    rows = [row for row in history(run) if row["size"] == "24"]
    assert float(history(run)[0]["validation_accuracy"]) > float(rows[0]["public_accuracy"])  # so size does matter here
    best = max(rows, key=lambda row: float(row["validation_accuracy"]))
    chosen = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert chosen["epoch"] == int(best["epoch"])


def test_private_test_is_not_needed_to_train(faces: FaceSet, run: Path, tmp_path: Path) -> None:
    fit(smoke(), faces.where(faces.splits != "PrivateTest"), tmp_path / "run")
    for name, value in weights(run).items():
        assert torch.equal(value, weights(tmp_path / "run")[name]), name


def test_a_batch_larger_than_the_data_is_refused(faces: FaceSet, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="batch_size = 4096 is more than the 168 training faces"):
        fit(smoke(batch_size=4096), faces, tmp_path / "run")


class PowerCutError(Exception):
    """Stands for the plug being pulled."""


def test_a_resumed_run_has_the_weights_of_an_uninterrupted_one(faces: FaceSet, run: Path, tmp_path: Path) -> None:
    def cut(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise PowerCutError

    with pytest.raises(PowerCutError):
        fit(smoke(), faces, tmp_path / "run", watch=cut)
    fit(smoke(), faces, tmp_path / "run", resume=True)
    assert [row["epoch"] for row in history(tmp_path / "run")] == ["0", "1", "2", "3"]
    for name, value in weights(run).items():
        assert torch.equal(value, weights(tmp_path / "run")[name]), name


def test_a_used_folder_and_another_recipe_are_refused(faces: FaceSet, run: Path) -> None:
    with pytest.raises(OptionError, match="not empty"):
        fit(smoke(), faces, run)
    with pytest.raises(OptionError, match="another recipe"):
        fit(smoke(seed=1), faces, run, resume=True)


def test_a_loss_that_is_not_finite_stops_with_step_and_rate(faces: FaceSet, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"at step \d+ .* learning rate"):
        fit(smoke(optimizer="sgd", rate=1e12, schedule="constant", sizes=[]), faces, tmp_path / "run")


def test_onnx_says_what_pytorch_says(run: Path, exported: Path, faces: FaceSet) -> None:
    recipe = smoke()
    network = exporting.load_network(run, recipe, 7)
    private = faces.part("PrivateTest")
    with torch.inference_mode():
        own = network(torch.from_numpy(apply(private.pixels, recipe.preprocess))).numpy()
    bundle = read(exported)
    served = load(exported, detector="whole").classify(private.pixels)
    np.testing.assert_allclose(served, softmax(own, bundle.temperature), atol=1e-4)


def test_the_file_describes_itself(run: Path, exported: Path) -> None:
    bundle = read(exported)
    metrics = json.loads((run / "metrics.json").read_text())
    assert bundle.labels.labels[:2] == ("anger", "disgust")
    assert bundle.preprocess == smoke().preprocess
    assert bundle.recipe_digest == smoke().digest()
    assert bundle.provenance["trained_on"] == "Training: 168 faces with the labels of fer2013"
    assert bundle.metrics["private_test"]["accuracy"] == metrics["private_test"]["accuracy"] > 0.9
    assert bundle.uncertain_below == metrics["uncertain"]["confidence"]
    assert metrics["private_test"]["without_training_copies"]["faces"] == 42


def test_a_second_scoring_of_private_test_is_recorded(run: Path, faces: FaceSet, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    for path in ("metrics.json", "model.onnx"):
        (copy / path).unlink(missing_ok=True)
    for count in (1, 2):
        exporting.export(copy, faces)
        assert json.loads((copy / "metrics.json").read_text())["test_scorings"] == count


def test_parity_sees_a_different_network(run: Path, faces: FaceSet) -> None:
    recipe = smoke()
    network = exporting.load_network(run, recipe, 7)
    public = faces.part("PublicTest")
    with torch.inference_mode():
        answers = network(torch.from_numpy(apply(public.pixels, recipe.preprocess))).numpy()
    assert exporting.parity(network, answers, public, recipe.preprocess) == 0
    with pytest.raises(ModelError, match="differ by"):
        exporting.parity(network, answers[:, ::-1], public, recipe.preprocess)


def test_unfinished_runs_are_named(tmp_path: Path, faces: FaceSet) -> None:
    with pytest.raises(FileMissingError, match=r"no recipe\.json"):
        exporting.export(tmp_path, faces)
    (tmp_path / "recipe.json").write_text(smoke().model_dump_json())
    with pytest.raises(FileMissingError, match=r"best\.ckpt"):
        exporting.export(tmp_path, faces)
