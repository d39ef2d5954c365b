"""What the verbs of the learning half share: recipe and data options, reading with a bar, tables of figures."""

from __future__ import annotations

import tomllib
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import MissingExtraError

if TYPE_CHECKING:
    from mien.datasets.faces import FaceSet
    from mien.labels import Scheme
    from mien.learning.recipe import AnyRecipe, Recipe


def recipe_arguments(parser: ArgumentParser) -> None:
    """Declare RECIPE, ``--budget`` and ``--set``."""
    add = parser.add_argument
    add("recipe", metavar="RECIPE", help="a recipe of the package by its name, or a file (.toml)")
    add("--budget", default="", metavar="NAME", help="the recipe's variant of that name, such as 2core or smoke")
    add("--set", type=setting, action="append", default=[], metavar="K=V", help="change a key, as train.rate=0.01")


def setting(text: str) -> tuple[str, Any]:
    """Read ``train.rate=0.01`` as a key and a TOML value, as an argparse type; bare words are strings."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ArgumentTypeError(f"{text!r}: expected KEY=VALUE, such as train.rate=0.01")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value


def chosen_recipe(options: Namespace) -> Recipe:
    """Return the network's recipe that the options of ``recipe_arguments`` name."""
    from mien.learning import recipe

    found = recipe.load(options.recipe, options.budget)
    return found.with_values(dict(options.set)) if options.set else found


def any_recipe(options: Namespace) -> AnyRecipe:
    """Return the recipe of any kind that the options of ``recipe_arguments`` name."""
    from mien.learning import recipe

    found = recipe.load_any(options.recipe, options.budget)
    return found.with_values(dict(options.set)) if options.set else found


def data_argument(parser: ArgumentParser, *, required: bool = True) -> None:
    """Declare ``--data``, which may be given several times."""
    parser.add_argument(
        "--data",
        type=Path,
        required=required,
        action="append",
        metavar="DATA",
        help="a manifest (.parquet), or a corpus: CSV, folder, zip or tar; several are put together",
    )


def read_faces(paths: Path | Sequence[Path], scheme: Scheme | None = None, *, colour: bool = False) -> FaceSet:
    """Read manifests or any corpora with a known layout, with a progress bar on stderr.

    scheme: None takes the smallest label set that holds all labels.  colour: keep it, for a network that is shown it.
    """
    from mien.datasets import faces

    return faces.load(paths, scheme, watch=lambda rows: watched(rows, "reading"), colour=colour)


def watched(rows: Iterable[Any], task: str) -> Iterable[Any]:
    """Wrap an iterable of unknown length in a progress bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    # Rich ends a bar that nobody sees with an empty line, which would stand among the errors.
    return track(rows, task, console=console, transient=True) if console.is_terminal else rows


def require_learning(verb: str) -> None:
    """Raise ``MissingExtraError`` if scikit-learn, which computes the figures, is not installed."""
    from importlib.util import find_spec

    if find_spec("sklearn") is None:
        raise MissingExtraError.for_extra(f"mien {verb}", "train")


def show_figures(metrics: dict[str, Any]) -> None:
    """Print a model file's headline figures as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("split", "faces", "accuracy", "95 % interval", "macro F1", "ECE")
    for name, values in scored(metrics).items():
        table.add_row(name.replace("_", " "), *figures(values))
    Console().print(table)


def show_spread(runs: Sequence[dict[str, Any]]) -> None:
    """Print mean ± standard deviation of accuracy and macro F1 over several runs' headline figures."""
    from rich.console import Console
    from rich.table import Table

    from mien.learning.runs import spread

    table = Table(f"{len(runs)} seeds", "accuracy", "macro F1")
    for name in scored(runs[0]):
        f1 = spread(runs, name, "macro_f1")
        table.add_row(name.replace("_", " "), str(spread(runs, name)), f"{f1.mean:.3f} ± {f1.deviation:.3f}")
    Console().print(table)


def scored(metrics: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the entries of headline figures that are a part's scores."""
    return {name: values for name, values in metrics.items() if isinstance(values, dict) and "macro_f1" in values}


def figures(values: dict[str, Any]) -> tuple[str, ...]:
    """Return faces, accuracy, interval, macro F1 and ECE as a table shows them."""
    low, high = values["interval"]
    return (
        str(values["faces"]),
        f"{values['accuracy']:.2%}",
        f"{low:.1%} – {high:.1%}",
        f"{values['macro_f1']:.3f}",
        f"{values['ece']:.3f}",
    )
