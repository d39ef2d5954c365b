"""Models against corpora: what a model is worth on faces from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mien.errors import DataError
from mien.evaluation.evaluate import report
from mien.evaluation.markdown import table
from mien.evaluation.predictions import Predictions, same_faces
from mien.evaluation.significance import mcnemar


@dataclass(frozen=True)
class Cell:
    """One model on one corpus.

    split:    the part of the corpus.  figures: as ``evaluate.report``.
    left_out: label → faces of a class that the model lacks.
    against_first: McNemar's test of the first row's model and this one; a sentence where it cannot be made, and None
              in the first row.
    """

    model: str
    corpus: str
    split: str
    figures: dict[str, Any]
    left_out: dict[str, int]
    against_first: dict[str, Any] | str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return asdict(self)


def cell(found: Predictions, first: Predictions | None, **about: Any) -> Cell:
    """Return the cell of predictions; ``about`` holds the fields of ``Cell`` that say what they are of.

    first: the predictions of the first row in the same column, None in that row.
    """
    return Cell(figures=report(found), against_first=None if first is None else _against(first, found), **about)


def _against(first: Predictions, found: Predictions) -> dict[str, Any] | str:
    try:
        same_faces(first, found)
    except DataError as error:
        return str(error)
    return asdict(mcnemar(first.right, found.right))


def markdown(cells: Sequence[Cell]) -> str:
    """Return the matrix as a Markdown table, models down and corpora across, and notes on what was left out."""
    models, corpora = (
        [*dict.fromkeys(names)] for names in zip(*((each.model, each.corpus) for each in cells), strict=True)
    )
    found = {(each.model, each.corpus): each for each in cells}
    heads = [f"{corpus} ({_of_column(cells, corpus)})" for corpus in corpora]
    rows = ([model, *(_text(found[model, corpus]) for corpus in corpora)] for model in models)
    lines = table(("model", *heads), rows)
    legend = "Accuracy with its 95 % bootstrap interval, macro F1 over the classes that have faces, number of faces."
    return "\n".join([*lines, "", legend, *_notes(cells), ""])


def _of_column(cells: Sequence[Cell], corpus: str) -> str:
    return next(each.split for each in cells if each.corpus == corpus)


def _text(found: Cell) -> str:
    low, high = found.figures["interval"]
    text = f"{found.figures['accuracy']:.1%} ({low:.1%} – {high:.1%}), F1 {found.figures['macro_f1']:.3f}"
    return f"{text}, {found.figures['faces']} faces"


def _notes(cells: Sequence[Cell]) -> list[str]:
    lines = []
    for each in cells:
        absent = ", ".join(each.figures["absent"])
        left_out = ", ".join(f"{label} {count}" for label, count in each.left_out.items())
        told = [f"no faces of {absent}"] * bool(absent) + [f"left out {left_out}"] * bool(left_out)
        if isinstance(each.against_first, dict):
            test = each.against_first
            told.append(f"against the first model p = {test['p_value']:.2g} (McNemar, {test['method']})")
        lines += [f"- {each.model} on {each.corpus}: {'; '.join(told)}."] if told else []
    return ["", *lines] if lines else []
