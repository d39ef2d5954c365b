"""Trains a published system's recipes on the given corpora and writes OUT/A.md and so on.

Each page compares the published claims with the measured results, explains the differences, and recomputes the paper's
own statements. A needs CK+48 and frontal KDEF photographs, B to E need FER2013. Training runs are kept in OUT: an
interrupted one is resumed, a finished one only gets its page. --budget 2core takes hours, not days.

Next: open OUT/A.md
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path

from mien.cli import DONE
from mien.cli.learning.train import epoch_watcher, training_bar
from mien.cli.parser import one_of
from mien.cli.shared import data_argument, watched
from mien.errors import MissingExtraError


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien reproduce``."""
    add = parser.add_argument
    add("system", type=one_of("A", "B", "C", "D", "E", "all"), metavar="SYSTEM", help="A, B, C, D, E or all")
    data_argument(parser)
    add("--out", type=Path, default=Path("reproduced"), metavar="OUT", help="folder (default: reproduced)")
    add("--page-only", action="store_true", help="train nothing, only write the page of existing runs")
    add("--budget", default="", metavar="NAME", help="a variant of the recipes: 2core or smoke")


def run(options: Namespace) -> int:
    """Reproduce; return the exit code."""
    try:
        from mien.reproduction.reproduce import reproduce
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra(f"mien reproduce (no {error.name})", "train") from error
    for system in "ABCDE" if options.system == "all" else options.system:
        with training_bar() as bar:
            page = reproduce(
                system,
                options.data,
                options.out,
                budget=options.budget,
                train=not options.page_only,
                watch=partial(epoch_watcher, bar),
                reading=lambda rows: watched(rows, "reading"),
            )
        sys.stdout.write(f"{page}\n")
    return DONE
