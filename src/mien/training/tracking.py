"""Experiment trackers: where a run's curves go besides its own folder, by Lightning's loggers.

TensorBoard files in RUN/tensorboard are always written; they stay on this machine. Weights & Biases and MLflow are used
only when asked for, and take their server, their account and offline mode from their own variables (``WANDB_MODE``,
``MLFLOW_TRACKING_URI``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger

from mien.errors import MissingExtraError, OptionError, nearest
from mien.recipes.recipe import Recipe

PROJECT = "mien"
"""Name of the project or experiment at a tracker."""


def open_loggers(recipe: Recipe, run: Path, track: Sequence[str] = ()) -> list[Logger]:
    """Return TensorBoard's logger and those of the trackers in ``track``; none has written anything yet.

    Raises:
        OptionError: an unknown tracker.
        MissingExtraError: one that is not installed.
    """
    check(track)
    own: list[Logger] = [TensorBoardLogger(run, name="", version="tensorboard")]
    return [*own, *(TRACKERS[name](recipe, run) for name in dict.fromkeys(track))]


def log_recipe(loggers: Sequence[Logger], recipe: Recipe) -> None:
    """Log the recipe and its digest as parameters of the trackers; TensorBoard, the first, has none."""
    for logger in loggers[1:]:
        logger.log_hyperparams({"digest": recipe.digest(), **flatten(recipe.model_dump(mode="json"))})


def check(track: Sequence[str]) -> None:
    """Raise ``OptionError`` for an unknown tracker, ``MissingExtraError`` for one that is not installed."""
    for name in track:
        if name not in TRACKERS:
            known = tuple(TRACKERS)
            raise OptionError(f"No tracker {name!r}; there are {', '.join(known)}.{nearest(name, known)}")
        if find_spec(name) is None:
            raise MissingExtraError.for_extra(f"The tracker {name}", "track")


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables as one, ``{"train": {"rate": 1}}`` as ``{"train.rate": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def _wandb(recipe: Recipe, run: Path) -> Logger:
    from lightning.pytorch.loggers import WandbLogger

    run.mkdir(parents=True, exist_ok=True)  # otherwise it writes into the folder of temporary files
    return WandbLogger(name=_name(recipe), project=PROJECT, save_dir=run)


def _mlflow(recipe: Recipe, run: Path) -> Logger:
    from lightning.pytorch.loggers import MLFlowLogger

    server = os.environ.get("MLFLOW_TRACKING_URI")
    if server:
        return MLFlowLogger(PROJECT, run_name=_name(recipe), tracking_uri=server)
    folder = run.resolve().parent  # one database for all runs beside each other; the run folder must still be empty
    folder.mkdir(parents=True, exist_ok=True)
    database, artifacts = f"sqlite:///{(folder / 'mlflow.db').as_posix()}", (folder / "mlflow").as_uri()
    return MLFlowLogger(PROJECT, run_name=_name(recipe), tracking_uri=database, artifact_location=artifacts)


def _name(recipe: Recipe) -> str:
    return f"{recipe.name}, seed {recipe.train.seed}"


TRACKERS: Mapping[str, Callable[[Recipe, Path], Logger]] = {"wandb": _wandb, "mlflow": _mlflow}
"""Tracker, which is also the name of its package → what opens its logger."""
