"""Writes DIR/index.html with suspicious images and DIR/review.csv with a proposal for each: drop, relabel or keep.

Non-faces are found by a detector, doubtful labels by confident learning on out-of-fold predictions. If the manifest has
FER+ votes (mien data index --votes), precision, recall and AUC of both are printed. Only the training split is cleaned
unless --split names another.

Next: edit review.csv, then mien data apply-review MANIFEST DIR/review.csv OUT
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from math import isnan
from pathlib import Path

from mien.cli import DONE
from mien.cli.parser import detector_argument, number, seed
from mien.cli.shared import require_learning, watched
from mien.cli.words import counted

_LEAST = 0.01


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien data clean``."""
    add = parser.add_argument
    add("manifest", type=Path, metavar="MANIFEST", help="written by mien data index or mien data split")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the page and review.csv")
    detector_argument(parser)
    add("--split", action="append", metavar="S", help="a split to clean (repeatable; default: the training split)")
    add(
        "--face", type=number, default=0.05, metavar="P", help="images with a lower score are non-faces (default: 0.05)"
    )
    add("--relabel", type=number, default=0.8, metavar="P", help="minimum probability of a new label (default: 0.8)")
    add(
        "--drop",
        type=number,
        default=0.05,
        metavar="P",
        help="drop doubtful labels below this probability (default: 0.05)",
    )
    add("--seed", type=seed, default=0, metavar="N", help="seed of the folds (default: 0)")


def run(options: Namespace) -> int:
    """Score, write, and print the metrics against FER+; return the exit code."""
    require_learning("data clean")
    from mien.datasets import manifest
    from mien.datasets.quality.clean import clean
    from mien.recognition.detection.detect import get_detector

    cleaned = clean(
        manifest.read(options.manifest),
        options.out,
        get_detector(options.detector, threshold=_LEAST),
        splits=options.split,
        face=options.face,
        relabel=options.relabel,
        drop=options.drop,
        seed=options.seed,
        watch=watched,
    )
    lines = [
        f"{cleaned.page}: {counted(cleaned.rows, 'image')} checked",
        f"proposed: {cleaned.drop} to drop, {cleaned.non_faces} of them as non-faces; {cleaned.relabel} to relabel",
        f"doubtful, for you to decide: {cleaned.keep}",
    ]
    for name, values in cleaned.referee.items():
        lines.append(f"FER+ {name}: " + ", ".join(_format(*pair) for pair in values.items() if not isnan(pair[1])))
    lines.append(f"Next: edit {cleaned.review}, then mien data apply-review {options.manifest} {cleaned.review} OUT")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return DONE


def _format(name: str, value: float) -> str:
    return f"{name} {value}" if isinstance(value, int) else f"{name} {value:.3f}"
