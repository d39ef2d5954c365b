"""The review list: ``review.csv``, which ``mien data clean`` proposes, a person edits, and later stages honour."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from mien.datasets.manifest import Manifest
from mien.errors import DataError, FileMissingError, nearest
from mien.labels import canonical

ACTIONS = ("drop", "relabel", "keep")


@dataclass(frozen=True)
class Verdict:
    """What is to happen to one row. new_label: the noun for ``relabel``, else ''.  score: 0 suspect – 1 fine."""

    id: str
    action: str
    new_label: str = ""
    reason: str = ""
    score: float = 0.0


def write(verdicts: Iterable[Verdict], path: Path) -> Path:
    """Write the list as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([each.name for each in fields(Verdict)])
        table.writerows(astuple(each) for each in verdicts)
    return path


def read(path: str | Path) -> list[Verdict]:
    """Read a list. Raises ``FileMissingError``, and ``DataError`` naming the line that is wrong."""
    place = Path(path)
    if not place.exists():
        raise FileMissingError(f"{place} does not exist; mien data clean writes a review.csv.")
    with place.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if not {"id", "action"} <= set(rows.fieldnames or ()):
            raise DataError(f"{place} has the columns {rows.fieldnames}; expected id, action, new_label.")
        return [_verdict(row, f"{place.name}:{rows.line_num}") for row in rows]


def _verdict(row: dict[str, str], where: str) -> Verdict:
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
    """Return the manifest without the rows to drop, and with the new labels; the metadata counts both.

    Raises ``DataError`` for an id that the manifest does not have, or that has two verdicts.
    """
    ids = manifest.column("id")
    places = {name: place for place, name in enumerate(ids)}
    labels, keep = list(manifest.column("label")), np.ones(len(ids), bool)
    seen: set[str] = set()
    counts = dict.fromkeys(ACTIONS, 0)
    for each in verdicts:
        if each.id not in places or each.id in seen:
            what = "stands twice in the review" if each.id in seen else "is no id of this manifest"
            raise DataError(f"{each.id!r} {what}. Review and manifest have to belong together.")
        seen.add(each.id)
        counts[each.action] += 1
        keep[places[each.id]] = each.action != "drop"
        if each.action == "relabel":
            labels[places[each.id]] = each.new_label
    return manifest.with_column("label", labels, review=counts).where(keep)
