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

    Attributes:
        what: model and quantity.
        interval: 95 % interval of ``measured``.
        recipe: name of the recipe that was run.
        source: table, figure or section of the claim.
        verdict: measured minus claimed, and whether the claim lies in the interval.
        schedule: whether the recipe has the document's own schedule.
    """

    what: str
    claimed: str
    measured: str
    interval: str
    recipe: str
    source: str
    verdict: str = ""
    schedule: str = ""


def page(system: str, rows: Sequence[Row], reasons: Mapping[str, str], findings: Sequence[Finding]) -> str:
    """Return the page of one system, ending in a line break.

    Args:
        reasons: recipe → how its run differs from the document, and so why its results do. Smoke runs are marked.

    Raises:
        OptionError: an unknown system.
    """
    about = published(system)
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
        f"{count}: {_count(findings)}.",
        "",
        *_recomputed(findings),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _count(findings: Sequence[Finding]) -> str:
    verdicts = [finding.holds for finding in findings]
    text = f"{verdicts.count(True)} hold, {verdicts.count(False)} do not"
    return text + f", {verdicts.count(None)} cannot be decided here" * (None in verdicts)


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
    head = (
        *("what", "claimed", "measured", "95 % interval", "measured − claimed"),
        *("schedule", "recipe", "claimed in"),
    )
    return format_table(head, (_cells(row) for row in rows))


def _cells(row: Row) -> tuple[str, ...]:
    recipe = f"`{row.recipe}`" * bool(row.recipe)
    return (row.what, row.claimed, row.measured, row.interval, row.verdict, row.schedule, recipe, row.source)


def _reasons(reasons: Mapping[str, str]) -> list[str]:
    if not reasons:
        return []
    return ["## Why they differ", "", *(f"- `{name}`: {' '.join(why.split())}" for name, why in reasons.items()), ""]


def _recomputed(findings: Sequence[Finding]) -> list[str]:
    return format_table(
        ("statement", "published", "recomputed", "holds", "why"),
        (
            (finding.claim, finding.published, finding.recomputed, _VERDICTS[finding.holds], finding.why)
            for finding in findings
        ),
    )


_VERDICTS = {True: "yes", False: "**no**", None: "open"}
