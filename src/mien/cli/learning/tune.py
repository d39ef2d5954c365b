"""Searches keys of RECIPE with Optuna for the best accuracy on the validation set (FER2013: PublicTest); the test set
is not used. The first trial uses the recipe's own values; unpromising trials are pruned.

--space train.rate=1e-4:1e-1:log samples a range, --space train.batch_size=16,32,64 a list of choices; give it once per
key. The same command resumes an interrupted search, and several processes with the same FOLDER share the work; --trials
is their total. Writes trials.csv, best.toml, history.png and importance.png to FOLDER.

Next: mien train FOLDER/best.toml --data DATA
"""

from __future__ import annotations

import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.cli import DONE
from mien.cli.parser import count, seed
from mien.cli.shared import chosen_recipe, data_argument, read_recipe_faces, recipe_arguments
from mien.errors import MissingExtraError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from mien.search.tune import Trial
    from mien.training.fit import Epoch


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien tune``."""
    recipe_arguments(parser)
    data_argument(parser)
    add = parser.add_argument
    add("--space", action="append", required=True, metavar="K=…", help="LOW:HIGH, LOW:HIGH:log or a,b,c; repeatable")
    add("--out", type=Path, required=True, metavar="FOLDER", help="folder of the study; an existing one is resumed")
    add("--trials", type=count, default=20, metavar="N", help="trials of all processes together (default: 20)")
    add("--seed", type=seed, default=0, metavar="N", help="seed of the sampler (default: 0)")


def run(options: Namespace) -> int:
    """Search and print the result; return the exit code."""
    try:
        from mien.search import space, tune
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra(f"mien tune (no {error.name})", "train") from error
    from mien.cli.learning.train import training_bar

    recipe = chosen_recipe(options)
    searched = space.read(options.space, recipe)
    faces = read_recipe_faces(options.data, recipe)
    with training_bar() as bar:
        task = bar.add_task("trials", total=options.trials)
        trials = tune.search(
            recipe,
            faces,
            options.out,
            searched,
            trials=options.trials,
            seed=options.seed,
            watch=lambda _number, done, epoch: _advance(bar, task, done, epoch),
            ended=lambda trial: bar.console.print(_format_trial(trial), highlight=False, markup=False),
        )
    _report(trials, [dimension.key for dimension in searched], options)
    return DONE


def _advance(bar: Progress, task: TaskID, done: float, epoch: Epoch) -> None:
    description = f"trials; epoch {epoch.epoch + 1}: {epoch.validation_accuracy:.1%}"
    bar.update(task, completed=round(done, 2), description=description)


def _format_trial(trial: Trial) -> str:
    values = "  ".join(f"{key} {_format_value(value)}" for key, value in trial.values.items())
    score = "" if trial.accuracy is None else f"{trial.accuracy:.2%}"
    line = f"trial {trial.number:3}  {trial.state:8} {score:>7}  {trial.minutes:.1f} min  {values}  {trial.reason}"
    return line.rstrip()


def _format_value(value: Any) -> str:
    if value is None:
        return "network's own"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _report(trials: Sequence[Trial], keys: Sequence[str], options: Namespace) -> None:
    """Print the recipe's own values beside the best ones, the states of all trials, and the next command."""
    from rich.console import Console
    from rich.table import Table

    from mien.search.tune import best

    top = best(trials)
    shown = [trial for trial in trials if trial.defaults and trial.counts][:1] + ([top] if top else [])
    table = Table("", "validation accuracy", *keys)
    for name, trial in zip(("the recipe's own", f"best: trial {shown[-1].number}")[-len(shown) :], shown, strict=True):
        score = trial.state if trial.accuracy is None else f"{trial.accuracy:.2%}"
        table.add_row(name, score, *(_format_value(trial.values[key]) for key in keys))
    Console().print(table)
    states = [trial.state for trial in trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    sys.stdout.write(f"Trials: {counts}\n")
    if "running" in states:
        sys.stdout.write(
            "Another process runs the remaining trials; if it has died, the same command resumes them in a minute.\n"
        )
    data = [word for path in options.data for word in ("--data", str(path))]
    best_recipe = options.out / "best.toml"
    sys.stdout.write(f"Results: {options.out}\nNext:    {shlex.join(['mien', 'train', str(best_recipe), *data])}\n")
