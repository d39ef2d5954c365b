"""A matrix of models by corpora: how well each model generalises to other corpora."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mien.errors import DataError
from mien.evaluation.evaluate import report
from mien.evaluation.metrics.significance import mcnemar
from mien.evaluation.predictions import Predictions, check_same_faces
from mien.reporting.markdown import format_table


@dataclass(frozen=True)
class Cell:
    """One model on one corpus.

    Attributes:
        split: the split of the corpus.
        figures: metrics, as ``evaluate.report``.
        left_out: label → faces of a class that the model lacks.
        against_first: McNemar's test against the model of the first row; a sentence where it is impossible, and None in
            the first row.
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


def make_cell(predictions: Predictions, first: Predictions | None, **about: Any) -> Cell:
    """Build the cell of predictions; ``about`` holds the fields of ``Cell`` that identify them.

    Args:
        first: the predictions of the first row in the same column, None in that row.
    """
    against = None if first is None else _compare_with(first, predictions)
    return Cell(figures=report(predictions), against_first=against, **about)


def _compare_with(first: Predictions, predictions: Predictions) -> dict[str, Any] | str:
    try:
        check_same_faces(first, predictions)
    except DataError as error:
        return str(error)
    return asdict(mcnemar(first.right, predictions.right))


def render_markdown(cells: Sequence[Cell]) -> str:
    """Render the matrix as a Markdown table, one row for each model and one column for each corpus, with notes."""
    models, corpora = (
        [*dict.fromkeys(names)] for names in zip(*((cell.model, cell.corpus) for cell in cells), strict=True)
    )
    by_position = {(cell.model, cell.corpus): cell for cell in cells}
    heads = [f"{corpus} ({_get_split(cells, corpus)})" for corpus in corpora]
    rows = ([model, *(_format_cell(by_position[model, corpus]) for corpus in corpora)] for model in models)
    lines = format_table(("model", *heads), rows)
    legend = "Accuracy with its 95 % bootstrap interval, macro F1 over the classes with faces, number of faces."
    return "\n".join([*lines, "", legend, *_write_notes(cells), ""])


def _get_split(cells: Sequence[Cell], corpus: str) -> str:
    return next(cell.split for cell in cells if cell.corpus == corpus)


def _format_cell(cell: Cell) -> str:
    low, high = cell.figures["interval"]
    text = f"{cell.figures['accuracy']:.1%} ({low:.1%} – {high:.1%}), F1 {cell.figures['macro_f1']:.3f}"
    return f"{text}, {cell.figures['faces']} faces"


def _write_notes(cells: Sequence[Cell]) -> list[str]:
    lines = []
    for cell in cells:
        absent = ", ".join(cell.figures["absent"])
        left_out = ", ".join(f"{label} {count}" for label, count in cell.left_out.items())
        facts = [f"no faces of {absent}"] * bool(absent) + [f"left out {left_out}"] * bool(left_out)
        if isinstance(cell.against_first, dict):
            test = cell.against_first
            facts.append(f"against the first model p = {test['p_value']:.2g} (McNemar, {test['method']})")
        lines += [f"- {cell.model} on {cell.corpus}: {'; '.join(facts)}."] if facts else []
    return ["", *lines] if lines else []
