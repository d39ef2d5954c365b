"""Write the suite's results as a Markdown table, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien import files
from mien.evaluation.protocol.suite import Estimate, Row, Subject
from mien.reporting import markdown

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "ece", "answered", "right_if_answered")
"""Columns of the table, names of ``Scores``."""

_HEAD = ("corpus", "faces", "detected", "accuracy", "balanced accuracy", "macro F1", "ECE", "answered",
         "right if answered")  # fmt: skip
_DECIMALS = ("macro_f1", "ece")
_COLUMNS = ("model", "corpus", "part", "frame", "trained", "available", "faces", "left_out", "classes")

TRAINED, UNKNOWN = "†", "?"
"""Marks of corpora that the model was trained on, and of corpora where that is unknown."""


@dataclass(frozen=True)
class Result:
    """All rows of one model.

    Attributes:
        subject: the model.
        detector: the detector's name.
        rows: in the order of the protocol.
        skipped: corpus → why it has no row.
        limit: maximum number of faces for each corpus; None for all.
        test_scorings: how often test sets were scored with this model's run folder, including this time; None if not
            counted.
    """

    subject: Subject
    detector: str
    rows: tuple[Row, ...]
    skipped: dict[str, str] = field(default_factory=dict)
    limit: int | None = None
    test_scorings: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        subject = self.subject
        trained = None if subject.trained_on is None else list(subject.trained_on)
        return {
            "model": subject.name, "digest": subject.digest, "trained_on": trained,
            "uncertain_below": subject.uncertain_below, "detector": self.detector, "limit": self.limit,
            "test_scorings": self.test_scorings, "skipped": self.skipped, "rows": [row.to_dict() for row in self.rows],
        }  # fmt: skip


def render_markdown(result: Result) -> str:
    """Render title, table, gaps and notes as Markdown."""
    lines = [f"**{markdown.escape(result.subject.name)}**, faces found by {result.detector}, 95 % intervals", ""]
    lines += markdown.format_table(_HEAD, [_format_row(row, result.limit) for row in result.rows])
    notes = [*_note_gaps(result), *_note_all_classes(result), *_write_notes(result)]
    return "\n".join([*lines, *([""] if notes else []), *(f"- {note}" for note in notes)]) + "\n"


def name_row(row: Row) -> str:
    """Return the display name of a row: corpus, split and frame, with the training mark."""
    mark = {True: f" {TRAINED}", False: "", None: f" {UNKNOWN}"}[row.trained]
    part = f" {row.part}" if row.part else ""
    return f"{row.title}{part}{', own frame' if row.frame == 'own' else ''}{mark}"


def _format_row(row: Row, limit: int | None) -> list[str]:
    faces, scored = row.scores.faces, [_format_estimate(getattr(row.scores, metric), metric) for metric in METRICS]
    limited = limit is not None and row.available > limit
    count = f"{faces:,} of {row.available:,}" if limited else f"{faces:,}"
    return [name_row(row), count, "" if row.detected is None else f"{row.detected.value:.1%}", *scored]


def _format_estimate(estimate: Estimate | None, metric: str) -> str:
    if estimate is None:
        return ""  # the table shows a dash
    values = (estimate.value, estimate.low, estimate.high)
    if metric in _DECIMALS:
        return "{:.3f} ({:.3f} – {:.3f})".format(*values)
    return "{:.1f} % ({:.1f} – {:.1f})".format(*(100 * value for value in values))


def _note_gaps(result: Result) -> list[str]:
    notes = []
    for row in result.rows:
        for by, gap in row.gaps.items():
            groups = ", ".join(
                f"{value} {_format_estimate(scores.balanced_accuracy, 'balanced_accuracy')} of {scores.faces:,}"
                for value, scores in gap.groups.items()
            )
            notes.append(f"{row.title}, balanced accuracy by {by}: {groups}; gap {100 * gap.gap:.1f} points.")
    return notes


def _note_all_classes(result: Result) -> list[str]:
    notes = []
    for row in result.rows:
        if row.among_all is not None:
            absent = ", ".join(f"{label} {100 * share:.1f} %" for label, share in row.among_all.absent.items())
            accuracy = f"{100 * row.among_all.accuracy:.1f} % with all classes of the model"
            notes.append(f"{_name(row)}: {accuracy}; predicted though no face has the label: {absent or 'none'}.")
    return notes


def _name(row: Row) -> str:
    return f"{row.title}{', own frame' if row.frame == 'own' else ''}"


def _write_notes(result: Result) -> list[str]:
    notes = [
        f"{_name(row)}: left out {', '.join(f'{reason} {count:,}' for reason, count in row.left_out.items())}."
        for row in result.rows
        if row.left_out
    ]
    notes += [f"{corpus} has no row: {reason}" for corpus, reason in result.skipped.items()]
    marks = {row.trained for row in result.rows}
    if True in marks:
        notes.append(f"{TRAINED} The model was trained on other faces of this corpus.")
    if None in marks:
        notes.append(f"{UNKNOWN} The corpora that the model was trained on are unknown.")
    if result.limit is not None:
        notes.append(f"Quick run: at most {result.limit:,} faces of each corpus, evenly spread.")
    if result.test_scorings is not None:
        notes.append(
            f"Test sets have now been scored {result.test_scorings} times with this run; do not choose anything on "
            "them."
        )
    return notes


def to_csv(results: Sequence[Result]) -> str:
    """Return CSV with a line for each model, corpus and frame, unrounded; cells that do not apply are empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    bounds = ("", "_low", "_high")
    writer.writerow(
        [*_COLUMNS, *(f"{metric}{bound}" for metric in ("detected", *METRICS) for bound in bounds), "sex_gap"]
    )
    for result in results:
        for row in result.rows:
            writer.writerow(
                [*_describe_row(result, row), *_list_numbers(row), row.gaps["sex"].gap if "sex" in row.gaps else ""]
            )
    return stream.getvalue()


def _describe_row(result: Result, row: Row) -> list[Any]:
    trained = "" if row.trained is None else str(row.trained).lower()
    left_out = ";".join(f"{reason}={count}" for reason, count in row.left_out.items())
    return [result.subject.name, row.corpus, row.part, row.frame, trained, row.available, row.scores.faces, left_out,
            ";".join(row.classes)]  # fmt: skip


def _list_numbers(row: Row) -> list[float | str]:
    estimates = [row.detected, *(getattr(row.scores, metric) for metric in METRICS)]
    return [
        value
        for estimate in estimates
        for value in (("", "", "") if estimate is None else (estimate.value, estimate.low, estimate.high))
    ]


def write(folder: Path, results: Sequence[Result]) -> None:
    """Write ``suite.md``, ``suite.csv`` and ``suite.json`` into a folder, which is created if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    files.write(folder / "suite.md", "\n".join(render_markdown(result) for result in results))
    files.write(folder / "suite.csv", to_csv(results))
    values = [result.to_dict() for result in results]
    files.write(folder / "suite.json", json.dumps(values, indent=1, ensure_ascii=False))
