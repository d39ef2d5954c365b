"""Recipe + faces → run folder: resolved recipe, environment, data digest, history, TensorBoard log, checkpoints.

The training part trains, the validation part (FER2013's PublicTest) chooses the epoch; the test part is not read.
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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler, SequentialSampler, TensorDataset

from mien.datasets.faces import FaceSet
from mien.errors import FileMissingError, OptionError, TrainingError
from mien.files import appearing
from mien.learning import arithmetic, checkpoints, corpora, distillation, memory, parts, threads
from mien.learning.batches import ShuffledBatches, get_rank
from mien.learning.consensus import Consensus
from mien.learning.degrade import DegradedFaces
from mien.learning.face_residual import FaceResidual, read_weights
from mien.learning.harmonise import CorpusFaces
from mien.learning.losses import class_weights
from mien.learning.module import Classifier
from mien.learning.recipe import Plan, Recipe
from mien.learning.tables import DegradeTable
from mien.preprocess import apply


@dataclass(frozen=True)
class Epoch:
    """One row of ``history.csv``: means over the epoch; accuracies in [0, 1], losses in nats, ``minutes`` wall time."""

    epoch: int
    size: int
    rate: float
    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float
    minutes: float


Watcher = Callable[[Epoch], None]


def fit(
    recipe: Recipe,
    faces: FaceSet,
    run: Path,
    *,
    resume: bool = False,
    watch: Watcher | None = None,
    processes: int = 1,
) -> Path:
    """Train ``recipe`` on ``faces`` and return the checkpoint of the best epoch on the validation part.

    faces:  all parts; ``parts.arrange`` says which face trains and which chooses the epoch.
    run:    folder to write; must be empty or absent unless ``resume``, which goes on from the last epoch's end.
    watch:  called with each finished epoch.
    processes: workers that share each batch (DDP: one GPU each, or gloo on CPUs). Lightning starts them by running
    the program again, unless ``torchrun`` has; every one of them returns from here, ``rank()`` tells them apart.
    Raises ``OptionError`` for a used folder or a run of another recipe or other data, ``TrainingError`` for a
    non-finite loss or a batch that memory cannot hold, ``DataError`` and ``RecipeError`` as ``parts.arrange`` and
    ``networks.build`` do.
    """
    memory.keep_freed()
    faces = parts.arrange(faces, recipe.data)
    distillation.check_models(recipe.distil, faces.label_set, recipe.preprocess)
    module, best = classifier(recipe, faces), _best_checkpoint(run)
    with quiet(), explained(recipe), threads.limited(recipe):
        trainer = _trainer(recipe, run, [History(recipe, run, watch), best, *_callbacks(recipe, run)], processes)
        loaders = (training_loader(recipe, faces), _validation_loader(recipe, faces))
        if not rank():
            prepare(recipe, parts.described(faces) | distillation.describe(recipe.distil), run, resume)
        trainer.fit(module, *loaders, ckpt_path=checkpoints.newest(run) if resume else None)
    return Path(best.best_model_path)


def rank() -> int:
    """Return this process's number among those of one training; 0 where there is one."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")))


def classifier(recipe: Recipe, faces: FaceSet) -> Classifier:
    """Return the untrained module, drawn from the recipe's seed; faces as ``parts.arrange`` returns them."""
    torch.manual_seed(recipe.train.seed)
    part, table = faces.part(parts.TRAIN), recipe.data.corpora
    known = corpora.vocabulary(corpora.head_targets(part, table)) if table.heads else None
    module = Classifier(recipe, list(part.counts().values()), known)
    trunk = module.network.network if isinstance(module.network, Consensus) else module.network
    if isinstance(trunk, FaceResidual) and trunk.pretrained:
        _start(trunk, recipe, part)
    if recipe.train.channels_last:
        module.network.to(memory_format=torch.channels_last)
    return module


def _start(network: FaceResidual, recipe: Recipe, part: FaceSet) -> None:
    rows = np.random.default_rng(recipe.train.seed).permutation(len(part))[:256]
    full = replace(recipe.preprocess, scale=1.0, standardise="none")
    network.start(read_weights(), *(torch.from_numpy(apply(part.pixels[rows], s)) for s in (full, recipe.preprocess)))


