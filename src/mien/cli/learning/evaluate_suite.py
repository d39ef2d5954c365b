"""``mien evaluate MODEL --suite``: read and crop each corpus of the protocol once, then score it with each model."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien import run_files
from mien.errors import DataError, OptionError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from mien.datasets.protocol import Entry, Frame, Material
    from mien.evaluation.protocol.face_crops import Crops
    from mien.evaluation.protocol.suite import Row, Subject
    from mien.evaluation.protocol.suite_tables import Result
    from mien.recognition.classifier import Classifier
    from mien.recognition.detection.detect import Detector


@dataclass
class Collected:
    """One model, its run folder if it has one, and its results so far."""

    classifier: Classifier
    subject: Subject
    run: Path | None
    rows: list[Row] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def result(self, options: Namespace, detector: str) -> Result:
        """Collect all rows; a scoring of test sets is counted in the run folder."""
        from mien.evaluation.protocol.suite_tables import Result

        times = _count_test_scoring(self.run) if any(row.is_test for row in self.rows) else None
        return Result(self.subject, detector, tuple(self.rows), self.skipped, options.limit, times)


def run(options: Namespace) -> None:
    """Score, print and optionally write."""
    from mien.datasets import protocol
    from mien.recognition.detection.detect import get_detector

    folder, entries = data_folder(options), protocol.select_entries(options.corpora)
    detector = get_detector(options.detector, device=options.device, threads=options.threads)
    models = [_load_model(model, options) for model in options.models]
    for entry in entries:
        reason = _reason_to_skip(entry, folder, validation=options.validation)
        if reason:
            for model in models:
                model.skipped[entry.title] = reason
        else:
            _score(models, entry, folder, detector, options)
    _show([model.result(options, detector.name) for model in models], options)


def data_folder(options: Namespace) -> Path:
    """Return the folder of the corpora: ``--data``, else ``MIEN_DATA``.

    Raises:
        OptionError: there is none.
    """
    given = options.data[0] if options.data else os.environ.get("MIEN_DATA")
    if not given or not Path(given).is_dir():
        raise OptionError(
            f"--suite needs a folder of corpora; {str(given)!r} is not a folder. Set MIEN_DATA, or give --data FOLDER."
        )
    return Path(given)


def _load_model(model: str, options: Namespace) -> Collected:
    from mien.evaluation.protocol.suite import describe
    from mien.recognition.classifier import Classifier
    from mien.recognition.model_files import bundle

    read = bundle.read(Path(model) / run_files.MODEL if Path(model).is_dir() else model)
    classifier = Classifier.open(read, options.threads, device=options.device)
    return Collected(classifier, describe(read), None if options.validation else _finished_run(model))


def _finished_run(model: str) -> Path | None:
    """Return the run folder of a model, None for other models.

    Raises:
        OptionError: an unfinished run.
    """
    from mien.runs import models

    run = models.load(model, device="cpu").run
    if run is not None:
        models.check_finished(run)
    return run


def _count_test_scoring(run: Path | None) -> int | None:
    from mien.runs import models

    return None if run is None else models.count_scoring(run)


def _reason_to_skip(entry: Entry, folder: Path, *, validation: bool) -> str:
    """Return the reason to skip a corpus, ``""`` for none."""
    if entry.part(validation=validation) is None:
        return "it has no validation set, and must not be used for model selection."
    missing = [name for name in (entry.file, entry.votes) if name and not (folder / name).exists()]
    return f"{', '.join(missing)} is not in the data folder." if missing else ""


def _score(models: Sequence[Collected], entry: Entry, folder: Path, detector: Detector, options: Namespace) -> None:
    """Add each model's rows of one corpus, or the reason to skip it."""
    from mien.datasets import protocol
    from mien.evaluation.protocol import suite

    part = entry.part(validation=options.validation)
    material = protocol.read(entry, folder, part or "", options.limit)
    crops = {frame: _collect_crops(material, frame, detector, options) for frame in entry.frames}
    for model in models:
        try:
            suite.select_samples(material, model.classifier.label_set.labels)
        except DataError as error:
            model.skipped[entry.title] = str(error)
            continue
        model.rows += [_score_row(model, material, frame, crops[frame]) for frame in entry.frames]


def _collect_crops(material: Material, frame: Frame, detector: Detector, options: Namespace) -> Crops:
    from mien.evaluation.protocol import face_crops
    from mien.files import cache_folder

    cache = options.cache or cache_folder() / "crops"
    task = f"{material.entry.title}, {'faces' if frame == 'detector' else 'own frame'}"
    with _bar(task, len(material.samples)) as watch:
        return face_crops.collect(material, frame, detector, cache, watch)


def _score_row(model: Collected, material: Material, frame: Frame, crops: Crops) -> Row:
    from mien.evaluation.protocol import suite
    from mien.recognition.classifier import BATCH

    with _bar(f"{material.entry.title}, {model.subject.name}", len(crops.pixels) // BATCH + 1) as watch:
        return suite.score_corpus(model.classifier, model.subject, material, frame, crops, watch=watch)


@contextmanager
def _bar(task: str, total: int) -> Iterator[Any]:
    """Yield a function that wraps an iterable in a progress bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda rows: rows
        return
    with Progress(console=console, transient=True) as progress:
        yield lambda rows: progress.track(rows, total=total, description=task)


def _show(results: list[Result], options: Namespace) -> None:
    from mien.evaluation.protocol import suite_tables

    if not any(result.rows for result in results):
        reasons = "; ".join(f"{corpus}: {reason}" for corpus, reason in results[0].skipped.items())
        raise DataError(f"No corpus could be scored. {reasons}")
    sys.stdout.write("\n".join(suite_tables.render_markdown(result) for result in results))
    if options.out:
        suite_tables.write(options.out, results)
