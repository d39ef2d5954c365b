"""The terminal that tables and messages are written to."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console


def console(stream: TextIO) -> Console:
    """Create a Rich console on ``stream``; without a terminal it is wide enough not to break file names."""
    from rich.console import Console

    return Console(file=stream, width=None if stream.isatty() else 10_000, highlight=False, emoji=False)