def prepare(recipe: Plan, data: dict[str, Any], run: Path, resume: bool) -> None:
    """Make the run folder and record recipe, data (``parts.described``) and environment in it.

    Raises ``OptionError`` for a folder in use, or with ``resume`` for one of another recipe or of other data.
    """
    if not resume and run.exists() and any(run.iterdir()):
        raise OptionError(f"The run folder {run} is not empty. Pass resume to go on with it, or another folder.")
    recorded = run / "recipe.json"
    if resume and recorded.exists() and json.loads(recorded.read_text())["digest"] != recipe.digest():
        raise OptionError(f"The run folder {run} was made by another recipe. Use the same recipe, or another folder.")
    if resume and recorded.exists():
        check_data(run, data)
    run.mkdir(parents=True, exist_ok=True)
    (run / "data.json").write_text(json.dumps(data, indent=1))
    (run / "environment.json").write_text(json.dumps(environment(recipe), indent=1))
    # Last, because its presence says that the others are there, even after a kill -9 among these lines.
    with appearing(recorded) as draft:
        draft.write_text(json.dumps({"digest": recipe.digest(), **recipe.model_dump(mode="json")}, indent=1))


def check_data(run: Path, data: dict[str, Any]) -> None:
    """Raise ``OptionError`` if ``data``, from ``parts.described``, is not what the run was made with.

    Teachers are compared where ``data`` names them (``distillation.describe``). Raises ``FileMissingError`` if the run
    does not say what it was made with.
    """
    recorded = run / "data.json"
    if not recorded.exists():
        raise FileMissingError(f"{run} holds no data.json; expected the folder that `mien train` wrote.")
    before = json.loads(recorded.read_text())
    if "teachers" in data and before.get("teachers", []) != data["teachers"]:
        raise OptionError(
            f"{run} was begun with other teachers' answers ({before.get('teachers', [])}, now {data['teachers']}). "
            "Give the files that it was begun with, or another folder."
        )
    if before["digest"] != data["digest"]:
        raise OptionError(
            f"{run} was trained on other faces ({before['parts']}, now {data['parts']}), so its held-out faces may "
            "stand among these training faces. Give the data that it was trained on."
        )


def environment(recipe: Plan) -> dict[str, str | int]:
    """Return the versions and the machine that a run is recorded with, and what a network's steps are computed in."""
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


def training_loader(recipe: Recipe, faces: FaceSet) -> DataLoader[tuple[torch.Tensor, ...]]:
    """Return the batches of the training part, float32 crops (N, C, S, S) and targets (N, K), drawn epoch by epoch."""
    part = faces.part(parts.TRAIN)
    wanted = torch.from_numpy(distillation.targets(parts.targets(part, recipe.data), part, recipe.distil))
    if recipe.data.corpora.shares:
        return _corpora_loader(recipe, part, wanted)
    chances = class_weights(list(part.counts().values()), recipe.data.oversample)[part.labels]
    batches = ShuffledBatches(
        len(part),
        recipe.train.batch_size,
        recipe.train.seed,
        chances / chances.sum() if recipe.data.oversample else None,
        rounds=recipe.distil.rounds,
    )
    if recipe.degrade != DegradeTable():
        return _loader(DegradedFaces(part.pixels, wanted, recipe), batches)
    return _loader(_prepared(recipe, part, wanted), batches)


def _corpora_loader(recipe: Recipe, part: FaceSet, wanted: torch.Tensor) -> DataLoader[tuple[torch.Tensor, ...]]:
    table = recipe.data.corpora
    batches = ShuffledBatches(
        len(part), recipe.train.batch_size, recipe.train.seed, corpora.chances(part, table), draws=table.draws
    )
    return _loader(CorpusFaces(part, wanted, recipe, lambda: batches.epoch), batches)


def _validation_loader(recipe: Recipe, faces: FaceSet) -> DataLoader[tuple[torch.Tensor, ...]]:
    part = faces.part(parts.VALIDATION)
    batches = BatchSampler(SequentialSampler(part.ids), 256, drop_last=False)
    return _loader(_prepared(recipe, part, torch.from_numpy(part.labels)), batches)


def _prepared(recipe: Recipe, part: FaceSet, wanted: torch.Tensor) -> TensorDataset:
    return TensorDataset(torch.from_numpy(apply(part.pixels, recipe.preprocess)), wanted)


def _loader(
    faces: Dataset[tuple[torch.Tensor, ...]], batches: Sampler[list[int]]
) -> DataLoader[tuple[torch.Tensor, ...]]:
    # Asking for a whole batch of indices at once costs a hundredth of collating it image by image.
    return DataLoader(faces, sampler=batches, batch_size=None)


def _best_checkpoint(run: Path) -> ModelCheckpoint:
    return ModelCheckpoint(
        run / "checkpoints",
        "best",
        monitor="choice",
        mode="max",
        enable_version_counter=False,
    )


