"""Writes RUN/model.onnx anew from the best checkpoint of a run that `mien train` made, finished or cut off.

The file is compared with PyTorch on real faces, its temperature fitted on the validation part, and the test part
scored; each scoring is counted in RUN/metrics.json.

With --int8 the run's model.onnx is quantised instead: RUN/model-int8.onnx is a quarter of its size, and scored in
RUN/metrics-int8.json, which also says how often both answer the same.
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
    parser.add_argument("--int8", action="store_true", help="quantise RUN/model.onnx to RUN/model-int8.onnx")


def run(options: Namespace) -> int:
    """Export the run; return the exit code."""
    try:
        from mien.learning.export import export, recipe_of
        from mien.learning.quantise import FILE, quantise
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra(f"mien export (no {error.name})", "train") from error
    scheme = recipe_of(options.run).data.scheme
    work, name = (quantise, FILE) if options.int8 else (export, "model.onnx")
    bundle = work(options.run, read_faces(options.data, scheme))
    show_figures(bundle.metrics)
    if options.int8:
        sys.stdout.write(f"\nAnswers as model.onnx does: {bundle.metrics['agreement']:.1%} of the validation part\n")
    sys.stdout.write(f"\nModel: {options.run / name} (sha256 {bundle.digest})\n")
    return DONE
