"""Train a recipe into a run folder: resolved recipe, environment, data digest, history, TensorBoard log, checkpoints.

The best epoch is selected on the validation set (FER2013's PublicTest); the test set is not read.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import platform
import re
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, EMAWeightAveraging, ModelCheckpoint

from mien import run_files
from mien.datasets.faces import FaceSet
from mien.errors import FileMissingError, OptionError, TrainingError
from mien.files import appearing
from mien.networks.consensus import Consensus
from mien.recipes.recipe import Plan, Recipe
from mien.training import (
    arithmetic,
    checkpoints,
    corpora,
    distillation,
    loaders,
    memory,
    parts,
    threads,
    tracking,
    warm_start,
)
from mien.training.batches import get_rank
from mien.training.module import LightningClassifier


@dataclass(frozen=True)
class Epoch:
    """One row of ``history.csv``: means over the epoch; accuracies in [0, 1], losses in nats, ``minutes`` wall time.

    ``relabelled``: training faces that ``self_cure`` has given another label by the end of the epoch; None without it.
    """

    epoch: int
    size: int
    rate: float
    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float
    minutes: float
    relabelled: int | None = None


Watcher = Callable[[Epoch], None]


def fit(
    recipe: Recipe,
    faces: FaceSet,
    run: Path,
    *,
    resume: bool = False,
    watch: Watcher | None = None,
    processes: int = 1,
    track: Sequence[str] = (),
) -> Path:
    """Train ``recipe`` on ``faces`` and return the checkpoint of the best epoch on the validation set.

    Args:
        faces: all splits; ``parts.arrange`` assigns them to training, validation and test set.
        run: folder to write; must be empty or absent unless ``resume``, which continues after the last finished epoch.
        watch: called with each finished epoch.
        processes: workers that share each batch (DDP: one GPU each, or gloo on CPUs). Lightning starts them by running
            the program again, unless ``torchrun`` has; each of them returns from here, ``rank()`` distinguishes them.
        track: trackers to use, see ``tracking``.

    Raises:
        OptionError: a used folder or a run of another recipe or other data.
        TrainingError: a non-finite loss or a batch that memory cannot hold.
        DataError: as ``parts.arrange`` and ``networks.build`` do.
        RecipeError: as ``parts.arrange`` and ``networks.build`` do.
    """
    memory.keep_freed()
    faces = parts.arrange(faces, recipe.data)
    distillation.check_models(recipe.distil, faces.label_set, recipe.preprocess)
    module, best = build_classifier(recipe, faces), _best_checkpoint(run)
    with quiet(), explain_errors(recipe), threads.limit(recipe):
        callbacks = [History(recipe, run, watch), best, *_callbacks(recipe, run)]
        trainer = _trainer(recipe, run, callbacks, processes, track)
        batches = (loaders.training_loader(recipe, faces), loaders.validation_loader(recipe, faces))
        if not rank():
            prepare(recipe, parts.describe(faces) | distillation.describe(recipe.distil), run, resume)
            tracking.log_recipe(trainer.loggers, recipe)
        trainer.fit(module, *batches, ckpt_path=checkpoints.newest(run) if resume else None)
    return Path(best.best_model_path)


def rank() -> int:
    """Return this process's rank in distributed training; 0 for a single process."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")))


def build_classifier(recipe: Recipe, faces: FaceSet) -> LightningClassifier:
    """Build the untrained module, initialised from the recipe's seed; faces as ``parts.arrange`` returns them."""
    torch.manual_seed(recipe.train.seed)
    part, table = faces.part(parts.TRAIN), recipe.data.corpora
    known = corpora.vocabulary(corpora.head_targets(part, table)) if table.heads else None
    module = LightningClassifier(recipe, list(part.counts().values()), known, part.labels)
    trunk = module.network.network if isinstance(module.network, Consensus) else module.network
    warm_start.begin(trunk, recipe, part)
    if recipe.train.channels_last:
        module.network.to(memory_format=torch.channels_last)
    return module


