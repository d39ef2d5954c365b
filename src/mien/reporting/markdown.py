"""Write Markdown: escaped text, and tables that no cell can break."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_BAR = re.compile(r"(?<!\\)\|")


def escape(text: str) -> str:
    """Escape text for Markdown and join its lines."""
    plain = " ".join(text.split())
    for sign in "\\|*_`[]<>":
        plain = plain.replace(sign, f"\\{sign}")
    return plain


def format_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, or none if there are no rows.

    Cells are Markdown. Bars in them are escaped and line breaks removed, as both would end a cell; empty cells are
    shown as a dash.
    """
    body = [_format_line(row) for row in rows]
    return [_format_line(head), "|" + " --- |" * len(head), *body] if body else []


def _format_line(cells: Sequence[str]) -> str:
    kept = (_BAR.sub(r"\|", " ".join(cell.split())) or "–" for cell in cells)
    return f"| {' | '.join(kept)} |"
