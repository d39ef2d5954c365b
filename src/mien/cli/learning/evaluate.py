"""Evaluates a model on labelled face crops (--data), or end to end on labelled photos in class folders (--photos).

MODEL is a shipped model, an .onnx file, a run folder (its model.onnx or model.npz; with --checkpoint its best epoch), a
classical run's model.npz, or with --adapter a foreign .onnx file. Classes that the model lacks are left out and
counted, classes that the data lack are named. --split is repeatable; all means every face of the data. The training
data of a run folder are split as in its recipe, and each scoring of its test set is counted.

--views adds test-time augmentation in a separate table: flip averages each face and its mirror image, crops ten crops.
With --photos an undetected face counts as wrong. --matrix evaluates several MODELS on several --data separately.

--suite scores MODEL end to end on every corpus of the cross-corpus protocol in the folder MIEN_DATA (or --data FOLDER),
and prints one table. Face crops are cached, so that the next model takes less time.

Next: mien evaluate default --photos kdef_frontal350.zip --detector yunet
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien import files, run_files
from mien.cli import DONE
from mien.cli.parser import count, detector_argument, device_argument, number, one_of
from mien.cli.shared import read_faces, require_learning, watched
from mien.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mien.evaluation.predictions import Predictions
    from mien.evaluation.protocol.matrix import Cell
    from mien.runs.models import Loaded
    from mien.runs.scoring import Scoring


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien evaluate``."""
    add = parser.add_argument
    add("models", nargs="+", metavar="MODEL", help="name (see mien models), .onnx file, run folder or model.npz")
    add("--data", type=Path, action="append", default=[], metavar="DATA",
        help="a manifest (.parquet), or a corpus: CSV, folder, zip or tar; repeatable, faces are pooled")  # fmt: skip
    add("--split", action="append", default=[], metavar="S",
        help="a split of the data, repeatable, or all (default: PublicTest)")  # fmt: skip
    add("--checkpoint", action="store_true", help="of a run folder use checkpoints/best.ckpt")
    add("--adapter", type=Path, metavar="FILE", help="input and output of a foreign .onnx file (TOML)")
    add("--classes", metavar="C", help="restrict to these classes: fer2013 (seven), or happiness,sadness,…")
    add("--views", type=one_of("flip", "crops"), metavar="V",
        help="also use test-time augmentation: flip (2 views) or crops (10)")  # fmt: skip
    add(
        "--conformal",
        type=number,
        metavar="ALPHA",
        help="also fit prediction sets with miscoverage ALPHA on PublicTest",
    )
    add("--matrix", action="store_true", help="evaluate every MODEL on every --data separately")
    add("--suite", action="store_true", help="every corpus of the protocol, end to end, in one table")
    add("--corpora", metavar="A,B", help="with --suite: only these, such as rafdb,kdef")
    add("--validation", action="store_true", help="with --suite: only validation sets, for model selection")
    add("--limit", type=count, metavar="N", help="with --suite: at most N faces per corpus, for a quick look")
    add(
        "--cache",
        type=Path,
        metavar="FOLDER",
        help="with --suite: folder for cached crops (default: your cache folder)",
    )
    add("--photos", type=Path, metavar="DIR", help="labelled photos in class folders, zipped or not")
    detector_argument(parser, note="default: yunet; for --photos, --suite")
    add("--threads", type=count, metavar="N", help="threads of the networks (default: one per core)")
    device_argument(parser)
    add("--out", type=Path, metavar="FOLDER", help="write metrics.json and predictions.parquet, or the matrix, there")


def run(options: Namespace) -> int:
    """Evaluate, print and optionally write; return the exit code."""
    require_learning("evaluate")
    _check(options)
    if options.suite:
        from mien.cli.learning import evaluate_suite

        evaluate_suite.run(options)
    elif options.matrix:
        _evaluate_matrix(options)
    elif options.data:
        _evaluate_crops(options)
    else:
        _evaluate_photos(options)
    return DONE


