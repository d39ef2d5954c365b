"""Write tables for papers: LaTeX with booktabs, and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "–": "--",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def escape(text: str) -> str:
    """Escape text for LaTeX and join its lines; Greek and accented letters stay, as LaTeX of today reads UTF-8."""
    return "".join(_SPECIAL.get(sign, sign) for sign in " ".join(text.split()))


def format_latex(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a ``tabular`` with the rules of booktabs: first column left, the others right. Cells are plain text."""
    columns = "l" + "r" * (len(head) - 1)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _format_line(head), r"\midrule"]
    return "\n".join([*lines, *map(_format_line, rows), r"\bottomrule", r"\end{tabular}", ""])


def _format_line(cells: Sequence[str]) -> str:
    return f"{' & '.join(map(escape, cells))} \\\\"


def format_csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a CSV table: UTF-8 text, commas, a line for the head; numbers keep all their digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()
