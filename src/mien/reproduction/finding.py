"""A published statement with its recomputed value, and the evidence from real data that the recomputation uses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mien.errors import DataError, FileMissingError
from mien.files import appearing


@dataclass(frozen=True)
class Finding:
    """One statement of a system, recomputed.

    Attributes:
        claim: the statement and where it is made.
        published, recomputed: both values as text.
        holds: whether they agree within the printed precision; None where the data at hand cannot decide.
        why: the cause of the difference, or of the agreement.
    """

    system: str
    claim: str
    published: str
    recomputed: str
    holds: bool | None
    why: str


def conclude(
    system: str,
    claim: str,
    published: str,
    recomputed: str,
    holds: bool | None,
    *,
    why: str = "",
    agreed: str = "",
    differs: str = "",
) -> Finding:
    """Return a finding whose reason fits its verdict.

    Args:
        why: what is true whatever the verdict, such as how the value was recomputed.
        agreed: follows if the statement holds.
        differs: follows if it does not; why, and what was done instead.
    """
    reason = {True: agreed, False: differs, None: ""}[holds]
    default = "The values agree." if holds else "The values differ."
    return Finding(system, claim, published, recomputed, holds, " ".join(filter(None, (why, reason))) or default)


@dataclass(frozen=True)
class Speed:
    """Milliseconds that system A's two networks take for one face in ONNX Runtime; see ``speed.measure``.

    Attributes:
        cnn, mobilenet: medians over the rounds.
        threads: CPU threads.
        rounds: turns that each network had.
    """

    cnn: float
    mobilenet: float
    threads: int
    rounds: int


@dataclass(frozen=True)
class Measured:
    """The accuracy of one model of a system on its test set.

    Attributes:
        model: as the claims name it.
        recipe: what was run.
        accuracy, low, high: with the 95 % interval, fractions.
        faces: size of the test set.
        schedule: as ``measured.describe_schedule``.
    """

    model: str
    recipe: str
    accuracy: float
    low: float
    high: float
    faces: int
    schedule: str


@dataclass(frozen=True)
class Evidence:
    """Facts from real data; None falls back on the documents' own numbers.

    Attributes:
        fer2013, fer2013_train: class → faces in all splits, in ``Training`` (``FaceSet.counts()``).
        ckplus, kdef: class → faces available to system A's corpus: apex frames, frontal photographs.
        people: how many people are on both sides of an image-level split of A's corpus, and how many there are.
        speed: time of system A's two networks.
        curves: accuracy per epoch on training and validation faces of system B's CNN, fractions.
        measured: the runs of the system, in the order of its recipes.
    """

    fer2013: Mapping[str, int] | None = None
    fer2013_train: Mapping[str, int] | None = None
    ckplus: Mapping[str, int] | None = None
    kdef: Mapping[str, int] | None = None
    people: tuple[int, int] | None = None
    speed: Speed | None = None
    curves: tuple[Sequence[float], Sequence[float]] | None = None
    measured: Sequence[Measured] = ()

    def write(self, path: Path) -> None:
        """Write what was counted and timed as JSON; curves and accuracies stay in the run folders."""
        values = {name: value for name, value in asdict(self).items() if name not in _OF_RUNS and value is not None}
        with appearing(path) as draft:
            draft.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Evidence:
        """Read what ``write`` wrote.

        Raises:
            FileMissingError: another content.
            DataError: another content.
        """
        try:
            return _parse(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise FileMissingError(f"{path} does not exist; `mien reproduce` writes it beside the page.") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{path} is not evidence that `mien reproduce` wrote: {error}") from error


_OF_RUNS = ("curves", "measured")


def _parse(values: dict[str, Any]) -> Evidence:
    unknown = set(values) - {field.name for field in fields(Evidence)}
    if unknown:
        raise ValueError(f"unknown entries {', '.join(sorted(unknown))}")
    speed, people = values.pop("speed", None), values.pop("people", None)
    return Evidence(
        **values,
        speed=None if speed is None else Speed(**speed),
        people=None if people is None else (int(people[0]), int(people[1])),
    )
