"""Read and check a folder written by ``mien train`` or ``mien evaluate --out``: predictions and recorded metrics."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import isclose
from pathlib import Path
from typing import Any

from mien import run_files
from mien.datasets.faces import SAME_PART
from mien.errors import DataError, FileMissingError, OptionError, nearest
from mien.evaluation import predictions
from mien.evaluation.predictions import Predictions

TESTS = ("PrivateTest", SAME_PART["PrivateTest"])
"""Names of the test split, the official one first."""

KEYS = {"PublicTest": "public_test", "PrivateTest": "private_test", "": "all"}
"""Split → its key in metrics.json where the two differ."""


@dataclass(frozen=True)
class Evaluated:
    """A model's predictions and the metrics recorded with them.

    Attributes:
        predictions: of all splits.
        metrics: the content of metrics.json.
    """

    folder: Path
    predictions: Predictions = field(repr=False)
    metrics: dict[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.predictions.about.model

    @property
    def trained(self) -> bool:
        """Whether ``mien train`` wrote the folder, not ``mien evaluate``."""
        return "parts" not in self.metrics

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the splits in file order, '' where the data has none."""
        return tuple(dict.fromkeys(self.predictions.split.tolist()))

    @property
    def scorings(self) -> int | None:
        """How often the test set of the run has been scored; None if not counted."""
        times = self.metrics.get("test_scorings")
        return None if times is None else int(times)

    def part_named(self, asked: str = "") -> str:
        """Return the name of the split to report on: the one asked for, else the test split, else the last one.

        Raises:
            OptionError: listing the splits that exist.
        """
        if not asked:
            return next((name for name in TESTS if name in self.parts), self.parts[-1])
        alike = (asked, SAME_PART.get(asked, asked), *(own for own, other in SAME_PART.items() if other == asked))
        match = next((name for name in alike if name in self.parts), None)
        if match is None:
            known = [name for name in self.parts if name]
            listed = ", ".join(known) or "none with a name; leave --split out"
            raise OptionError(
                f"{self.folder} has no predictions of {asked!r}; there are {listed}.{nearest(asked, known)}"
            )
        return match


def name_part(part: str) -> str:
    """Return the display name of a split."""
    return part or "all faces"


def is_test(part: str) -> bool:
    """Return whether a split of this name is a test split."""
    return part in TESTS


def read(folder: str | Path) -> Evaluated:
    """Read ``predictions.parquet`` and ``metrics.json`` of a folder.

    Raises:
        FileMissingError: naming each missing file and how to create it.
        DataError: a damaged file or if the two files belong to different evaluations.
    """
    path = Path(folder)
    if not path.is_dir():
        raise FileMissingError(
            f"No folder {path}; expected a run of `mien train`, or what `mien evaluate MODEL --data DATA "
            "--out FOLDER` wrote."
        )
    missing = [line for name, line in _REMEDIES.items() if not (path / name).exists()]
    if missing:
        raise FileMissingError(f"{path} is incomplete. It has {' and '.join(missing)}.")
    run = Evaluated(path, predictions.read(path / run_files.PREDICTIONS), read_json(path / run_files.METRICS))
    for part in run.parts:
        _check(run, part)
    return run


_REMEDIES = {
    run_files.PREDICTIONS: "no predictions.parquet (run `mien evaluate MODEL --data DATA --out FOLDER` "
    "and name FOLDER instead)",
    run_files.METRICS: "no metrics.json (finish the run with `mien train … --resume`, or evaluate again with --out)",
}


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that contains an object.

    Raises:
        DataError: any other content.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {error}. Restore it from a backup, or write it again.") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} contains a JSON {type(content).__name__}; expected an object, as Mien writes it.")
    return content


def _check(run: Evaluated, part: str) -> None:
    """Raise ``DataError`` if the recorded metrics of a split do not match the predictions."""
    recorded = (run.metrics if run.trained else run.metrics["parts"]).get(_key(run, part))
    if not isinstance(recorded, dict):
        return  # no metrics were recorded for this split alone: it is part of `--split all`
    own = run.predictions.part(part)
    if recorded.get("faces") != len(own) or not isclose(recorded.get("accuracy", -1), float(own.right.mean())):
        raise DataError(
            f"{run.folder}: metrics.json and predictions.parquet are from different evaluations of {name_part(part)} "
            f"({recorded.get('faces')} faces, accuracy {recorded.get('accuracy')}; {len(own)}, {own.right.mean()}). "
            "Evaluate again with --out, each split once."
        )


def _key(run: Evaluated, part: str) -> str:
    return KEYS.get(part, part) if run.trained or not part else part
