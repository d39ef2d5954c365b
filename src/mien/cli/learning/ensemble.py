"""Writes FILE, one model file whose probabilities are the mean of those of the MODELS, weighted with --weights.

FILE is a model like any other: predict, evaluate, serve, video and the rest take it. Each MODEL is a name (see mien
models), an .onnx file or a run folder; all need the same classes. One that takes smaller or grey crops reads those of
the largest. FILE takes the time of all members together.

A face is "uncertain" below the highest of the members' thresholds. With --data the threshold is fitted on the
validation set instead: the lowest confidence at and above which 80 % are right. No test set is scored.

Next: mien evaluate FILE --data DATA
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli import DONE
from mien.cli.parser import positive
from mien.cli.shared import data_argument, read_faces, show_metrics
from mien.errors import MissingExtraError

if TYPE_CHECKING:
    from mien.export.ensemble import Ensemble


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien ensemble``."""
    add = parser.add_argument
    add("models", nargs="+", metavar="MODEL", help="a name, an .onnx file or a run folder; two or more")
    add("--out", type=Path, required=True, metavar="FILE", help="the model file to write (.onnx)")
    add("--weights", type=_weights, metavar="W,W", help="one number above 0 for each MODEL (default: equal)")
    data_argument(parser, required=False)


def _weights(text: str) -> list[float]:
    """Read ``0.7,0.3`` as an argparse type."""
    try:
        return [positive(number.strip()) for number in text.split(",")]
    except ArgumentTypeError as error:
        raise ArgumentTypeError(f"{text!r}: expected numbers above 0, such as 0.7,0.3") from error


def run(options: Namespace) -> int:
    """Write the ensemble and show its members; return the exit code."""
    try:
        from mien.export import ensemble
        from mien.recognition.model_files import bundle
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra(f"mien ensemble (no {error.name})", "train") from error
    colour = any(not bundle.read(model).preprocess.grey for model in options.models) if options.data else False
    faces = read_faces(options.data, colour=colour) if options.data else None
    _show(ensemble.write(options.models, options.out, weights=options.weights, faces=faces), options.out)
    return DONE


def _show(written: Ensemble, out: Path) -> None:
    metrics = written.file.metrics
    for name, weight in written.members.items():
        way = written.derived.get(name)
        sys.stdout.write(f"{name}: weight {weight:.3g}{f'; reads the crop {way}' if way else ''}\n")
    sys.stdout.write(f"Differs by at most {metrics['parity']:.1e} from its members' mean on the same crops\n")
    compared = metrics.get("members_by_themselves")
    if compared:
        show_metrics(metrics)
        sys.stdout.write(
            f"With each member's own crops: {compared['mean_difference']:.1e} on average, at most "
            f"{compared['largest_difference']:.1e}, same label on {compared['agreement']:.1%} of "
            f"{compared['compared']} faces\n"
        )
    source = "fitted on the validation set" if compared else "the highest of the members'; --data fits it"
    sys.stdout.write(f"Uncertain below {written.file.uncertain_below:.3f}: {source}\n")
    sys.stdout.write(f"\nModel: {out} (sha256 {written.file.digest})\n")
