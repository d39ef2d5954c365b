"""Writes RUN/model.onnx anew from the best checkpoint of a run that `mien train` made, finished or cut off, or from the
head that it fitted.

The file is compared with PyTorch on real faces, its temperature fitted on the validation part, and the test part
scored; each scoring is counted in RUN/metrics.json.

With --int8 or --float16 the run's model.onnx is converted instead: RUN/model-int8.onnx is a quarter of its size,
RUN/model-float16.onnx half; RUN/metrics-int8.json and so on also say how often both answer the same.

With --whole RUN/model-whole.onnx takes grey uint8 crops and answers probabilities; with --torch RUN/model.pt2 is a
program of torch.export. Both are for programs without Mien, and are compared with model.onnx on validation faces.

With --c the int8 model is written as portable C99 for microcontrollers: FOLDER/mien_model.h and mien_model.c. RUN may
then be a model file, and no data is needed.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli import DONE
from mien.cli.learning import data_argument, read_faces, show_figures
from mien.errors import MissingExtraError, OptionError

if TYPE_CHECKING:
    from mien.datasets.faces import FaceSet


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien export``."""
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    data_argument(parser, required=False)
    form = parser.add_mutually_exclusive_group()
    add = form.add_argument
    add("--int8", action="store_true", help="quantise RUN/model.onnx to RUN/model-int8.onnx")
    add("--float16", action="store_true", help="convert RUN/model.onnx to RUN/model-float16.onnx")
    add("--whole", action="store_true", help="write RUN/model-whole.onnx: grey crops in, probabilities out")
    add("--torch", action="store_true", help="write RUN/model.pt2, a program of torch.export")
    add("--c", type=Path, metavar="FOLDER", help="write RUN/model-int8.onnx as C99 into FOLDER")


def run(options: Namespace) -> int:
    """Export the run; return the exit code."""
    try:
        if options.c:
            return _write_c(options.run, options.c)
        faces = _faces(options)
        return _write_foreign(options, faces) if options.whole or options.torch else _write_model(options, faces)
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra(f"mien export (no {error.name})", "train") from error


def _faces(options: Namespace) -> FaceSet:
    from mien.learning.export import graph_recipe_of

    if not options.data:
        raise OptionError(f"mien export {options.run} needs --data DATA, the corpus that the run was trained on.")
    recipe = graph_recipe_of(options.run)
    return read_faces(options.data, recipe.data.label_scheme(), colour=not recipe.preprocess.grey)


def _write_model(options: Namespace, faces: FaceSet) -> int:
    from mien.learning.quantise import FILE, HALF, halve, quantise
    from mien.learning.runs import export

    work, name = (quantise, FILE) if options.int8 else (halve, HALF) if options.float16 else (export, "model.onnx")
    bundle = work(options.run, faces)
    show_figures(bundle.metrics)
    if "agreement" in bundle.metrics:
        sys.stdout.write(f"\nAnswers as model.onnx does: {bundle.metrics['agreement']:.1%} of the validation part\n")
    sys.stdout.write(f"\nModel: {options.run / name} (sha256 {bundle.digest})\n")
    return DONE


def _write_foreign(options: Namespace, faces: FaceSet) -> int:
    from mien.learning.whole import PROGRAM, WHOLE, program, whole

    work, name = (whole, WHOLE) if options.whole else (program, PROGRAM)
    difference = work(options.run, faces)
    sys.stdout.write(
        f"Probabilities differ from model.onnx's by at most {difference:.1e} on validation faces\n"
        f"\nFor programs without Mien: {options.run / name}\n"
    )
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
