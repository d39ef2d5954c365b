"""The result of several seeds as JSON, CSV and LaTeX."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from mien.evaluation import seeds
from mien.evaluation.evaluated import name_part
from mien.evaluation.seeds import Result
from mien.files import appearing
from mien.reporting import latex

HEAD = ("part", "faces", "accuracy, %", "95 % interval", "macro F1", "95 % interval of macro F1", "kappa")
NAME = "seeds"


def write(folder: Path) -> dict[str, Result]:
    """Write ``seeds.json``, ``seeds.csv`` and ``seeds.tex`` of the runs in ``folder``; return split → result.

    Errors as ``seeds.read``.
    """
    runs = seeds.read(folder)
    results = {part: seeds.summarise([run.predictions.part(part) for run in runs], part) for part in runs[0].parts}
    values = {name_part(part): result.to_dict() for part, result in results.items()}
    spread = (f"{metric} {kind}" for metric in seeds.SPREAD for kind in ("mean", "deviation"))
    head = ("part", "seeds", "faces", *spread, "accuracy low", "accuracy high",
             "macro_f1 low", "macro_f1 high", "grouped by")  # fmt: skip
    texts = {
        "json": json.dumps(values, indent=1),
        "csv": latex.format_csv(head, [_flatten(part, result) for part, result in results.items()]),
        "tex": latex.format_latex(HEAD, format_rows(results)),
    }
    for kind, text in texts.items():
        with appearing(folder / f"{NAME}.{kind}") as draft:
            draft.write_text(text, encoding="utf-8")
    return results


def _flatten(part: str, result: Result) -> list[object]:
    metrics = result.metrics
    spread = [value for name in seeds.SPREAD for value in (metrics[name], result.deviation[name])]
    bounds = [*metrics["interval"], *metrics["macro_f1_interval"]]
    return [name_part(part), result.runs, metrics["faces"], *spread, *bounds, metrics.get("grouped_by", "face")]


def format_rows(results: Mapping[str, Result]) -> list[tuple[str, ...]]:
    """Return the rows of a table with ``HEAD``, as text."""
    return [_format(part, result) for part, result in results.items()]


def _format(part: str, result: Result) -> tuple[str, ...]:
    metrics, deviation = result.metrics, result.deviation
    low, high = metrics["interval"]
    f1_low, f1_high = metrics["macro_f1_interval"]
    return (
        name_part(part),
        f"{metrics['faces']:,}",
        f"{100 * metrics['accuracy']:.2f} ± {100 * deviation['accuracy']:.2f}",
        f"{100 * low:.1f} – {100 * high:.1f}",
        f"{metrics['macro_f1']:.3f} ± {deviation['macro_f1']:.3f}",
        f"{f1_low:.3f} – {f1_high:.3f}",
        f"{metrics['kappa']:.3f} ± {deviation['kappa']:.3f}",
    )
