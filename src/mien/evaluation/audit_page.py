"""What an audit leaves in its folder: ``audit.json``, ``audit.md``, two kinds of figures, and one page of all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.datasets import figures, page, sheets
from mien.evaluation import audit_figures, audit_tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mien.evaluation.audit import Audit
    from mien.evaluation.audit_tables import Table
    from mien.evaluation.slices import Slicing

LONG, LONGEST = 16, 200
"""A slicing of more slices has a figure of its own; one of more than ``LONGEST`` has a table only."""

OWNERS = (
    "This page shows a face of the corpus, which carries its owners' terms: look whether they allow to pass it on. The "
    "other files of the audit hold no pixels."
)


def write(found: Audit, heading: Mapping[str, Any], folder: str | Path) -> list[Path]:
    """Write all files into ``folder`` and return them, the page first.

    heading: what is audited, JSON-ready: at least model, digest, split, data (names) and seed.
    Raises ``MissingExtraError`` without matplotlib.
    """
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    drawn = _figures(found, out)
    text = json.dumps({**heading, **found.to_dict()}, indent=1, ensure_ascii=False, allow_nan=False)
    (out / "audit.json").write_text(text, encoding="utf-8")
    (out / "audit.md").write_text(markdown(found, heading), encoding="utf-8")
    written = page.write(out / "audit.html", "Audit", _lead(heading), _sections(found, heading, drawn))
    return [written, out / "audit.json", out / "audit.md", *(path for path, _ in drawn.values())]


def markdown(found: Audit, heading: Mapping[str, Any]) -> str:
    """Return the tables and notes as Markdown."""
    notes = [f"- {note}" for note in found.notes]
    return "\n".join(["# Audit", "", _lead(heading), "", *(each.markdown() for each in audit_tables.all_tables(found)),
                      *notes, ""])  # fmt: skip


def _lead(heading: Mapping[str, Any]) -> str:
    data = ", ".join(heading["data"])
    return f"{heading['model']} ({heading['digest'][:12]}) on {heading['split']} of {data}."


def _figures(found: Audit, out: Path) -> dict[str, tuple[Path, bytes]]:
    """Draw and write; return name → path and PNG."""
    overall = found.figures["accuracy"]
    drawn: dict[str, Figure] = {}
    short = [each for each in found.slicings if len(each.slices) <= LONG]
    if short:
        drawn["slices"] = audit_figures.slices(short, overall)
    for place, each in enumerate(found.slicings):
        if LONG < len(each.slices) <= LONGEST:
            drawn[_name(each, place)] = audit_figures.slices([each], overall)
    if found.robustness:
        drawn["corruptions"] = audit_figures.curves(found.robustness)
    files = {}
    for name, figure in drawn.items():
        content = figures.render(figure, "png")
        (out / f"{name}.png").write_bytes(content)
        files[name] = (out / f"{name}.png", content)
    return files


def _name(slicing: Slicing, place: int) -> str:
    """Return a file name for a column that may be called anything; ``place`` keeps two of them apart."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in slicing.by)
    return f"slices-{place}-{plain[:40]}"


def _sections(
    found: Audit, heading: Mapping[str, Any], drawn: Mapping[str, tuple[Path, bytes]]
) -> list[tuple[str, Sequence[str]]]:
    whole, (tests, *tables) = audit_tables.heading(found), audit_tables.slice_tables(found)
    pictures = [_picture(content, "Accuracy of each slice with its 95 % interval")
                for name, (_, content) in drawn.items() if name.startswith("slices")]  # fmt: skip
    sections: list[tuple[str, Sequence[str]]] = [
        (whole.title, [_table(whole), *(page.paragraph(note) for note in found.notes)]),
        (tests.title, [_table(tests), *pictures]),
        *((each.title, [_table(each)]) for each in tables),
    ]
    if not found.robustness:
        return sections
    worse, strengths = audit_tables.corruption_tables(found.robustness)
    curve = _picture(drawn["corruptions"][1], "Accuracy over the severity of each corruption")
    sheet = figures.render(audit_figures.examples(found.robustness, heading["seed"]), "png")
    shown = [page.paragraph(OWNERS, "soft"), _picture(sheet, "One face under each corruption in five severities")]
    return [
        *sections,
        (worse.title, [_table(worse), curve]),
        (strengths.title, [_table(strengths), *shown]),
    ]


def _picture(content: bytes, text: str) -> str:
    return page.figure(sheets.data_uri(content), text)


def _table(given: Table) -> str:
    told = page.paragraph(given.told, "soft") if given.told else ""
    return page.table(given.head, given.rows) + told
