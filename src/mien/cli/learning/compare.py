"""Writes FOLDER/index.html, a self-contained page, compare.md, and every plot as PNG and SVG.

RUN is a folder written by mien train, or by mien evaluate with --out. Metrics are those of each run's test set, or of
--split. Runs evaluated on the same faces are tested against each other; the page marks others as not comparable.

Next: mien report RUN
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from mien.cli import DONE
from mien.cli.shared import require_learning
from mien.errors import OptionError


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
    from mien.evaluation import evaluated
    from mien.evaluation.reports import compare
    from mien.reproduction import story
    from mien.reproduction.claims import E_LITERATURE

    runs = [evaluated.read(folder) for folder in options.runs]
    entries = [
        compare.make_entry(run, name, options.split, curves=story.curves_of(run), **story.cost(run))
        for run, name in zip(runs, compare.name_runs(runs), strict=True)
    ]
    written = compare.write(entries, options.out, literature=E_LITERATURE)
    sys.stdout.write(f"{written.page}: {len(written.figures)} plots beside it, the same as text in compare.md\n")
    return DONE
