"""Measures a model file: on FER2013's crops (--data), or end to end on labelled photos in class folders (--photos).

One view of each face, no test-time augmentation. With --photos a face that is not found counts as a wrong answer,
and classes that the model does not have are left out and counted.

Next: mien evaluate default --photos kdef_frontal350.zip --detector yunet
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.cli import DONE
from mien.cli.learning import figures, read_faces, require_learning, watched
from mien.cli.parser import count
from mien.errors import OptionError

if TYPE_CHECKING:
    from rich.table import Table


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien evaluate``."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="shipped model or .onnx file")
    add("--data", type=Path, metavar="DATA", help="a manifest (.parquet), or a corpus: CSV, folder, zip or tar")
    add("--split", default="PublicTest", metavar="S", help="Training, PublicTest (default) or PrivateTest")
    add("--photos", type=Path, metavar="DIR", help="labelled photos in class folders, zipped or not")
    add("--detector", default="yunet", metavar="D", help="yunet (default), haar, mtcnn, whole; for --photos")
    add("--threads", type=count, metavar="N", help="threads of the network (default: one a core)")
    add("--out", type=Path, metavar="FILE", help="write the figures as JSON too")


def run(options: Namespace) -> int:
    """Measure, print and perhaps write; return the exit code."""
    require_learning("evaluate")
    if (options.data is None) == (options.photos is None):
        raise OptionError("mien evaluate takes one of --data and --photos; see mien evaluate --help")
    found = _on_crops(options) if options.data else _on_photos(options)
    _show(found)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
    return DONE


def _on_crops(options: Namespace) -> dict[str, Any]:
    from mien.evaluation.evaluate import logits, report, report_with_copies
    from mien.recognition import bundle
    from mien.recognition.session import OnnxSession

    model = bundle.read(options.model)
    faces = read_faces(options.data)
    part = faces.part(options.split)
    answers = logits(OnnxSession(model.graph, options.threads), model.preprocess, part)
    heading = {"model": model.name, "digest": model.digest, "split": options.split}
    if options.split == "Training":
        return {**heading, **report(answers, part, model.labels, model.temperature)}
    return {**heading, **report_with_copies(answers, part, faces.part("Training"), model.temperature)}


def _on_photos(options: Namespace) -> dict[str, Any]:
    from mien.datasets import photos
    from mien.evaluation.photos import read_photos
    from mien.recognition.recognizer import load

    recognizer = load(options.model, detector=options.detector, threads=options.threads)
    found = read_photos(recognizer, watched(photos.read(options.photos), "reading"))
    heading = {
        "model": recognizer.bundle.name,
        "digest": recognizer.bundle.digest,
        "detector": options.detector,
    }
    return {**heading, **found.to_dict()}


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console()
    rows = found.get("of_found", found)
    console.print(_table(found, rows), _classes(rows))
    if "photos" in found:
        left_out = ", ".join(f"{label} {count}" for label, count in found["left_out"].items())
        console.print(
            f"{found['photos']} photos, a face found in {found['found']:.2%}, read rightly {found['accuracy']:.2%} of "
            f"all. Left out, not among the model's classes: {left_out or 'none'}.",
            highlight=False,
        )


def _table(found: dict[str, Any], rows: dict[str, Any]) -> Table:
    from rich.table import Table

    title = found["split"] if "split" in found else f"faces found by {found['detector']}"
    table = Table("faces", "accuracy", "95 % interval", "macro F1", "ECE", title=title)
    table.add_row(*figures(rows))
    if "without_training_copies" in found:
        table.add_row(*figures(found["without_training_copies"]))
        table.caption = "Second row: without the faces that stand in Training too"
    return table


def _classes(found: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table("class", "precision", "recall", "F1", "faces")
    for label, row in found["per_class"].items():
        values = [f"{row[name]:.1%}" for name in ("precision", "recall", "f1")]
        table.add_row(label, *values, str(int(row["support"])))
    return table
