"""Trains a fresh network of RECIPE for a few hundred steps while the learning rate rises, and suggests the rate at
which the loss has fallen half of its way. FOLDER/rate.png has the curve, FOLDER/rate.csv its numbers; no weights are
kept.

Next: mien train RECIPE --data DATA --set train.rate=…
"""

from __future__ import annotations

import shlex
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from mien.cli import DONE
from mien.cli.parser import count, number
from mien.cli.shared import chosen_recipe, data_argument, read_recipe_faces, recipe_arguments
from mien.errors import MissingExtraError

_NO_MINIMUM = (
    "No minimum: the loss does not rise again up to the highest rate, so a higher rate may be better. Run again with a "
    "higher --high.\n"
)


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien find-rate``."""
    recipe_arguments(parser)
    data_argument(parser)
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="FOLDER", help="folder for rate.csv and rate.png")
    add("--low", type=number, default=1e-6, metavar="RATE", help="first rate (default: 1e-6)")
    add("--high", type=number, default=1.0, metavar="RATE", help="last rate (default: 1)")
    add("--steps", type=count, default=200, metavar="N", help="batches between the two (default: 200)")


def run(options: Namespace) -> int:
    """Run the test, print both rates; return the exit code."""
    try:
        from mien.search import rate
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra(f"mien find-rate (no {error.name})", "train") from error
    from mien.cli.learning.train import training_bar

    recipe = chosen_recipe(options)
    faces = read_recipe_faces(options.data, recipe)
    with training_bar() as bar:
        task = bar.add_task("step", total=options.steps)
        curve = rate.find(
            recipe,
            faces,
            low=options.low,
            high=options.high,
            steps=options.steps,
            watch=lambda done, _rate, _loss: bar.update(task, completed=done),
        )
    table, picture = rate.write(curve, options.out, recipe.name)
    ends = {"rose": "the loss rose too far", "not finite": "the loss was not finite"}.get(
        curve.stopped, "all steps done"
    )
    sys.stdout.write(
        f"Suggested rate: {curve.suggestion:.1e}, where the loss has fallen half of the way to its minimum\n"
        f"For comparison: {curve.tenth:.1e}, a tenth of the rate with the lowest loss\n"
        f"Tested: {curve.rates[0]:.1e} to {curve.rates[-1]:.1e} ({ends})\n"
        f"{'' if curve.has_valley else _NO_MINIMUM}"
        f"Curve:  {picture}, {table}\nNext:   {_next(options, curve.suggestion)}\n"
    )
    return DONE


def _next(options: Namespace, suggestion: float) -> str:
    """Return the training command with the same recipe, data and settings."""
    words = ["mien", "train", options.recipe]
    words += [word for path in options.data for word in ("--data", str(path))]
    words += ["--budget", options.budget] if options.budget else []
    words += [word for key, value in options.set if key != "train.rate" for word in ("--set", f"{key}={_toml(value)}")]
    return shlex.join([*words, "--set", f"train.rate={suggestion:.1e}"])


def _toml(value: object) -> str:
    """Format a value for ``--set``."""
    return str(value).lower() if isinstance(value, bool) else str(value)
