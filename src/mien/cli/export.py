"""Writes RUN/model.onnx anew from the best checkpoint of a run that `mien train` made, finished or cut off.

The file is compared with PyTorch on real faces, its temperature fitted on the validation part, and the test part
scored; each scoring is counted in RUN/metrics.json.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from mien.cli import DONE
from mien.cli.learning import data_argument, read_faces, show_figures
from mien.errors import MissingExtraError


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien export``."""
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    data_argument(parser)


def run(options: Namespace) -> int:
    """Export the run; return the exit code."""
    try:
        from mien.learning.export import export, recipe_of
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra(f"mien export (no {error.name})", "train") from error
    scheme = recipe_of(options.run).data.scheme
    bundle = export(options.run, read_faces(options.data, scheme))
    show_figures(bundle.metrics)
    sys.stdout.write(f"\nModel: {options.run / 'model.onnx'} (sha256 {bundle.digest})\n")
    return DONE
