"""Training learns what can be learned, resumes to the same weights, and exports what it trained."""

from __future__ import annotations

import csv
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
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
from mien.evaluation.metrics.calibration import fit_temperature, fit_vector  # noqa: E402
from mien.evaluation.predictions import read as read_predictions  # noqa: E402
from mien.export import export as exporting  # noqa: E402
from mien.preprocess import apply  # noqa: E402
from mien.recipes.recipe import Recipe, parse  # noqa: E402
from mien.recognition.classifier import softmax  # noqa: E402
from mien.recognition.model_files.bundle import read  # noqa: E402
from mien.recognition.recognizer import load  # noqa: E402
from mien.recognition.session import OnnxSession  # noqa: E402
from mien.runs import models  # noqa: E402
from mien.training import parts  # noqa: E402
from mien.training.batches import ShuffledBatches  # noqa: E402
from mien.training.fit import Epoch, find_overfitting, fit, read_history  # noqa: E402
from mien.training.losses import class_weights  # noqa: E402
from mien.training.module import LightningClassifier  # noqa: E402


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
    state: dict[str, Any] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return state


def test_it_learns(run: Path) -> None:
    rows = history(run)
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2, 3]
    assert [int(row["size"]) for row in rows] == [16, 24, 24, 24]
    assert float(rows[-1]["validation_accuracy"]) >= 0.9
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"]) / 2


def test_the_epoch_that_ships_is_the_best_on_full_size_public_test(run: Path) -> None:
    rows = [row for row in history(run) if row["size"] == "24"]
    assert float(history(run)[0]["validation_accuracy"]) > float(
        rows[0]["validation_accuracy"]
    )  # so size does matter here
    best = max(rows, key=lambda row: float(row["validation_accuracy"]))
    chosen = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert chosen["epoch"] == int(best["epoch"])


def test_the_last_checkpoint_knows_the_best_epoch(run: Path) -> None:
    """Otherwise a resumed run could ship another epoch than an uninterrupted one."""
    best = max(float(row["validation_accuracy"]) for row in history(run) if row["size"] == "24")
    states = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]
    (known,) = (state["best_model_score"] for name, state in states.items() if "'choice'" in name)
    assert known.item() == pytest.approx(best)


def test_private_test_is_not_needed_to_train(faces: FaceSet, run: Path, tmp_path: Path) -> None:
    fit(smoke(), faces.where(faces.splits != "PrivateTest"), tmp_path / "run")
    for name, value in weights(run).items():
        assert torch.equal(value, weights(tmp_path / "run")[name]), name


def test_a_batch_larger_than_the_data_is_refused(faces: FaceSet, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="batch_size = 4096 is more than the 168 training faces"):
        fit(smoke(batch_size=4096), faces, tmp_path / "run")


