"""The Markdown page of one published system: its claims, our measurements, and why they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mien.recipes.recipe import SMOKE
from mien.reporting.markdown import format_table
from mien.reproduction.claims import published
from mien.reproduction.finding import Finding


@dataclass(frozen=True)
class Row:
    """One claim with its measurement, all as text; an empty field is shown as a dash.

    what: model and quantity.  interval: 95 % interval of ``measured``.
    recipe: name of the recipe that was run.  source: table, figure or section of the claim.
    """

    what: str
    claimed: str
    measured: str
    interval: str
    recipe: str
    source: str


def page(system: str, rows: Sequence[Row], reasons: Mapping[str, str], findings: Sequence[Finding]) -> str:
    """Return the page of one system, ending in a line break.

    reasons: recipe → how its run differs from the document, and so why its results do. Smoke runs are marked.
    Raises ``OptionError`` for an unknown system.
    """
    about = published(system)
    wrong = sum(not finding.holds for finding in findings)
    count = f"{len(findings)} statements, computed again from the document's tables, the network or the data"
    lines = [
        f"# System {system}: {about.title}",
        "",
        about.summary,
        "",
        *_smoke(reasons),
        "## Claimed and measured",
        "",
        *_measured(rows),
        "",
        *_reasons(reasons),
        "## Its own statements, recomputed",
        "",
        f"{count}: {len(findings) - wrong} hold, {wrong} do not.",
        "",
        *_recomputed(findings),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _smoke(reasons: Mapping[str, str]) -> list[str]:
    if not any(name.endswith(f"-{SMOKE}") for name in reasons):
        return []
    note = (
        f"**Smoke run.** The recipes that end in `-{SMOKE}` were trained for seconds on a few faces, to see that all "
        "works. Their measurements say nothing about the system."
    )
    return [note, ""]


def _measured(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return ["Nothing was measured."]
    head = ("what", "claimed", "measured", "95 % interval", "recipe", "claimed in")
    return format_table(
        head,
        (
            (row.what, row.claimed, row.measured, row.interval, f"`{row.recipe}`" * bool(row.recipe), row.source)
            for row in rows
        ),
    )


def _reasons(reasons: Mapping[str, str]) -> list[str]:
    if not reasons:
        return []
    return ["## Why they differ", "", *(f"- `{name}`: {' '.join(why.split())}" for name, why in reasons.items()), ""]


def _recomputed(findings: Sequence[Finding]) -> list[str]:
    return format_table(
        ("statement", "published", "recomputed", "holds", "why"),
        (
            (finding.claim, finding.published, finding.recomputed, "yes" if finding.holds else "**no**", finding.why)
            for finding in findings
        ),
    )
