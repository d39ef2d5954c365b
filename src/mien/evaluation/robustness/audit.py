"""Audit one model on one split: accuracy by slice, and robustness to image corruptions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets import landmarks
from mien.datasets.faces import FaceSet
from mien.errors import OptionError
from mien.evaluation.evaluate import report
from mien.evaluation.predictions import Predictions
from mien.evaluation.robustness import grouping, slices
from mien.evaluation.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from mien.evaluation.robustness.slices import SMALLEST, Slicing, wilson
from mien.recognition.classifier import Classifier

Watch = Callable[[Iterable[Any]], Iterable[Any]]
Points = NDArray[np.float64]

SAMPLE = 1000
"""Faces that are corrupted: eleven corruptions at five severities mean 55 predictions for each."""

COMMON = ("noise", "blur", "jpeg", "darker", "low-resolution")
"""The corruptions that ``measure_loss`` uses by default: the most common defects in photos of people."""

NAMED = 10
"""A note names up to this many small slices of a slicing, and only counts more."""


@dataclass(frozen=True)
class Wish:
    """Settings of an audit.

    Attributes:
        by: columns of the data to slice by, in addition to what is measured on the faces.
        corruptions: names, see ``corruptions.CORRUPTIONS``; empty to skip the robustness test.
        sample: number of faces to corrupt, drawn at random with ``seed``; all faces if there are fewer.
        smallest: slices with fewer faces are shown but not tested.
    """

    by: tuple[str, ...] = ()
    corruptions: tuple[str, ...] = tuple(CORRUPTIONS)
    sample: int = SAMPLE
    seed: int = 0
    smallest: int = SMALLEST


@dataclass(frozen=True)
class Corrupted:
    """Results for one corruption. All values lie in [0, 1] except ``drop``, which is negative if accuracy improves.

    Attributes:
        accuracy: at severity 1 to 5.
        intervals: 95 % Wilson intervals.
        mean: of the five accuracies.
        drop: mean relative drop: the share of the clean accuracy that is lost.
    """

    name: str
    accuracy: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]
    mean: float
    drop: float


@dataclass(frozen=True)
class Robustness:
    """Accuracy on the same faces before and after corruption.

    Attributes:
        clean, interval: accuracy on the clean faces.
        majority: share of the largest class, the accuracy of a constant prediction.
        landmarks: number of faces whose own landmarks place the occluding bars; for the others the bars lie at the
            average landmarks.
        mean, drop: over all corruptions and severities, see ``Corrupted``.
        example: uint8 (1, S, S), one of the faces, and its landmarks.
    """

    faces: int
    clean: float
    interval: tuple[float, float]
    majority: float
    landmarks: int
    corrupted: tuple[Corrupted, ...]
    mean: float
    drop: float
    example: tuple[NDArray[np.uint8], Points | None] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values, without the pixels of ``example``."""
        values = {name: value for name, value in vars(self).items() if name not in ("example", "corrupted")}
        kinds = [(result, CORRUPTIONS[result.name]) for result in self.corrupted]
        rows = [{**asdict(result), "strengths": kind.strengths, "unit": kind.unit} for result, kind in kinds]
        return {**values, "corrupted": rows}


@dataclass(frozen=True)
class Audit:
    """Results of an audit on N faces.

    Attributes:
        figures: metrics, as ``evaluate.report``.
        robustness: None if no corruption was asked for.
        notes: caveats for the reader, one sentence each.
    """

    figures: dict[str, Any]
    slicings: tuple[Slicing, ...]
    robustness: Robustness | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "figures": self.figures,
            "slicings": [slicing.to_dict() for slicing in self.slicings],
            "too_small": slices.find_small(self.slicings),
            "robustness": None if self.robustness is None else self.robustness.to_dict(),
            "notes": list(self.notes),
        }


def audit(
    model: Classifier,
    faces: FaceSet,
    predictions: Predictions,
    wish: Wish,
    *,
    points: Points | None = None,
    watch: Watch | None = None,
) -> Audit:
    """Audit a model.

    Args:
        model: the model.
        faces: N faces with the model's classes.
        predictions: the model's predictions on these faces (``evaluate.predict``).
        wish: what to slice by and which corruptions to apply.
        points: float64 (N, 5, 2), landmarks in pixels of the crops, NaN where unknown; None if there are none.
        watch: wraps the iterable of corruptions and severities, for a progress bar.

    Raises:
        OptionError: a column that is missing or cannot be sliced by.
        DataError: a column of the wrong type.
    """
    groups = [
        *(grouping.group_by_column(faces, name) for name in dict.fromkeys(wish.by)),
        *grouping.group_by_measures(faces, points),
    ]
    slicings = slices.correct_p_values(
        [slices.score_slices(predictions, group, people=faces.subjects, smallest=wish.smallest) for group in groups]
    )
    robustness = (
        measure_robustness(model, faces, predictions, wish, points=points, watch=watch) if wish.corruptions else None
    )
    return Audit(report(predictions), slicings, robustness, tuple(_write_notes(faces, predictions, wish, slicings)))


