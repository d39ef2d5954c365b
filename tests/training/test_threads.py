"""How many threads a training computes with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")

from mien.recipes.recipe import load_any  # noqa: E402
from mien.training import threads  # noqa: E402


@pytest.fixture(autouse=True)
def six() -> Iterator[None]:
    """PyTorch with six threads, as if it had counted six cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(6)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("budget", "usable", "expected"), [("", 4, 4), ("", 64, 6), ("smoke", 4, 1)])
def test_no_more_threads_than_usable_cores(
    budget: str, usable: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "usable_cores", lambda: usable)
    with threads.limit(load_any("system-b", budget)):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 6


def test_what_the_user_sets_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    monkeypatch.setattr(threads, "usable_cores", lambda: 2)
    with threads.limit(load_any("system-b", "smoke")):
        assert torch.get_num_threads() == 6
