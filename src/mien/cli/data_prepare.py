"""Algorithm 1 of system A: luminance grey, CLAHE (clip 2.0, 8×8 tiles), the detector's box, bicubic crop. Division by
255 follows at training and serving time. Writes DIR/crops, DIR/manifest.parquet, DIR/sheet.png and
DIR/undetected.csv. A second run, or one after an interruption, redoes nothing.

Exit codes: 0 a face in every image; 2 failed; 3 written, but some images have no face (they are listed).

Next: mien train RECIPE --data DIR/manifest.parquet
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from pathlib import Path

from mien.cli import DONE, PARTLY
from mien.cli.learning import watched
from mien.cli.parser import count, number


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien data prepare``."""
    add = parser.add_argument
    add("manifest", type=Path, metavar="MANIFEST", help="written by mien data index or mien data split")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the crops and their manifest")
    add("--detector", default="haar", metavar="D", help="haar (default, as system A), yunet, mtcnn or whole")
    add("--threshold", type=number, metavar="S", help="least score of a face (default: the detector's own)")
    add("--clahe", action=BooleanOptionalAction, default=True, help="equalise before detection (default: on)")
    add("--size", type=count, default=48, metavar="PX", help="side of the crops (default: 48)")
    add("--keep-undetected", action="store_true", help="take images without a face whole, flagged no_detection")


def run(options: Namespace) -> int:
    """Prepare, say what was found; return the exit code."""
    from mien.datasets import manifest
    from mien.datasets.prepare import prepare
    from mien.recognition.detect import get_detector

    found = prepare(
        manifest.read(options.manifest),
        options.out,
        get_detector(options.detector, threshold=options.threshold),
        clahe=options.clahe,
        size=options.size,
        keep_undetected=options.keep_undetected,
        watch=lambda rows: watched(rows, "detecting"),
    )
    sys.stdout.write(
        f"{found.manifest}: a face in {found.detected} images ({found.fresh} looked at in this run)\n{found.sheet}\n"
        f"Next: mien train RECIPE --data {found.manifest}\n"
    )
    if found.undetected:
        sys.stderr.write(f"mien: no face in {found.undetected} images, all in {found.listed}\n")
    return PARTLY if found.undetected else DONE
