"""Write an audit to a folder: ``audit.json``, ``audit.md``, plots, and an HTML page with all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien import files
from mien.evaluation.robustness import audit_plots, audit_tables
from mien.reporting import figures, page, sheets

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mien.evaluation.robustness.audit import Audit
    from mien.evaluation.robustness.audit_tables import Table
    from mien.evaluation.robustness.slices import Slicing

LONG, LONGEST = 16, 200
"""A slicing with more slices than the first gets its own plot; above the second it gets a table only."""

OWNERS = (
    "This page shows a face of the corpus, so the corpus's terms apply: check whether they allow you to share it. The "
    "other files of the audit contain no pixels."
)


def write(audit: Audit, heading: Mapping[str, Any], folder: str | Path) -> list[Path]:
    """Write all files into ``folder`` and return them, the page first.

    Args:
        heading: what is audited, JSON-ready: at least model, digest, split, data (names) and seed.

    Raises:
        MissingExtraError: without matplotlib.
    """
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    drawn = _draw_figures(audit, out)
    text = json.dumps({**heading, **audit.to_dict()}, indent=1, ensure_ascii=False, allow_nan=False)
    files.write(out / "audit.json", text)
    files.write(out / "audit.md", render_markdown(audit, heading))
    written = page.write(out / "audit.html", "Audit", _write_lead(heading), _build_sections(audit, heading, drawn))
    return [written, out / "audit.json", out / "audit.md", *(path for paths, _ in drawn.values() for path in paths)]


def render_markdown(audit: Audit, heading: Mapping[str, Any]) -> str:
    """Return the tables and notes as Markdown."""
    notes = [f"- {note}" for note in audit.notes]
    tables = [table.markdown() for table in audit_tables.build_tables(audit)]
    return "\n".join(["# Audit", "", _write_lead(heading), "", *tables, *notes, ""])


def _write_lead(heading: Mapping[str, Any]) -> str:
    data = ", ".join(heading["data"])
    return f"{heading['model']} ({heading['digest'][:12]}) on {heading['split']} of {data}."


def _draw_figures(audit: Audit, out: Path) -> dict[str, tuple[tuple[Path, ...], bytes]]:
    """Draw the plots and write them; return name → paths and the PNG for the page."""
    overall = audit.figures["accuracy"]
    drawn: dict[str, Figure] = {}
    short = [slicing for slicing in audit.slicings if len(slicing.slices) <= LONG]
    if short:
        drawn["slices"] = audit_plots.draw_slices(short, overall)
    for number, slicing in enumerate(audit.slicings):
        if LONG < len(slicing.slices) <= LONGEST:
            drawn[_name_figure(slicing, number)] = audit_plots.draw_slices([slicing], overall)
    if audit.robustness:
        drawn["corruptions"] = audit_plots.draw_curves(audit.robustness)
    plots = {}
    for name, figure in drawn.items():
        content, paths = figures.save(figure, out, name)
        plots[name] = (paths, content)
    return plots


def _name_figure(slicing: Slicing, number: int) -> str:
    """Return a safe file name for any column name; ``number`` keeps file names unique."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in slicing.by)
    return f"slices-{number}-{plain[:40]}"


def _build_sections(
    audit: Audit, heading: Mapping[str, Any], drawn: Mapping[str, tuple[tuple[Path, ...], bytes]]
) -> list[tuple[str, Sequence[str]]]:
    whole, (tests, *tables) = audit_tables.tabulate_all_faces(audit), audit_tables.tabulate_slices(audit)
    pictures = [_embed_picture(content, "Accuracy of each slice with its 95 % interval")
                for name, (_, content) in drawn.items() if name.startswith("slices")]  # fmt: skip
    sections: list[tuple[str, Sequence[str]]] = [
        (whole.title, [_render_table(whole), *(page.paragraph(note) for note in audit.notes)]),
        (tests.title, [_render_table(tests), *pictures]),
        *((table.title, [_render_table(table)]) for table in tables),
    ]
    if not audit.robustness:
        return sections
    worse, strengths = audit_tables.tabulate_corruptions(audit.robustness)
    curve = _embed_picture(drawn["corruptions"][1], "Accuracy over the severity of each corruption")
    sheet = figures.render(audit_plots.draw_examples(audit.robustness, heading["seed"]), "png")
    shown = [page.paragraph(OWNERS, "soft"), _embed_picture(sheet, "One face under each corruption at five severities")]
    return [
        *sections,
        (worse.title, [_render_table(worse), curve]),
        (strengths.title, [_render_table(strengths), *shown]),
    ]


def _embed_picture(content: bytes, text: str) -> str:
    return page.figure(sheets.data_uri(content), text)


def _render_table(given: Table) -> str:
    note = page.paragraph(given.note, "soft") if given.note else ""
    return page.table(given.head, given.rows) + note
