"""The review list ``review.csv``: proposed by ``mien data clean``, edited by a person, applied to the manifest."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from mien.datasets.manifest import Manifest
from mien.errors import DataError, FileMissingError, nearest
from mien.files import appearing
from mien.labels import canonical

ACTIONS = ("drop", "relabel", "keep")


@dataclass(frozen=True)
class Verdict:
    """The decision about one row. new_label: the label for ``relabel``, else ''.  score: 0 suspect – 1 fine."""

    id: str
    action: str
    new_label: str = ""
    reason: str = ""
    score: float = 0.0


def write(verdicts: Iterable[Verdict], path: Path) -> Path:
    """Write the list as CSV."""
    with appearing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([column.name for column in fields(Verdict)])
        table.writerows(astuple(verdict) for verdict in verdicts)
    return path


def read(path: str | Path) -> list[Verdict]:
    """Read a list.

    Raises:
        FileMissingError: that names the invalid line.
        DataError: that names the invalid line.
    """
    path = Path(path)
    if not path.exists():
        raise FileMissingError(f"{path} does not exist; mien data clean writes a review.csv.")
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if not {"id", "action"} <= set(rows.fieldnames or ()):
            raise DataError(f"{path} has the columns {rows.fieldnames}; expected id, action, new_label.")
        return [_parse_verdict(row, f"{path.name}:{rows.line_num}") for row in rows]


def _parse_verdict(row: dict[str, str], where: str) -> Verdict:
    action = (row["action"] or "").strip().lower()
    if action not in ACTIONS:
        raise DataError(f"{where}: action {action!r}; expected {', '.join(ACTIONS)}.{nearest(action, ACTIONS)}")
    try:
        label = canonical(row.get("new_label") or "") if action == "relabel" else ""
        score = float(row.get("score") or 0)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    return Verdict(row["id"], action, label, row.get("reason") or "", score)


def apply(manifest: Manifest, verdicts: Iterable[Verdict]) -> Manifest:
    """Drop and relabel rows of a manifest; the metadata counts the actions.

    Raises:
        DataError: an id that is not in the manifest or has two verdicts.
    """
    ids = manifest.column("id")
    indices = {name: index for index, name in enumerate(ids)}
    labels, keep = list(manifest.column("label")), np.ones(len(ids), bool)
    seen: set[str] = set()
    counts = dict.fromkeys(ACTIONS, 0)
    for verdict in verdicts:
        if verdict.id not in indices or verdict.id in seen:
            what = "occurs twice in the review" if verdict.id in seen else "is not an id of this manifest"
            raise DataError(f"{verdict.id!r} {what}. Review and manifest must belong together.")
        seen.add(verdict.id)
        counts[verdict.action] += 1
        keep[indices[verdict.id]] = verdict.action != "drop"
        if verdict.action == "relabel":
            labels[indices[verdict.id]] = verdict.new_label
    return manifest.with_column("label", labels, review=counts).where(keep)
