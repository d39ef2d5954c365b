"""Several processes train what one trains, into one folder, started by Lightning or by torchrun, and never hang."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from corpora import bars, write_zip

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from mien.datasets import faces  # noqa: E402
from mien.recipes.recipe import load  # noqa: E402
from mien.recognition.model_files.bundle import read  # noqa: E402
from mien.training.fit import Epoch, fit, read_history  # noqa: E402

EXAMPLES = Path(__file__).parents[2] / "examples"
RECIPE = """
name = "shared"
[preprocess]
size = 16
[network]
spatial_dropout = 0.0
dropout = 0.0
[augment]
flip = 0.0
[train]
epochs = 4
batch_size = 16
rate = 0.003
ema = 0.5
"""
LONG = """
[budget.long.train]
epochs = 40
"""
PATIENCE = 240
"""Seconds for a program that loads PyTorch twice on a busy machine; none of them needs more than twenty by itself."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "recipe.toml").write_text(RECIPE + LONG)
    return write_zip(bars({"Training": 24, "PublicTest": 6, "PrivateTest": 6}), folder / "fer.zip")


@pytest.fixture(scope="module")
def alone(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Epoch]:
    """The history of one process."""
    run = tmp_path_factory.mktemp("alone") / "run"
    fit(load(corpus.parent / "recipe.toml"), faces.load(corpus), run)
    return read_history(run)


def start(
    corpus: Path, run: Path, *options: str, torchrun: Sequence[str] = (), ray: Sequence[str] = ()
) -> subprocess.Popen[str]:
    launcher = (
        ["-m", "torch.distributed.run", *torchrun, "-m", "mien", "train"] if torchrun else ["-m", "mien", "train"]
    )
    if ray:
        launcher = [str(EXAMPLES / "train_on_ray.py"), *ray, "--"]
    train = [str(corpus.parent / "recipe.toml"), "--data", str(corpus), "--out", str(run)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        environment.pop(name, None)
    command = [sys.executable, *launcher, *train, *options]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=run.parent
    )


def check_like(run: Path, alone: list[Epoch]) -> None:
    """The first epoch's loss lies within 15 % of one process's, which batch norm of half batches makes noise of."""
    rows = read_history(run)
    assert [row.epoch for row in rows] == [row.epoch for row in alone]
    assert rows[0].loss == pytest.approx(alone[0].loss, rel=0.15)
    assert [row.rate for row in rows] == pytest.approx([row.rate for row in alone])
    assert min(rows[-1].validation_accuracy, alone[-1].validation_accuracy) >= 0.9
    assert read(run / "model.onnx").metrics["private_test"]["accuracy"] >= 0.9
    assert json.loads((run / "metrics.json").read_text())["test_scorings"] == 1
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["before.ckpt", "best.ckpt", "last.ckpt"]


def test_lightning_starts_them_for_every_seed(corpus: Path, alone: list[Epoch], tmp_path: Path) -> None:
    process = start(corpus, tmp_path / "run", "--processes", "2", "--seeds", "2")
    told, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, told
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names[:2] == ["seed-0", "seed-1"]
    assert all(name.startswith("seeds.") for name in names[2:])  # the table over both
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    check_like(tmp_path / "run" / "seed-0", alone)
    assert len(read_history(tmp_path / "run" / "seed-1")) == 4
    assert told.count("epoch   1 ") == 2  # one process speaks
    assert "±" in told


def test_torchrun_starts_them(corpus: Path, alone: list[Epoch], tmp_path: Path) -> None:
    process = start(corpus, tmp_path / "run", torchrun=["--standalone", "--nproc-per-node", "2"])
    told, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, told
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    check_like(tmp_path / "run", alone)
    assert told.count("epoch   1 ") == 1


def test_torchrun_on_two_machines_makes_one_training(corpus: Path, alone: list[Epoch], tmp_path: Path) -> None:
    """Each launcher stands for a machine and knows of one process only, as docs/scale.md starts them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    place = ["--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", str(port)]
    machines = [start(corpus, tmp_path / "run", torchrun=[*place, "--node-rank", str(rank)]) for rank in range(2)]
    try:
        told = [machine.communicate(timeout=PATIENCE)[0] for machine in machines]
    finally:
        for machine in machines:
            machine.kill()
    assert [machine.returncode for machine in machines] == [0, 0], told
    assert [text.count("epoch   1 ") for text in told] == [1, 0]
    check_like(tmp_path / "run", alone)


def test_the_example_for_ray_makes_one_training(corpus: Path, alone: list[Epoch], tmp_path: Path) -> None:
    """Ray on this machine has room for two torchruns, which know of each other by what the example tells them."""
    pytest.importorskip("ray")
    process = start(corpus, tmp_path / "run", ray=["--address", "local", "--machines", "2", "--cpus", "1"])
    told, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, told
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    check_like(tmp_path / "run", alone)


def children(process: subprocess.Popen[str]) -> list[int]:
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in found.read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the second process through /proc")
def test_the_death_of_one_ends_all(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(corpus, run, "--budget", "long", "--processes", "2")
    try:
        while process.poll() is None and not (run / "history.csv").exists():
            time.sleep(0.05)
        (second,) = children(process)
        os.kill(second, signal.SIGKILL)
        told, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode in (2, -signal.SIGKILL), told
    assert "Traceback" not in told
    assert len(read_history(run)) < 40
