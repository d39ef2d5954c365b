"""Parquet in parts: whole files only, foreign folders left alone, what is not full is done again."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

from pyarrow import parquet

from mien.errors import OptionError
from mien.parquet import Kind, Parts, parts_of, read_rows, settle

COLUMNS: dict[str, Kind] = {"name": "text", "count": "whole", "share": "number", "sure": "yes_no"}


def write(folder: Path, entries: range, done: int = 0) -> None:
    parts = Parts(folder, COLUMNS, 3, done)
    for at in entries:
        parts.add([{"name": f"n{at}", "count": at, "share": at / 3, "sure": at % 2 == 0}, {"name": f"n{at}"}])
    parts.close()


def test_entries_are_parted_and_read_back(tmp_path: Path) -> None:
    write(tmp_path / "out", range(7))
    assert [parquet.read_metadata(file).num_rows for file in parts_of(tmp_path / "out")] == [6, 6, 2]
    rows = list(read_rows(tmp_path / "out"))
    assert rows[2] == {"name": "n1", "count": 1, "share": 1 / 3, "sure": False}
    assert rows[3] == {"name": "n1", "count": None, "share": None, "sure": None}


def test_what_is_not_full_is_dropped(tmp_path: Path) -> None:
    write(tmp_path / "out", range(7))
    assert settle(tmp_path / "out", 3) == 6
    assert len(parts_of(tmp_path / "out")) == 2
    write(tmp_path / "out", range(6, 8), done=6)
    assert [row["name"] for row in read_rows(tmp_path / "out")][::2] == [f"n{at}" for at in range(8)]


def test_a_gap_ends_what_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "out", range(9))
    (tmp_path / "out" / "part-00001.parquet").unlink()
    assert settle(tmp_path / "out", 3) == 3
    assert len(parts_of(tmp_path / "out")) == 1


def test_a_fresh_run_replaces_what_is_there(tmp_path: Path) -> None:
    write(tmp_path / "out", range(9))
    write(tmp_path / "out", range(2))
    assert len(parts_of(tmp_path / "out")) == 1


def test_no_entry_is_one_file_without_rows(tmp_path: Path) -> None:
    write(tmp_path / "out", range(0))
    assert parquet.read_table(tmp_path / "out").num_rows == 0
    assert parquet.read_table(tmp_path / "out").column_names == list(COLUMNS)


def test_foreign_folders_and_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(OptionError, match=r"holds other files \('photo.jpg'\)"):
        Parts(tmp_path, COLUMNS, 3)
    with pytest.raises(OptionError, match="expected a folder"):
        Parts(tmp_path / "photo.jpg", COLUMNS, 3)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part-00000.parquet").write_text("no parquet")
    with pytest.raises(OptionError, match="is damaged"):
        settle(tmp_path / "out", 3)
