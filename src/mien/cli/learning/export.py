"""Rewrites RUN/model.onnx from the best checkpoint of a finished or interrupted training run, or from the head that it
fitted.

The file is compared with PyTorch on real faces, its temperature fitted on the validation set, and the test set scored;
each scoring is counted in RUN/metrics.json.

--int8 and --float16 convert the run's model.onnx instead: RUN/model-int8.onnx has a quarter of its size,
RUN/model-float16.onnx half. RUN/metrics-int8.json and so on also give the agreement with model.onnx.

--head exports one corpus's head of a network trained on several corpora instead of their consensus:
RUN/model-NAME.onnx, calibrated and scored on that corpus.

--whole writes RUN/model-whole.onnx, from uint8 crops to probabilities; --torch writes RUN/model.pt2, a
torch.export program. Both are for programs without Mien, and are compared with model.onnx on validation faces.

--hub FOLDER writes a folder for the Hugging Face Hub: card, config.json, model.onnx, and of a run model.safetensors
(needs mien[hub]). Nothing is uploaded.

With --c the int8 model is written as portable C99 for microcontrollers: FOLDER/mien_model.h and mien_model.c.

--whole with --out, --hub, and --c also take a finished model in place of RUN, by its name (see mien models) or as a
file. No data is needed then; the whole graph is compared on generated crops.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from mien import run_files
from mien.cli import DONE
from mien.cli.shared import data_argument, read_recipe_faces, show_metrics
from mien.errors import MissingExtraError, OptionError
from mien.recognition.model_files import names

if TYPE_CHECKING:
    from mien.datasets.faces import FaceSet


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien export``."""
    parser.add_argument("run", metavar="RUN", help="run folder; for --whole, --hub, --c also a model")
    data_argument(parser, required=False)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="output folder of --whole for a finished model")
    form = parser.add_mutually_exclusive_group()
    add = form.add_argument
    add("--int8", action="store_true", help="quantise RUN/model.onnx to RUN/model-int8.onnx")
    add("--float16", action="store_true", help="convert RUN/model.onnx to RUN/model-float16.onnx")
    add("--whole", action="store_true", help="write RUN/model-whole.onnx: crops in, probabilities out")
    add("--torch", action="store_true", help="write RUN/model.pt2, a program of torch.export")
    add("--head", metavar="NAME", help="write the head of one corpus: RUN/model-NAME.onnx")
    add("--hub", type=Path, metavar="FOLDER", help="write a folder for the Hugging Face Hub")
    add("--c", type=Path, metavar="FOLDER", help="write RUN/model-int8.onnx as C99 into FOLDER")


def run(options: Namespace) -> int:
    """Export the run; return the exit code."""
    finished = _find_model_file(options.run)
    if options.out and (finished is None or not options.whole):
        raise OptionError("--out is for --whole of a finished model; a run's files are written into its folder.")
    try:
        if options.c:
            return _write_c(finished or Path(options.run), options.c)
        if options.hub:
            return _write_hub(options)
        if finished:
            return _write_whole(options)
        options.run = Path(options.run)
        faces = _load_faces(options)
        return _write_foreign(options, faces) if options.whole or options.torch else _write_model(options, faces)
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra(f"mien export (no {error.name})", "train") from error


def _find_model_file(given: str) -> Path | None:
    """Return the file of a model given by name or path; None for a run folder."""
    path = names.locate(given) if names.public(given) or not Path(given).is_dir() else Path(given)
    return path if path.is_file() else None


def _write_whole(options: Namespace) -> int:
    if not options.whole:
        raise OptionError(
            f"{options.run!r} is a finished model, not a training run: expected --whole --out FOLDER, --hub FOLDER "
            "or --c FOLDER. Give the run's folder for other forms."
        )
    if options.out is None or options.data:
        raise OptionError(f"mien export {options.run} --whole needs --out FOLDER, and takes no --data.")
    from mien.export.whole import WHOLE, whole_of_model

    difference = whole_of_model(options.run, options.out)
    sys.stdout.write(
        f"Probabilities differ from the model's by at most {difference:.1e} on generated crops\n"
        f"\nFor programs without Mien: {options.out / WHOLE}\n"
    )
    return DONE


def _load_faces(options: Namespace) -> FaceSet:
    from mien.export.export import graph_recipe_of

    if not options.data:
        raise OptionError(f"mien export {options.run} needs --data DATA, the corpus that the run was trained on.")
    recipe = graph_recipe_of(options.run)
    return read_recipe_faces(options.data, recipe)


def _write_model(options: Namespace, faces: FaceSet) -> int:
    from mien.export.quantise import FILE, HALF, halve, quantise
    from mien.runs.runs import export

    if options.int8 or options.float16:
        work, name = (quantise, FILE) if options.int8 else (halve, HALF)
        bundle = work(options.run, faces)
    else:
        name = f"model-{options.head}.onnx" if options.head else run_files.MODEL
        bundle = export(options.run, faces, options.head or "")
    show_metrics(bundle.metrics)
    if "agreement" in bundle.metrics:
        sys.stdout.write(f"\nAgreement with model.onnx: {bundle.metrics['agreement']:.1%} of the validation set\n")
    sys.stdout.write(f"\nModel: {options.run / name} (sha256 {bundle.digest})\n")
    return DONE


def _write_foreign(options: Namespace, faces: FaceSet) -> int:
    from mien.export.whole import PROGRAM, WHOLE, program, whole

    work, name = (whole, WHOLE) if options.whole else (program, PROGRAM)
    difference = work(options.run, faces)
    sys.stdout.write(
        f"Probabilities differ from model.onnx's by at most {difference:.1e} on validation faces\n"
        f"\nFor programs without Mien: {options.run / name}\n"
    )
    return DONE


def _write_hub(options: Namespace) -> int:
    from mien.export import hub

    written = hub.write(options.run, options.hub)
    paths = [path for path in (written.card, written.config, written.model, written.weights) if path]
    sys.stdout.write("".join(f"{path}\n" for path in paths))
    return DONE


def _write_c(model: Path, folder: Path) -> int:
    from mien.export.c.c_code import HEADER, SOURCE, write

    written = write(model, folder)
    measured = written.measured
    sys.stdout.write(
        f"Flash: {written.constants:,} bytes of constants and about 3 KB of code\n"
        f"RAM:   {written.scratch:,} bytes of scratch and a few hundred of stack\n"
        f"Compiled: {measured if measured else 'not measured, no C compiler was found'}\n"
        f"\nC code: {folder / SOURCE} and {HEADER} (model sha256 {written.network.about.digest})\n"
    )
    return DONE
