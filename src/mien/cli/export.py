"""Writes RUN/model.onnx anew from the best checkpoint of a run that `mien train` made, finished or cut off.

The file is compared with PyTorch on real faces, its temperature fitted on the validation part, and the test part
scored; each scoring is counted in RUN/metrics.json.

With --int8 the run's model.onnx is quantised instead: RUN/model-int8.onnx is a quarter of its size, and scored in
RUN/metrics-int8.json, which also says how often both answer the same.

With --c the int8 model is written as portable C99 for microcontrollers: FOLDER/mien_model.h and mien_model.c. RUN may
then be a model file, and no data is needed.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from mien.cli import DONE
from mien.cli.learning import data_argument, read_faces, show_figures
from mien.errors import MissingExtraError, OptionError


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien export``."""
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    data_argument(parser, required=False)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--int8", action="store_true", help="quantise RUN/model.onnx to RUN/model-int8.onnx")
    form.add_argument("--c", type=Path, metavar="FOLDER", help="write RUN/model-int8.onnx as C99 into FOLDER")


def run(options: Namespace) -> int:
    """Export the run; return the exit code."""
    try:
        return _write_c(options.run, options.c) if options.c else _export(options)
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra(f"mien export (no {error.name})", "train") from error


def _export(options: Namespace) -> int:
    from mien.learning.export import export, recipe_of
    from mien.learning.quantise import FILE, quantise

    if not options.data:
        raise OptionError(f"mien export {options.run} needs --data DATA, the corpus that the run was trained on.")
    scheme = recipe_of(options.run).data.scheme
    work, name = (quantise, FILE) if options.int8 else (export, "model.onnx")
    bundle = work(options.run, read_faces(options.data, scheme))
    show_figures(bundle.metrics)
    if options.int8:
        sys.stdout.write(f"\nAnswers as model.onnx does: {bundle.metrics['agreement']:.1%} of the validation part\n")
    sys.stdout.write(f"\nModel: {options.run / name} (sha256 {bundle.digest})\n")
    return DONE


def _write_c(model: Path, folder: Path) -> int:
    from mien.learning.portable_c import HEADER, SOURCE, write

    written = write(model, folder)
    measured = written.measured
    sys.stdout.write(
        f"Flash: {written.constants:,} bytes of constants and about 3 KB of code\n"
        f"RAM:   {written.scratch:,} bytes of scratch and some hundred of stack\n"
        f"Compiled: {measured if measured else 'not measured, no C compiler was found'}\n"
        f"\nC code: {folder / SOURCE} and {HEADER} (model sha256 {written.network.about.digest})\n"
    )
    return DONE
