"""Folder, zip and tar are one source; what points outside, or is cut off, is named and never followed."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from corpora import pack_tar, pack_zip, plant

pytest.importorskip("pyarrow")

from mien.datasets.index import index
from mien.datasets.sources import archive
from mien.datasets.sources.archive import is_unsafe, open_source
from mien.datasets.sources.directory import Directory
from mien.errors import DataError, FileMissingError

FILES: dict[str, bytes | str] = {
    "b/2.png": b"two" * 500,
    "a/1.png": b"",
    "a-b/ü.png": b"umlaut",
    "b/10.png": b"ten",
    "top.csv": "x,y\n",
}


def sources(folder: Path) -> list[Path]:
    return [
        plant(folder / "plain", FILES),
        pack_zip(folder / "deflated.zip", FILES),
        pack_zip(folder / "stored.zip", FILES, zipfile.ZIP_STORED),
        pack_tar(folder / "plain.tar", FILES, "w"),
        pack_tar(folder / "packed.tar.gz", FILES),
    ]


def test_every_kind_holds_the_same(tmp_path: Path) -> None:
    for path in sources(tmp_path):
        with open_source(path) as source:
            names = list(source.members())
            assert sorted(names) == sorted(FILES)
            assert path.suffix == ".gz" or names == sorted(FILES)
            contents = {name: source.read(name) for name in reversed(names)}
            assert contents == {name: raw.encode() if isinstance(raw, str) else raw for name, raw in FILES.items()}
            assert "b/2.png" in source
            assert "b/3.png" not in source
            assert len(source) == len(FILES)
            assert not source.problems
            with source.open("top.csv") as file:
                assert file.readline() == b"x,y\n"
            with pytest.raises(DataError, match="b/3"):
                source.read("b/3.png")


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../up.png", "a/../../up.png", "C:/x.png", "..\\up.png", "\\\\host\\x"]
)
def test_names_that_leave_the_archive(name: str) -> None:
    assert is_unsafe(name)
    assert not is_unsafe("a..b/c.png")


@pytest.mark.parametrize("pack", [pack_zip, pack_tar])
def test_zip_slip_is_reported_and_not_followed(pack: Callable[..., Path], tmp_path: Path) -> None:
    path = pack(tmp_path / "evil.archive", {"happy/1.png": b"x", "../../slip.png": b"y", "/abs.png": b"z"})
    with open_source(path) as source:
        assert list(source.members()) == ["happy/1.png"]
        assert sorted(problem.where for problem in source.problems) == ["../../slip.png", "/abs.png"]
        assert all("unsafe" in problem.what for problem in source.problems)


def test_links_are_not_followed(tmp_path: Path) -> None:
    plant(tmp_path, {"outside/secret.png": b"s", "corpus/happy/1.png": b"x"})
    (tmp_path / "corpus" / "linked").symlink_to(tmp_path / "outside")
    with open_source(tmp_path / "corpus") as source:
        assert list(source.members()) == ["happy/1.png"]
        assert [problem.where for problem in source.problems] == ["linked"]
        with pytest.raises(DataError, match="unsafe"):
            source.read("../outside/secret.png")


def test_damaged_zip_member_is_named(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "broken.zip", {"a.png": b"A" * 90, "b.png": b"B" * 90}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"B" * 90, b"B" * 89 + b"!"))
    with open_source(path) as source:
        assert source.read("a.png") == b"A" * 90
        with pytest.raises(DataError, match=r"b\.png is truncated or damaged"):
            source.read("b.png")


def test_truncated_archives(tmp_path: Path) -> None:
    whole = pack_zip(tmp_path / "w.zip", FILES).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="not a complete zip"):
        open_source(tmp_path / "cut.zip")
    whole = pack_tar(tmp_path / "w.tar", FILES, "w").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:1200])
    with open_source(tmp_path / "cut.tar") as source:
        told = [problem.what for problem in source.problems]
        for name in source.members():
            with pytest.raises(DataError, match=name):
                source.read(name)
    assert told


def test_repeated_names_and_junk(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.writestr("a.png", b"first")
        archive.writestr("__MACOSX/._a.png", b"junk")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.png", b"second")
    with open_source(tmp_path / "twice.zip") as source:
        assert list(source.members()) == ["a.png"]
        assert source.read("a.png") == b"first"
        assert [problem.where for problem in source.problems] == ["a.png"]


def test_encrypted_member_is_named(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "locked.zip", {"a.png": b"secret"})
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    with open_source(path) as source, pytest.raises(DataError, match=r"a\.png is encrypted"):
        source.read("a.png")


def test_zip64_and_a_program_in_front(tmp_path: Path) -> None:
    path = tmp_path / "wide.zip"
    with zipfile.ZipFile(path, "w") as archive, archive.open("a.png", "w", force_zip64=True) as member:
        member.write(b"wide")
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    with open_source(path) as source:
        assert source.read("a.png") == b"wide"


def test_missing_path(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match="does not exist"):
        open_source(tmp_path / "nothing")


def test_directory_finds_every_name_and_no_other() -> None:
    names = [f"{number * 7919 % 5003:05d}" for number in range(5003)]
    table = Directory()
    for number, name in enumerate(names):
        table.add(name, number)
    assert table.freeze() == []
    assert list(table) == sorted(names)
    assert all(table.numbers(table.find(name))[0] == number for number, name in enumerate(names))
    assert [table.find(name) for name in ("", "00000x", "99999")] == [-1, -1, -1]


def test_members_too_large_to_hold_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = sources(tmp_path)
    monkeypatch.setattr(archive, "MAX_MEMBER", 1000)
    for path in paths:
        with open_source(path) as source:
            assert source.read("b/10.png") == b"ten"
            with pytest.raises(DataError, match="1500 bytes; expected at most 1000"):
                source.read("b/2.png")


def test_what_unpacks_beyond_all_measure_ends_and_keeps_what_came_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "FREE_GROWTH", 100_000)
    bomb = {"a.png": b"first", "b.csv": bytes(20_000_000), "c.png": b"last"}
    with open_source(pack_tar(tmp_path / "bomb.tar.gz", bomb)) as source:
        assert source.read("a.png") == b"first"
        assert "c.png" not in source
        (problem,) = source.problems
        assert "unpacks to more than" in problem.what
    with open_source(pack_zip(tmp_path / "bomb.zip", bomb)) as source:
        assert source.read("a.png") == b"first"
        with pytest.raises(DataError, match=r"from \d+ to 20000000 bytes"):
            source.open("b.csv")


def test_a_tar_is_not_asked_for_a_header_of_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tarfile

    monkeypatch.setattr(archive, "MAX_MEMBER", 10_000)
    path = tmp_path / "pax.tar.gz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as made:
        made.addfile(tarfile.TarInfo("a.png"))
        info = tarfile.TarInfo("b.png")
        info.pax_headers = {"comment": "x" * 50_000}
        made.addfile(info)
    with open_source(path) as source:
        assert list(source.members()) == ["a.png"]
        assert "expected at most 10000" in source.problems[0].what


def test_a_line_without_end_is_one_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mien.datasets.sources import tables

    monkeypatch.setattr(tables, "MAX_LINE", 100)
    path = tmp_path / "list.csv"
    path.write_bytes(b"x,y\n1,2\n" + b"3" * 1000 + b",4\n5,6\n")
    with open_source(path) as source:
        good, long, last = tables.records(source, "list.csv", ["x"])
    assert (good, last) == ((2, {"x": "1", "y": "2"}), (4, {"x": "5", "y": "6"}))
    assert "more than 100 bytes" in str(long)


def test_zips_of_macos_have_utf8_names_without_the_flag(tmp_path: Path) -> None:
    """``zipfile`` writes the flag; it is taken out of both headers again, as macOS leaves it out."""
    path = pack_zip(tmp_path / "mac.zip", {"fröhlich/1.png": b"x", "悲しい/liste.csv": "path,label\n"})
    content = bytearray(path.read_bytes())
    for start, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(start)
        while place >= 0:
            content[place + at + 1] &= ~0x08
            place = content.find(start, place + 1)
    path.write_bytes(content)
    with zipfile.ZipFile(path) as plain:
        assert "fröhlich/1.png" not in plain.namelist()
    with open_source(path) as source:
        assert sorted(source.members()) == ["fröhlich/1.png", "悲しい/liste.csv"]
        assert source.read("fröhlich/1.png") == b"x"
        with source.open("悲しい/liste.csv") as file:
            assert file.readline() == b"path,label\n"


def test_other_zips_keep_the_names_of_old_systems(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "dos.zip", {"Mxde/1.png": b"x"})
    path.write_bytes(path.read_bytes().replace(b"Mxde", b"M\x81de"))
    with open_source(path) as source:
        assert list(source.members()) == ["Müde/1.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_a_pipe_in_a_folder_is_a_problem_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with open_source(tmp_path) as source:
        assert not list(source.members())
        assert [str(problem) for problem in source.problems] == ["pipe.png: pipe, socket or device, not opened"]


def csv_of(lines: int) -> bytes:
    draw = np.random.default_rng(0)
    rows = [f"0,{' '.join(map(str, draw.integers(0, 256, 48 * 48)))},Training" for _ in range(lines)]
    return "\n".join(["emotion,pixels,Usage", *rows, ""]).encode()


@pytest.mark.parametrize("name", ["cut.zip", "cut.tar.gz", "header.zip"])
def test_a_damaged_table_in_an_archive_costs_its_rest_and_is_named(name: str, tmp_path: Path) -> None:
    """The readers of the standard library raise errors of their own, in the middle of a line: all was lost by it."""
    content = csv_of(100)
    if name.endswith("zip"):
        path = pack_zip(tmp_path / name, {"fer2013.csv": content}, zipfile.ZIP_STORED)
        raw = bytearray(path.read_bytes())
        at = raw.index(b"PK\x03\x04") + 1 if name == "header.zip" else len(raw) // 2
        raw[at] ^= 1
        path.write_bytes(raw)
    else:
        path = pack_tar(tmp_path / name, {"fer2013.csv": content})
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if name == "header.zip":
        with pytest.raises(DataError):
            index([path], tmp_path / "out.parquet")
        return
    indexed = index([path], tmp_path / "out.parquet")
    assert 0 < indexed.rows <= 100
    assert any("fer2013.csv cannot be read from the archive" in str(problem) for problem in indexed.first_problems)


@pytest.mark.parametrize(
    ("at", "value"), [(-10, b"\xff\xff\xff\x7f"), (-6, b"\xff\xff\xff\x7f")], ids=["size", "start"]
)
def test_a_directory_beyond_its_file_is_damage(at: int, value: bytes, tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "a.zip", FILES)
    raw = bytearray(path.read_bytes())
    raw[at : at + 4] = value
    path.write_bytes(raw)
    try:
        with open_source(path) as source:
            for name in source.members():
                with pytest.raises(DataError, match=name):
                    source.read(name)
    except DataError as error:
        assert "directory" in str(error)  # noqa: PT017 - either the directory or each member is refused
