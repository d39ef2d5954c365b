"""Writes RUN/report/index.html, a self-contained page, report.md, and every plot as PNG and SVG.

RUN is a folder written by mien train, or by mien evaluate with --out. Only its recipe.json, history.csv, metrics.json
and predictions.parquet are read. Metrics are those of the test set, or of --split.

Next: mien compare RUN OTHER --out compared
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from mien.cli import DONE
from mien.cli.parser import seed
from mien.cli.shared import require_learning
from mien.errors import OptionError


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien report``."""
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN", help="a run folder, or what mien evaluate --out wrote")
    add("--out", type=Path, metavar="FOLDER", help="output folder, for one RUN (default: RUN/report)")
    add("--split", default="", metavar="S", help="the split to report on (default: the test set, if it was scored)")
    add("--samples", type=parse_classes, default=[], metavar="CLASSES",
        help="classes whose faces are shown with probabilities: disgust,fear (default: the two weakest)")  # fmt: skip
    add("--seed", type=seed, default=0, metavar="N", help="seed of the random choice of these faces (default: 0)")


def parse_classes(text: str) -> list[str]:
    """Parse comma-separated names, as an argparse type."""
    return [name.strip() for name in text.split(",") if name.strip()]


def run(options: Namespace) -> int:
    """Write the pages and print their paths; return the exit code."""
    require_learning("report")
    if options.out and len(options.runs) > 1:
        raise OptionError(f"--out is one folder for {len(options.runs)} runs; leave it out, or report on one run.")
    if options.out and options.out.is_file():
        raise OptionError(f"--out {options.out}: expected a folder for index.html; this is a file.")
    for folder in options.runs:
        _write_report(folder, options.out or folder / "report", options)
    return DONE


def _write_report(run: Path, out: Path, options: Namespace) -> None:
    from mien.evaluation import evaluated
    from mien.evaluation.reports import report
    from mien.reproduction import story

    evaluation = evaluated.read(run)
    known = story.background(evaluation)
    written = report.write(
        evaluation, out, split=options.split, samples=options.samples, seed=options.seed, background=known
    )
    sys.stdout.write(f"{written.page}: {len(written.figures)} plots beside it, the same as text in report.md\n")
    for note in known.notes:
        sys.stdout.write(f"{note}\n")
