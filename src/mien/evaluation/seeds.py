"""Runs of one recipe with several seeds as one result: mean, standard deviation, and intervals over faces and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError
from mien.evaluation import evaluate, evaluated
from mien.evaluation.evaluated import Evaluated, is_test
from mien.evaluation.metrics import clusters
from mien.evaluation.metrics.significance import macro_f1
from mien.evaluation.predictions import Predictions, check_same_faces

FOLDERS = "seed-*"
"""The run folders that ``mien train --seeds`` writes into RUN."""

SPREAD = ("accuracy", "macro_f1", "balanced_accuracy", "weighted_f1", "mcc", "kappa", "log_loss", "ece")
"""The metrics of which the deviation over seeds is stated."""


def read(folder: str | Path) -> tuple[Evaluated, ...]:
    """Read the runs of a folder: those in its ``seed-*`` folders, or the folder itself.

    Raises:
        DataError: the seeds are not of the same faces; other errors as ``evaluated.read``.
    """
    path = Path(folder)
    several = sorted(path.glob(FOLDERS), key=_number)
    if not several or (path / "predictions.parquet").exists():
        return (evaluated.read(path),)
    runs = tuple(evaluated.read(run) for run in several)
    for other in runs[1:]:
        check_same_faces(runs[0].predictions, other.predictions)
    return runs


def _number(run: Path) -> tuple[int, str]:
    digits = run.name.rpartition("-")[2]
    return (int(digits) if digits.isdecimal() else 0, run.name)


@dataclass(frozen=True)
class Result:
    """The metrics of several runs on one split.

    Attributes:
        metrics: means over the runs, as ``evaluate.report``; ``interval`` and ``macro_f1_interval`` are over faces
            (whole people or sessions, where known) and runs, ``grouped_by`` says which.
        deviation: metric → standard deviation over the runs (n − 1); 0 for one run.
        runs: number of runs.
    """

    metrics: dict[str, Any]
    deviation: dict[str, float]
    runs: int

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {"seeds": self.runs, "mean": self.metrics, "deviation": self.deviation}


def summarise(runs: Sequence[Predictions], part: str) -> Result:
    """Return the metrics of one recipe's runs on the same faces of a split; a single run keeps its own metrics."""
    reports = [evaluate.report(run, copies=is_test(part)) for run in runs]
    deviation = {name: float(np.std([report[name] for report in reports], ddof=1)) for name in SPREAD if len(runs) > 1}
    metrics = average(reports)
    if len(runs) > 1:
        metrics |= _intervals(runs)
    return Result(metrics, deviation or dict.fromkeys(SPREAD, 0.0), len(runs))


def _intervals(runs: Sequence[Predictions]) -> dict[str, Any]:
    name, groups = runs[0].grouping()
    counts = np.stack([clusters.count_by_group(run.labels, run.predicted, groups, len(run.label_set)) for run in runs])
    return {
        "interval": list(clusters.clustered_interval(counts, clusters.accuracy)),
        "macro_f1_interval": list(clusters.clustered_interval(counts, macro_f1)),
        "grouped_by": name,
    }


def average(values: Sequence[Any]) -> Any:
    """Return the mean of equally shaped JSON values: numbers, and lists and objects of them.

    Texts and booleans are those of the first; None anywhere gives None.

    Raises:
        DataError: other shapes.
    """
    first = values[0]
    if any(value is None for value in values):
        return None
    if isinstance(first, Mapping):
        return {
            key: average([value[key] for value in values]) for key in first if all(key in value for value in values)
        }
    if isinstance(first, list | tuple):
        if len({len(value) for value in values}) > 1:
            raise DataError("Metrics of runs with other classes or splits have no mean. Name runs of one recipe.")
        return [average(row) for row in zip(*values, strict=True)]
    if isinstance(first, str | bool):
        return first
    mean = float(np.mean(values))
    return int(mean) if isinstance(first, int) and mean.is_integer() else mean


def right(runs: Sequence[Predictions]) -> NDArray[np.bool_]:
    """Return bool (runs, N): whether each run classifies each face correctly."""
    return np.stack([run.right for run in runs])