def _check(options: Namespace) -> None:
    if options.out and (options.out.is_file() or options.out.suffix == ".json"):
        raise OptionError(f"--out {options.out}: expected a folder for metrics.json.")
    if options.suite:
        return _check_suite(options)
    given = [f"--{name}" for name in _SUITE_ONLY if getattr(options, name)]
    if given:
        raise OptionError(f"{', '.join(given)} without --suite; add it, or leave them out.")
    if bool(options.data) == (options.photos is not None):
        raise OptionError("mien evaluate takes one of --data and --photos; see mien evaluate --help")
    if len(options.models) > 1 and not options.matrix:
        raise OptionError(f"{len(options.models)} models; give one, or --matrix to compare them.")
    if options.matrix and (
        not options.data or len(options.split) > 1 or options.views or options.conformal is not None
    ):
        raise OptionError("--matrix needs --data and at most one --split, and excludes --views and --conformal.")
    if (options.adapter or options.checkpoint) and (options.photos is not None or options.matrix):
        raise OptionError("--adapter and --checkpoint need --data, and exclude --matrix.")
    return None


_SUITE_ONLY = ("corpora", "validation", "limit", "cache")
_NEVER_IN_SUITE = ("split", "checkpoint", "adapter", "classes", "views", "conformal", "matrix", "photos")


def _check_suite(options: Namespace) -> None:
    given = [f"--{name}" for name in _NEVER_IN_SUITE if getattr(options, name) not in (None, False, [])]
    if given or len(options.data) > 1:
        options_given = ", ".join(given) or "several --data"
        raise OptionError(
            f"--suite with {options_given}: the protocol fixes corpora, splits and classes. Leave them out."
        )


def _evaluate_crops(options: Namespace) -> None:
    from mien.cli.learning import evaluate_tables as tables
    from mien.evaluation.evaluate import average_views, report
    from mien.recognition.views import KINDS
    from mien.runs import scoring

    loaded = _load(options.models[0], options)
    work = scoring.prepare(loaded, read_faces(options.data, colour=not loaded.model.preprocess.grey))
    splits = work.splits(options.split)
    tested = work.find_tested_run(splits)
    single = {split: work.predict(split, lambda rows: watched(rows, "predicting")) for split in splits}
    results = _describe(work, options.data)
    results["parts"] = {
        split: report(predictions, copies=work.excludes_copies(split)) for split, predictions in single.items()
    }
    views = {"": single}
    if options.views:
        several = views[f"-{options.views}"] = {
            split: average_views(work.loaded.model, work.part(split), predictions, options.views)
            for split, predictions in single.items()
        }
        parts = {
            split: report(predictions, copies=work.excludes_copies(split)) for split, predictions in several.items()
        }
        results["mean_of_views"] = {"kind": options.views, "views": KINDS[options.views], "parts": parts}
    results["disagreement"] = _measure_disagreement(work, single)
    if options.conformal is not None:
        results["conformal"] = _measure_conformal(work, single, options.conformal)
    results["notes"] = [*work.notes(), *_count_test_scoring(tested, results)]
    tables.show(results)
    if options.out:
        _write(options.out, results, views)


def _load(model: str, options: Namespace) -> Loaded:
    from mien.runs import models

    return models.load(
        model,
        checkpoint=options.checkpoint,
        adapter=options.adapter,
        classes=options.classes,
        threads=options.threads,
        device=options.device,
    )


def _describe(work: Scoring, data: Sequence[Path]) -> dict[str, Any]:
    model = work.loaded.model
    return {
        "model": model.name,
        "digest": model.digest,
        "labels": list(model.label_set.labels),
        "temperature": model.temperature,
        "data": [path.name for path in data],
        "left_out": work.left_out,
    }


def _count_test_scoring(tested: Path | None, results: dict[str, Any]) -> list[str]:
    from mien.runs import models

    if tested is None:
        return []
    times = results["test_scorings"] = models.count_scoring(tested)
    return [f"The test set of the run {tested.name} has now been scored {times} times; do not select anything by it."]


def _measure_disagreement(work: Scoring, single: dict[str, Predictions]) -> dict[str, Any]:
    """Measure, for each split with enough votes, how well the model's entropy follows annotator disagreement."""
    from mien.evaluation.metrics.disagreement import LEAST, disagreement

    votes = {split: work.part(split).votes for split in single}
    return {
        split: disagreement(single[split].probabilities, counts).to_dict()
        for split, counts in votes.items()
        if counts is not None and (counts.sum(1) > 0).sum() >= LEAST
    }


