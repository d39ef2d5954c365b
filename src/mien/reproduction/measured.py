"""What the runs of a system measured, beside what the document claims."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.metrics import significance
from mien.recipes import recipe
from mien.recipes.recipe import AnyRecipe, Recipe
from mien.reproduction.claims import C_REPORT, Claim, published
from mien.reproduction.finding import Measured
from mien.reproduction.rounding import fitting_means
from mien.reproduction.systems_page import Row
from mien.training.fit import read_history

PUBLISHED, OWN = "published", "Mien's"
"""The two kinds of schedules."""

DRAWS = 2_000
"""Resamples of the intervals that are computed for the page."""

REPORTS = {"C": C_REPORT}
"""Systems whose overall precision, recall and F1 are means that their own tables reveal."""

Confusion = NDArray[np.int64]


@dataclass(frozen=True)
class Outcome:
    """One recipe of a system, run with one or several seeds.

    Attributes:
        model: as named in the claims.
        test: metrics on the test set, one entry per seed.
        folder: the first seed's run.
    """

    model: str
    recipe: AnyRecipe
    test: tuple[dict[str, Any], ...]
    folder: Path


@dataclass(frozen=True)
class Quantity:
    """A measured value: text, mean over the seeds in the claim's unit, and 95 % interval (None if there is none)."""

    text: str
    value: float
    interval: tuple[float, float] | None = None


def describe_schedule(system: str, plan: AnyRecipe) -> str:
    """Return whether a recipe has the document's own schedule: ``published``, or ``Mien's``.

    A budget counts as published if it changes nothing but texts, the table ``[data]`` and what is equalised.
    """
    for name in published(system).schedules:
        shipped = recipe.variants(name)
        if any(variant.name == plan.name for variant in shipped.values()):
            return PUBLISHED if _settings(plan) == _settings(shipped[""]) else OWN
    return OWN


def _settings(plan: AnyRecipe) -> dict[str, Any]:
    values = plan.model_dump(mode="json", exclude={"name": True, "about": True, "data": True, "train": {"seed"}})
    values["preprocess"].pop("clahe")  # whether the crop is equalised or the photograph was: no matter of the schedule
    return values


def summarise(system: str, outcome: Outcome) -> Measured:
    """Return an outcome's accuracy on its test set, the mean over its seeds, with the mean interval."""
    low, high = _accuracy_interval(outcome.test)
    accuracy = float(np.mean([metrics["accuracy"] for metrics in outcome.test]))
    faces, schedule = int(outcome.test[0]["faces"]), describe_schedule(system, outcome.recipe)
    return Measured(outcome.model, outcome.recipe.name, accuracy, low, high, faces, schedule)


def compare_claims(system: str, outcome: Outcome) -> Iterable[Row]:
    """Yield a row for each claim with a measurement; always one for the accuracy, also without training copies."""
    about = published(system)
    name, schedule = outcome.recipe.name, describe_schedule(system, outcome.recipe)
    claims = [claim for claim in about.claims if claim.model == outcome.model]
    for claim in claims:
        which = _mean_of(system, claim)
        measured = _measure(claim, outcome, which)
        if measured:
            what = f"{claim.model}: {claim.what}" + f" ({which} mean)" * bool(which)
            verdict = judge(claim, measured)
            yield Row(
                what, claim.text(), measured.text, _format(measured.interval), name, claim.where, verdict, schedule
            )
    if not any(claim.what == "accuracy" for claim in claims):
        measured = _accuracy(outcome.test)
        yield Row(f"{outcome.model}: accuracy", "", measured.text, _format(measured.interval), name, "", "", schedule)
    clean = tuple(metrics["without_training_copies"] for metrics in outcome.test)
    copies = outcome.test[0]["faces"] - clean[0]["faces"]
    if copies:
        what = f"{outcome.model}: accuracy without test faces that are training faces too ({copies})"
        measured = _accuracy(clean)
        yield Row(what, "", measured.text, _format(measured.interval), name, "", "", schedule)


