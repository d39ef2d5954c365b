"""Metrics of several worker processes: files in one folder, which Prometheus's client sums."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterable
from itertools import count

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable with the folder; without it each process counts separately."""

_MASTER = "master"


class _Process:
    """This process's name in its files' names, and the folder that it created and must delete."""

    writer = ""
    folder = ""


def share() -> None:
    """Create the folder for this process and its forks, unless the variable is set."""
    if VARIABLE not in os.environ:
        os.environ[VARIABLE] = _Process.folder = tempfile.mkdtemp(prefix="mien-metrics-")
    _Process.writer = _MASTER


def remove() -> None:
    """Delete the folder if this process made it."""
    if _Process.folder:
        shutil.rmtree(_Process.folder, ignore_errors=True)


def free_slot(taken: Iterable[int]) -> int:
    """Return the lowest slot that no live worker has.

    A worker's files are named after its slot, so it continues the counters of the slot's previous worker. Named after
    process IDs, every recycled worker would leave two files forever.
    """
    used: Collection[int] = frozenset(taken)
    return next(slot for slot in count() if slot not in used)


def write_as(slot: int) -> None:
    """Name this process's files after a slot; called after the fork."""
    _Process.writer, _Process.folder = str(slot), ""


def writer() -> str:
    """Return this process's name in its files' names: its slot, or its process ID without one."""
    return _Process.writer or str(os.getpid())
