"""Shards give the same pictures each time; what is damaged costs its own part; what may pass is raised."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

pa = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402

from mien.recognition.folder import Picture, Unreadable  # noqa: E402
from mien.scale.plan import plan  # noqa: E402
from mien.scale.shards import Shard  # noqa: E402
from mien.scale.storage import Store  # noqa: E402


def write_tar(path: Path, members: dict[str, bytes], mode: Any = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def pictures(source: Path, **options: Any) -> list[Picture | Unreadable]:
    return [picture for block in plan(str(source), **options) for picture in block.pictures()]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_gives_its_pictures_in_its_order(tmp_path: Path, mode: str) -> None:
    members = {"b/2.jpg": b"two", "b/2.json": b"{}", "a/1.PNG": b"one", "a/._1.png": b"junk"}
    path = write_tar(tmp_path / ("x.tar" if mode == "w" else "x.tar.gz"), members, mode)
    assert pictures(path) == [Picture(f"{path.name}/b/2.jpg", b"two"), Picture(f"{path.name}/a/1.PNG", b"one")]


@pytest.mark.parametrize("kept", [200, 512 + 512 * 4, 512 + 512 * 4 + 512 + 100])
def test_a_cut_off_tar_gives_what_it_has_and_says_so(tmp_path: Path, kept: int) -> None:
    path = write_tar(tmp_path / "x.tar", {"1.jpg": b"1" * 2048, "2.jpg": b"2" * 2048})
    path.write_bytes(path.read_bytes()[:kept])
    *whole, last = pictures(path)
    assert whole == ([Picture("x.tar/1.jpg", b"1" * 2048)] if kept > 2048 else [])
    assert isinstance(last, Unreadable)
    assert "damaged or truncated" in last.error
    assert last.source == "x.tar"


def test_a_damaged_header_is_not_the_end(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {"1.jpg": b"1", "2.jpg": b"2", "3.jpg": b"3"})
    content = bytearray(path.read_bytes())
    content[1024:1100] = b"\xff" * 76
    path.write_bytes(content)
    assert [each.source for each in pictures(path)] == ["x.tar/1.jpg", "x.tar"]


def test_rows_have_names_or_numbers_and_empty_ones_are_unreadable(tmp_path: Path) -> None:
    table = pa.table({"image": [b"a", None, b"c"], "name": ["x", "y", "z"]})
    parquet.write_table(table, tmp_path / "p.parquet", row_group_size=2)
    found = pictures(tmp_path, naming="name")
    assert [each.source for each in found] == ["x", "y", "z"]
    assert isinstance(found[1], Unreadable)
    assert (found[1].source, "image" in found[1].error) == ("y", True)
    assert [each.source for each in pictures(tmp_path)] == ["p.parquet:0", "p.parquet:1", "p.parquet:2"]


def test_pictures_as_hugging_face_keeps_them(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"image": [{"bytes": b"a", "path": None}, None]}), tmp_path / "p.parquet")
    first, second = pictures(tmp_path)
    assert first == Picture("p.parquet:0", b"a")
    assert isinstance(second, Unreadable)


def test_damaged_rows_cost_their_block_only(tmp_path: Path) -> None:
    contents = [bytes([number]) * 1000 for number in range(32)]
    path = tmp_path / "p.parquet"
    parquet.write_table(
        pa.table({"image": contents}), path, row_group_size=16, compression="none", use_dictionary=False
    )
    damaged = bytearray(path.read_bytes())
    damaged[4:40] = b"\0" * 36
    path.write_bytes(damaged)
    lost, *whole = pictures(path, size=16)
    assert isinstance(lost, Unreadable)
    assert lost.source == "p.parquet:0-15"
    assert whole == [Picture(f"p.parquet:{number}", contents[number]) for number in range(16, 32)]


def test_a_file_that_is_gone_is_raised_for_another_try(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(Shard(Store.at(str(tmp_path)), "gone.tar").pictures())
