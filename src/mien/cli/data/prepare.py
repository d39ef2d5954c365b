"""Algorithm 1 of system A: luminance grey, CLAHE (clip 2.0, 8×8 tiles), the detector's box, bicubic crop. Division by
255 follows at training and serving time. Writes DIR/crops, DIR/manifest.parquet, DIR/sheet.png and
DIR/undetected.csv. An interrupted run resumes, and a second run repeats nothing.

Exit codes: 0 a face in every image; 2 failed; 3 written, but some images without a face are listed.

Next: mien train RECIPE --data DIR/manifest.parquet
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from pathlib import Path

from mien.cli import DONE, PARTLY
from mien.cli.parser import count, detector_argument, number
from mien.cli.shared import watched
from mien.cli.words import counted


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien data prepare``."""
    add = parser.add_argument
    add("manifest", type=Path, metavar="MANIFEST", help="written by mien data index or mien data split")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the crops and their manifest")
    add("--framed", action="store_true", help="crop each face as mien predict does, in colour, into one array")
    detector_argument(parser, None, "default: haar, as system A; with --framed yunet")
    add("--threshold", type=number, metavar="S", help="minimum score of a face (default: the detector's own)")
    add("--clahe", action=BooleanOptionalAction, help="equalise before detection (default: on; off with --framed)")
    colour = parser.add_mutually_exclusive_group()
    colour.add_argument("--colour", action="store_true", default=None, help="RGB crops (default with --framed)")
    colour.add_argument("--grey", action="store_false", dest="colour", help="luminance crops (default)")
    add("--size", type=count, metavar="PX", help="side of the crops (default: 48, with --framed 112)")
    add(
        "--keep-undetected",
        action=BooleanOptionalAction,
        help="keep images without a face whole, flagged no_detection (default: off; on with --framed)",
    )
    add("--store", choices=("png", "array"), help="one PNG per crop (default), or one array (default with --framed)")
    add(
        "--workers", type=count, default=1, metavar="N", help="processes; the result does not depend on it (default: 1)"
    )


def run(options: Namespace) -> int:
    """Prepare and print the result; return the exit code."""
    from mien.datasets import manifest
    from mien.datasets.prepare import prepare
    from mien.recognition.detection.detect import get_detector

    framed = options.framed
    prepared = prepare(
        manifest.read(options.manifest),
        options.out,
        get_detector(options.detector or ("yunet" if framed else "haar"), threshold=options.threshold),
        clahe=_default_to(options.clahe, not framed),
        size=options.size or (112 if framed else 48),
        keep_undetected=_default_to(options.keep_undetected, framed),
        framed=framed,
        interpolation="area" if framed else "bicubic",
        colour=_default_to(options.colour, framed),
        store=options.store or ("array" if framed else "png"),
        workers=options.workers,
        watch=lambda rows: watched(rows, "detecting"),
    )
    sys.stdout.write(
        f"{prepared.manifest}: a face in {counted(prepared.detected, 'image')} ({prepared.fresh} processed now)\n"
        f"{prepared.sheet}\n"
        f"Next: mien train RECIPE --data {prepared.manifest}\n"
    )
    if prepared.undetected:
        sys.stderr.write(f"mien: no face in {counted(prepared.undetected, 'image')}, all in {prepared.listed}\n")
    return PARTLY if prepared.undetected else DONE


def _default_to(given: bool | None, default: bool) -> bool:
    return default if given is None else given
