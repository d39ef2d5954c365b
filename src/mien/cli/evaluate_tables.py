"""What ``mien evaluate`` shows on the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from mien.cli.learning import figures


def show(found: dict[str, Any]) -> None:
    """Print the figures of each part, of several views apart from those of one, of each class, and the notes."""
    console = Console()
    _show_parts(console, found["parts"], f"{found['model']}, one view of each face")
    if "mean_of_views" in found:
        several = found["mean_of_views"]
        _show_parts(console, several["parts"], f"Mean of {several['views']} views of each face ({several['kind']})")
    if "conformal" in found:
        console.print(_sets(found["conformal"]))
    for split, values in found["parts"].items():
        console.print(_classes(values, split))
        if values["absent"]:
            console.print(
                f"No faces of {', '.join(values['absent'])} in {split}; no mean counts them.", highlight=False
            )
    for split, values in found["disagreement"].items():
        console.print(_doubt(split, values), highlight=False, soft_wrap=True)
    for note in found["notes"]:
        console.print(note, highlight=False, soft_wrap=True)


def show_photos(found: dict[str, Any]) -> None:
    """Print the figures on photos, end to end."""
    console = Console()
    values, title = found["of_found"], f"{found['model']}, faces found by {found['detector']}"
    _show_parts(console, {"found": values}, title)
    console.print(_classes(values, "found"))
    left_out = ", ".join(f"{label} {count}" for label, count in found["left_out"].items())
    console.print(
        f"{found['photos']} photos, a face found in {found['found']:.2%}, read rightly {found['accuracy']:.2%} of "
        f"all. Left out, not among the model's classes: {left_out or 'none'}.",
        highlight=False,
    )


def _show_parts(console: Console, parts: dict[str, Any], title: str) -> None:
    """Print two tables, as one would not fit on a terminal of 80 columns."""
    answers = Table("part", "faces", "accuracy", "95 %", "macro F1", "95 %", title=title)
    more = Table("part", "ECE", "log-loss", "Brier", "MCC", "top 2", "at 70 %")
    copies = False
    for split, values in parts.items():
        rows = {split: values}
        if "without_training_copies" in values:
            rows[f"{split}*"], copies = values["without_training_copies"], True
        for name, row in rows.items():
            answers.add_row(name, *_answers(row))
            more.add_row(name, *_more(row))
    console.print(answers, more)
    if copies:
        console.print("* without the faces that stand in Training too", highlight=False)


def _answers(values: dict[str, Any]) -> tuple[str, ...]:
    low, high = values["macro_f1_interval"]
    faces, accuracy, interval, macro_f1, _ = figures(values)
    return faces, accuracy, interval, macro_f1, f"{low:.3f} – {high:.3f}"


def _more(values: dict[str, Any]) -> tuple[str, ...]:
    errors = [f"{values[name]:.3f}" for name in ("ece", "log_loss", "brier", "mcc")]
    return (*errors, *(f"{values[name]:.1%}" for name in ("top2", "accuracy_at_70")))


def _sets(conformal: dict[str, Any]) -> Table:
    promised = 1 - next(iter(conformal.values()))["alpha"]
    table = Table("sets", "part", "faces", "hold truth", "mean size", "of one", "empty")
    table.title = f"Sets that were to hold the true class for {promised:.0%} of the faces"
    for kind, fitted in conformal.items():
        for split, values in fitted["parts"].items():
            size, shares = f"{values['mean_size']:.2f}", [f"{values[name]:.1%}" for name in ("single", "empty")]
            table.add_row(kind.upper(), split, str(values["faces"]), f"{values['coverage']:.1%}", size, *shares)
    return table


def _classes(values: dict[str, Any], title: str) -> Table:
    table = Table("class", "precision", "recall", "F1", "ROC area", "PR area", "faces", title=title)
    for label, row in values["per_class"].items():
        shares = [_share(row[name], ".1%") for name in ("precision", "recall", "f1")]
        areas = [_share(row[name], ".3f") for name in ("roc_area", "pr_area")]
        table.add_row(label, *shares, *areas, str(int(row["support"])))
    return table


def _doubt(split: str, values: dict[str, Any]) -> str:
    low, high = values["interval"]
    return (
        f"Doubt, {split}: entropy of the answers and of people's votes, rank correlation {values['spearman']:.2f} "
        f"({low:.2f} – {high:.2f}), {values['faces']:,} faces; the votes' entropy is {values['certain']:.2f} on the "
        f"third with the surest answers, {values['uncertain']:.2f} on the third with the most doubtful ones."
    )


def _share(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
