"""Freed memory is kept between steps where the C library can be told to, and is not kept otherwise."""

from __future__ import annotations

import platform
import subprocess
import sys
import textwrap

import pytest

from mien.training import memory

FAULTS = textwrap.dedent("""
    import resource, sys
    import numpy as np
    from mien.training import memory

    if sys.argv[1] == "kept":
        assert memory.keep_freed()

    def touch():
        together = [np.ones(24 * 2**20, np.uint8) for _ in range(4)]

    for _ in range(3):
        touch()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        touch()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
""")


def faults(way: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, way], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the settings")
def test_large_arrays_come_from_kept_memory() -> None:
    # 10 times 96 MiB are 245,760 pages of 4 KiB, or 480 of 2 MiB where the system gives huge ones.
    kept, given_back = faults("kept"), faults("given back")
    assert kept < given_back / 4


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not memory.keep_freed()
