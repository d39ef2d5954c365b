"""Freed memory is kept between steps where the C library can be told to."""

from __future__ import annotations

import platform
import sys

import numpy as np
import pytest

from mien.learning import memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the settings")
def test_large_arrays_come_from_kept_memory() -> None:
    assert memory.keep_freed()
    import resource

    def faults() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    def touch() -> None:
        np.ones(16 * 2**20, np.uint8)

    touch()
    before = faults()
    for _ in range(20):
        touch()
    # Taken anew from the system, 20 times 16 MiB are 81,920 pages of 4 KiB, or 160 of 2 MiB.
    assert faults() - before < 100


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not memory.keep_freed()