def measure_robustness(
    model: Classifier,
    faces: FaceSet,
    predictions: Predictions,
    wish: Wish,
    *,
    points: Points | None = None,
    watch: Watch | None = None,
) -> Robustness:
    """Measure accuracy on a sample of the faces under each corruption and severity; arguments as for ``audit``."""
    if not wish.corruptions:
        raise OptionError("No corruptions given; name at least one, or skip the robustness test.")
    drawn = np.random.default_rng(wish.seed).choice(len(faces), min(wish.sample, len(faces)), replace=False)
    rows = np.sort(drawn)
    pixels, labels, right = faces.pixels[rows], faces.labels[rows], predictions.right[rows]
    own = None if points is None else points[rows]
    jobs = [(name, severity) for name in wish.corruptions for severity in SEVERITIES]
    counts = {}
    for name, severity in watch(jobs) if watch else jobs:
        worse = corrupt(pixels, name, severity, points=own, seed=wish.seed)
        counts[name, severity] = int((_classify(model, worse) == labels).sum())
    clean = float(right.mean())
    corrupted = tuple(
        _summarise(name, [counts[name, severity] for severity in SEVERITIES], len(rows), clean)
        for name in wish.corruptions
    )
    mean = float(np.mean([result.mean for result in corrupted]))
    known = 0 if own is None else int((~np.isnan(own).any((1, 2))).sum())
    shown = _choose_example(pixels, right, own)
    return Robustness(
        len(rows), clean, wilson(int(right.sum()), len(rows)), float(np.bincount(labels).max() / len(rows)),
        known, corrupted, mean, _compute_drop(clean, mean), (pixels[shown], None if own is None else own[shown]),
    )  # fmt: skip


@dataclass(frozen=True)
class Loss:
    """Accuracy lost to corruptions on N faces, as shares; negative where accuracy improves.

    Attributes:
        faces: N.
        clean: accuracy on the clean faces.
        losses: corruption → ``clean`` minus the accuracy on the corrupted faces.
    """

    faces: int
    clean: float
    losses: dict[str, float]

    @property
    def mean(self) -> float:
        """Mean loss over the corruptions."""
        return float(np.mean(list(self.losses.values())))


def measure_loss(
    model: Classifier,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    corruptions: tuple[str, ...] = COMMON,
    severity: int = 3,
    points: Points | None = None,
    seed: int = 0,
) -> Loss:
    """Measure the accuracy that a model loses under corruptions of one severity.

    Args:
        model: the model.
        pixels: uint8 (N, S, S) grey crops.
        labels: int64 (N,), indices of the model's classes.
        corruptions: names of ``corruptions.CORRUPTIONS``, at least one.
        severity: 1 to 5.
        points: float64 (N, 5, 2), as for ``corruptions.corrupt``.
        seed: seed of the noise.

    Raises:
        OptionError: no corruption, or an unknown corruption or severity.
        DataError: arrays of the wrong shape or dtype.
    """
    if not corruptions:
        raise OptionError(f"No corruptions given; choose from {', '.join(CORRUPTIONS)}.")
    clean = float((_classify(model, pixels) == labels).mean())
    losses = {
        name: clean
        - float((_classify(model, corrupt(pixels, name, severity, points=points, seed=seed)) == labels).mean())
        for name in dict.fromkeys(corruptions)
    }
    return Loss(len(labels), clean, losses)


def _classify(model: Classifier, pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the most probable class of each face, int64 (N,); the temperature does not affect it."""
    classes: NDArray[np.int64] = model.logits(pixels).argmax(1)
    return classes


def _summarise(name: str, right: list[int], faces: int, clean: float) -> Corrupted:
    accuracy = tuple(count / faces for count in right)
    mean = float(np.mean(accuracy))
    return Corrupted(name, accuracy, tuple(wilson(count, faces) for count in right), mean, _compute_drop(clean, mean))


def _compute_drop(clean: float, mean: float) -> float:
    return 1 - mean / clean if clean else 0.0


def _choose_example(pixels: NDArray[np.uint8], right: NDArray[np.bool_], points: Points | None) -> slice:
    """Choose the example: correctly classified if possible, then the most typical by landmarks or else by contrast."""
    contrast = pixels.reshape(len(pixels), -1).std(1)
    odd = np.abs(contrast - np.median(contrast))
    if points is not None:
        off = np.abs(points / pixels.shape[2] - landmarks.AVERAGE).max((1, 2))
        odd = np.where(np.isnan(off), odd.max() + 1, off)
    index = int(np.argmin(odd + (odd.max() + 1) * ~right))
    return slice(index, index + 1)


def _write_notes(faces: FaceSet, predictions: Predictions, wish: Wish, slicings: tuple[Slicing, ...]) -> list[str]:
    notes = []
    few = [small for small in map(_list_small, slicings) if small]
    if few:
        notes.append(f"Slices of fewer than {wish.smallest} faces, shown but not tested: {', '.join(few)}.")
    if faces.subjects is not None:
        people = len(set(faces.subjects.tolist()) - {""})
        notes.append(
            f"The {len(faces):,} faces show {people:,} people. Intervals assume independent faces, so they are too "
            "narrow where one person's faces are alike. Where each person's faces lie in one slice, the test permutes "
            "people; the other tests assume independent faces too."
        )
    absent = sorted(set(range(len(predictions.label_set))) - set(predictions.labels.tolist()))
    if absent:
        missing = ", ".join(predictions.label_set.labels[index] for index in absent)
        notes.append(f"Classes of the model without faces here, excluded from all means: {missing}.")
    return notes


def _list_small(slicing: Slicing) -> str:
    """List the small slices of a slicing; above ``NAMED`` give their number only, as the table names them all."""
    small = slices.find_small([slicing])
    if len(small) <= NAMED:
        return ", ".join(f"{name} ({count})" for name, count in small.items())
    low, high = min(small.values()), max(small.values())
    return f"{len(small)} of the {len(slicing.slices)} slices by {slicing.by} ({low} to {high} faces)"