def _measure_conformal(work: Scoring, single: dict[str, Predictions], alpha: float) -> dict[str, Any]:
    from mien.evaluation.metrics.conformal import KINDS, fit_conformal, measure
    from mien.training.parts import VALIDATION

    name = work.faces.split_named(VALIDATION)
    others = {split: predictions for split, predictions in single.items() if split != name}
    if not others:
        raise OptionError(f"--conformal fits on {name}; give another split to evaluate on with --split.")
    fitted_on = single[name] if name in single else work.predict(name)
    results: dict[str, Any] = {}
    for kind in KINDS:
        fitted = fit_conformal(fitted_on.probabilities, fitted_on.labels, alpha, kind)
        parts = {
            split: measure(fitted.sets(predictions.probabilities), predictions.labels).to_dict()
            for split, predictions in others.items()
        }
        results[kind] = {**fitted.to_dict(), "fitted_on": name, "parts": parts}
    return results


def _write(folder: Path, results: dict[str, Any], views: dict[str, dict[str, Predictions]]) -> None:
    from mien.evaluation.predictions import join

    folder.mkdir(parents=True, exist_ok=True)
    for name, parts in views.items():
        join(list(parts.values())).write(folder / f"predictions{name}.parquet")
    _write_json(folder / run_files.METRICS, results)


def _write_json(path: Path, value: Any) -> None:
    files.write(path, json.dumps(value, indent=1, ensure_ascii=False))


def _evaluate_matrix(options: Namespace) -> None:
    from mien.evaluation.protocol.matrix import render_markdown

    loaded = [_load(model, options) for model in options.models]
    cells, notes = [], []
    for path in options.data:
        column, column_notes = _evaluate_column(loaded, path, options)
        cells += column
        notes += column_notes
    text = render_markdown(cells)
    sys.stdout.write(text)
    sys.stdout.writelines(f"{note}\n" for note in dict.fromkeys(notes))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        files.write(options.out / "matrix.md", text)
        _write_json(options.out / "matrix.json", [cell.to_dict() for cell in cells])


def _evaluate_column(loaded: Sequence[Loaded], path: Path, options: Namespace) -> tuple[list[Cell], list[str]]:
    from mien.evaluation.protocol.matrix import make_cell
    from mien.recognition.model_files import names
    from mien.runs import scoring

    # Networks with grey input convert colour themselves.
    faces = read_faces(path, colour=any(not model.model.preprocess.grey for model in loaded))
    cells, notes = [], []
    alone = sum(other.name == path.name for other in options.data) == 1
    corpus = path.name if alone else str(path)
    first: Predictions | None = None
    for name, model in zip(options.models, loaded, strict=True):
        work = scoring.prepare(model, faces)
        splits = work.splits(options.split)
        tested = work.find_tested_run(splits)
        predictions = work.predict(splits[0], lambda rows: watched(rows, "predicting"))
        cells.append(
            make_cell(
                predictions,
                first,
                model=names.public(name) or name,
                corpus=corpus,
                split=splits[0],
                left_out=work.left_out,
            )
        )
        notes += _count_test_scoring(tested, {})
        first = first or predictions
    return cells, notes


def _evaluate_photos(options: Namespace) -> None:
    from mien.cli.learning import evaluate_tables as tables
    from mien.datasets.formats import photos
    from mien.evaluation.photos import read_photos
    from mien.recognition.recognizer import load

    recognizer = load(
        options.models[0],
        detector=options.detector,
        classes=options.classes,
        threads=options.threads,
        device=options.device,
    )
    results = read_photos(recognizer, watched(photos.read(options.photos, recognizer.labels), "reading"))
    bundle = recognizer.bundle
    heading = {"model": bundle.name, "digest": bundle.digest, "detector": options.detector}
    tables.show_photos({**heading, **results.to_dict()})
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        _write_json(options.out / run_files.METRICS, {**heading, **results.to_dict()})
