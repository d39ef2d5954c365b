"""Files appear whole, by path or by address; what killed workers leave behind is swept."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

from support import full_after

from mien.errors import FileMissingError, OptionError
from mien.scale.storage import Store


@pytest.mark.parametrize("by_address", [False, True])
def test_files_are_written_listed_read_and_removed(tmp_path: Path, by_address: bool) -> None:
    store = Store.at((tmp_path / "out").as_uri() if by_address else str(tmp_path / "out"))
    assert store.names() == []
    store.write("b", b"old")
    store.write("b", b"new")
    store.write("_deep/a", b"x")
    assert store.names() == ["_deep/a", "b"]
    assert store.read("b") == b"new"
    store.remove("b")
    store.remove("b")
    assert store.names() == ["_deep/a"]
    with pytest.raises(FileNotFoundError):
        store.read("b")


def test_drafts_are_no_files_and_are_swept(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    store.write("a", b"x")
    (tmp_path / ".b.123.part").touch()
    (tmp_path / ".keep").touch()
    assert store.names() == ["a"]
    store.sweep()
    assert store.names(hidden=True) == [".keep", "a"]


def test_a_full_disk_names_the_file_and_leaves_what_was_there(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    store.write("deep/a", b"old")
    with full_after(1000), pytest.raises(OSError, match="File too large") as caught:
        store.write("deep/a", b"x" * 5000)
    assert caught.value.filename == str(tmp_path / "deep" / "a")
    assert store.names(hidden=True) == ["deep/a"]
    assert store.read("deep/a") == b"old"


def test_paths_stay_true_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store.at("out")
    monkeypatch.chdir("/")
    store.write("a", b"x")
    assert (tmp_path / "out" / "a").read_bytes() == b"x"


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileMissingError, match="is a file"):
        Store.at(str(tmp_path / "file")).names()
    with pytest.raises(OptionError, match=r"file://, s3://"):
        Store.at("http://example.org/folder")
