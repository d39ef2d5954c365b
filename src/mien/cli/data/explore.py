"""Writes DIR/index.html, a self-contained page, and every plot as PNG and SVG.

Next: mien data clean MANIFEST --out DIR
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from mien.cli import DONE
from mien.cli.parser import count, seed
from mien.cli.shared import watched


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien data explore``."""
    add = parser.add_argument
    add("manifest", type=Path, metavar="MANIFEST", help="written by mien data index or mien data split")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the page and the plots")
    add("--sample", type=count, default=3000, metavar="N", help="images in the principal components (default: 3000)")
    add("--seed", type=seed, default=0, metavar="N", help="seed of the random samples (default: 0)")


def run(options: Namespace) -> int:
    """Explore and print the path of the page; return the exit code."""
    from mien.datasets import manifest
    from mien.datasets.quality.explore import explore

    explored = explore(
        manifest.read(options.manifest),
        options.out,
        problems=options.manifest.with_name(options.manifest.name + ".problems.csv"),
        sample=options.sample,
        seed=options.seed,
        watch=lambda rows: watched(rows, "measuring"),
    )
    sys.stdout.write(
        f"{explored.page}: {explored.facts['images']} images, imbalance ratio {explored.facts['imbalance']:.1f}\n"
    )
    sys.stdout.write(f"{len(explored.figures)} plots beside it\nNext: mien data clean {options.manifest} --out DIR\n")
    return DONE