def judge(claim: Claim, measured: Quantity) -> str:
    """Return by how much the measured value differs from the claim, and whether the claim lies in its interval.

    Shares differ in points, other values in the claim's unit.
    """
    unit = claim.unit or "points"
    gap = (measured.value - claim.value) * (1 if claim.unit else 100)
    text = f"{gap:+.{0 if claim.unit == 'epochs' else 2}f} {unit}".replace("-", "−")
    if measured.interval is None:
        return text
    low, high = measured.interval
    return f"{text}, claim {'inside' if low <= claim.value <= high else 'outside'}"


def _mean_of(system: str, claim: Claim) -> str:
    """Return the mean over classes that a claim of an overall precision, recall or F1 is; "" for other claims."""
    if claim.what not in ("precision", "recall", "F1"):
        return ""
    fits = fitting_means(REPORTS[system], claim.what.lower(), claim.value) if system in REPORTS else []
    return "macro" if fits == ["macro"] or not fits else "weighted"


def _measure(claim: Claim, outcome: Outcome, which: str) -> Quantity | None:
    test = outcome.test
    if claim.what == "accuracy":
        return _accuracy(test)
    if claim.what == "loss":
        return _quantity([metrics["log_loss"] for metrics in test], claim.unit)
    if claim.what in ("epochs", "best epoch") and isinstance(outcome.recipe, Recipe):
        history = read_history(outcome.folder)
        best = int(np.argmin([row.validation_loss for row in history])) + 1
        epochs = best if claim.what == "best epoch" else len(history)
        return Quantity(f"{epochs} epochs", epochs)
    metric = _metric(claim.what, which, list(test[0]["per_class"]))
    if metric is None:
        return None
    confusions = [np.array(metrics["confusion"], np.int64) for metrics in test]
    values = [float(metric(confusion)) for confusion in confusions]
    if np.isnan(values).any():
        return None  # no test face of the class
    bounds = [significance.confusion_interval(confusion, metric, draws=DRAWS) for confusion in confusions]
    low, high = np.mean(bounds, axis=0)
    return _quantity(values, "", (float(low), float(high)))


def _metric(what: str, which: str, labels: Sequence[str]) -> Callable[[Confusion], NDArray[np.float64]] | None:
    """Return the function of confusion matrices (…, C, C) that a claim is about; None if there is none."""
    column = what.lower()
    if what in ("macro F1", "weighted F1"):
        which, column = what.split(maxsplit=1)[0], "f1"
    if column in significance.COLUMNS:
        return lambda confusion: significance.average(confusion, column, weighted=which == "weighted")
    if not what.startswith("recall of "):
        return None
    index = labels.index(what.removeprefix("recall of "))
    return lambda confusion: significance.per_class(confusion, "recall")[..., index]


def _accuracy(test: Sequence[Mapping[str, Any]]) -> Quantity:
    return _quantity([metrics["accuracy"] for metrics in test], "", _accuracy_interval(test))


def _accuracy_interval(test: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    lows, highs = zip(*(metrics["interval"] for metrics in test), strict=True)
    return float(np.mean(lows)), float(np.mean(highs))


def _quantity(seeds: Sequence[float], unit: str, interval: tuple[float, float] | None = None) -> Quantity:
    """Return the mean over seeds, with ± standard deviation for several; in percent, or in ``unit``."""
    values = np.array(seeds)
    scale, digits = (1, 3) if unit else (100, 2)
    text = f"{values.mean() * scale:.{digits}f}"
    text += f" ± {values.std(ddof=1) * scale:.{digits}f}" if len(values) > 1 else ""
    return Quantity(f"{text} {unit or '%'}", float(values.mean()), interval)


def _format(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{interval[0] * 100:.1f} – {interval[1] * 100:.1f} %"
