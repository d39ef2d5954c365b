"""Self-contained HTML pages: inline style and images, no script, light and dark mode, readable on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from math import isnan
from pathlib import Path

from mien import files

_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--paper:#fff;--card:#f5f6f8;--line:#d0d7de;--warn:#a33a00}
@media(prefers-color-scheme:dark){
:root{--ink:#e6e8eb;--soft:#a3abb5;--paper:#14171b;--card:#1e2329;--line:#3a424c;--warn:#ffb07c}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:62rem;padding:1rem;background:var(--paper);color:var(--ink);
font:1rem/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;margin:.5rem 0}h2{font-size:1.2rem;margin:2.2rem 0 .4rem}
p{margin:.4rem 0}.soft{color:var(--soft)}.warn{color:var(--warn);font-weight:600}
.wide{overflow-x:auto;border:1px solid var(--line);border-radius:.5rem;margin:.6rem 0}
.wide.figure{background:#fff;padding:.5rem}.figure img{display:block;max-width:100%;height:auto;margin:auto}
@media(max-width:40rem){.figure img{max-width:none;width:38rem}}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .7rem;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}td.n,th.n{text-align:right}td{overflow-wrap:break-word}td.n,td.k{white-space:nowrap}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(8.5rem,1fr));gap:.7rem;margin:.6rem 0}
.tile{margin:0;background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.5rem;font-size:.8rem;
line-height:1.35;overflow-wrap:anywhere}.tile img{display:block;width:96px;height:96px;object-fit:contain;
margin:0 auto .3rem;border-radius:.25rem}
nav a{margin-right:.9rem;white-space:nowrap}a{color:inherit}
"""


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph; kind: ``soft`` or ``warn``."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; numbers are right-aligned."""
    body = list(rows)
    numeric = [all(isinstance(row[at], int | float) for row in body) and bool(body) for at in range(len(head))]
    marks = [' class="n"' if is_number else "" for is_number in numeric]
    lines = ["".join(f"<th{mark}>{escape(name)}</th>" for name, mark in zip(head, marks, strict=True))]
    lines += [
        "".join(
            f"<td{mark or _mark_unbroken(cell)}>{_format_cell(cell)}</td>"
            for cell, mark in zip(row, marks, strict=True)
        )
        for row in body
    ]
    return f'<div class="wide"><table>{"".join(f"<tr>{line}</tr>" for line in lines)}</table></div>'


def _mark_unbroken(value: object) -> str:
    """Return the class of a cell that must not wrap: numbers with signs, such as an interval."""
    return ' class="k"' if isinstance(value, str) and re.fullmatch(r"[\d\s.,%–±×]+", value) else ""


def _format_cell(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float) and isnan(value):  # undefined
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else escape(str(value))


def figure(uri: str, text: str) -> str:
    """Return a figure with the alternative text ``text``."""
    return f'<div class="wide figure"><img src="{uri}" alt="{escape(text)}"></div>'


def tile(uri: str, lines: Sequence[str]) -> str:
    """Return a thumbnail with lines of text under it."""
    text = "<br>".join(escape(line) for line in lines)
    return f'<figure class="tile"><img src="{uri}" alt="{escape(lines[0])}" loading="lazy">{text}</figure>'


def tiles(items: Iterable[str]) -> str:
    """Return thumbnails side by side."""
    return f'<div class="tiles">{"".join(items)}</div>'


def write(path: Path, title: str, lead: str, sections: Sequence[tuple[str, Sequence[str]]]) -> Path:
    """Write a page of headed sections, each a list of the strings that the functions above return."""
    links = " ".join(f'<a href="#s{at}">{escape(name)}</a>' for at, (name, _) in enumerate(sections))
    body = "".join(f'<h2 id="s{at}">{escape(name)}</h2>{"".join(parts)}' for at, (name, parts) in enumerate(sections))
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(
        path,
        f'<!DOCTYPE html><html lang="en"><head>{head}<title>{escape(title)}</title><style>{_STYLE}</style></head>'
        f'<body><h1>{escape(title)}</h1><p class="soft">{escape(lead)}</p><nav>{links}</nav>{body}</body></html>\n',
    )
    return path
