"""Trains on the training set, selects the epoch on the validation set (FER2013: PublicTest), then writes RUN/model.onnx
and scores the test set once.

RECIPE is the name of a recipe in the package or a file. --data is repeatable. --budget selects a smaller variant of the
recipe, --set train.rate=0.01 changes a key, --seeds 3 trains three times into RUN/seed-N and prints mean, standard
deviation and interval over faces and seeds, also in RUN/seeds.json, .csv and .tex. --folds 5 cross-validates: all faces
are dealt out to five folds, by person where the data names people, and each fold is the test set of a run in
RUN/fold-N; metrics, their mean and deviation, and intervals over people are in RUN/folds.json, .csv and .tex.
--processes 2 splits each batch
between two processes (or start it with torchrun).
--resume continues an interrupted run, even after kill -9, to the same weights. Curves: tensorboard --logdir RUN.
--track wandb or mlflow sends them there, too (mien[track]; without MLFLOW_TRACKING_URI, into mlflow.db beside RUN).

Next: mien predict photo.jpg --model RUN/model.onnx
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien import run_files
from mien.cli import DONE
from mien.cli.parser import count
from mien.cli.shared import (
    any_recipe,
    data_argument,
    read_recipe_faces,
    recipe_arguments,
    show_folds,
    show_metrics,
    show_seeds,
    watched,
)
from mien.errors import MissingExtraError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress

    from mien.datasets.faces import FaceSet
    from mien.recipes.recipe import AnyRecipe, Recipe
    from mien.training.fit import Epoch, Watcher


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien train``."""
    recipe_arguments(parser)
    data_argument(parser)
    add = parser.add_argument
    add("--out", type=Path, metavar="RUN", help="run folder (default: runs/NAME)")
    add("--resume", action="store_true", help="resume the run folder of the same recipe")
    add("--seeds", type=count, default=1, metavar="N", help="train N times with different seeds (default: 1)")
    add("--folds", type=count, default=1, metavar="K", help="cross-validate in K folds, by person (default: 1, none)")
    add("--track", action="append", default=[], metavar="T", help="also log to wandb or mlflow; repeatable")
    add("--processes", type=count, default=1, metavar="N", help="split each batch among N processes (default: 1)")


def run(options: Namespace) -> int:
    """Train, export and score; return the exit code."""
    try:
        from mien.runs import runs
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra(f"mien train (no {error.name})", "train") from error
    recipe = any_recipe(options)
    _check_trackers(recipe, options.track)
    folder = options.out or Path("runs") / recipe.name
    faces = read_recipe_faces(options.data, recipe)
    scores = []
    if options.folds > 1 and options.seeds > 1:
        raise OptionError("--folds and --seeds exclude each other; leave one out.")
    for variant, run_folder in _runs(recipe, faces, folder, options):
        metrics = _train(variant, faces, run_folder, options)
        if metrics is None:  # a further one of several processes, which all take part in every seed
            continue
        scores.append(metrics)
        _report(metrics, run_folder, variant.about if variant.is_smoke else runs.advise(run_folder))
    if len(scores) > 1:
        show_folds(folder) if options.folds > 1 else show_seeds(folder)
    return DONE


def _check_trackers(recipe: AnyRecipe, track: list[str]) -> None:
    """Raise ``OptionError`` or ``MissingExtraError`` before the data is read."""
    from mien.recipes.recipe import Recipe
    from mien.training import tracking

    tracking.check(track)
    if track and not isinstance(recipe, Recipe):
        raise OptionError(f"{recipe.name} has no epochs, so there is nothing for --track to log; leave it out.")


def _runs(recipe: AnyRecipe, faces: FaceSet, folder: Path, options: Namespace) -> Iterator[tuple[AnyRecipe, Path]]:
    from mien.recipes.recipe import Recipe
    from mien.runs import runs

    seeds: int = options.seeds
    if options.folds > 1:
        for variant_of_fold in runs.vary_fold(recipe, faces, options.folds):
            yield variant_of_fold, folder / f"fold-{variant_of_fold.data.fold}"
    elif seeds == 1:
        yield recipe, folder
    elif not isinstance(recipe, Recipe):
        raise OptionError(f"{recipe.name} has no randomness, so --seeds would repeat one run; leave it out.")
    else:
        for variant in runs.vary_seed(recipe, seeds):
            yield variant, folder / f"seed-{variant.train.seed}"


def _report(metrics: dict[str, Any], run: Path, advice: str | None) -> None:
    show_metrics(metrics)
    if advice:
        sys.stdout.write(f"\n{advice}\n")
    model = run / run_files.MODEL
    if model.exists():
        sys.stdout.write(f"\nModel: {model}\nNext:  mien predict PHOTO --model {model}\n")


def _train(recipe: AnyRecipe, faces: FaceSet, folder: Path, options: Namespace) -> dict[str, Any] | None:
    from mien.recipes.recipe import Recipe
    from mien.runs import runs

    if not isinstance(recipe, Recipe):
        return runs.train(recipe, faces, folder, resume=options.resume, working=lambda work: watched(work, recipe.name))
    with training_bar() as bar:
        watch = epoch_watcher(bar, recipe)
        return runs.train(
            recipe,
            faces,
            folder,
            resume=options.resume,
            watch=watch,
            processes=options.processes,
            track=options.track,
        )


def training_bar() -> Progress:
    """Create a progress bar of epochs with the time left, on stderr; silent in all processes but the first."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from mien.training.fit import rank

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # An epoch can last minutes: estimate the speed over all epochs, not over the default half minute.
    return Progress(*columns, console=Console(stderr=True, quiet=rank() > 0), speed_estimate_period=86_400)


def epoch_watcher(bar: Progress, recipe: Recipe) -> Watcher:
    """Return a watcher that prints each epoch and advances the bar, which also shows the precision."""
    from mien.training import arithmetic

    description = f"{recipe.name} seed {recipe.train.seed}, {arithmetic.precision(recipe)}"
    task = bar.add_task(description, total=recipe.train.epochs)

    def watch(epoch: Epoch) -> None:
        bar.console.print(
            f"epoch {epoch.epoch + 1:3}  {epoch.size} px  loss {epoch.loss:.3f}  accuracy {epoch.accuracy:.1%}  "
            f"validation {epoch.validation_loss:.3f} {epoch.validation_accuracy:.2%}  {epoch.minutes:.1f} min",
            highlight=False,
        )
        bar.update(task, completed=epoch.epoch + 1)

    return watch
