"""A file appears whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mien.files import appearing, cache_folder, naming


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


def test_the_cache_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "mien"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache_folder() == tmp_path / ".cache" / "mien"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder() == tmp_path / "Library" / "Caches" / "mien"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder() == tmp_path / "local" / "mien" / "Cache"
    monkeypatch.delenv("LOCALAPPDATA")
    assert cache_folder() == tmp_path / "AppData" / "Local" / "mien" / "Cache"


def full(path: Path) -> None:
    with appearing(path) as draft:
        draft.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_names_the_file_and_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(OSError, match="No space left") as caught:
        full(path)
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_long_names_have_drafts_too(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    with appearing(path) as draft:
        draft.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's disk that is always full")
def test_a_growing_file_on_a_full_disk_is_named() -> None:
    from mien.cli.writing.output import growing

    with pytest.raises(OSError, match="/dev/full") as caught, growing(Path("/dev/full"), fresh=True) as stream:
        stream.write("x" * 1_000_000)
    assert caught.value.filename == "/dev/full"


def test_an_error_keeps_the_name_of_the_file_that_it_is_of(tmp_path: Path) -> None:
    """A film's outputs are open at once: the one on the full disk was named after another."""
    with pytest.raises(OSError, match="No space left") as caught, naming(tmp_path / "other"):
        full(tmp_path / "a.json")
    assert caught.value.filename == str(tmp_path / "a.json")
