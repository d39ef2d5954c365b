"""Leave-one-corpus-out calibration: fit on all corpora but one and report on that one, for each in turn.

Calibration on one corpus need not hold on another. Here class scales, temperature and the threshold of ``uncertain``
are fitted on held-out faces of several corpora, weighted equally whatever their sizes, and evaluated on the corpus
that was left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError, OptionError
from mien.evaluation.metrics.calibration import Threshold, VectorScaling, fit_temperature, fit_vector
from mien.evaluation.metrics.checks import Doubles, Floats, check_labels
from mien.evaluation.protocol.suite import Scores, score
from mien.reporting import markdown

RIGHT, ANSWERED = 0.92, 0.5
"""Target accuracy of predictions that are not ``uncertain``, and minimum share of such predictions."""


@dataclass(frozen=True)
class Calibration:
    """Converts logits (N, C) to calibrated probabilities.

    Attributes:
        scaling: scale and bias of each class.
        temperature: the scaled logits are divided by it.
        threshold: the confidence below which a prediction is ``uncertain``, with accuracy and coverage above it on the
            faces it was fitted on, all corpora weighted equally.
        met: whether accuracy and coverage reach their targets there; if not, the threshold is the highest one with
            enough coverage.
    """

    scaling: VectorScaling
    temperature: float
    threshold: Threshold
    met: bool

    def probabilities(self, logits: Floats, classes: Sequence[int] | None = None) -> Doubles:
        """Return probabilities, float64 (N, C); classes that are not among ``classes`` get 0."""
        return self.scaling.probabilities(logits, _mask_classes(np.shape(logits), classes), self.temperature)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        scaling = {"scale": self.scaling.scale.tolist(), "bias": self.scaling.bias.tolist()}
        return {**scaling, "temperature": self.temperature, "threshold": asdict(self.threshold), "met": self.met}


@dataclass(frozen=True)
class LeftOut:
    """A corpus that was left out, the calibration fitted on the others, and its scores on the corpus."""

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
        classes_by_corpus: corpus → indices of the classes that it distinguishes, if not all C; probabilities are
            renormalised over these.
        fitted_on: the corpora that may be used for fitting; None for all. Others, such as test-only corpora, are only
            evaluated on.
        right: minimum accuracy of predictions that are not ``uncertain``, on the corpora used for fitting.
        answered: minimum share of predictions that are not ``uncertain`` there.

    Returns:
        One result for each corpus, in the order of ``logits_by_corpus``.

    Raises:
        DataError: different corpora in the mappings, mismatched shapes, targets outside the corpus's classes, or no
            corpus left to fit on.
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
    """Fit class scales, temperature and threshold on equally weighted corpora; arguments as ``leave_one_out``."""
    if not (0 < right <= 1 and 0 < answered <= 1):
        raise OptionError(f"right = {right}, answered = {answered}: expected shares above 0 and at most 1.")
    if not logits_by_corpus:
        raise DataError("No corpus left to calibrate on; give at least two, or one that may be used for fitting.")
    _check(logits_by_corpus, targets_by_corpus, classes_by_corpus or {})
    names = list(logits_by_corpus)
    logits = np.concatenate([np.asarray(logits_by_corpus[name], np.float64) for name in names])
    targets = np.concatenate([np.asarray(targets_by_corpus[name], np.int64) for name in names])
    weights = np.concatenate(
        [np.full(len(targets_by_corpus[name]), 1 / len(targets_by_corpus[name])) for name in names]
    )
    known = np.concatenate(
        [_mask_classes(logits_by_corpus[name].shape, (classes_by_corpus or {}).get(name)) for name in names]
    )
    scaling = fit_vector(logits, targets, weights, known)
    temperature = fit_temperature(scaling.apply(logits, known), targets, weights)
    probabilities = scaling.probabilities(logits, known, temperature)
    threshold, met = choose_threshold(probabilities, targets, weights, right=right, answered=answered)
    return Calibration(scaling, temperature, threshold, met)


def choose_threshold(
    probabilities: Doubles, targets: NDArray[np.int64], weights: Doubles, *, right: float, answered: float
) -> tuple[Threshold, bool]:
    """Return the lowest threshold with accuracy ``right`` and coverage ``answered``, and whether there is one.

    If there is none, return the highest threshold with enough coverage. weights: sample weights, float (N,), above 0.
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
    """Format the results as the lines of a Markdown table."""
    head = ("left out", "faces", "accuracy", "ECE", "answered", "right if answered", "threshold",
            "answered, fitted", "right, fitted")  # fmt: skip
    return markdown.format_table(head, [_format_row(result) for result in results])


def _format_row(result: LeftOut) -> list[str]:
    scores, threshold = result.scores, result.calibration.threshold
    shares = [scores.accuracy, scores.answered, scores.right_if_answered]
    accuracy, answered, right = ("" if share is None else f"{100 * share.value:.1f} %" for share in shares)
    unmet = "" if result.calibration.met else " (not met)"
    return [
        result.corpus, f"{scores.faces:,}", accuracy, f"{scores.ece.value:.3f}", answered, right,
        f"{threshold.confidence:.3f}", f"{100 * threshold.coverage:.1f} %", f"{100 * threshold.accuracy:.1f} %{unmet}",
    ]  # fmt: skip


def _mask_classes(shape: tuple[int, ...], classes: Sequence[int] | None) -> NDArray[np.bool_]:
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
        raise DataError(f"No targets for {', '.join(missing)}; expected one target for each row of logits.")
    widths = {np.shape(logits)[1:] for logits in logits_by_corpus.values()}
    if len(widths) > 1 or any(len(width) != 1 for width in widths):
        shapes = ", ".join(f"{name} {np.shape(logits)}" for name, logits in logits_by_corpus.items())
        raise DataError(f"Logits have shapes {shapes}; expected (N, C) with the same C in every corpus.")
    for name, logits in logits_by_corpus.items():
        targets = check_labels(np.asarray(targets_by_corpus[name]), logits.shape[1])
        if len(targets) != len(logits) or not len(targets):
            raise DataError(
                f"{name}: {len(targets)} targets for {len(logits)} logits; expected equally many, at least 1."
            )
        outside = np.setdiff1d(targets, list(classes_by_corpus.get(name, range(logits.shape[1]))))
        if len(outside):
            raise DataError(f"{name}: targets {outside.tolist()} are not among the classes of this corpus.")
