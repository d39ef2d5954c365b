"""An audit: one model on one part of a corpus, slice by slice, and on the same faces made worse."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets import landmarks
from mien.datasets.faces import FaceSet
from mien.errors import OptionError
from mien.evaluation import grouping, slices
from mien.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from mien.evaluation.evaluate import BATCH, Model, report
from mien.evaluation.predictions import Predictions
from mien.evaluation.slices import SMALLEST, Slicing, wilson
from mien.preprocess import apply

Watch = Callable[[Iterable[Any]], Iterable[Any]]
Points = NDArray[np.float64]

SAMPLE = 1000
"""Faces that are made worse: eleven corruptions of five severities are 55 times as many answers."""

COMMON = ("noise", "blur", "jpeg", "darker", "low-resolution")
"""The five corruptions of ``loss``: what photos of people mostly suffer from."""

NAMED = 10
"""Small slices of one slicing that are named in a note; more are counted there, and named in the table."""


@dataclass(frozen=True)
class Wish:
    """What an audit is to look at.

    by:          columns of the data to slice by, beside what is measured on the faces.
    corruptions: names, see ``corruptions.CORRUPTIONS``; none for no faces made worse.
    sample:      how many faces are made worse, drawn at random by ``seed``; fewer if there are no more.
    smallest:    faces below which a slice is not judged.
    """

    by: tuple[str, ...] = ()
    corruptions: tuple[str, ...] = tuple(CORRUPTIONS)
    sample: int = SAMPLE
    seed: int = 0
    smallest: int = SMALLEST


@dataclass(frozen=True)
class Corrupted:
    """One corruption. All figures lie in [0, 1] but ``drop``, which is negative if the model gets better.

    accuracy:  at severity 1 to 5.  intervals: 95 %, after Wilson.  mean: of the five.
    drop:      the share of the clean accuracy that is lost on the mean.
    """

    name: str
    accuracy: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]
    mean: float
    drop: float


@dataclass(frozen=True)
class Robustness:
    """The same faces, as they are and made worse.

    clean, interval: accuracy on them as they are.  majority: share of their largest class, what a model that sees
    nothing can reach.  landmarks: of how many of them the bars lie at their own eyes and mouth; those of the others
    lie where they are on average.  mean, drop: over all corruptions and severities, see ``Corrupted``.
    example: uint8 (1, S, S), one of the faces, and its points.
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
        """Return JSON-ready values, which have no pixels."""
        found = {name: value for name, value in vars(self).items() if name not in ("example", "corrupted")}
        rows = [{**asdict(each), "strengths": CORRUPTIONS[each.name].strengths, "unit": CORRUPTIONS[each.name].unit}
                for each in self.corrupted]  # fmt: skip
        return {**found, "corrupted": rows}


@dataclass(frozen=True)
class Audit:
    """What was found on N faces. figures: as ``evaluate.report``.  robustness: None if nothing was made worse.

    notes: what must be known to read it, a sentence each.
    """

    figures: dict[str, Any]
    slicings: tuple[Slicing, ...]
    robustness: Robustness | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "figures": self.figures,
            "slicings": [each.to_dict() for each in self.slicings],
            "too_small": slices.too_small(self.slicings),
            "robustness": None if self.robustness is None else self.robustness.to_dict(),
            "notes": list(self.notes),
        }


def audit(
    model: Model,
    faces: FaceSet,
    found: Predictions,
    wish: Wish,
    *,
    points: Points | None = None,
    watch: Watch | None = None,
) -> Audit:
    """Audit a model.

    faces, found: N faces with the model's classes, and its answers on them (``evaluate.predict``).
    points: float64 (N, 5, 2), landmarks in pixels of the crops, NaN where unknown; None if nobody knows any.
    watch:  wraps the iterable of corruptions and severities, for a progress bar.
    Raises ``OptionError`` for columns that make no slices, ``DataError`` for columns of a wrong kind.
    """
    groups = [*(grouping.by_column(faces, name) for name in dict.fromkeys(wish.by)), *grouping.measured(faces, points)]
    slicings = slices.corrected(
        [slices.sliced(found, each, people=faces.subjects, smallest=wish.smallest) for each in groups]
    )
    robustness = under_corruption(model, faces, found, wish, points=points, watch=watch) if wish.corruptions else None
    return Audit(report(found), slicings, robustness, tuple(_notes(faces, found, wish, slicings)))


