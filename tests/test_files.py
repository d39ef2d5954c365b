"""A file appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from mien.files import appearing


def test_it_appears_when_all_went_well(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with appearing(path) as draft:
        draft.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def interrupted(path: Path) -> None:
    with appearing(path) as draft:
        draft.write_text("half")
        raise KeyboardInterrupt


def test_what_was_there_stays_when_something_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        interrupted(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), appearing(tmp_path / "a.json"):
        pass
