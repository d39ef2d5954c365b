"""Which of two models a document calls better, put to the runs of both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mien.reproduction.claims import published
from mien.reproduction.finding import Finding, Measured, conclude

BETTER: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "A": (("The CNN reads more faces right than MobileNetV2 (abstract, Table V)", "CNN", "MobileNetV2"),),
    "D": (
        ("The custom CNN is better than the fine-tuned MobileNetV2", "Custom CNN", "MobileNetV2, fine-tuned"),
        (
            "Fine-tuning MobileNetV2 is better than training its head only",
            "MobileNetV2, fine-tuned",
            "MobileNetV2, head only",
        ),
    ),
    "E": (("The proposed CNN is better than the support vector machine (Table 3)", "CNN", "SVM, cited"),),
}
"""System → statement, the model that it calls better, the other one."""


BY_SUBJECT = "system-a-cnn-by-subject"
"""The recipes that split A's corpus by person begin with this name."""


def findings(system: str, measured: Sequence[Measured]) -> list[Finding]:
    """Judge the comparisons of which both models were run; the first run of each model stands for it."""
    runs: dict[str, Measured] = {}
    for run in measured:
        runs.setdefault(run.model, run)
    return [
        _judge(system, statement, runs[better], runs[worse])
        for statement, better, worse in BETTER.get(system, ())
        if better in runs and worse in runs
    ]


def _judge(system: str, statement: str, better: Measured, worse: Measured) -> Finding:
    gap = better.accuracy - worse.accuracy
    low, high = difference_interval(better, worse)
    same = better.faces == worse.faces
    return conclude(
        system,
        statement,
        f"{_claimed(system, better.model)} against {_claimed(system, worse.model)}",
        f"{_percent(better.accuracy)} against {_percent(worse.accuracy)}: {_points(gap)} points "
        f"({_points(low)} to {_points(high)})",
        decide(low, high) if same else None,
        why=_explain(better, worse) if same else f"Test sets of {better.faces:,} and {worse.faces:,} faces.",
    )


def difference_interval(first: Measured, second: Measured) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two accuracies, as if their errors were independent.

    On the same faces, errors of two models mostly go together, so the interval is rather too wide than too narrow.
    """
    gap = first.accuracy - second.accuracy
    down = math.hypot(first.accuracy - first.low, second.high - second.accuracy)
    up = math.hypot(first.high - first.accuracy, second.accuracy - second.low)
    return gap - down, gap + up


def decide(low: float, high: float) -> bool | None:
    """Return whether a difference is above 0, by its interval; None if the interval holds 0."""
    return None if low <= 0 <= high else low > 0


def _claimed(system: str, model: str) -> str:
    return next(claim.text() for claim in published(system).claims if (claim.model, claim.what) == (model, "accuracy"))


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}".replace("-", "−")


def _explain(better: Measured, worse: Measured) -> str:
    schedules = sorted({better.schedule, worse.schedule})
    return (
        f"`{better.recipe}` and `{worse.recipe}`, schedule: {' and '.join(schedules)}. The interval treats their "
        "errors as independent, which makes it rather too wide."
    )


def explain_acquaintance(measured: Sequence[Measured]) -> str:
    """Return what system A's CNN loses on people it has never seen; "" unless both splits were run."""
    runs = {run.recipe: run for run in reversed(measured) if run.model == "CNN"}
    strangers = next((run for name, run in runs.items() if name.startswith(BY_SUBJECT)), None)
    known = next((run for name, run in runs.items() if not name.startswith(BY_SUBJECT)), None)
    if strangers is None or known is None:
        return ""
    return (
        f"Measured: {_percent(known.accuracy)} where the split is by image, {_percent(strangers.accuracy)} where "
        f"nobody is on both sides, {_points(strangers.accuracy - known.accuracy)} points."
    )
