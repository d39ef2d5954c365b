"""What ``mien evaluate`` shows on the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from mien.cli.learning import figures


def show(found: dict[str, Any]) -> None:
    """Print the figures of each part, of two views apart from those of one, of each class, and the notes."""
    console = Console()
    console.print(_parts(found["parts"], f"{found['model']}, one view of each face"))
    if "mean_with_mirror" in found:
        console.print(_parts(found["mean_with_mirror"], "Mean of two views, each face and its mirror image"))
    if "conformal" in found:
        console.print(_sets(found["conformal"]))
    for split, values in found["parts"].items():
        console.print(_classes(values, split))
        if values["absent"]:
            console.print(
                f"No faces of {', '.join(values['absent'])} in {split}; no mean counts them.", highlight=False
            )
    for note in found["notes"]:
        console.print(note, highlight=False, soft_wrap=True)


def show_photos(found: dict[str, Any]) -> None:
    """Print the figures on photos, end to end."""
    console = Console()
    values = found["of_found"]
    console.print(_parts({f"faces found by {found['detector']}": values}, found["model"]), _classes(values, "found"))
    left_out = ", ".join(f"{label} {count}" for label, count in found["left_out"].items())
    console.print(
        f"{found['photos']} photos, a face found in {found['found']:.2%}, read rightly {found['accuracy']:.2%} of "
        f"all. Left out, not among the model's classes: {left_out or 'none'}.",
        highlight=False,
    )


def _parts(parts: dict[str, Any], title: str) -> Table:
    table = Table("part", "faces", "accuracy", "95 %", "macro F1", "ECE", "macro F1 95 %", "top 2", "MCC", title=title)
    for split, values in parts.items():
        table.add_row(split, *_row(values))
        if "without_training_copies" in values:
            table.add_row("… without training copies", *_row(values["without_training_copies"]))
    return table


def _row(values: dict[str, Any]) -> tuple[str, ...]:
    low, high = values["macro_f1_interval"]
    return (*figures(values), f"{low:.3f} – {high:.3f}", f"{values['top2']:.1%}", f"{values['mcc']:.3f}")


def _sets(conformal: dict[str, Any]) -> Table:
    table = Table("sets", "part", "faces", "hold the truth", "promised", "mean size", "of one class", "empty")
    for kind, fitted in conformal.items():
        for split, values in fitted["parts"].items():
            shares = [f"{share:.1%}" for share in (values["coverage"], 1 - fitted["alpha"])]
            rest = [f"{values['mean_size']:.2f}", f"{values['single']:.1%}", f"{values['empty']:.1%}"]
            table.add_row(kind.upper(), split, str(values["faces"]), *shares, *rest)
    return table


def _classes(values: dict[str, Any], title: str) -> Table:
    table = Table("class", "precision", "recall", "F1", "ROC area", "PR area", "faces", title=title)
    for label, row in values["per_class"].items():
        shares = [_share(row[name], ".1%") for name in ("precision", "recall", "f1")]
        areas = [_share(row[name], ".3f") for name in ("roc_area", "pr_area")]
        table.add_row(label, *shares, *areas, str(int(row["support"])))
    return table


def _share(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