def test_srun_without_torchrun_is_refused(faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    with pytest.raises(OptionError, match=r"2 tasks.* torchrun"):
        fit(smoke(), faces, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("train", "processes", "says"),
    [({"batch_size": 4096}, 1, "more than the 168"), ({"batch_size": 15}, 2, "batch_size = 15 .*2 processes")],
)
def test_a_refused_batch_leaves_the_folder_free(
    faces: FaceSet, tmp_path: Path, train: dict[str, Any], processes: int, says: str
) -> None:
    with pytest.raises(OptionError, match=says):
        fit(smoke(**train), faces, tmp_path / "run", processes=processes)
    assert not (tmp_path / "run").exists()


class PowerCutError(Exception):
    """Stands for the plug being pulled."""


def test_a_resumed_run_has_the_weights_of_an_uninterrupted_one(faces: FaceSet, run: Path, tmp_path: Path) -> None:
    def cut(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise PowerCutError

    with pytest.raises(PowerCutError):
        fit(smoke(), faces, tmp_path / "run", watch=cut)
    fit(smoke(), faces, tmp_path / "run", resume=True)
    check_same(tmp_path / "run", run)


def test_resume_passes_over_a_torn_checkpoint(faces: FaceSet, run: Path, tmp_path: Path) -> None:
    cut = tmp_path / "run"  # not a copy: Lightning forgets the best score where a folder has moved
    fit(smoke(), faces, cut)
    last = cut / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    fit(smoke(), faces, cut, resume=True)
    check_same(cut, run)


def check_same(resumed: Path, whole: Path) -> None:
    """Weights, chosen epoch and figures of every epoch are those of a run that nobody cut off."""
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name
    chosen = [torch.load(each / "checkpoints" / "best.ckpt", weights_only=True) for each in (resumed, whole)]
    assert chosen[0]["epoch"] == chosen[1]["epoch"]
    rows = [[replace(row, minutes=0.0) for row in read_history(each)] for each in (resumed, whole)]
    assert rows[0] == rows[1]


SCRIPT = """
import json, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from corpora import bars
from mien.training.fit import fit
from mien.recipes.recipe import parse

def never_done(epoch):
    if epoch.epoch == 2:
        time.sleep(600)

faces = bars({"Training": 24, "PublicTest": 6, "PrivateTest": 6})
fit(parse(json.loads(sys.argv[1])), faces, Path(sys.argv[2]), watch=never_done)
"""


def test_kill_9_in_mid_epoch_and_resume(faces: FaceSet, tmp_path: Path) -> None:
    recipe = smoke(epochs=4, batch_size=8)
    values = json.dumps(recipe.model_dump(mode="json", exclude_unset=True))
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(tmp_path / "script.py"), values, str(tmp_path / "run")]
    with subprocess.Popen(command, env=environment) as process:
        while process.poll() is None and not (tmp_path / "run" / "checkpoints" / "last.ckpt").exists():
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert 1 <= len(history(tmp_path / "run")) < 4
    fit(recipe, faces, tmp_path / "run", resume=True)
    fit(recipe, faces, tmp_path / "whole")
    check_same(tmp_path / "run", tmp_path / "whole")


def test_ctrl_c_is_no_exit(faces: FaceSet, tmp_path: Path) -> None:
    """Lightning would end the program with code 1 and ignore Ctrl-C from then on."""

    def interrupt(epoch: Epoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(smoke(), faces, tmp_path / "run", watch=interrupt)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_used_folder_and_another_recipe_are_refused(faces: FaceSet, run: Path) -> None:
    with pytest.raises(OptionError, match="not empty"):
        fit(smoke(), faces, run)
    with pytest.raises(OptionError, match="another recipe"):
        fit(smoke(seed=1), faces, run, resume=True)


def test_a_loss_that_is_not_finite_stops_with_step_and_rate(faces: FaceSet, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"at step \d+ .* learning rate"):
        fit(smoke(optimizer="sgd", rate=1e12, schedule="constant", sizes=[]), faces, tmp_path / "run")


ALLOCATOR = (
    "[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), RuntimeError(ALLOCATOR)]
)
def test_full_memory_names_half_the_batch(
    error: RuntimeError, faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: LightningClassifier, batch: Any, batch_idx: int) -> Any:
        raise error

    monkeypatch.setattr(LightningClassifier, "training_step", full)
    with pytest.raises(TrainingError, match=r"batch of 16 faces of 24 pixels.*train\.batch_size = 8\."):
        fit(smoke(), faces, tmp_path / "run")


def test_other_errors_stay_what_they_are(faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: LightningClassifier, batch: Any, batch_idx: int) -> Any:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(LightningClassifier, "training_step", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        fit(smoke(), faces, tmp_path / "run")


def test_the_average_of_the_weights_lags_behind_them(faces: FaceSet, run: Path, tmp_path: Path) -> None:
    fit(smoke(epochs=2, ema=0.99, sizes=[]), faces, tmp_path / "run")
    saved = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    torch.manual_seed(0)
    start = LightningClassifier(smoke(), [24] * 7).state_dict()
    name = "network.head.0.weight"
    averaged, current = saved["state_dict"][name], saved["current_model_state"][name]
    assert 0 < (averaged - start[name]).norm() < 0.5 * (current - start[name]).norm()


def standstill(**train: Any) -> Recipe:
    """A network without batch norm at a rate of nothing: no epoch is better than the first."""
    table = {"epochs": 5, "batch_size": 16, "rate": 1e-12, **train}
    network = {"name": "conv_pool", "spatial_dropout": 0.0, "dropout": 0.0}
    return parse({"name": "still", "preprocess": {"size": 16}, "network": network, "train": table})


def test_patience_ends_a_run_that_gets_no_better(faces: FaceSet, tmp_path: Path) -> None:
    fit(standstill(patience=2), faces, tmp_path / "run")
    assert [row.epoch for row in read_history(tmp_path / "run")] == [0, 1, 2]


def test_the_lowest_loss_may_choose(faces: FaceSet, tmp_path: Path) -> None:
    for choose in ("accuracy", "loss"):
        fit(smoke(choose=choose, sizes=[], ema=0.0), faces, tmp_path / choose)
    rows = read_history(tmp_path / "loss")
    most = max(rows, key=lambda row: row.validation_accuracy).epoch
    least = min(rows, key=lambda row: row.validation_loss).epoch
    chosen = [torch.load(tmp_path / each / "checkpoints" / "best.ckpt", weights_only=True)["epoch"]
              for each in ("accuracy", "loss")]  # fmt: skip
    assert chosen == [most, least]
    assert most < least  # the accuracy is 1 before the loss stops falling


def test_the_last_epoch_may_be_kept_unseen(faces: FaceSet, tmp_path: Path) -> None:
    fit(standstill(choose="last", epochs=3), faces, tmp_path / "run")  # of equal epochs the first would be selected
    assert torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)["epoch"] == 2


@pytest.mark.parametrize(("power", "share"), [(0.0, 0.1), (0.5, 0.25), (1.0, 0.5)])
def test_oversampling_draws_rare_classes_as_often_as_asked(power: float, share: float) -> None:
    """90 and 10 faces: the chances of the classes are as 90 : 10, √90 : √10 = 3 : 1, and 1 : 1."""
    labels = np.repeat([0, 1], [90, 10])
    chances = class_weights([90, 10], power)[labels]
    batches = ShuffledBatches(100, 20, 0, chances / chances.sum())
    drawn = []
    for epoch in range(50):
        batches.set_epoch(epoch)
        drawn += [place for batch in batches for place in batch]
    assert len(drawn) == 5000
    assert labels[drawn].mean() == pytest.approx(share, abs=0.03)  # 4 standard errors


def test_without_oversampling_each_face_comes_once_an_epoch() -> None:
    batches = ShuffledBatches(60, 20, 3)
    orders = []
    for epoch in (0, 1, 0):
        batches.set_epoch(epoch)
        orders.append(list(itertools.chain.from_iterable(batches)))
    assert sorted(orders[0]) == list(range(60))
    assert orders[0] == orders[2] != orders[1]


def test_oversampling_reaches_the_training(faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = np.zeros(7)
    step = LightningClassifier.training_step

    def counted(self: LightningClassifier, batch: Any, batch_idx: int) -> Any:
        seen[:] += batch[1].sum(0).numpy()
        return step(self, batch, batch_idx)

    monkeypatch.setattr(LightningClassifier, "training_step", counted)
    rare = faces.where((faces.labels != 0) | (faces.splits != "Training") | (np.arange(len(faces)) < 4))
    recipe = standstill(epochs=4).with_values({"data.oversample": 1.0})
    fit(recipe, rare, tmp_path / "run")
    assert seen.sum() == 4 * (148 // 16) * 16
    assert seen[0] / seen.sum() == pytest.approx(1 / 7, abs=0.06)  # 4 of 148 faces, were all drawn alike: 0.03


def row(epoch: int, loss: float, validation: float, size: int = 48) -> Epoch:
    return Epoch(epoch, size, 0.1, loss, 0.5, validation, 0.5, 1.0)


def falling(*validation: float) -> list[Epoch]:
    return [row(epoch, 1 / (epoch + 1), value) for epoch, value in enumerate(validation)]


@pytest.mark.parametrize(
    ("history", "since"),
    [
        (falling(1.0, 0.8, 0.9, 1.0, 1.1), 2),
        (falling(1.0, 0.8, 0.7, 0.6), None),
        (falling(1.0, 0.8, 0.9, 1.0), None),  # two epochs prove nothing
        (falling(1.0, 0.8, 0.81, 0.8, 0.81), None),  # within 2 %
        ([row(0, 0.5, 0.8), *(row(epoch, 0.6, 1.0) for epoch in range(1, 5))], None),  # training got worse as well
        ([row(0, 0.5, 0.1, 32), *falling(1.0, 0.8, 0.7, 0.6)], None),  # small images do not compare
        ([], None),
    ],
)
def test_divergence(history: list[Epoch], since: int | None) -> None:
    assert find_overfitting(history) == since


def test_export_and_resume_refuse_other_faces(run: Path) -> None:
    others = bars({"Training": 24, "PublicTest": 6, "PrivateTest": 6}, seed=1)
    with pytest.raises(OptionError, match="was trained on other faces"):
        exporting.export(run, others)
    with pytest.raises(OptionError, match="was trained on other faces"):
        fit(smoke(), others, run, resume=True)


def test_onnx_says_what_pytorch_says(run: Path, exported: Path, faces: FaceSet) -> None:
    recipe = smoke()
    network = exporting.load_network(run, recipe, 7)
    private = faces.part("PrivateTest")
    with torch.inference_mode():
        own = network(torch.from_numpy(apply(private.pixels, recipe.preprocess))).numpy()
    bundle = read(exported)
    served = load(exported, detector="whole").classify(np.asarray(private.pixels))
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


def test_the_predictions_are_those_of_the_file_and_its_figures(run: Path, exported: Path, faces: FaceSet) -> None:
    found, bundle = read_predictions(run / "predictions.parquet"), read(exported)
    metrics = json.loads((run / "metrics.json").read_text())
    assert (found.about.model_digest, found.about.temperature) == (bundle.digest, bundle.temperature)
    for name, key in (("PublicTest", "public_test"), ("PrivateTest", "private_test")):
        part, expected = found.part(name), faces.part(name)
        np.testing.assert_array_equal(part.crops, expected.pixels)
        assert tuple(part.source.tolist()) == expected.ids
        assert part.right.mean() == pytest.approx(metrics[key]["accuracy"])
    private = found.part("PrivateTest")
    served = load(exported, detector="whole").classify(np.asarray(faces.part("PrivateTest").pixels))
    np.testing.assert_allclose(private.probabilities, served, atol=1e-6)


def test_a_second_scoring_of_private_test_is_recorded(run: Path, faces: FaceSet, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    for path in ("metrics.json", "model.onnx"):
        (copy / path).unlink(missing_ok=True)
    for count in (1, 2):
        exporting.export(copy, faces)
        assert json.loads((copy / "metrics.json").read_text())["test_scorings"] == count


def test_vector_scaling_goes_into_the_graph(run: Path, faces: FaceSet, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    plan, public = smoke().with_values({"calibrate.method": "vector"}), faces.part("PublicTest")
    values = {"digest": plan.digest(), **plan.model_dump(mode="json")}
    (copy / "recipe.json").write_text(json.dumps(values), encoding="utf-8")
    with torch.inference_mode():
        crops = torch.from_numpy(apply(public.pixels, plan.preprocess))
        own = exporting.load_network(run, smoke(), 7)(crops).numpy()
    scaling = fit_vector(own, public.labels)
    written = exporting.export(copy, faces)
    answers = OnnxSession(written.graph).logits(apply(public.pixels, plan.preprocess))
    np.testing.assert_allclose(answers, own * scaling.scale + scaling.bias, atol=2e-3, rtol=1e-3)
    assert not np.allclose(answers, own, atol=0.05)
    assert written.temperature == pytest.approx(fit_temperature(answers, public.labels), rel=1e-3)
    found = models.load(copy, checkpoint=True)  # whose logits that temperature does not belong to
    assert found.model.temperature == 1.0
    assert "in model.onnx only" in found.notes[0]


def test_smoothing_goes_into_the_graph_and_the_checkpoint(run: Path, faces: FaceSet, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    plan, private = smoke().with_values({"calibrate.smooth": 0.12}), faces.part("PrivateTest")
    values = {"digest": plan.digest(), **plan.model_dump(mode="json")}
    (copy / "recipe.json").write_text(json.dumps(values), encoding="utf-8")
    crops = apply(private.pixels, plan.preprocess)
    own = models.load(run, checkpoint=True).model.session.logits(crops)
    smooth = models.load(copy, checkpoint=True).model.session.logits(crops)
    answers = OnnxSession(exporting.export(copy, faces).graph).logits(crops)
    np.testing.assert_allclose(answers, smooth, atol=2e-3, rtol=1e-3)
    assert np.abs(answers - own).max() > 0.05


def test_parity_sees_a_different_network(run: Path, faces: FaceSet) -> None:
    recipe = smoke()
    network = exporting.load_network(run, recipe, 7)
    public = faces.part("PublicTest")
    with torch.inference_mode():
        answers = network(torch.from_numpy(apply(public.pixels, recipe.preprocess))).numpy()
    assert exporting.check_parity(network, answers, public, recipe.preprocess) == 0
    with pytest.raises(ModelError, match="differ by"):
        exporting.check_parity(network, answers[:, ::-1], public, recipe.preprocess)


def test_unfinished_runs_are_named(tmp_path: Path, faces: FaceSet) -> None:
    with pytest.raises(FileMissingError, match=r"no recipe\.json"):
        exporting.export(tmp_path, faces)
    (tmp_path / "recipe.json").write_text(smoke().model_dump_json())
    with pytest.raises(FileMissingError, match=r"no data\.json"):
        exporting.export(tmp_path, faces)
    (tmp_path / "data.json").write_text(json.dumps(parts.describe(faces)))
    with pytest.raises(FileMissingError, match=r"best\.ckpt"):
        exporting.export(tmp_path, faces)
