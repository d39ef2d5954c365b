"""Evaluate a model end to end on every corpus of the protocol, with the same metrics for each corpus and frame.

A face that the detector misses is scored in the corpus's own frame, and counted. Classes that a corpus does not have
are excluded as in ``mien predict --classes``: probabilities are renormalised over the others. What the model predicts
with all its classes, as users have it, stands beside that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets.protocol import VALIDATION, Entry, Frame, Material, keep_classes
from mien.errors import DataError
from mien.evaluation.metrics import significance
from mien.evaluation.metrics.calibration import BINS, calibration_error
from mien.evaluation.metrics.checks import Doubles, Labels
from mien.evaluation.protocol.face_crops import Crops, Watch

if TYPE_CHECKING:
    from mien.recognition.classifier import Classifier
    from mien.recognition.model_files.bundle import Bundle


@dataclass(frozen=True)
class Subject:
    """Metadata of a model that the suite needs besides its scores.

    Attributes:
        name: display name.
        digest: SHA-256 (hex) of its graph, ``""`` for a peer.
        uncertain_below: predictions of lower confidence are called uncertain; None for a model without a threshold.
        trained_on: the corpora it was trained on; None where the model file does not say.
    """

    name: str
    digest: str = ""
    uncertain_below: float | None = None
    trained_on: tuple[str, ...] | None = None


def describe(bundle: Bundle) -> Subject:
    """Return the metadata of a model file."""
    trained_on = tuple(corpus.name for corpus in bundle.trained_on)
    return Subject(bundle.name, bundle.digest, bundle.uncertain_below, trained_on or None)


@dataclass(frozen=True)
class Estimate:
    """A metric with its 95 % bootstrap interval, all in [0, 1]."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Scores:
    """Metrics of N predictions over the classes that are distinguished.

    Attributes:
        faces: N.
        accuracy: share of correct predictions.
        balanced_accuracy: mean recall over the classes with faces.
        macro_f1: mean F1 over the classes with faces.
        ece: expected calibration error over 15 equal-width bins.
        answered: share of predictions that are not ``uncertain``; None for a model without a threshold.
        right_if_answered: accuracy of those; None without a threshold, or if all predictions are uncertain.
    """

    faces: int
    accuracy: Estimate
    balanced_accuracy: Estimate
    macro_f1: Estimate
    ece: Estimate
    answered: Estimate | None
    right_if_answered: Estimate | None


@dataclass(frozen=True)
class Gap:
    """Scores by a property of people, value → scores, and the largest gap between their balanced accuracies."""

    groups: Mapping[str, Scores]
    gap: float


@dataclass(frozen=True)
class AllClasses:
    """Predictions among all classes of a model, on a corpus that lacks some of them.

    Attributes:
        accuracy: share of correct predictions.
        absent: class that the corpus lacks → share of faces for which it is predicted, of those that are.
    """

    accuracy: float
    absent: Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """Results on one corpus in one frame.

    Attributes:
        corpus: the entry's name.
        title: the entry's title.
        part: the split of the corpus, ``""`` for all.
        frame: ``detector`` for end to end, ``own`` for the corpus's own frame.
        trained: whether the model was trained on this corpus; None if the model file does not say.
        available: number of faces available; more than ``scores.faces`` if there was a limit.
        left_out: reason → number of rows that are not scored.
        detected: share of the pictures in which a face was detected; None in the corpus's own frame.
        classes: the classes that are distinguished.
        scores: the metrics.
        gaps: property of people → gap, where the corpus has one.
        among_all: predictions among all classes of the model; None where the corpus has them all, and for a peer.
    """

    corpus: str
    title: str
    part: str
    frame: Frame
    trained: bool | None
    available: int
    left_out: Mapping[str, int]
    detected: Estimate | None
    classes: tuple[str, ...]
    scores: Scores
    gaps: Mapping[str, Gap]
    among_all: AllClasses | None = None

    @property
    def is_test(self) -> bool:
        """Whether the split is a test split."""
        return self.part not in VALIDATION

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return asdict(self)


def select_classes(entry: Entry, labels: Sequence[str]) -> tuple[str, ...]:
    """Return the entry's classes that a model of ``labels`` has, in the entry's order."""
    return tuple(label for label in entry.classes.labels if label in labels)


def select_samples(material: Material, labels: Sequence[str]) -> Material:
    """Select the samples of classes that a model with ``labels`` has.

    Raises:
        DataError: no sample has such a class, or fewer than two classes are shared.
    """
    classes = select_classes(material.entry, labels)
    kept = keep_classes(material, classes)
    if len(classes) < 2 or not kept.samples:
        present = ", ".join(sorted({sample.label for sample in material.samples}))
        raise DataError(
            f"{material.entry.title}: no face has a class of the model; the faces have {present}, the model has "
            f"{', '.join(labels)}."
        )
    return kept


