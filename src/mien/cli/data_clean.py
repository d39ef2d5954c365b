"""Writes DIR/index.html with the suspects and DIR/review.csv with a proposal for each: drop, relabel or keep.

Non-faces are told by a detector, doubtful labels by confident learning on out-of-fold predictions. Where the manifest
has FER+ votes (mien data index --votes), precision, recall and AUC of both are printed. Only the training side is
cleaned, unless --split names another.

Next: edit review.csv, then mien data apply-review MANIFEST DIR/review.csv OUT
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from math import isnan
from pathlib import Path

from mien.cli import DONE
from mien.cli.learning import require_learning, watched
from mien.cli.parser import number, seed
from mien.cli.words import counted

_LEAST = 0.01


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien data clean``."""
    add = parser.add_argument
    add("manifest", type=Path, metavar="MANIFEST", help="written by mien data index or mien data split")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the page and review.csv")
    add("--detector", default="yunet", metavar="D", help="yunet (default), haar or mtcnn")
    add("--split", action="append", metavar="S", help="a split to clean (repeatable; default: the training side)")
    add("--face", type=number, default=0.05, metavar="P", help="below this score an image is no face (default: 0.05)")
    add("--relabel", type=number, default=0.8, metavar="P", help="least probability of a new label (default: 0.8)")
    add("--drop", type=number, default=0.05, metavar="P", help="drop doubtful labels less probable (default: 0.05)")
    add("--seed", type=seed, default=0, metavar="N", help="seed of the folds (default: 0)")


def run(options: Namespace) -> int:
    """Score, write, print the referee's figures; return the exit code."""
    require_learning("data clean")
    from mien.datasets import manifest
    from mien.datasets.clean import clean
    from mien.recognition.detect import get_detector

    found = clean(
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
    told = [
        f"{found.page}: {counted(found.rows, 'image')} looked at",
        f"proposed: {found.drop} to drop, {found.non_faces} of them as non-faces; {found.relabel} to relabel",
        f"doubtful, for you to decide: {found.keep}",
    ]
    for name, values in found.referee.items():
        told.append(f"FER+ {name}: " + ", ".join(_told(*pair) for pair in values.items() if not isnan(pair[1])))
    told.append(f"Next: edit {found.review}, then mien data apply-review {options.manifest} {found.review} OUT")
    sys.stdout.write("".join(f"{line}\n" for line in told))
    return DONE


def _told(name: str, value: float) -> str:
    return f"{name} {value}" if isinstance(value, int) else f"{name} {value:.3f}"