def _callbacks(recipe: Recipe, run: Path) -> list[Callback]:
    """Return the callbacks besides the best checkpoint's, which goes first: the last one records which was the best."""
    table = recipe.train
    callbacks: list[Callback] = [ModelCheckpoint(run / "checkpoints", "last", enable_version_counter=False)]
    if table.ema:
        callbacks.append(EMAWeightAveraging(decay=table.ema))
    if table.patience:
        callbacks.append(EarlyStopping("choice", mode="max", patience=table.patience))
    return callbacks


def _trainer(recipe: Recipe, run: Path, callbacks: list[Callback], processes: int) -> lightning.Trainer:
    processes, here = _world(processes)
    if processes > 1 and 0 < recipe.train.frozen < recipe.train.epochs:
        raise OptionError("train.frozen ends in mid-run, which several processes cannot follow; train with one.")
    if recipe.train.batch_size % processes:
        raise OptionError(f"train.batch_size = {recipe.train.batch_size} does not divide among {processes} processes.")
    return lightning.Trainer(
        max_epochs=recipe.train.epochs,
        **arithmetic.arguments(recipe),
        devices=here,
        num_nodes=processes // here,
        strategy="ddp" if processes > 1 else "auto",
        use_distributed_sampler=False,
        callbacks=callbacks,
        plugins=[checkpoints.WholeCheckpoints()],
        logger=TensorBoardLogger(run, name="", version="tensorboard"),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=run,
    )


def _world(processes: int) -> tuple[int, int]:
    """Return how many processes train together, and how many of them on this machine."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
        if tasks > 1:
            raise OptionError(
                f"srun started {tasks} tasks, each of which would be a training of its own in one folder. "
                "Let srun start torchrun, once on each machine: docs/scale.md has the script."
            )
        return processes, processes
    started = int(os.environ["WORLD_SIZE"])
    if processes not in (1, started):
        raise OptionError(
            f"torchrun started {started} processes and {processes} were asked for; leave one of them out."
        )
    return started, int(os.environ["LOCAL_WORLD_SIZE"])


class History(Callback):
    """Append each epoch to ``history.csv`` and hand it to the watcher."""

    def __init__(self, recipe: Recipe, run: Path, watch: Watcher | None) -> None:
        self.recipe, self.path, self.watch = recipe, run / "history.csv", watch
        self.begun = time.perf_counter()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Drop the rows of epochs that the checkpoint does not hold and that are therefore trained again."""
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
def quiet() -> Iterator[None]:
    """Keep Lightning's advice from the terminal; errors still show."""
    # Lightning advises on data-loader workers, which batches taken from memory do not want.
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
def explained(recipe: Recipe) -> Iterator[None]:
    """Raise what PyTorch says of memory and of lost processes as errors that say what to do."""
    try:
        yield
    except SystemExit as error:  # Lightning's answer to Ctrl-C, which it ignores from then on
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from error
    except RuntimeError as error:
        told = _told(error, recipe)
        if not told:
            raise
        raise TrainingError(told) from error


def _told(error: RuntimeError, recipe: Recipe) -> str | None:
    if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
        size = recipe.train.batch_size
        return (
            f"Memory cannot hold a batch of {size} faces of {recipe.preprocess.size} pixels. "
            f"Try train.batch_size = {max(size // 2, 2)}."
        )
    if get_rank()[1] > 1 and re.search("gloo|nccl|Connection", str(error), re.IGNORECASE):
        return "Another process of this training has ended; see its message. Go on with resume, perhaps with fewer."
    return None


def read_history(run: Path) -> list[Epoch]:
    """Return the rows of ``run/history.csv``."""
    with (run / "history.csv").open(newline="", encoding="utf-8") as file:
        return [
            Epoch(int(row.pop("epoch")), int(row.pop("size")), **{name: float(value) for name, value in row.items()})
            for row in csv.DictReader(file)
        ]


def diverged(history: Sequence[Epoch], tolerance: float = 0.02) -> int | None:
    """Return the epoch since which the curves diverge, or None (system B's advice on overfitting).

    That is the epoch after the lowest validation loss, if the last five epochs' mean lies more than ``tolerance``
    above it while the training loss went on falling. Only epochs of the last image size are compared.
    """
    rows = [row for row in history if row.size == history[-1].size]
    best = min(range(len(rows)), key=lambda place: rows[place].validation_loss) if rows else 0
    late = rows[best + 1 :][-5:]
    if len(late) < 3:
        return None
    rises = float(np.mean([row.validation_loss for row in late])) > rows[best].validation_loss * (1 + tolerance)
    return rows[best + 1].epoch if rises and late[-1].loss < rows[best].loss else None
