"""System B's two readings of its accuracy curves, each put to the curves of a run."""

from __future__ import annotations

from collections.abc import Sequence

from mien.reproduction.claims import published
from mien.reproduction.finding import Finding, conclude

SINCE = 8
"""The epoch, counted from 1, from which B says that training and validation part: "epoch 7-8"."""


def findings(curves: tuple[Sequence[float], Sequence[float]] | None) -> list[Finding]:
    """Judge B's statements; without ``curves`` only whether one curve can show both.

    Args:
        curves: accuracy per epoch on training and on validation faces, fractions.
    """
    gaps = [] if curves is None else [validation - training for training, validation in zip(*curves, strict=True)]
    return [_both(), *((_above(gaps), _apart(gaps)) if gaps else ())]


def _both() -> Finding:
    epochs = int(next(claim.value for claim in published("B").claims if claim.what == "epochs"))
    above, below = set(range(1, epochs + 1)), set(range(SINCE, epochs + 1))
    contested = above & below
    return conclude(
        "B",
        "One curve of accuracy, read twice (sections 4 and 3.5.1.1)",
        f"validation above training in all {epochs} epochs; below it from epoch {SINCE} on",
        f"both cannot be in {len(contested)} of {epochs} epochs" if contested else "both can be",
        not contested,
        agreed="The two readings are of different epochs.",
        differs="The two readings claim opposite signs of validation − training for the same epochs.",
    )


def _above(gaps: Sequence[float]) -> Finding:
    above = sum(gap > 0 for gap in gaps)
    always = above == len(gaps)
    return conclude(
        "B",
        "Validation accuracy is always above training accuracy (section 4)",
        "in every epoch",
        f"measured: above in {above} of {len(gaps)} epochs",
        always,
        why="Training faces are scored while they are augmented and dropout is on; in this run that keeps them below "
        "to the end."
        if always
        else "Training faces are scored while they are augmented and dropout is on, so validation can lie above; in "
        "this run not always.",
    )


def _apart(gaps: Sequence[float]) -> Finding:
    late = gaps[SINCE - 1 :]
    below = sum(gap < 0 for gap in late)
    return conclude(
        "B",
        "Training accuracy runs away from validation accuracy from epoch 7–8 on (section 3.5.1.1)",
        f"training above validation from epoch {SINCE} on",
        f"measured: above in {below} of {len(late)} epochs from epoch {SINCE} on; validation − training "
        f"{gaps[-1]:+.3f} at the end".replace("-0.", "−0."),
        below == len(late) if late else None,
        why=_explain_gap(below, len(late)) if late else f"The run has {len(gaps)} epochs, so it cannot show this.",
    )


def _explain_gap(below: int, epochs: int) -> str:
    if below == epochs:
        return "As stated: the network overfits from there on."
    if not below:
        return "The run does not overfit within these epochs."
    return f"The run overfits in {below} of these epochs only."
