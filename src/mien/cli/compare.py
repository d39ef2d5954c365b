"""Writes FOLDER/index.html, one page that holds all its pictures, compare.md, and every figure as PNG and SVG.

RUN is a folder that mien train wrote, or that mien evaluate wrote with --out. The figures are of each run's test part,
or of the --split asked for. Runs that answered the same faces are tested against each other; of others the page says
that they are not comparable.

Next: mien report RUN
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from mien.cli import DONE
from mien.cli.learning import require_learning
from mien.errors import OptionError


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien compare``."""
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN", help="run folders, or what mien evaluate --out wrote")
    add("--out", type=Path, required=True, metavar="FOLDER", help="where the page and the figures go")
    add("--split", default="", metavar="S", help="the part of the figures (default: the test part, if it was answered)")


def run(options: Namespace) -> int:
    """Write the page, say where it is; return the exit code."""
    require_learning("compare")
    if options.out.is_file():
        raise OptionError(f"--out {options.out}: expected a folder, into which index.html is written.")
    from mien.evaluation import compare, evaluated
    from mien.learning import story
    from mien.learning.claims import E_LITERATURE

    found = [evaluated.read(each) for each in options.runs]
    entries = [
        compare.make_entry(each, name, options.split, curves=story.curves_of(each), **story.cost(each))
        for each, name in zip(found, compare.name_runs(found), strict=True)
    ]
    written = compare.write(entries, options.out, literature=E_LITERATURE)
    sys.stdout.write(f"{written.page}: {len(written.figures)} figures beside it, the same as text in compare.md\n")
    return DONE