def prepare(recipe: Plan, data: dict[str, Any], run: Path, resume: bool) -> None:
    """Create the run folder and record recipe, data (``parts.describe``) and environment in it.

    Raises:
        OptionError: a folder in use, or with ``resume`` for one of another recipe or of other data.
    """
    if not resume and run.exists() and any(run.iterdir()):
        raise OptionError(f"The run folder {run} is not empty. Resume that run, or give another folder.")
    recorded = run / run_files.RECIPE
    if resume and recorded.exists() and json.loads(recorded.read_text())["digest"] != recipe.digest():
        raise OptionError(f"The run folder {run} belongs to another recipe. Use the same recipe, or another folder.")
    if resume and recorded.exists():
        check_data(run, data)
    run.mkdir(parents=True, exist_ok=True)
    (run / run_files.DATA).write_text(json.dumps(data, indent=1))
    (run / run_files.ENVIRONMENT).write_text(json.dumps(environment(recipe), indent=1))
    # Last, because its presence guarantees the others, even after a kill -9 between these lines.
    with appearing(recorded) as draft:
        draft.write_text(json.dumps({"digest": recipe.digest(), **recipe.model_dump(mode="json")}, indent=1))


def check_data(run: Path, data: dict[str, Any]) -> None:
    """Raise ``OptionError`` if ``data``, from ``parts.describe``, is not the data that the run was trained on.

    Teachers are compared where ``data`` names them (``distillation.describe``).

    Raises:
        FileMissingError: the run has no record of its data.
    """
    recorded = run / run_files.DATA
    if not recorded.exists():
        raise FileMissingError(f"{run} has no data.json; expected a folder written by `mien train`.")
    before = json.loads(recorded.read_text())
    if "teachers" in data and before.get("teachers", []) != data["teachers"]:
        raise OptionError(
            f"{run} was started with other teachers ({before.get('teachers', [])}, now {data['teachers']}). "
            "Give the original teachers, or another folder."
        )
    if before["digest"] != data["digest"]:
        raise OptionError(
            f"{run} was trained on other faces ({before['parts']}, now {data['parts']}), so its test faces may be "
            "among these training faces. Give the data that it was trained on."
        )


def environment(recipe: Plan) -> dict[str, str | int]:
    """Return a run's record of library versions, machine and, for networks, the precision of training."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "machine": platform.machine(),
        "gpu": gpu,
        "threads": torch.get_num_threads(),
        **({"precision": arithmetic.precision(recipe)} if isinstance(recipe, Recipe) else {}),
    }


def _best_checkpoint(run: Path) -> ModelCheckpoint:
    return ModelCheckpoint(
        run / run_files.CHECKPOINTS,
        "best",
        monitor="choice",
        mode="max",
        enable_version_counter=False,
    )


def _callbacks(recipe: Recipe, run: Path) -> list[Callback]:
    """Return the callbacks that come after the best checkpoint's: the last checkpoint records which one is best."""
    table = recipe.train
    callbacks: list[Callback] = [ModelCheckpoint(run / run_files.CHECKPOINTS, "last", enable_version_counter=False)]
    if table.ema:
        callbacks.append(EMAWeightAveraging(decay=table.ema))
    if table.patience:
        callbacks.append(EarlyStopping("choice", mode="max", patience=table.patience))
    return callbacks


def _trainer(
    recipe: Recipe, run: Path, callbacks: list[Callback], processes: int, track: Sequence[str]
) -> lightning.Trainer:
    processes, here = _world(processes)
    if processes > 1 and 0 < recipe.train.frozen < recipe.train.epochs:
        raise OptionError("train.frozen ends in mid-run, which DDP does not support. Train with one process.")
    if processes > 1 and recipe.self_cure.weight:
        raise OptionError("self_cure relabels faces, which processes do not tell each other. Train with one process.")
    if recipe.train.batch_size % processes:
        raise OptionError(f"train.batch_size = {recipe.train.batch_size} is not a multiple of {processes} processes.")
    return lightning.Trainer(
        max_epochs=recipe.train.epochs,
        **arithmetic.arguments(recipe),
        devices=here,
        num_nodes=processes // here,
        strategy="ddp" if processes > 1 else "auto",
        use_distributed_sampler=False,
        callbacks=callbacks,
        plugins=[checkpoints.WholeCheckpoints()],
        logger=tracking.open_loggers(recipe, run, track),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=run,
    )


