"""Markdown as the pages write it: text that means only itself, and tables whose cells cannot break them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_BAR = re.compile(r"(?<!\\)\|")


def safe(text: str) -> str:
    """Return text without line breaks that means only itself in Markdown."""
    plain = " ".join(text.split())
    for sign in "\\|*_`[]<>":
        plain = plain.replace(sign, f"\\{sign}")
    return plain


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, none if there are no rows.

    Cells are Markdown; a bar or a line break in one would end it, so they are escaped. Empty cells are shown as a dash.
    """
    body = [_line(row) for row in rows]
    return [_line(head), "|" + " --- |" * len(head), *body] if body else []


def _line(cells: Sequence[str]) -> str:
    kept = (_BAR.sub(r"\|", " ".join(cell.split())) or "–" for cell in cells)
    return f"| {' | '.join(kept)} |"
