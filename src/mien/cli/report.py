"""Writes RUN/report/index.html, one page that holds all its pictures, report.md, and every figure as PNG and SVG.

RUN is a folder that mien train wrote, or that mien evaluate wrote with --out. Nothing else is read: recipe.json,
history.csv, metrics.json and predictions.parquet in it. The figures are of the test part, or of the --split asked for.

Next: mien compare RUN OTHER --out compared
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from mien.cli import DONE
from mien.cli.learning import require_learning
from mien.cli.parser import seed
from mien.errors import OptionError


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien report``."""
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN", help="a run folder, or what mien evaluate --out wrote")
    add("--out", type=Path, metavar="FOLDER", help="where the page goes, for one RUN (default: RUN/report)")
    add("--split", default="", metavar="S", help="the part of the figures (default: the test part, if it was answered)")
    add("--samples", type=classes, default=[], metavar="CLASSES",
        help="classes whose faces are shown with probabilities: disgust,fear (default: two weakest)")  # fmt: skip
    add("--seed", type=seed, default=0, metavar="N", help="seed by which these faces are drawn (default: 0)")


def classes(text: str) -> list[str]:
    """Read names with commas between them, as an argparse type."""
    return [name.strip() for name in text.split(",") if name.strip()]


def run(options: Namespace) -> int:
    """Write the pages, say where they are; return the exit code."""
    require_learning("report")
    if options.out and len(options.runs) > 1:
        raise OptionError(f"--out is one folder for {len(options.runs)} runs; leave it out, or report on one run.")
    if options.out and options.out.is_file():
        raise OptionError(f"--out {options.out}: expected a folder, into which index.html is written.")
    for each in options.runs:
        _one(each, options.out or each / "report", options)
    return DONE


def _one(run: Path, out: Path, options: Namespace) -> None:
    from mien.evaluation import evaluated, report
    from mien.learning import story

    found = evaluated.read(run)
    known = story.background(found)
    written = report.write(
        found, out, split=options.split, samples=options.samples, seed=options.seed, background=known
    )
    sys.stdout.write(f"{written.page}: {len(written.figures)} figures beside it, the same as text in report.md\n")
    for note in known.notes:
        sys.stdout.write(f"{note}\n")