def under_corruption(
    model: Model,
    faces: FaceSet,
    found: Predictions,
    wish: Wish,
    *,
    points: Points | None = None,
    watch: Watch | None = None,
) -> Robustness:
    """Let a model answer some of the faces made worse; arguments as of ``audit``."""
    if not wish.corruptions:
        raise OptionError("No corruption to look at; name some, or leave robustness out.")
    drawn = np.random.default_rng(wish.seed).choice(len(faces), min(wish.sample, len(faces)), replace=False)
    rows = np.sort(drawn)
    pixels, labels, right = faces.pixels[rows], faces.labels[rows], found.right[rows]
    own = None if points is None else points[rows]
    jobs = [(name, severity) for name in wish.corruptions for severity in SEVERITIES]
    counts = {}
    for name, severity in watch(jobs) if watch else jobs:
        worse = corrupt(pixels, name, severity, points=own, seed=wish.seed)
        counts[name, severity] = int((_answers(model, worse) == labels).sum())
    clean = float(right.mean())
    corrupted = tuple(
        _summary(name, [counts[name, severity] for severity in SEVERITIES], len(rows), clean)
        for name in wish.corruptions
    )
    mean = float(np.mean([each.mean for each in corrupted]))
    known = 0 if own is None else int((~np.isnan(own).any((1, 2))).sum())
    shown = _example(pixels, right, own)
    return Robustness(
        len(rows), clean, wilson(int(right.sum()), len(rows)), float(np.bincount(labels).max() / len(rows)),
        known, corrupted, mean, _lost(clean, mean), (pixels[shown], None if own is None else own[shown]),
    )  # fmt: skip


@dataclass(frozen=True)
class Loss:
    """Accuracy that N faces lose when they are made worse, as shares; negative where the model gets better.

    Attributes:
        faces: N.
        clean: accuracy on the faces as they are.
        losses: corruption → ``clean`` minus the accuracy on the corrupted faces.
    """

    faces: int
    clean: float
    losses: dict[str, float]

    @property
    def mean(self) -> float:
        """Mean loss over the corruptions."""
        return float(np.mean(list(self.losses.values())))


def loss(
    model: Model,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    corruptions: tuple[str, ...] = COMMON,
    severity: int = 3,
    points: Points | None = None,
    seed: int = 0,
) -> Loss:
    """Return the accuracy that a model loses under corruptions of one severity.

    Args:
        model: the model.
        pixels: uint8 (N, S, S) grey crops.
        labels: int64 (N,), indices of the model's classes.
        corruptions: names of ``corruptions.CORRUPTIONS``, at least one.
        severity: 1 to 5.
        points: float64 (N, 5, 2), as of ``corruptions.corrupt``.
        seed: of the noise.

    Raises:
        OptionError: an unknown corruption or severity, or none at all.
        DataError: arrays of another kind.
    """
    if not corruptions:
        raise OptionError(f"No corruption to look at; name some of {', '.join(CORRUPTIONS)}.")
    clean = float((_answers(model, pixels) == labels).mean())
    losses = {
        name: clean
        - float((_answers(model, corrupt(pixels, name, severity, points=points, seed=seed)) == labels).mean())
        for name in dict.fromkeys(corruptions)
    }
    return Loss(len(labels), clean, losses)


def _answers(model: Model, pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the most probable class of each face, int64 (N,); the temperature does not move it."""
    starts = range(0, len(pixels), BATCH)
    batches = [model.session.logits(apply(pixels[start : start + BATCH], model.preprocess)) for start in starts]
    places: NDArray[np.int64] = np.concatenate(batches).argmax(1)
    return places


def _summary(name: str, right: list[int], faces: int, clean: float) -> Corrupted:
    accuracy = tuple(count / faces for count in right)
    mean = float(np.mean(accuracy))
    return Corrupted(name, accuracy, tuple(wilson(count, faces) for count in right), mean, _lost(clean, mean))


def _lost(clean: float, mean: float) -> float:
    return 1 - mean / clean if clean else 0.0


def _example(pixels: NDArray[np.uint8], right: NDArray[np.bool_], points: Points | None) -> slice:
    """Choose the face to show: read rightly if one is, and the most ordinary, by its landmarks or else its contrast."""
    contrast = pixels.reshape(len(pixels), -1).std(1)
    odd = np.abs(contrast - np.median(contrast))
    if points is not None:
        off = np.abs(points / pixels.shape[2] - landmarks.AVERAGE).max((1, 2))
        odd = np.where(np.isnan(off), odd.max() + 1, off)
    place = int(np.argmin(odd + (odd.max() + 1) * ~right))
    return slice(place, place + 1)


def _notes(faces: FaceSet, found: Predictions, wish: Wish, slicings: tuple[Slicing, ...]) -> list[str]:
    notes = []
    few = [told for told in map(_few, slicings) if told]
    if few:
        notes.append(f"Slices of fewer than {wish.smallest} faces, shown but not judged: {', '.join(few)}.")
    if faces.subjects is not None:
        people = len(set(faces.subjects.tolist()) - {""})
        notes.append(
            f"The {len(faces):,} faces show {people:,} people. Intervals take faces as independent; where a person's "
            "faces are alike they are too narrow. Tests of slices to which whole people belong deal out people; the "
            "others take faces as independent too."
        )
    absent = sorted(set(range(len(found.label_set))) - set(found.labels.tolist()))
    if absent:
        told = ", ".join(found.label_set.labels[place] for place in absent)
        notes.append(f"The model's classes that have no face here, and count in no mean: {told}.")
    return notes


def _few(slicing: Slicing) -> str:
    """Name the small slices of a slicing, or of more than ``NAMED`` their number, as its table names them all."""
    found = slices.too_small([slicing])
    if len(found) <= NAMED:
        return ", ".join(f"{name} ({count})" for name, count in found.items())
    low, high = min(found.values()), max(found.values())
    return f"{len(found)} of the {len(slicing.slices)} slices by {slicing.by} ({low} to {high} faces each)"
