"""Counters of several worker processes: files in one folder, which Prometheus's client adds up."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterable
from itertools import count

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder; without it each process counts for itself."""

_MASTER = "master"


class _Process:
    """What this process is called in the names of its files, and the folder that it made and has to delete."""

    writer = ""
    folder = ""


def share() -> None:
    """Make the folder for this process and those that it forks, unless the variable names one already."""
    if VARIABLE not in os.environ:
        os.environ[VARIABLE] = _Process.folder = tempfile.mkdtemp(prefix="mien-metrics-")
    _Process.writer = _MASTER


def remove() -> None:
    """Delete the folder if this process made it."""
    if _Process.folder:
        shutil.rmtree(_Process.folder, ignore_errors=True)


def free_slot(taken: Iterable[int]) -> int:
    """Return the lowest slot that no living worker has.

    A worker writes under its slot's name and goes on with the counters of the one that had the slot before. Named by
    process ids, every recycled worker would leave two files for ever.
    """
    used: Collection[int] = frozenset(taken)
    return next(slot for slot in count() if slot not in used)


def write_as(slot: int) -> None:
    """Write under this slot's name from now on; called after the fork."""
    _Process.writer, _Process.folder = str(slot), ""


def writer() -> str:
    """Return the name under which this process writes: its slot, or its process id where it has none."""
    return _Process.writer or str(os.getpid())
