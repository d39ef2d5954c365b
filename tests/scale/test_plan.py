"""A source becomes the same blocks each time; what cannot be planned is refused with the way out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pa = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402

from mien.errors import FileMissingError, OptionError  # noqa: E402
from mien.scale.plan import digest, plan  # noqa: E402
from mien.scale.shards import Broken, Photos, Rows, Shard  # noqa: E402


def write(path: Path, groups: Sequence[int], **columns: Any) -> Path:
    """Write a Parquet file with that many rows in each row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = columns or {"image": [b"picture"] * sum(groups)}
    found = pa.table(columns)
    with parquet.ParquetWriter(path, found.schema) as writer:
        start = 0
        for rows in groups:
            writer.write_table(found.slice(start, rows), row_group_size=rows)
            start += rows
    return path


def test_a_folder_of_photos_is_cut_in_its_natural_order(tmp_path: Path) -> None:
    names = [str(tmp_path / f"{number}.jpg") for number in range(40)]
    for name in names:
        Path(name).touch()
    blocks = plan(str(tmp_path), size=16)
    assert [list(block.paths) for block in blocks if isinstance(block, Photos)] == [
        names[:16],
        names[16:32],
        names[32:],
    ]
    assert digest(blocks) == digest(plan(str(tmp_path), size=16)) != digest(plan(str(tmp_path), size=32))


def test_relative_photos_are_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").touch()
    monkeypatch.chdir(tmp_path)
    (block,) = plan("in")
    monkeypatch.chdir("/")
    (picture,) = block.pictures()
    assert (picture.source, picture.content) == ("in/a.jpg", str(tmp_path / "in" / "a.jpg"))  # type: ignore[union-attr]


def test_row_groups_are_joined_and_never_divided(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [10, 10, 10, 50, 3])
    write(tmp_path / "b.parquet", [16])
    blocks = [block for block in plan(str(tmp_path), size=16) if isinstance(block, Rows)]
    found = [(block.file, block.groups, block.first, len(block)) for block in blocks]
    assert found == [
        ("a.parquet", (0, 1), 0, 20),
        ("a.parquet", (2, 3), 20, 60),
        ("a.parquet", (4,), 80, 3),
        ("b.parquet", (0,), 0, 16),
    ]


def test_each_tar_is_a_block_and_an_address_is_a_folder(tmp_path: Path) -> None:
    for name in ("1.tar", "deep/2.tar.gz", ".hidden.tar", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [block.file for block in plan(str(tmp_path)) if isinstance(block, Shard)] == ["1.tar", "deep/2.tar.gz"]
    assert [block.file for block in plan(tmp_path.as_uri()) if isinstance(block, Shard)] == ["1.tar", "deep/2.tar.gz"]
    assert [block.file for block in plan(f"{tmp_path.as_uri()}/1.tar") if isinstance(block, Shard)] == ["1.tar"]
    assert len(plan(str(tmp_path / "1.tar"))) == 1


def test_a_damaged_parquet_file_stops_nothing(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [4])
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    whole, broken = plan(str(tmp_path))
    assert isinstance(whole, Rows)
    assert isinstance(broken, Broken)
    assert broken.file == "b.parquet"
    assert "not a Parquet file" in broken.reason


@pytest.mark.parametrize(
    ("columns", "wanted", "found"),
    [
        ({"image": [b"x"], "mask": [b"y"]}, None, "image"),
        ({"picture": [b"x"], "label": [1]}, None, "picture"),
        ({"face": [{"bytes": b"x", "path": "a"}], "id": [1]}, None, "face"),
        ({"a": [b"x"], "b": [b"y"]}, "b", "b"),
    ],
)
def test_the_column_of_pictures(tmp_path: Path, columns: Any, wanted: str | None, found: str) -> None:
    (block,) = plan(str(write(tmp_path / "a.parquet", [1], **columns)), column=wanted)
    assert isinstance(block, Rows)
    assert block.column == found


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"column": "imagee"}, r"no column 'imagee'; it has image, label\. Did you mean 'image'"),
        ({"column": "label"}, "no bytes in 'label'"),
        ({"naming": "name"}, "no column 'name'; it has image, label"),
        ({"size": 20}, "multiple of 16"),
        ({"size": 0}, "multiple of 16"),
        ({"kind": "webdataset", "column": "image"}, "Parquet files only"),
    ],
)
def test_what_does_not_fit_the_file_is_named(tmp_path: Path, options: Any, words: str) -> None:
    write(tmp_path / "a.parquet", [1], image=[b"x"], label=[1])
    with pytest.raises(OptionError, match=words):
        plan(str(tmp_path), **options)


def test_which_column_is_asked_where_several_fit(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="columns a, b"):
        plan(str(write(tmp_path / "a.parquet", [1], a=[b"x"], b=[b"y"])))


def test_a_source_of_two_kinds_asks_which(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [1])
    (tmp_path / "b.jpg").touch()
    with pytest.raises(OptionError, match="holds photos and parquet"):
        plan(str(tmp_path))
    assert isinstance(plan(str(tmp_path), kind="photos")[0], Photos)
    assert isinstance(plan(str(tmp_path), kind="parquet")[0], Rows)


def test_sources_that_hold_nothing(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(FileMissingError, match=r"Did you mean 'photos'"):
        plan(str(tmp_path / "photo"))
    with pytest.raises(FileMissingError, match="No images in the folder"):
        plan(str(tmp_path / "photos"))
    with pytest.raises(FileMissingError, match=r"No parquet files.*looked for \.parquet"):
        plan(str(tmp_path / "photos"), kind="parquet")
    with pytest.raises(FileMissingError, match="does not exist, or has no files"):
        plan((tmp_path / "gone").as_uri())
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(OptionError, match="single photos"):
        plan((tmp_path / "photos").as_uri())
    with pytest.raises(OptionError, match="cannot be read"):
        plan("s4://bucket/folder")
