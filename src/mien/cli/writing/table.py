"""The table of ``mien predict``: in colour and as wide as the window on a terminal, plain and full elsewhere."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

COLUMNS = ("file", "face", "box", "emotion", "confidence", "second guess", "quality")
"""The columns of a row; ``quality`` is omitted if all faces are good."""

_RIGHT = ("face", "confidence")
_DIM = ("face", "box", "second guess", "quality")
_DROPPED = ("box", "second guess", "quality")
"""Columns that a narrow window omits, in this order."""

_LEAST_FILE, _MOST_EMOTION, _GAP = 8, 24, 2


def show(stream: TextIO, rows: Sequence[tuple[str, ...]], notes: Sequence[str]) -> None:
    """Write rows with a cell for every column of ``COLUMNS``, and ``notes`` below them.

    Rich is used on terminals only; elsewhere it would just cost start-up time.
    """
    columns = COLUMNS if any(row[-1] for row in rows) else COLUMNS[:-1]
    if not stream.isatty():
        _show_plain(stream, columns, rows, notes)
        return
    from mien.cli.writing.terminal import console

    screen = console(stream)
    fitting = _fit_columns(columns, rows, screen.width)
    left_out = [name for name in columns if name not in fitting]
    if left_out:
        notes = [f"without {', '.join(left_out)}: widen the window, or --format csv", *notes]
    _show_styled(screen, fitting, rows, notes)


def cell_width(text: str) -> int:
    """Return the width of ``text`` in terminal columns: two per wide letter, none per combining one."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _fit_columns(columns: Sequence[str], rows: Sequence[tuple[str, ...]], width: int) -> dict[str, int]:
    """Return column → width of those that fit into ``width``, folding file names to a third of it if necessary."""
    needed = {name: _column_width(name, rows) for name in columns}
    needed["emotion"] = min(needed["emotion"], _MOST_EMOTION)
    for name in (*_DROPPED, ""):
        others = sum(needed.values()) - needed["file"] + _GAP * (len(needed) - 1)
        if not name or others + min(needed["file"], width // 3) <= width:
            break
        needed.pop(name, None)
    return {**needed, "file": min(needed["file"], max(width - others, _LEAST_FILE))}


def _column_width(name: str, rows: Sequence[tuple[str, ...]]) -> int:
    at = COLUMNS.index(name)
    return max([cell_width(name), *(cell_width(row[at]) for row in rows)])


def _show_plain(stream: TextIO, columns: Sequence[str], rows: Sequence[tuple[str, ...]], notes: Sequence[str]) -> None:
    widths = [_column_width(name, rows) for name in columns]
    for row in (tuple(columns), *rows):
        cells = [
            " " * (width - cell_width(cell)) + cell if name in _RIGHT else cell + " " * (width - cell_width(cell))
            for name, cell, width in zip(columns, row, widths, strict=False)  # rows also have the omitted columns
        ]
        stream.write("  ".join(cells).rstrip() + "\n")
    stream.writelines(f"{note}\n" for note in notes)


def _show_styled(
    screen: Console, widths: dict[str, int], rows: Sequence[tuple[str, ...]], notes: Sequence[str]
) -> None:
    from rich import box, table
    from rich.text import Text

    view = table.Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, _GAP - 1, 0, 0))
    for name, width in widths.items():
        view.add_column(
            name,
            justify="right" if name in _RIGHT else "left",
            style="dim" if name in _DIM else "",
            overflow="fold",
            width=width,
        )
    kept = [COLUMNS.index(name) for name in widths]
    styles = {"unreadable": "red", "no face": "dim"}
    for row in rows:
        cells = [row[at] for at in kept]
        view.add_row(*[Text(cell, styles.get(cell, "yellow" if cell.endswith(" ?") else "")) for cell in cells])
    screen.print(view)
    for note in notes:
        screen.print(Text(note, "dim"))
