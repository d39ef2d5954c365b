"""Calibration that is asked to hold on a corpus that it has not seen: fitted on all corpora but one, in turn.

A confidence fitted on one corpus promises what it promises there. Here class scales, temperature and the threshold of
``uncertain`` are fitted on held-out faces of several corpora, each of which counts the same whatever its size, and are
reported on the one that was left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError, OptionError
from mien.evaluation import markdown
from mien.evaluation.calibration import Threshold, VectorScaling, fit_temperature, fit_vector
from mien.evaluation.checks import Doubles, Floats, places
from mien.evaluation.suite import Scores, score
from mien.recognition.session import softmax

RIGHT, ANSWERED = 0.92, 0.5
"""Share of answers that are to be right among those not ``uncertain``, and the least share that is to be answered."""


@dataclass(frozen=True)
class Calibration:
    """What makes logits (N, C) into confidences.

    Attributes:
        scaling: scale and bias of each class.
        temperature: the scaled logits are divided by it.
        threshold: the confidence below which an answer is ``uncertain``, with the share of right answers above it and
            the share answered on the faces it was chosen on, where each corpus counts the same.
        met: whether both shares are as asked for there; if not, the threshold is that of the most confident half.
    """

    scaling: VectorScaling
    temperature: float
    threshold: Threshold
    met: bool

    def probabilities(self, logits: Floats, classes: Sequence[int] | None = None) -> Doubles:
        """Return float64 (N, C) probabilities; classes that are not among ``classes`` get 0."""
        scaled = np.asarray(logits, np.float64) * self.scaling.scale + self.scaling.bias
        return softmax(np.where(_apart(scaled.shape, classes), scaled, -np.inf), self.temperature)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        scaling = {"scale": self.scaling.scale.tolist(), "bias": self.scaling.bias.tolist()}
        return {**scaling, "temperature": self.temperature, "threshold": asdict(self.threshold), "met": self.met}


@dataclass(frozen=True)
class LeftOut:
    """A corpus that was left out, what was fitted on the others, and its scores on the corpus."""

    corpus: str
    calibration: Calibration
    scores: Scores

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {"corpus": self.corpus, "calibration": self.calibration.to_dict(), "scores": asdict(self.scores)}


def leave_one_out(
    logits_by_corpus: Mapping[str, Floats],
    targets_by_corpus: Mapping[str, NDArray[Any]],
    *,
    classes_by_corpus: Mapping[str, Sequence[int]] | None = None,
    fitted_on: Sequence[str] | None = None,
    right: float = RIGHT,
    answered: float = ANSWERED,
) -> tuple[LeftOut, ...]:
    """Calibrate on all corpora but one and report on that one, for each corpus in turn.

    Args:
        logits_by_corpus: corpus → float (N, C) logits of held-out faces, the same C classes for all.
        targets_by_corpus: corpus → int (N,) class indices.
        classes_by_corpus: corpus → indices of the classes that it tells apart, where not all C; the others' share is
            divided among these.
        fitted_on: the corpora that may be fitted on; None for all. Others, such as those that are only ever tested,
            are left out in turn and never fitted on.
        right: least share of right answers among those not ``uncertain``, on the corpora fitted on.
        answered: least share of answers not ``uncertain`` there.

    Returns:
        One result a corpus, in the order of ``logits_by_corpus``.

    Raises:
        DataError: different corpora in the mappings, shapes that do not fit, targets outside the corpus's classes, or
            no corpus left to fit on.
        OptionError: shares outside (0, 1].
    """
    _check(logits_by_corpus, targets_by_corpus, classes_by_corpus or {})
    allowed = list(logits_by_corpus) if fitted_on is None else list(fitted_on)
    results = []
    for corpus, logits in logits_by_corpus.items():
        others = [name for name in allowed if name != corpus]
        calibration = calibrate(
            {name: logits_by_corpus[name] for name in others},
            targets_by_corpus,
            classes_by_corpus=classes_by_corpus,
            right=right,
            answered=answered,
        )
        classes = (classes_by_corpus or {}).get(corpus)
        probabilities = calibration.probabilities(logits, classes)
        targets = np.asarray(targets_by_corpus[corpus], np.int64)
        results.append(LeftOut(corpus, calibration, score(probabilities, targets, calibration.threshold.confidence)))
    return tuple(results)


def calibrate(
    logits_by_corpus: Mapping[str, Floats],
    targets_by_corpus: Mapping[str, NDArray[Any]],
    *,
    classes_by_corpus: Mapping[str, Sequence[int]] | None = None,
    right: float = RIGHT,
    answered: float = ANSWERED,
) -> Calibration:
    """Fit class scales, temperature and threshold on several corpora that count the same; as ``leave_one_out``."""
    if not (0 < right <= 1 and 0 < answered <= 1):
        raise OptionError(f"right = {right}, answered = {answered}: expected shares above 0 and at most 1.")
    if not logits_by_corpus:
        raise DataError("No corpus is left to calibrate on; give at least two, or one that may be fitted on.")
    _check(logits_by_corpus, targets_by_corpus, classes_by_corpus or {})
    names = list(logits_by_corpus)
    logits = np.concatenate([np.asarray(logits_by_corpus[name], np.float64) for name in names])
    targets = np.concatenate([np.asarray(targets_by_corpus[name], np.int64) for name in names])
    weights = np.concatenate(
        [np.full(len(targets_by_corpus[name]), 1 / len(targets_by_corpus[name])) for name in names]
    )
    known = np.concatenate(
        [_apart(logits_by_corpus[name].shape, (classes_by_corpus or {}).get(name)) for name in names]
    )
    scaling = fit_vector(logits, targets, weights, known)
    scaled = np.where(known, logits * scaling.scale + scaling.bias, -np.inf)
    temperature = fit_temperature(scaled, targets, weights)
    threshold, met = choose_threshold(softmax(scaled, temperature), targets, weights, right=right, answered=answered)
    return Calibration(scaling, temperature, threshold, met)


def choose_threshold(
    probabilities: Doubles, targets: NDArray[np.int64], weights: Doubles, *, right: float, answered: float
) -> tuple[Threshold, bool]:
    """Return the lowest confidence from which on ``right`` of the answers are right, and whether enough are answered.

    Where less than ``answered`` lie above every such confidence, it is the highest one above which enough lie.
    Faces count by ``weights``, float (N,), above 0.
    """
    confidence = probabilities.max(1)
    order = np.argsort(-confidence, kind="stable")
    falling, counted = confidence[order], weights[order] / weights.sum()
    correct = counted * (probabilities.argmax(1) == targets)[order]
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))  # of each group of equal confidence
    coverage = np.cumsum(counted)[last]
    accuracy = np.cumsum(correct)[last] / coverage
    enough = coverage >= answered - 1e-12
    good = np.flatnonzero(enough & (accuracy >= right))
    row = int(good[-1]) if len(good) else int(np.flatnonzero(enough)[0])
    return Threshold(float(falling[last[row]]), float(accuracy[row]), float(coverage[row])), bool(len(good))


def table(results: Sequence[LeftOut]) -> list[str]:
    """Return the results as the lines of a Markdown table."""
    head = ("left out", "faces", "accuracy", "ECE", "answered", "right if answered", "threshold",
            "answered, fitted", "right, fitted")  # fmt: skip
    return markdown.table(head, [_line(result) for result in results])


def _line(result: LeftOut) -> list[str]:
    scores, threshold = result.scores, result.calibration.threshold
    shares = [scores.accuracy, scores.answered, scores.right_if_answered]
    accuracy, answered, right = ("" if share is None else f"{100 * share.value:.1f} %" for share in shares)
    unmet = "" if result.calibration.met else " (not met)"
    return [
        result.corpus, f"{scores.faces:,}", accuracy, f"{scores.ece.value:.3f}", answered, right,
        f"{threshold.confidence:.3f}", f"{100 * threshold.coverage:.1f} %", f"{100 * threshold.accuracy:.1f} %{unmet}",
    ]  # fmt: skip


def _apart(shape: tuple[int, ...], classes: Sequence[int] | None) -> NDArray[np.bool_]:
    apart = np.ones(shape, bool)
    if classes is not None:
        apart[:, np.setdiff1d(np.arange(shape[1]), list(classes))] = False
    return apart


def _check(
    logits_by_corpus: Mapping[str, Floats],
    targets_by_corpus: Mapping[str, NDArray[Any]],
    classes_by_corpus: Mapping[str, Sequence[int]],
) -> None:
    missing = [name for name in logits_by_corpus if name not in targets_by_corpus]
    if missing:
        raise DataError(f"No targets of {', '.join(missing)}; expected as many targets as logits of every corpus.")
    widths = {np.shape(logits)[1:] for logits in logits_by_corpus.values()}
    if len(widths) > 1 or any(len(width) != 1 for width in widths):
        shapes = ", ".join(f"{name} {np.shape(logits)}" for name, logits in logits_by_corpus.items())
        raise DataError(f"Logits of {shapes}; expected (N, C) with the same C classes in every corpus.")
    for name, logits in logits_by_corpus.items():
        targets = places(np.asarray(targets_by_corpus[name]), logits.shape[1])
        if len(targets) != len(logits) or not len(targets):
            raise DataError(f"{name}: {len(targets)} targets for {len(logits)} logits; expected as many, 1 or more.")
        outside = np.setdiff1d(targets, list(classes_by_corpus.get(name, range(logits.shape[1]))))
        if len(outside):
            raise DataError(f"{name}: targets {outside.tolist()} are not among the classes it tells apart.")
