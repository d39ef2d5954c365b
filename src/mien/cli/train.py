"""Trains on Training, chooses the epoch on PublicTest, then writes RUN/model.onnx and scores PrivateTest once.

A run that was cut off goes on with --resume from the end of its last epoch.

Next: mien predict photo.jpg --model RUN/model.onnx
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli import DONE
from mien.cli.learning import data_argument, read_faces, show_figures
from mien.errors import MissingExtraError

if TYPE_CHECKING:
    from rich.progress import Progress

    from mien.datasets.faces import FaceSet
    from mien.learning.fit import Epoch, Watcher
    from mien.learning.recipe import Recipe


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien train``."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="recipe file, such as recipes/NAME.toml")
    data_argument(parser)
    parser.add_argument("--out", type=Path, metavar="RUN", help="run folder (default: runs/NAME)")
    parser.add_argument("--resume", action="store_true", help="go on with the run folder of the same recipe")


def run(options: Namespace) -> int:
    """Train, export and score; return the exit code."""
    try:
        from mien.learning import recipe as recipes
        from mien.learning.export import export
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra(f"mien train (no {error.name})", "train") from error
    recipe = recipes.load(options.recipe)
    folder = options.out or Path("runs") / recipe.name
    faces = read_faces(options.data)
    _fit(recipe, faces, folder, resume=options.resume)
    show_figures(export(folder, faces).metrics)
    sys.stdout.write(f"\nModel: {folder / 'model.onnx'}\nNext:  mien predict PHOTO --model {folder / 'model.onnx'}\n")
    return DONE


def _fit(recipe: Recipe, faces: FaceSet, folder: Path, *, resume: bool) -> None:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from mien.learning.fit import fit

    columns = (
        TextColumn("epoch"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # An epoch can last minutes: the speed is taken over all of them, not over the default half minute.
    with Progress(*columns, console=Console(stderr=True), speed_estimate_period=86_400) as bar:
        fit(recipe, faces, folder, resume=resume, watch=_watcher(bar, recipe.train.epochs))


def _watcher(bar: Progress, epochs: int) -> Watcher:
    task = bar.add_task("epoch", total=epochs)

    def watch(epoch: Epoch) -> None:
        bar.console.print(
            f"epoch {epoch.epoch + 1:3}  {epoch.size} px  loss {epoch.loss:.3f}  accuracy {epoch.accuracy:.1%}  "
            f"PublicTest {epoch.public_accuracy:.2%}  {epoch.minutes:.1f} min",
            highlight=False,
        )
        bar.update(task, completed=epoch.epoch + 1)

    return watch
