"""How many cores this process may use: those it is bound to, fewer where its container has a quota of their time.

Python, PyTorch and ONNX Runtime count cores and know nothing of quotas: in a container of 2 cores on a machine of 64
they start 64 threads, which then wait for each other.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
"""Where ``proc`` and ``sys`` lie."""


def usable_cores() -> int:
    """Return how many cores this process may keep busy, at least 1: the cores it is bound to, or its quota of time."""
    return min(bound_cores(), quota_cores() or bound_cores())


def bound_cores() -> int:
    """Return how many cores this process may run on (its affinity), whatever its quota."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else all_cores()


def all_cores() -> int:
    """Return how many cores the machine has, whoever may use them."""
    return os.cpu_count() or 1


def quota_cores() -> int | None:
    """Return how many cores the control groups' quota of CPU time is worth, rounded up; None where there is none.

    Source: the Linux kernel's documentation, cgroup-v2 (``cpu.max``) and sched-bwc (``cpu.cfs_quota_us``).
    """
    quotas = [quota for quota in map(_quota, _groups()) if quota is not None]
    return max(math.ceil(min(quotas)), 1) if quotas else None


def _groups() -> Iterator[Path]:
    """Yield the folders of this process's control groups of CPU time and of all above them, whether there or not."""
    listed = ROOT / "proc" / "self" / "cgroup"
    for line in listed.read_text("utf-8").splitlines() if listed.is_file() else ():
        number, names, path = line.split(":", 2)
        if number != "0" and "cpu" not in names.split(","):
            continue
        # A container often sees its own group as the root, but is told the path that the machine knows it by.
        inside = Path(*(part for part in path.split("/") if part not in ("", "..")))
        for mount in (names, "cpu") if names else ("",):
            yield from (ROOT / "sys" / "fs" / "cgroup" / mount / folder for folder in (inside, *inside.parents))


def _quota(group: Path) -> float | None:
    """Return a group's quota in cores, None for no limit or no such group."""
    version_2, version_1 = group / "cpu.max", group / "cpu.cfs_quota_us"
    if version_2.is_file():
        quota, period = version_2.read_text("ascii").split()
    elif version_1.is_file():
        quota, period = version_1.read_text("ascii"), (group / "cpu.cfs_period_us").read_text("ascii")
    else:
        return None
    return None if quota.strip() in ("max", "-1") else int(quota) / int(period)
