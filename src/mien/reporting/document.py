"""Write a page both as one HTML file and as Markdown, with its figures beside it as PNG, SVG and PDF."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

from mien import files
from mien.reporting import figures, latex, markdown, page, sheets
from mien.reporting.markdown import escape

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Written:
    """Paths of the written files: page, Markdown, PNG, SVG and PDF of every figure, CSV and LaTeX of named tables."""

    page: Path
    markdown: Path
    figures: tuple[Path, ...]
    tables: tuple[Path, ...] = ()


@dataclass
class Sheet:
    """A page under construction. ``section`` opens a section, the other methods add to the last one.

    Attributes:
        out: the folder to write to, which must exist.
    """

    out: Path
    _sections: list[tuple[str, list[str]]] = field(default_factory=list)
    _lines: list[str] = field(default_factory=list)
    _written: list[Path] = field(default_factory=list)
    _tables: list[Path] = field(default_factory=list)

    def section(self, title: str) -> None:
        """Open a section."""
        self._sections.append((title, []))
        self._lines += [f"## {title}", ""]

    def text(self, paragraph: str, kind: str = "") -> None:
        """Add a paragraph; kind: ``soft`` or ``warn``."""
        self._sections[-1][1].append(page.paragraph(paragraph, kind))
        self._lines += [f"**{escape(paragraph)}**" if kind == "warn" else escape(paragraph), ""]

    def table(self, head: Sequence[str], rows: Iterable[Sequence[object]], name: str = "") -> None:
        """Add a table; cells as ``page.table`` takes them. With a ``name`` also write NAME.csv and NAME.tex."""
        body = [list(row) for row in rows]
        if name:
            self._write_table(head, body, name)
        self._sections[-1][1].append(page.table(head, body))
        marked = ([escape(_format_cell(cell)) for cell in row] for row in body)
        self._lines += [*markdown.format_table([escape(name) for name in head], marked), ""]

    def _write_table(self, head: Sequence[str], body: Sequence[Sequence[object]], name: str) -> None:
        texts = [[_format_cell(cell) for cell in row] for row in body]
        for kind, text in (("csv", latex.format_csv(head, body)), ("tex", latex.format_latex(head, texts))):
            path = self.out / f"{name}.{kind}"
            files.write(path, text)
            self._tables.append(path)

    def figure(self, name: str, drawn: Figure, alt: str, caption: str = "") -> None:
        """Write a figure as PNG, SVG and PDF and add it.

        Args:
            alt: alternative text for readers who cannot see it.
            caption: text below the figure.
        """
        content, paths = figures.save(drawn, self.out, name)
        self._written += paths
        self._sections[-1][1].append(page.figure(sheets.data_uri(content), alt))
        self._lines += [f"![{escape(alt)}]({name}.png)", ""]
        if caption:
            self.text(caption, "soft")

    def write(self, title: str, lead: str, name: str) -> Written:
        """Write ``index.html`` and ``NAME.md``, and return the paths of all files."""
        written = page.write(self.out / "index.html", title, lead, self._sections)
        text = self.out / f"{name}.md"
        files.write(text, "\n".join([f"# {escape(title)}", "", escape(lead), "", *self._lines]))
        return Written(written, text, tuple(self._written), tuple(self._tables))


def _format_cell(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return "–" if isnan(value) else f"{value:.3f}"
    return str(value)