def score_corpus(
    model: Classifier, subject: Subject, material: Material, frame: Frame, crops: Crops, *, watch: Watch | None = None
) -> Row:
    """Score a model on one corpus, without test-time augmentation.

    Args:
        model: the model.
        subject: its metadata.
        material: all samples of the corpus, including classes that the model may lack.
        frame: how ``crops`` were cut out.
        crops: of all samples, in their order.
        watch: wraps the batches, for a progress bar.

    Raises:
        DataError: no sample has a class of the model, as ``select_samples``.
    """
    own = model.label_set.labels
    kept, classes = select_samples(material, own), select_classes(material.entry, own)
    known = np.array([sample.label in classes for sample in material.samples], bool)
    pixels = [crops.pixels[row] for row in np.flatnonzero(known)]
    logits = model.logits(pixels, watch=watch)
    probabilities = model.to_probabilities(logits[:, [own.index(label) for label in classes]])
    detected = crops.detected[known]
    row = make_row(kept, frame, subject, classes=classes, probabilities=probabilities, detected=detected)
    if len(classes) == len(own):
        return row
    everything = model.to_probabilities(logits)
    return replace(row, among_all=_compare_all(everything, own, [sample.label for sample in kept.samples], classes))


def _compare_all(
    probabilities: Doubles, labels: Sequence[str], truth: Sequence[str], classes: Sequence[str]
) -> AllClasses:
    predicted = [labels[index] for index in probabilities.argmax(1)]
    counts = Counter(label for label in predicted if label not in classes)
    right = sum(label == true for label, true in zip(predicted, truth, strict=True))
    return AllClasses(right / len(truth), {label: count / len(truth) for label, count in sorted(counts.items())})


def make_row(
    material: Material,
    frame: Frame,
    subject: Subject,
    *,
    classes: Sequence[str],
    probabilities: Doubles,
    detected: NDArray[np.bool_],
) -> Row:
    """Build the row of N samples from their predictions.

    Args:
        material: N samples, each of one of ``classes``.
        frame: how their faces were cut out.
        subject: the model's metadata.
        classes: the C classes that were distinguished.
        probabilities: float (N, C), rows summing to 1.
        detected: bool (N,), whether the detector found a face.

    Raises:
        DataError: as ``checks.check_probabilities``.
    """
    targets = np.array([classes.index(sample.label) for sample in material.samples], np.int64)
    return Row(
        corpus=material.entry.name,
        title=material.entry.title,
        part=material.part,
        frame=frame,
        trained=None if subject.trained_on is None else bool(set(material.entry.trained) & set(subject.trained_on)),
        available=material.available,
        left_out=material.left_out,
        detected=_estimate_share(detected) if frame == "detector" else None,
        classes=tuple(classes),
        scores=score(probabilities, targets, subject.uncertain_below),
        gaps=_compute_gaps(material, probabilities, targets, subject.uncertain_below),
    )


def score(probabilities: Doubles, targets: Labels, uncertain_below: float | None = None) -> Scores:
    """Score probabilities (N, C), rows summing to 1, against class indices (N,).

    Args:
        probabilities: float (N, C).
        targets: int64 (N,), 0 to C - 1.
        uncertain_below: the confidence below which a prediction is called uncertain; None for no threshold.

    Raises:
        DataError: as ``checks.check_probabilities``.
    """
    ece = calibration_error(probabilities, targets)  # checks the arrays
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    right, classes = predicted == targets, probabilities.shape[1]
    confusion = np.bincount(targets * classes + predicted, minlength=classes**2).reshape(classes, classes)
    sure = None if uncertain_below is None else confidence >= uncertain_below
    return Scores(
        faces=len(targets),
        accuracy=_estimate_share(right),
        balanced_accuracy=Estimate(
            float(significance.balanced_accuracy(confusion)), *significance.balanced_accuracy_interval(confusion)
        ),
        macro_f1=Estimate(float(significance.macro_f1(confusion)), *significance.macro_f1_interval(confusion)),
        ece=Estimate(ece, *significance.calibration_interval(confidence, right, BINS)),
        answered=None if sure is None else _estimate_share(sure),
        right_if_answered=None if sure is None else _estimate_right_if_answered(right, sure),
    )


def _estimate_share(values: NDArray[np.bool_]) -> Estimate:
    share = float(values.mean())
    return Estimate(share, *significance.bootstrap_interval(share, len(values)))


def _estimate_right_if_answered(right: NDArray[np.bool_], sure: NDArray[np.bool_]) -> Estimate | None:
    answered = int(sure.sum())
    if not answered:
        return None
    correct = int((right & sure).sum())
    interval = significance.share_interval(correct, answered, len(sure) - answered)
    return Estimate(correct / answered, *interval)


def _compute_gaps(
    material: Material, probabilities: Doubles, targets: Labels, uncertain_below: float | None
) -> dict[str, Gap]:
    gaps = {}
    for name in sorted({name for sample in material.samples for name in sample.groups}):
        values = np.array([sample.groups.get(name, "") for sample in material.samples], str)
        groups = {
            value: score(probabilities[values == value], targets[values == value], uncertain_below)
            for value in sorted(set(values.tolist()) - {""})
        }
        balanced = [scores.balanced_accuracy.value for scores in groups.values()]
        gaps[name] = Gap(groups, max(balanced) - min(balanced))
    return gaps
