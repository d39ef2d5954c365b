"""A folder that ``mien train`` or ``mien evaluate --out`` wrote, read again: answers and recorded figures, checked."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import isclose
from pathlib import Path
from typing import Any

from mien.datasets.faces import SAME_PART
from mien.errors import DataError, FileMissingError, OptionError, nearest
from mien.evaluation import predictions
from mien.evaluation.predictions import Predictions

TESTS = ("PrivateTest", SAME_PART["PrivateTest"])
"""Names of a part that is only scored, the official one first."""

KEYS = {"PublicTest": "public_test", "PrivateTest": "private_test", "": "all"}
"""Part → its key in metrics.json where that is another word."""


@dataclass(frozen=True)
class Evaluated:
    """What a model answered, and what was recorded with it.

    predictions: of all parts.  metrics: the content of metrics.json.
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
        """The parts' names in the order of the file, '' where the data has none."""
        return tuple(dict.fromkeys(self.predictions.split.tolist()))

    @property
    def scorings(self) -> int | None:
        """How often the test part of the run has been scored; None where nobody counts."""
        times = self.metrics.get("test_scorings")
        return None if times is None else int(times)

    def part_named(self, asked: str = "") -> str:
        """Return the name of the part to tell of: the one asked for, else the test part, else the last one.

        Raises ``OptionError`` naming the parts there are.
        """
        if not asked:
            return next((name for name in TESTS if name in self.parts), self.parts[-1])
        alike = (asked, SAME_PART.get(asked, asked), *(own for own, other in SAME_PART.items() if other == asked))
        found = next((name for name in alike if name in self.parts), None)
        if found is None:
            known = [name for name in self.parts if name]
            told = ", ".join(known) or "none with a name; leave --split out"
            raise OptionError(
                f"{self.folder} has no predictions of {asked!r}; there are {told}.{nearest(asked, known)}"
            )
        return found


def told_part(part: str) -> str:
    """Return a part's name as a page shows it."""
    return part or "all faces"


def is_test(part: str) -> bool:
    """Say whether a part of this name is one that is only scored."""
    return part in TESTS


def read(folder: str | Path) -> Evaluated:
    """Read ``predictions.parquet`` and ``metrics.json`` of a folder.

    Raises ``FileMissingError`` naming each missing file and its remedy, ``DataError`` for a damaged one, and where
    the two files are not of one scoring.
    """
    place = Path(folder)
    if not place.is_dir():
        raise FileMissingError(
            f"No folder {place}; expected a run of `mien train`, or what `mien evaluate MODEL --data DATA "
            "--out FOLDER` wrote."
        )
    missing = [line for name, line in _REMEDIES.items() if not (place / name).exists()]
    if missing:
        raise FileMissingError(f"{place} cannot be reported on: {' '.join(missing)}")
    found = Evaluated(place, predictions.read(place / "predictions.parquet"), values(place / "metrics.json"))
    for part in found.parts:
        _check(found, part)
    return found


_REMEDIES = {
    "predictions.parquet": "it holds no predictions.parquet (run `mien evaluate MODEL --data DATA --out FOLDER` "
    "and name FOLDER instead).",
    "metrics.json": "it holds no metrics.json (finish the run with `mien train … --resume`, or evaluate again "
    "with --out).",
}


def values(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file that holds an object. Raises ``DataError`` for another."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {error}. Take it from a backup, or write it anew.") from error
    if not isinstance(found, dict):
        raise DataError(f"{path} holds a JSON {type(found).__name__}; expected an object, as Mien writes it.")
    return found


def _check(found: Evaluated, part: str) -> None:
    """Raise ``DataError`` if the recorded figures of a part are not those of the answers."""
    recorded = (found.metrics if found.trained else found.metrics["parts"]).get(_key(found, part))
    if not isinstance(recorded, dict):
        return  # nothing was recorded of it: a part of `--split all`
    own = found.predictions.part(part)
    if recorded.get("faces") != len(own) or not isclose(recorded.get("accuracy", -1), float(own.right.mean())):
        raise DataError(
            f"{found.folder}: metrics.json and predictions.parquet are of different scorings of {told_part(part)} "
            f"({recorded.get('faces')} faces, accuracy {recorded.get('accuracy')}; {len(own)}, {own.right.mean()}). "
            "Evaluate again with --out, each part once."
        )


def _key(found: Evaluated, part: str) -> str:
    return KEYS.get(part, part) if found.trained or not part else part
