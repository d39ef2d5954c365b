"""How many cores a process may use: its affinity, and the quotas of control groups of both versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from mien import cores
from mien.web.settings import Settings


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A process that is bound to eight cores, on a machine whose files are still to be written."""
    monkeypatch.setattr(cores, "ROOT", tmp_path)
    monkeypatch.setattr(cores, "bound_cores", lambda: 8)
    return tmp_path


def write(machine: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = machine / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")


GROUP = "proc/self/cgroup"
FS = "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({GROUP: "0::/\n", f"{FS}/cpu.max": "max 100000\n"}, 8),
        ({GROUP: "0::/\n", f"{FS}/cpu.max": "200000 100000\n"}, 2),
        ({GROUP: "0::/\n", f"{FS}/cpu.max": "150000 100000\n"}, 2),
        ({GROUP: "0::/\n", f"{FS}/cpu.max": "25000 100000\n"}, 1),
        ({GROUP: "0::/\n", f"{FS}/cpu.max": "1600000 100000\n"}, 8),
        ({GROUP: "0::/a/b\n", f"{FS}/a/cpu.max": "300000 100000\n", f"{FS}/a/b/cpu.max": "max 100000\n"}, 3),
        ({GROUP: "0::/../pod\n", f"{FS}/cpu.max": "400000 100000\n"}, 4),
        (
            {
                GROUP: "5:memory:/x\n4:cpu,cpuacct:/docker/1\n0::/x\n",
                f"{FS}/cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
                f"{FS}/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            2,
        ),
        (
            {
                GROUP: "4:cpu,cpuacct:/docker/1\n",
                f"{FS}/cpu/docker/1/cpu.cfs_quota_us": "-1\n",
                f"{FS}/cpu/docker/1/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
    ],
)
def test_a_quota_counts(machine: Path, files: dict[str, str], expected: int) -> None:
    write(machine, files)
    assert cores.usable_cores() == expected


def test_the_server_reads_as_many_photos_at_once_as_its_container_allows(machine: Path) -> None:
    write(machine, {GROUP: "0::/\n", f"{FS}/cpu.max": "300000 100000\n"})
    assert Settings().threads == 3
    assert Settings(threads=5).threads == 5


def test_without_a_quota_the_affinity_counts() -> None:
    assert 1 <= cores.usable_cores() <= cores.bound_cores()
