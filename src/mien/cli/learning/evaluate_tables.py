"""Terminal output of ``mien evaluate``."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from mien.recognition.model_files.card import figures


def show(results: dict[str, Any]) -> None:
    """Print the metrics of each split, with and without test-time augmentation, of each class, and the notes."""
    console = Console()
    _show_parts(console, results["parts"], f"{results['model']}, one view of each face")
    if "mean_of_views" in results:
        several = results["mean_of_views"]
        _show_parts(console, several["parts"], f"Mean of {several['views']} views of each face ({several['kind']})")
    if "conformal" in results:
        console.print(_sets_table(results["conformal"]))
    for split, values in results["parts"].items():
        console.print(_class_table(values, split))
        if values["absent"]:
            console.print(
                f"No faces of {', '.join(values['absent'])} in {split}; means leave these classes out.", highlight=False
            )
    for split, values in results["disagreement"].items():
        console.print(_describe_uncertainty(split, values), highlight=False, soft_wrap=True)
    for note in results["notes"]:
        console.print(note, highlight=False, soft_wrap=True)


def show_photos(results: dict[str, Any]) -> None:
    """Print the end-to-end metrics on photos."""
    console = Console()
    values, title = results["of_found"], f"{results['model']}, faces found by {results['detector']}"
    _show_parts(console, {"found": values}, title)
    console.print(_class_table(values, "found"))
    left_out = ", ".join(f"{label} {count}" for label, count in results["left_out"].items())
    console.print(
        f"{results['photos']} photos: a face detected in {results['found']:.2%}, {results['accuracy']:.2%} of all "
        f"classified correctly. Left out, not among the model's classes: {left_out or 'none'}.",
        highlight=False,
    )


def _show_parts(console: Console, parts: dict[str, Any], title: str) -> None:
    """Print two tables, as one would not fit into 80 columns."""
    scores = Table("part", "faces", "accuracy", "95 %", "macro F1", "95 %", title=title)
    errors = Table("part", "ECE", "log-loss", "Brier", "MCC", "top 2", "at 70 %")
    copies = False
    for split, values in parts.items():
        rows = {split: values}
        if "without_training_copies" in values:
            rows[f"{split}*"], copies = values["without_training_copies"], True
        for name, row in rows.items():
            scores.add_row(name, *_format_scores(row))
            errors.add_row(name, *_format_errors(row))
    console.print(scores, errors)
    if copies:
        console.print("* without faces that are also in Training", highlight=False)


def _format_scores(values: dict[str, Any]) -> tuple[str, ...]:
    low, high = values["macro_f1_interval"]
    faces, accuracy, interval, macro_f1, _ = figures(values)
    return faces, accuracy, interval, macro_f1, f"{low:.3f} – {high:.3f}"


def _format_errors(values: dict[str, Any]) -> tuple[str, ...]:
    errors = [f"{values[name]:.3f}" for name in ("ece", "log_loss", "brier", "mcc", "kappa")]
    return (*errors, *(f"{values[name]:.1%}" for name in ("top2", "accuracy_at_70")))


def _sets_table(conformal: dict[str, Any]) -> Table:
    promised = 1 - next(iter(conformal.values()))["alpha"]
    table = Table("sets", "part", "faces", "coverage", "mean size", "singletons", "empty")
    table.title = f"Prediction sets with a target coverage of {promised:.0%}"
    for kind, fitted in conformal.items():
        for split, values in fitted["parts"].items():
            size, shares = f"{values['mean_size']:.2f}", [f"{values[name]:.1%}" for name in ("single", "empty")]
            table.add_row(kind.upper(), split, str(values["faces"]), f"{values['coverage']:.1%}", size, *shares)
    return table


def _class_table(values: dict[str, Any], title: str) -> Table:
    table = Table("class", "precision", "recall", "F1", "ROC area", "PR area", "faces", title=title)
    for label, row in values["per_class"].items():
        shares = [_format_share(row[name], ".1%") for name in ("precision", "recall", "f1")]
        areas = [_format_share(row[name], ".3f") for name in ("roc_area", "pr_area")]
        table.add_row(label, *shares, *areas, str(int(row["support"])))
    return table


def _describe_uncertainty(split: str, values: dict[str, Any]) -> str:
    low, high = values["interval"]
    return (
        f"Uncertainty, {split}: rank correlation of the entropies of predictions and votes {values['spearman']:.2f} "
        f"({low:.2f} – {high:.2f}), {values['faces']:,} faces; the votes' entropy is {values['certain']:.2f} for the "
        f"third with the most certain predictions, {values['uncertain']:.2f} for the least certain third."
    )


def _format_share(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
