"""Trains on the training part, chooses the epoch on the validation part (FER2013: PublicTest), then writes
RUN/model.onnx and scores the test part once.

RECIPE is the name of a recipe in the package or a file. --data may be given several times. --budget takes the recipe's
smaller variant, --set train.rate=0.01 changes a key, --seeds 3 trains three times into RUN/seed-N and states mean and
standard deviation, --processes 2 shares each batch among two processes (or start it with torchrun).
A run that was cut off, even by kill -9, goes on with --resume to the same weights. Curves: tensorboard --logdir RUN.

Next: mien predict photo.jpg --model RUN/model.onnx
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.cli import DONE
from mien.cli.learning import (
    any_recipe,
    data_argument,
    read_faces,
    recipe_arguments,
    show_figures,
    show_spread,
    watched,
)
from mien.cli.parser import count
from mien.errors import MissingExtraError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress

    from mien.datasets.faces import FaceSet
    from mien.learning.fit import Epoch, Watcher
    from mien.learning.recipe import AnyRecipe, Recipe


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien train``."""
    recipe_arguments(parser)
    data_argument(parser)
    add = parser.add_argument
    add("--out", type=Path, metavar="RUN", help="run folder (default: runs/NAME)")
    add("--resume", action="store_true", help="go on with the run folder of the same recipe")
    add("--seeds", type=count, default=1, metavar="N", help="train N times with other seeds (default: 1)")
    add("--processes", type=count, default=1, metavar="N", help="share each batch among N processes (default: 1)")


def run(options: Namespace) -> int:
    """Train, export and score; return the exit code."""
    try:
        from mien.learning import runs
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra(f"mien train (no {error.name})", "train") from error
    recipe = any_recipe(options)
    folder = options.out or Path("runs") / recipe.name
    faces = read_faces(options.data, recipe.data.label_scheme(), colour=not recipe.preprocess.grey)
    found = []
    for each, place in _runs(recipe, folder, options.seeds):
        figures = _train(each, faces, place, options)
        if figures is None:  # not the first of several processes, which all take part in every seed
            continue
        found.append(figures)
        _tell(figures, place, each.about if each.is_smoke else runs.advise(place))
    if len(found) > 1:
        show_spread(found)
    return DONE


def _runs(recipe: AnyRecipe, folder: Path, seeds: int) -> Iterator[tuple[AnyRecipe, Path]]:
    from mien.learning import runs
    from mien.learning.recipe import Recipe

    if seeds == 1:
        yield recipe, folder
    elif not isinstance(recipe, Recipe):
        raise OptionError(f"{recipe.name} draws nothing at random, so --seeds would repeat one run; leave it out.")
    else:
        for each in runs.vary_seed(recipe, seeds):
            yield each, folder / f"seed-{each.train.seed}"


def _tell(figures: dict[str, Any], run: Path, advice: str | None) -> None:
    show_figures(figures)
    if advice:
        sys.stdout.write(f"\n{advice}\n")
    model = run / "model.onnx"
    if model.exists():
        sys.stdout.write(f"\nModel: {model}\nNext:  mien predict PHOTO --model {model}\n")


def _train(recipe: AnyRecipe, faces: FaceSet, folder: Path, options: Namespace) -> dict[str, Any] | None:
    from mien.learning import runs
    from mien.learning.recipe import Recipe

    if not isinstance(recipe, Recipe):
        return runs.train(recipe, faces, folder, resume=options.resume, working=lambda work: watched(work, recipe.name))
    with training_bar() as bar:
        watch = epoch_watcher(bar, recipe)
        return runs.train(recipe, faces, folder, resume=options.resume, watch=watch, processes=options.processes)


def training_bar() -> Progress:
    """Return a progress bar of epochs with the time left, on stderr; silent in all processes but the first."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from mien.learning.fit import rank

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # An epoch can last minutes: the speed is taken over all of them, not over the default half minute.
    return Progress(*columns, console=Console(stderr=True, quiet=rank() > 0), speed_estimate_period=86_400)


def epoch_watcher(bar: Progress, recipe: Recipe) -> Watcher:
    """Return a watcher that prints each epoch of a recipe and moves the bar, which says what is computed in."""
    from mien.learning import arithmetic

    told = f"{recipe.name} seed {recipe.train.seed}, {arithmetic.precision(recipe)}"
    task = bar.add_task(told, total=recipe.train.epochs)

    def watch(epoch: Epoch) -> None:
        bar.console.print(
            f"epoch {epoch.epoch + 1:3}  {epoch.size} px  loss {epoch.loss:.3f}  accuracy {epoch.accuracy:.1%}  "
            f"validation {epoch.validation_loss:.3f} {epoch.validation_accuracy:.2%}  {epoch.minutes:.1f} min",
            highlight=False,
        )
        bar.update(task, completed=epoch.epoch + 1)

    return watch
