"""Audits a model: accuracy with intervals for slices of the data, and robustness to corruptions.

Slices: quartiles of brightness, contrast and sharpness; face size and head tilt if the manifest has them (mien data
prepare writes both); and any column of the data, --by sex --by session. A test over all slices of each kind, with
Holm's correction, separates differences from chance. Small slices are shown and marked.

Corruptions: noise and compression, blur, light and occlusion (docs/audit.md lists all, and so does the error at a wrong
name), at five severities, on --faces random faces. Glasses and masks are drawn at the landmarks if known (--landmarks
yunet detects them in the crops), else at average positions.

Uses the validation set (FER2013: PublicTest) unless --split names another; each scoring of a run's own test set is
counted. Writes audit.html, audit.md, audit.json and the plots to FOLDER, and prints a summary; --details prints
all tables.

Next: mien audit fer7 --data fer2013.zip --landmarks yunet --out audit
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.cli import DONE
from mien.cli.parser import count, device_argument, one_of, seed
from mien.cli.shared import data_argument, read_faces, require_learning, watched
from mien.errors import OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.datasets.faces import FaceSet
    from mien.evaluation.robustness.audit import Audit, Wish
    from mien.runs.scoring import Scoring


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien audit``."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="name (see mien models), .onnx file, run folder or model.npz")
    data_argument(parser)
    add("--split", metavar="S", help="a split of the data, or all (default: PublicTest)")
    add("--classes", metavar="C", help="restrict to these classes: fer2013 (seven), or happiness,sadness,…")
    add("--by", action="append", default=[], metavar="COLUMN", help="also slice by this column; repeatable")
    add("--corruptions", default="all", metavar="C", help="all (default), none, or names such as noise,blur")
    add("--faces", type=count, default=1000, metavar="N", help="number of faces to corrupt (default: 1000)")
    add("--seed", type=seed, default=0, metavar="N", help="seed of the random draws (default: 0)")
    add("--smallest", type=count, default=30, metavar="N", help="minimum faces of a slice to test (default: 30)")
    add("--landmarks", type=one_of("yunet", "mtcnn"), metavar="D", help="detect landmarks in the crops: yunet, mtcnn")
    add("--checkpoint", action="store_true", help="of a run folder use checkpoints/best.ckpt")
    add("--adapter", type=Path, metavar="FILE", help="input and output of a foreign .onnx file (TOML)")
    add("--threads", type=count, metavar="N", help="threads of the networks (default: one per core)")
    device_argument(parser)
    add("--details", action="store_true", help="print every table and note, not only a summary")
    add("--out", type=Path, metavar="FOLDER", required=True, help="folder for the page, the tables and the plots")


def run(options: Namespace) -> int:
    """Audit, print and write; return the exit code."""
    require_learning("audit")
    wish = _wish(options)
    from mien.evaluation.robustness import grouping
    from mien.evaluation.robustness.audit import audit
    from mien.runs import models, scoring

    loaded = models.load(
        options.model,
        checkpoint=options.checkpoint,
        adapter=options.adapter,
        threads=options.threads,
        device=options.device,
        classes=options.classes,
    )
    work = scoring.prepare(loaded, read_faces(options.data, colour=not loaded.model.preprocess.grey))
    (split,) = work.splits([options.split] if options.split else [])
    faces = work.part(split)
    for name in wish.by:  # report an unusable column before running the network on thousands of faces
        grouping.group_by_column(faces, name)
    tested = work.find_tested_run([split])
    points = _landmarks(faces, options)
    predictions = work.predict(split, lambda rows: watched(rows, "predicting"))
    audited = audit(
        loaded.model, faces, predictions, wish, points=points, watch=lambda jobs: watched(jobs, "corrupting")
    )
    _finish(audited, work, split, tested, options)
    return DONE


def _wish(options: Namespace) -> Wish:
    from mien.evaluation.robustness.audit import Wish
    from mien.evaluation.robustness.corruptions import parse_names

    if options.seed < 0:
        raise OptionError(f"--seed {options.seed}: expected a whole number, 0 or more.")
    if options.out.is_file():
        raise OptionError(f"--out {options.out} is a file; expected a folder for the page.")
    names = parse_names(options.corruptions)
    return Wish(tuple(options.by), names, options.faces, options.seed, options.smallest)


def _landmarks(faces: FaceSet, options: Namespace) -> NDArray[Any] | None:
    from mien.datasets import landmarks
    from mien.recognition.detection.detect import get_detector

    if options.landmarks is None:
        return landmarks.from_columns(faces)
    detector = get_detector(options.landmarks, device=options.device, threads=options.threads)
    return landmarks.detect(faces, detector, lambda rows: watched(rows, "looking for landmarks"))


def _finish(audited: Audit, work: Scoring, split: str, tested: Path | None, options: Namespace) -> None:
    """Count a scoring of the test set, then print and write the results."""
    from dataclasses import replace

    from mien.evaluation.robustness import audit_page

    model = work.loaded.model
    heading: dict[str, Any] = {
        "model": model.name,
        "digest": model.digest,
        "labels": list(model.label_set.labels),
        "data": [path.name for path in options.data],
        "split": split,
        "left_out": work.left_out,
        "seed": options.seed,
        "landmarks": options.landmarks or "columns of the data, where there are any",
    }
    notes = [*work.notes(), *audited.notes]
    if tested is not None:
        from mien.runs import models

        times = heading["test_scorings"] = models.count_scoring(tested)
        notes.append(
            f"The test set of the run {tested.name} has now been scored {times} times; do not select anything by it."
        )
    whole = replace(audited, notes=tuple(notes))
    written = audit_page.write(whole, heading, options.out)
    title = f"{model.name} on {split} of {', '.join(heading['data'])}"
    if options.details:
        _show_tables(whole, title)
        sys.stdout.writelines(f"{path}\n" for path in written)
        return
    _show_summary(whole, title, counted=tested is not None)
    others = ", ".join(path.name for path in written[1:])
    sys.stdout.write(f"{written[0]}, beside it {others}; --details prints all tables\n")


def _show_summary(audited: Audit, title: str, *, counted: bool) -> None:
    """Print at most nine lines. counted: the last note says how often the test set was scored, and is always shown."""
    from mien.evaluation.robustness import audit_tables

    lines = [title, *audit_tables.summarise(audited)]
    notes = audited.notes[:-1] if counted else audited.notes
    if notes:
        lines.append(f"{len(notes)} {'note' if len(notes) == 1 else 'notes'}, such as: {notes[0]}")
    sys.stdout.writelines(f"{line}\n" for line in [*lines, *(audited.notes[-1:] if counted else ())])


def _show_tables(audited: Audit, title: str) -> None:
    from rich.table import Table

    from mien.cli.writing.terminal import console
    from mien.evaluation.robustness import audit_tables

    screen = console(sys.stdout)
    screen.print(title, style="bold")
    for section in audit_tables.build_tables(audited):
        table = Table(*section.head, title=section.title, title_justify="left")
        for row in section.rows:
            table.add_row(*row)
        screen.print(table)
        if section.note:
            screen.print(section.note, style="dim", soft_wrap=True)
    for note in audited.notes:
        screen.print(note, soft_wrap=True)
