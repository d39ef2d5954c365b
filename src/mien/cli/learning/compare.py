"""Writes FOLDER/index.html, a self-contained page, compare.md, every plot as PNG and SVG, tables as CSV and LaTeX.

RUN is a folder written by mien train, or by mien evaluate with --out; one of mien train --seeds is one model, with
mean, deviation and interval over its seeds. Metrics are those of each run's test set, or of --split. Runs evaluated on
the same faces are tested against each other; the page marks others as not comparable.

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
    from mien.evaluation import seeds
    from mien.evaluation.reports import compare
    from mien.reproduction import story
    from mien.reproduction.claims import E_LITERATURE

    models = [seeds.read(folder) for folder in options.runs]
    entries = [
        compare.make_entry(runs, name, options.split, curves=story.curves_of(runs[0]), **story.cost(runs[0]))
        for runs, name in zip(models, compare.name_runs([runs[0] for runs in models]), strict=True)
    ]
    literature = {"System E" if name == "proposed" else name: value for name, value in E_LITERATURE.items()}
    written = compare.write(entries, options.out, literature=literature)
    sys.stdout.write(f"{written.page}: {len(written.figures)} plots beside it, the same as text in compare.md\n")
    return DONE
