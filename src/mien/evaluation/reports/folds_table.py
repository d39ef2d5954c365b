"""The result of a cross-validation as JSON, CSV and LaTeX."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mien.evaluation import folds, seeds
from mien.evaluation.folds import Result
from mien.files import appearing
from mien.reporting import latex

HEAD = ("fold", "faces", "accuracy, %", "balanced accuracy, %", "macro F1", "kappa")
NAME = "folds"


def write(folder: Path) -> Result:
    """Write ``folds.json``, ``folds.csv`` and ``folds.tex`` of the runs in ``folder``; return the result.

    Errors as ``folds.read`` and ``folds.pool``.
    """
    result = folds.summarise(folds.read(folder))
    texts = {
        "json": json.dumps(result.to_dict(), indent=1),
        "csv": latex.format_csv(("fold", "faces", *seeds.SPREAD), _list_values(result)),
        "tex": latex.format_latex(HEAD, format_rows(result)),
    }
    for kind, text in texts.items():
        with appearing(folder / f"{NAME}.{kind}") as draft:
            draft.write_text(text, encoding="utf-8")
    return result


def _list_values(result: Result) -> list[list[object]]:
    """Return a row for each fold, their mean and deviation, the pooled metrics, and the bounds of their intervals."""
    named: list[tuple[object, Mapping[str, Any]]] = [
        *enumerate(result.folds, 1),
        ("mean", result.mean),
        ("deviation", result.deviation),
        ("pooled", result.pooled),
        ("pooled low", {metric: low for metric, (low, _) in result.intervals.items()}),
        ("pooled high", {metric: high for metric, (_, high) in result.intervals.items()}),
    ]
    return [[name, row.get("faces", ""), *(row.get(metric, "") for metric in seeds.SPREAD)] for name, row in named]


def format_rows(result: Result) -> list[tuple[str, ...]]:
    """Return the rows of a table with ``HEAD``, as text."""
    rows = [(str(number), *_format(row)) for number, row in enumerate(result.folds, 1)]
    mean, deviation = result.mean, result.deviation
    spread = (
        *(f"{100 * mean[name]:.2f} ± {100 * deviation[name]:.2f}" for name in ("accuracy", "balanced_accuracy")),
        *(f"{mean[name]:.3f} ± {deviation[name]:.3f}" for name in ("macro_f1", "kappa")),
    )
    bounds = {name: f"{low:.3f} – {high:.3f}" for name, (low, high) in result.intervals.items()}
    low, high = result.intervals["accuracy"]
    interval = (f"{100 * low:.1f} – {100 * high:.1f}", "", bounds["macro_f1"], bounds["kappa"])
    return [*rows, ("mean", "", *spread), ("pooled", *_format(result.pooled)), ("95 % interval", "", *interval)]


def _format(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['faces']:,}",
        f"{100 * row['accuracy']:.2f}",
        f"{100 * row['balanced_accuracy']:.2f}",
        f"{row['macro_f1']:.3f}",
        f"{row['kappa']:.3f}",
    )
