"""Writes a manifest with another split; its metadata records how the split was made.

--official keeps the corpus's own splits; --shares 80/20 gives train and test, 70/15/15 train, validation and test;
--folds 5 writes FILE-fold1.parquet to FILE-fold5.parquet, each with train and test. --by subject keeps each person in
one split.

Next: mien data check FILE
"""

from __future__ import annotations

import math
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from mien.cli import DONE
from mien.cli.data.index import show_counts
from mien.cli.parser import count, one_of, seed
from mien.errors import OptionError


def shares(text: str) -> tuple[float, ...]:
    """Parse ``80/20`` or ``70/15/15``, as an argparse type."""
    try:
        parts = tuple(float(part) for part in text.split("/"))
    except ValueError:
        parts = ()
    if len(parts) not in (2, 3) or not all(0 < part < math.inf for part in parts):
        raise ArgumentTypeError(f"{text!r}: expected 2 or 3 positive shares such as 80/20 or 70/15/15")
    return parts


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien data split``."""
    add = parser.add_argument
    add("manifest", type=Path, metavar="MANIFEST", help="written by mien data index")
    add("--out", type=Path, required=True, metavar="FILE", help="the new manifest")
    add("--official", action="store_true", help="the corpus's own splits, checked to be complete")
    add("--shares", type=shares, metavar="A/B", help="80/20 (train, test) or 70/15/15 (train, validation, test)")
    add("--folds", type=count, metavar="K", help="write K manifests, each with another fold as test")
    add("--by", type=one_of("image", "subject"), default="image", metavar="U", help="image (default) or subject")
    add("--seed", type=seed, default=0, metavar="N", help="seed of the draw (default: 0)")


def run(options: Namespace) -> int:
    """Split and write; return the exit code."""
    from mien.datasets import manifest, split

    chosen = [bool(options.official), options.shares is not None, options.folds is not None]
    if sum(chosen) != 1:
        raise OptionError("mien data split takes one of --official, --shares and --folds; see mien data split --help")
    whole = manifest.read(options.manifest)
    if options.folds:
        parts = split.folds(whole, options.folds, by=options.by, seed=options.seed)
    elif options.official:
        parts = [split.official(whole)]
    else:
        parts = [split.ratios(whole, options.shares, by=options.by, seed=options.seed)]
    for number, part in enumerate(parts, 1):
        name = f"{options.out.stem}-fold{number}{options.out.suffix}" if options.folds else options.out.name
        written = part.write(options.out.with_name(name))
        show_counts(part.counts())
        sys.stdout.write(f"{written}\nNext: mien data check {written}\n")
    return DONE