def _world(processes: int) -> tuple[int, int]:
    """Return the number of processes in total and on this machine."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
        if tasks > 1:
            raise OptionError(
                f"srun started {tasks} tasks, which would train independently into the same folder. "
                "Let srun start torchrun, once on each machine: docs/scale.md has the script."
            )
        return processes, processes
    started = int(os.environ["WORLD_SIZE"])
    if processes not in (1, started):
        raise OptionError(
            f"torchrun started {started} processes, but the option asks for {processes}. Leave the option out."
        )
    return started, int(os.environ["LOCAL_WORLD_SIZE"])


class History(Callback):
    """Append each epoch to ``history.csv`` and pass it to the watcher."""

    def __init__(self, recipe: Recipe, run: Path, watch: Watcher | None) -> None:
        self.recipe, self.path, self.watch = recipe, run / run_files.HISTORY, watch
        self.begun = time.perf_counter()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Drop the rows of epochs after the checkpoint, which are trained again."""
        if self.path.exists() and trainer.is_global_zero:
            with self.path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["epoch"]) < trainer.current_epoch]
            self.path.unlink()
            for row in rows:
                self._append(row)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the finished epoch's row."""
        if not trainer.is_global_zero:
            return
        numbers = {name: float(value) for name, value in trainer.callback_metrics.items()}
        names = ("loss", "accuracy", "validation_loss", "validation_accuracy")
        row = Epoch(
            epoch=trainer.current_epoch,
            size=self.recipe.size_at(trainer.current_epoch),
            rate=trainer.optimizers[0].param_groups[0]["lr"],
            minutes=(time.perf_counter() - self.begun) / 60,
            **{name: numbers[name] for name in names},
            relabelled=_relabelled(pl_module),
        )
        self._append({name: value for name, value in asdict(row).items() if value is not None})
        if self.watch:
            self.watch(row)

    def _append(self, row: Mapping[str, object]) -> None:
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)


def _relabelled(module: lightning.LightningModule) -> int | None:
    return module.cure.relabelled if isinstance(module, LightningClassifier) and module.cure is not None else None


@contextmanager
def quiet() -> Iterator[None]:
    """Hide Lightning's advice; errors still show."""
    # Lightning advises more data-loader workers, which batches from memory do not need.
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def explain_errors(recipe: Recipe) -> Iterator[None]:
    """Turn PyTorch's errors about memory and lost processes into ``TrainingError`` that says what to do."""
    try:
        yield
    except SystemExit as error:  # Lightning's reaction to Ctrl-C, which it ignores from then on
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from error
    except RuntimeError as error:
        message = _explain(error, recipe)
        if not message:
            raise
        raise TrainingError(message) from error


def _explain(error: RuntimeError, recipe: Recipe) -> str | None:
    if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
        size = recipe.train.batch_size
        return (
            f"A batch of {size} faces of {recipe.preprocess.size} pixels does not fit into memory. "
            f"Try train.batch_size = {max(size // 2, 2)}."
        )
    if get_rank()[1] > 1 and re.search("gloo|nccl|Connection", str(error), re.IGNORECASE):
        return "Another process of this training has ended; see its message. Resume, with fewer processes if need be."
    return None


def read_history(run: Path) -> list[Epoch]:
    """Read the rows of ``run/history.csv``."""
    with (run / run_files.HISTORY).open(newline="", encoding="utf-8") as file:
        return [_read_epoch(row) for row in csv.DictReader(file)]


def _read_epoch(row: dict[str, str]) -> Epoch:
    whole = ("epoch", "size", "relabelled")
    written = {name: value for name, value in row.items() if value}  # an empty cell is a column's default
    values: dict[str, Any] = {name: int(value) if name in whole else float(value) for name, value in written.items()}
    return Epoch(**values)


def find_overfitting(history: Sequence[Epoch], tolerance: float = 0.02) -> int | None:
    """Return the first epoch of overfitting, or None (system B's advice on diverging curves).

    That is the epoch after the lowest validation loss, if the mean of up to five last epochs is more than the fraction
    ``tolerance`` above it while the training loss kept falling. Only epochs of the last image size are compared.
    """
    rows = [row for row in history if row.size == history[-1].size]
    best = min(range(len(rows)), key=lambda index: rows[index].validation_loss) if rows else 0
    late = rows[best + 1 :][-5:]
    if len(late) < 3:
        return None
    rises = float(np.mean([row.validation_loss for row in late])) > rows[best].validation_loss * (1 + tolerance)
    return rows[best + 1].epoch if rises and late[-1].loss < rows[best].loss else None
