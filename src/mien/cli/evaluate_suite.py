"""``mien evaluate MODEL --suite``: every corpus of the protocol is read and cut out once, then scored by each model."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import DataError, OptionError

if TYPE_CHECKING:
    from argparse import Namespace

    from mien.datasets.protocol import Entry, Material
    from mien.evaluation.face_crops import Crops
    from mien.evaluation.suite import Network, Row
    from mien.evaluation.suite_table import Result
    from mien.recognition.detect import Detector


def run(options: Namespace) -> None:
    """Score, print and perhaps write."""
    from mien.datasets import protocol
    from mien.evaluation import suite_table
    from mien.recognition.detect import get_detector

    folder, entries = data_folder(options), protocol.chosen(options.corpora)
    networks, detector = [_network(model, options) for model in options.models], get_detector(options.detector)
    runs = [] if options.validation else [_finished_run(model) for model in options.models]
    rows: list[list[Row]] = [[] for _ in networks]
    skipped: list[dict[str, str]] = [{} for _ in networks]
    for entry in entries:
        reason = _absent(entry, folder, validation=options.validation)
        if reason:
            for reasons in skipped:
                reasons[entry.title] = reason
            continue
        for model, (scored, why) in enumerate(_scored(networks, entry, folder, detector, options)):
            rows[model] += scored
            skipped[model] |= {entry.title: why} if why else {}
    results = []
    for place, network in enumerate(networks):
        tested = bool(runs) and any(row.is_test for row in rows[place])
        times = _counted(runs[place]) if tested else None
        results.append(
            suite_table.Result(network.subject, detector.name, tuple(rows[place]), skipped[place], options.limit, times)
        )
    _show(results, options)


def data_folder(options: Namespace) -> Path:
    """Return the folder of the corpora: ``--data``, else ``MIEN_DATA``. Raises ``OptionError`` if there is none."""
    given = options.data[0] if options.data else os.environ.get("MIEN_DATA")
    if not given or not Path(given).is_dir():
        raise OptionError(
            f"--suite reads a folder of corpora; {str(given)!r} is none. Set MIEN_DATA to it, or give --data FOLDER."
        )
    return Path(given)


def _network(model: str, options: Namespace) -> Network:
    from mien.evaluation.suite import Network
    from mien.recognition import bundle
    from mien.recognition.session import OnnxSession

    read = bundle.read(Path(model) / "model.onnx" if Path(model).is_dir() else model)
    return Network(read, OnnxSession(read.graph, options.threads, classes=len(read.labels)))


def _finished_run(model: str) -> Path | None:
    """Return the run folder that a model lies in, None for another. Raises ``OptionError`` for an unfinished run."""
    from mien.learning import models

    found = models.load(model).run
    if found is not None:
        models.check_finished(found)
    return found


def _counted(run: Path | None) -> int | None:
    from mien.learning import models

    return None if run is None else models.count_scoring(run)


def _absent(entry: Entry, folder: Path, *, validation: bool) -> str:
    """Return why a corpus has no row, ``""`` if it has one."""
    if entry.part(validation=validation) is None:
        return "it has no validation part, and nothing may be chosen on it."
    missing = [name for name in (entry.file, entry.votes) if name and not (folder / name).exists()]
    return f"{', '.join(missing)} is not in the data folder." if missing else ""


def _scored(
    networks: list[Network], entry: Entry, folder: Path, detector: Detector, options: Namespace
) -> Iterator[tuple[list[Row], str]]:
    """Yield each model's rows of one corpus, and why it has none."""
    from mien.datasets import protocol
    from mien.evaluation import face_crops, suite
    from mien.files import cache_folder

    part = entry.part(validation=options.validation)
    material = protocol.read(entry, folder, part or "", options.limit)
    cache = options.cache or cache_folder() / "crops"
    crops: dict[protocol.Frame, Crops] = {}
    for frame in entry.frames:
        with _bar(f"{entry.title}, {'faces' if frame == 'detector' else 'own frame'}", len(material.samples)) as watch:
            crops[frame] = face_crops.collect(material, frame, detector, cache, watch)
    for network in networks:
        try:
            suite.narrowed(material, network.labels)
        except DataError as error:
            yield [], str(error)
            continue
        yield [_row(network, material, frame, crops[frame]) for frame in entry.frames], ""


def _row(network: Network, material: Material, frame: Any, crops: Crops) -> Row:
    from mien.evaluation import suite

    with _bar(f"{material.entry.title}, {network.subject.name}", len(crops.pixels) // suite.BATCH + 1) as watch:
        return suite.score_corpus(network, network.subject, material, frame, crops, watch=watch)


@contextmanager
def _bar(task: str, total: int) -> Iterator[Any]:
    """Give what wraps an iterable in a progress bar on stderr, or leaves it if that is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda rows: rows
        return
    with Progress(console=console, transient=True) as progress:
        yield lambda rows: progress.track(rows, total=total, description=task)


def _show(results: list[Result], options: Namespace) -> None:
    from mien.evaluation import suite_table

    if not any(result.rows for result in results):
        reasons = "; ".join(f"{corpus}: {reason}" for corpus, reason in results[0].skipped.items())
        raise DataError(f"No corpus could be scored. {reasons}")
    sys.stdout.write("\n".join(suite_table.text(result) for result in results))
    if options.out:
        suite_table.write(options.out, results)
