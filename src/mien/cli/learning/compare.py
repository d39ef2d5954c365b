"""Writes FOLDER/index.html, a self-contained page, compare.md, every plot as PNG and SVG, tables as CSV and LaTeX.

RUN is a folder written by mien train, or by mien evaluate with --out. One of mien train --seeds is one model, with
mean, deviation and interval over its seeds; one of mien train --folds is one model on all faces. Metrics are those of
each run's test set, or of --split. Runs evaluated on the same faces are tested against each other; the page marks
others as not comparable.

Next: mien report RUN
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli import DONE
from mien.cli.shared import require_learning
from mien.errors import OptionError

if TYPE_CHECKING:
    from mien.evaluation.evaluated import Evaluated
    from mien.evaluation.reports.compare import Entry


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien compare``."""
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN", help="run folders, or what mien evaluate --out wrote")
    add("--out", type=Path, required=True, metavar="FOLDER", help="where the page and the plots go")
    add("--split", default="", metavar="S", help="the split to compare (default: the test set, if it was scored)")


def run(options: Namespace) -> int:
    """Write the page and print its path; return the exit code."""
    require_learning("compare")
    if options.out.is_file():
        raise OptionError(f"--out {options.out}: expected a folder for index.html; this is a file.")
    from mien.evaluation.reports import compare
    from mien.reproduction.claims import E_LITERATURE

    models = [_Model.read(folder, options.split) for folder in options.runs]
    names = compare.name_runs([model.first for model in models])
    entries = [model.to_entry(name, options.split) for model, name in zip(models, names, strict=True)]
    literature = {"System E" if name == "proposed" else name: value for name, value in E_LITERATURE.items()}
    written = compare.write(entries, options.out, literature=literature)
    sys.stdout.write(f"{written.page}: {len(written.figures)} plots beside it, the same as text in compare.md\n")
    return DONE


@dataclass(frozen=True)
class _Model:
    """What a folder holds.

    Attributes:
        runs: one run, or several seeds; a cross-validation as one.
        first: the run that has the name, the curves and the cost.
        folds: number of folds; 0 for runs.
    """

    runs: tuple[Evaluated, ...]
    first: Evaluated
    folds: int = 0

    @classmethod
    def read(cls, folder: Path, split: str) -> _Model:
        from mien.evaluation import folds, seeds

        if not folds.is_cross_validation(folder):
            runs = seeds.read(folder)
            return cls(runs, runs[0])
        if split:
            raise OptionError(
                f"{folder} is a cross-validation, compared on the faces of all its test sets: omit --split."
            )
        parts = folds.read(folder)
        return cls((folds.as_one(folder, parts),), parts[0], len(parts))

    def to_entry(self, name: str, split: str) -> Entry:
        from mien.evaluation.reports import compare
        from mien.reproduction import story

        known = {"curves": story.curves_of(self.first), **story.cost(self.first)}
        return compare.make_entry(self.runs, name, split, folds=self.folds, **known)
