"""What the tests of the cluster share: how many photos there are, which are none, and how an output is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 40
POISON = (7, 20)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Return all rows of an output, in the order of its files."""
    from mien.parquet import read_rows

    return list(read_rows(folder))
