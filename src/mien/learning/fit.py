"""Recipe + faces → run folder: resolved recipe, environment, history, checkpoints.

Training sees the Training part. Epochs are chosen on PublicTest. PrivateTest is not even passed in.
"""

from __future__ import annotations

import csv
import json
import logging
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from torch.utils.data import BatchSampler, DataLoader, Sampler, SequentialSampler, TensorDataset

from mien.datasets.faces import FaceSet
from mien.errors import OptionError
from mien.learning.module import Classifier
from mien.learning.recipe import Recipe
from mien.preprocess import apply


@dataclass(frozen=True)
class Epoch:
    """One row of ``history.csv``: means over the epoch; accuracies in [0, 1], losses in nats, ``minutes`` wall time."""

    epoch: int
    size: int
    rate: float
    loss: float
    accuracy: float
    public_loss: float
    public_accuracy: float
    minutes: float


Watcher = Callable[[Epoch], None]


def fit(recipe: Recipe, faces: FaceSet, run: Path, *, resume: bool = False, watch: Watcher | None = None) -> Path:
    """Train ``recipe`` on ``faces`` and return the checkpoint with the best PublicTest accuracy.

    faces:  must hold the splits Training and PublicTest.
    run:    folder to write; must be empty or absent unless ``resume``, which goes on from the last epoch's end.
    watch:  called with each finished epoch.
    Raises ``OptionError`` for a used folder or a run of another recipe, ``TrainingError`` for a non-finite loss.
    """
    last = _prepare(recipe, run, resume)
    torch.manual_seed(recipe.train.seed)
    module = Classifier(recipe, len(faces.label_set))
    if recipe.train.channels_last:
        module.network.to(memory_format=torch.channels_last)
    best = _best_checkpoint(run)
    with _quiet():
        trainer = _trainer(recipe, run, [*_callbacks(recipe, run), best, History(recipe, run, watch)])
        trainer.fit(module, _loader(recipe, faces, "Training"), _loader(recipe, faces, "PublicTest"), ckpt_path=last)
    return Path(best.best_model_path)


def _prepare(recipe: Recipe, run: Path, resume: bool) -> Path | None:
    last = run / "checkpoints" / "last.ckpt"
    if not resume and run.exists() and any(run.iterdir()):
        raise OptionError(f"The run folder {run} is not empty. Pass resume to go on with it, or another folder.")
    recorded = run / "recipe.json"
    if resume and recorded.exists() and json.loads(recorded.read_text())["digest"] != recipe.digest():
        raise OptionError(f"The run folder {run} was made by another recipe. Use the same recipe, or another folder.")
    run.mkdir(parents=True, exist_ok=True)
    recorded.write_text(json.dumps({"digest": recipe.digest(), **recipe.model_dump(mode="json")}, indent=1))
    (run / "environment.json").write_text(json.dumps(_environment(), indent=1))
    return last if resume and last.exists() else None


def _environment() -> dict[str, str | int]:
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "machine": platform.machine(),
        "gpu": gpu,
        "threads": torch.get_num_threads(),
    }


def _loader(recipe: Recipe, faces: FaceSet, split: str) -> DataLoader[tuple[torch.Tensor, ...]]:
    part = faces.part(split)
    crops = torch.from_numpy(apply(part.pixels, recipe.preprocess))
    dataset = TensorDataset(crops, torch.from_numpy(part.labels))
    batches: Sampler[list[int]] = (
        ShuffledBatches(len(dataset), recipe.train.batch_size, recipe.train.seed)
        if split == "Training"
        else BatchSampler(SequentialSampler(dataset), 256, drop_last=False)
    )
    # Indexing the tensor with a whole batch of indices costs a hundredth of collating it image by image.
    return DataLoader(dataset, sampler=batches, batch_size=None)


class ShuffledBatches(Sampler[list[int]]):
    """Full batches of indices in an order drawn from seed and epoch alone, so that a resumed run sees the same one."""

    def __init__(self, faces: int, size: int, seed: int) -> None:
        if faces < size:
            raise OptionError(f"train.batch_size = {size} is more than the {faces} training faces; lower it.")
        self.faces, self.size, self.seed, self.epoch = faces, size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Take the epoch's number; Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.faces // self.size

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.faces)
        yield from order[: len(self) * self.size].reshape(-1, self.size).tolist()


def _best_checkpoint(run: Path) -> ModelCheckpoint:
    return ModelCheckpoint(
        run / "checkpoints",
        "best",
        monitor="choice",
        mode="max",
        enable_version_counter=False,
    )


def _callbacks(recipe: Recipe, run: Path) -> list[Callback]:
    table = recipe.train
    callbacks: list[Callback] = [ModelCheckpoint(run / "checkpoints", "last", enable_version_counter=False)]
    if table.ema:
        callbacks.append(EMAWeightAveraging(decay=table.ema))
    if table.patience:
        callbacks.append(EarlyStopping("choice", mode="max", patience=table.patience))
    return callbacks


def _trainer(recipe: Recipe, run: Path, callbacks: list[Callback]) -> lightning.Trainer:
    return lightning.Trainer(
        max_epochs=recipe.train.epochs,
        precision="bf16-mixed" if recipe.train.bfloat16 else "32-true",
        devices=1,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=run,
    )


class History(Callback):
    """Append each epoch to ``history.csv`` and hand it to the watcher."""

    def __init__(self, recipe: Recipe, run: Path, watch: Watcher | None) -> None:
        self.recipe, self.path, self.watch = recipe, run / "history.csv", watch
        self.begun = time.perf_counter()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Drop the rows of epochs that the checkpoint does not hold and that are therefore trained again."""
        if self.path.exists():
            with self.path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["epoch"]) < trainer.current_epoch]
            self.path.unlink()
            for row in rows:
                self._append(row)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the finished epoch's row."""
        numbers = {name: float(value) for name, value in trainer.callback_metrics.items()}
        names = ("loss", "accuracy", "public_loss", "public_accuracy")
        row = Epoch(
            epoch=trainer.current_epoch,
            size=self.recipe.size_at(trainer.current_epoch),
            rate=trainer.optimizers[0].param_groups[0]["lr"],
            minutes=(time.perf_counter() - self.begun) / 60,
            **{name: numbers[name] for name in names},
        )
        self._append(asdict(row))
        if self.watch:
            self.watch(row)

    def _append(self, row: Mapping[str, object]) -> None:
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)


@contextmanager
def _quiet() -> Iterator[None]:
    # Lightning advises on data-loader workers, which batches taken from memory do not want.
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        logger.setLevel(level)
