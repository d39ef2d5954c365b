"""Shared by the training and evaluation verbs: recipe and data options, progress bars, tables of metrics."""

from __future__ import annotations

import sys
import tomllib
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import MissingExtraError

if TYPE_CHECKING:
    from mien.datasets.faces import FaceSet
    from mien.labels import Scheme
    from mien.recipes.recipe import AnyRecipe, Recipe


def recipe_arguments(parser: ArgumentParser) -> None:
    """Declare RECIPE, ``--budget`` and ``--set``."""
    add = parser.add_argument
    add("recipe", metavar="RECIPE", help="a recipe of the package by its name, or a file (.toml)")
    add("--budget", default="", metavar="NAME", help="a variant of the recipe, such as 2core or smoke")
    add("--set", type=setting, action="append", default=[], metavar="K=V", help="change a key, such as train.rate=0.01")


def setting(text: str) -> tuple[str, Any]:
    """Parse ``train.rate=0.01`` into a key and a TOML value, as an argparse type; bare words are strings."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ArgumentTypeError(f"{text!r}: expected KEY=VALUE, such as train.rate=0.01")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value


def chosen_recipe(options: Namespace) -> Recipe:
    """Load the network recipe that the options of ``recipe_arguments`` name."""
    from mien.recipes import recipe

    loaded = recipe.load(options.recipe, options.budget)
    return loaded.with_values(dict(options.set)) if options.set else loaded


def any_recipe(options: Namespace) -> AnyRecipe:
    """Load the recipe, of any kind, that the options of ``recipe_arguments`` name."""
    from mien.recipes import recipe

    loaded = recipe.load_any(options.recipe, options.budget)
    return loaded.with_values(dict(options.set)) if options.set else loaded


def data_argument(parser: ArgumentParser, *, required: bool = True) -> None:
    """Declare the repeatable option ``--data``."""
    parser.add_argument(
        "--data",
        type=Path,
        required=required,
        action="append",
        metavar="DATA",
        help="a manifest (.parquet), or a corpus: CSV, folder, zip or tar; repeatable, faces are pooled",
    )


def read_faces(paths: Path | Sequence[Path], scheme: Scheme | None = None, *, colour: bool = False) -> FaceSet:
    """Load manifests or corpora of known formats, with a progress bar on stderr.

    Args:
        paths: one or several.
        scheme: None takes the smallest label set that contains all labels.
        colour: keep colour, for networks with colour input.
    """
    from mien.datasets import faces

    return faces.load(paths, scheme, watch=lambda rows: watched(rows, "reading"), colour=colour)


def read_recipe_faces(paths: Path | Sequence[Path], recipe: AnyRecipe) -> FaceSet:
    """Load the faces that a recipe trains on; of a recipe for few faces only as many as it can need."""
    from mien.datasets import faces

    table = recipe.data
    return faces.load(
        paths,
        table.label_scheme(),
        watch=lambda rows: watched(rows, "reading"),
        colour=not recipe.preprocess.grey,
        limit=table.reading_limit,
        seed=table.seed,
        memory=table.memory,
    )


def watched(rows: Iterable[Any], task: str) -> Iterable[Any]:
    """Wrap an iterable of unknown length in a progress bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    # Without a terminal, Rich would end the bar with an empty line among the errors.
    return track(rows, task, console=console, transient=True) if console.is_terminal else rows


def require_learning(verb: str) -> None:
    """Raise ``MissingExtraError`` if scikit-learn, which computes the metrics, is not installed."""
    from importlib.util import find_spec

    if find_spec("sklearn") is None:
        raise MissingExtraError.for_extra(f"mien {verb}", "train")


def show_metrics(metrics: dict[str, Any]) -> None:
    """Print a model file's main metrics as a table."""
    from rich.console import Console
    from rich.table import Table

    from mien.recognition.model_files.card import figures, scored

    table = Table("split", "faces", "accuracy", "95 % interval", "macro F1", "ECE")
    for name, values in scored(metrics).items():
        table.add_row(name.replace("_", " "), *figures(values))
    Console().print(table)


def show_folds(folder: Path) -> None:
    """Write the files of the folds in ``folder`` and print their metrics, mean ± deviation and intervals."""
    from rich.console import Console
    from rich.table import Table

    from mien.evaluation.reports import folds_table

    result = folds_table.write(folder)
    table = Table(*folds_table.HEAD)
    for row in folds_table.format_rows(result):
        table.add_row(*row)
    Console().print(table)
    sys.stdout.write(f"Intervals: over {result.groups:,} {_GROUPS[result.grouped_by]}.\n")


_GROUPS = {
    "subject": "people, each with all faces",
    "session": "sessions, each with all frames",
    "face": "faces, as the data names no people: faces of one person may be in several folds",
}


def show_seeds(folder: Path) -> None:
    """Write the files of the seeds in ``folder`` and print their mean ± deviation and intervals."""
    from rich.console import Console
    from rich.table import Table

    from mien.evaluation.reports import seeds_table

    results = seeds_table.write(folder)
    table = Table(f"{next(iter(results.values())).runs} seeds", *seeds_table.HEAD[1:])
    for row in seeds_table.format_rows(results):
        table.add_row(*row)
    Console().print(table)
