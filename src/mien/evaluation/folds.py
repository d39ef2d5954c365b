"""A cross-validation as one result: mean and deviation over its folds, and intervals over people on all faces."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mien import run_files
from mien.errors import DataError, FileMissingError
from mien.evaluation import evaluate, evaluated, predictions, seeds
from mien.evaluation.evaluated import Evaluated
from mien.evaluation.metrics import clusters
from mien.evaluation.metrics.significance import macro_f1
from mien.evaluation.predictions import Predictions

FOLDERS = "fold-*"
"""The run folders that ``mien train --folds`` writes into RUN."""

INTERVALS = {"accuracy": clusters.accuracy, "macro_f1": macro_f1, "kappa": clusters.kappa}
"""The metrics whose interval is stated, with the function of confusion matrices that computes them."""


def read(folder: str | Path) -> tuple[Evaluated, ...]:
    """Read the runs in the ``fold-*`` folders of a folder, in the order of their numbers.

    Raises:
        FileMissingError: there are fewer than two.
        DataError: as ``evaluated.read``.
    """
    folders = sorted(Path(folder).glob(FOLDERS), key=lambda run: (len(run.name), run.name))
    if len(folders) < 2:
        raise FileMissingError(f"{folder} has {len(folders)} folds; expected what `mien train --folds` wrote.")
    return tuple(evaluated.read(run) for run in folders)


def pool(runs: Sequence[Evaluated]) -> Predictions:
    """Return the test predictions of all folds: each face once, by the run that was not trained on it.

    Raises:
        DataError: a face, or a person, is in the test set of two folds.
    """
    tests = [run.predictions.part(run.part_named()) for run in runs]
    for what, names in (
        ("face", [set(test.source.tolist()) for test in tests]),
        ("person", [set(test.groups["subject"].tolist()) - {""} for test in tests if _is_by_person(test)]),
    ):
        shared = sum(map(len, names)) - len(set().union(*names))
        if shared:
            raise DataError(
                f"{shared} {what if shared == 1 else 'people' if what == 'person' else 'faces'} in the test set of "
                "more than one fold. Give the folds of one `mien train --folds`."
            )
    digests = "".join(test.about.model_digest for test in tests)
    about = replace(
        tests[0].about,
        model=f"{len(tests)} folds",
        model_digest=hashlib.sha256(digests.encode()).hexdigest(),
        temperature=1.0,
    )
    return predictions.join([replace(test, about=replace(about, data_digest=test.about.data_digest)) for test in tests])


def is_cross_validation(folder: str | Path) -> bool:
    """Check whether a folder holds folds and is no run itself."""
    path = Path(folder)
    return not (path / run_files.PREDICTIONS).exists() and any(path.glob(FOLDERS))


def as_one(folder: str | Path, runs: Sequence[Evaluated]) -> Evaluated:
    """Return the runs of a cross-validation as one model on all faces, sorted by source.

    So that cross-validations of two recipes have the same faces in the same order, whichever folds they were dealt to.

    Raises:
        DataError: as ``pool``.
    """
    whole = pool(runs)
    ordered = whole.take(np.argsort(whole.source, kind="stable"))
    counted = [run.scorings for run in runs if run.scorings is not None]
    named = replace(ordered, about=replace(ordered.about, model=f"{runs[0].name}, {len(runs)} folds"))
    return Evaluated(Path(folder), named, {"parts": {}, **({"test_scorings": max(counted)} if counted else {})})


def _is_by_person(test: Predictions) -> bool:
    return "subject" in test.groups and bool((test.groups["subject"] != "").all())


@dataclass(frozen=True)
class Result:
    """The metrics of a cross-validation.

    Attributes:
        folds: the metrics of each fold's test set, as ``evaluate.report``.
        mean, deviation: metric → mean and standard deviation (n − 1) over the folds. Folds share most of their training
            faces, so the deviation divided by √K understates the error of the mean.
        pooled: the metrics of all faces together, each predicted by the run that was not trained on it.
        intervals: metric of ``INTERVALS`` → 95 % interval of the pooled metric under resampling of whole groups.
        grouped_by: ``subject``, ``session`` or ``face``.
        groups: number of groups.
    """

    folds: tuple[dict[str, Any], ...]
    mean: dict[str, float]
    deviation: dict[str, float]
    pooled: dict[str, Any]
    intervals: dict[str, tuple[float, float]]
    grouped_by: str
    groups: int

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "folds": list(self.folds),
            "mean": self.mean,
            "deviation": self.deviation,
            "pooled": self.pooled,
            "intervals": {name: list(bounds) for name, bounds in self.intervals.items()},
            "grouped_by": self.grouped_by,
            "groups": self.groups,
        }


def summarise(runs: Sequence[Evaluated]) -> Result:
    """Return the metrics of the folds; errors as ``pool``."""
    whole = pool(runs)
    reports = tuple(evaluate.report(run.predictions.part(run.part_named()), copies=True) for run in runs)
    values = {name: [report[name] for report in reports] for name in seeds.SPREAD}
    name, groups = whole.grouping()
    counts = clusters.count_by_group(whole.labels, whole.predicted, groups, len(whole.label_set))
    return Result(
        reports,
        {metric: float(np.mean(row)) for metric, row in values.items()},
        {metric: float(np.std(row, ddof=1)) for metric, row in values.items()},
        evaluate.report(whole, copies=True),
        {metric: clusters.clustered_interval(counts, compute) for metric, compute in INTERVALS.items()},
        name,
        len(counts),
    )
