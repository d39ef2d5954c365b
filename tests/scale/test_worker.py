"""What a worker writes for a block, without Ray: rows as ``mien predict`` writes them, whatever the photos come in."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from blocks import COUNT, POISON, rows_of

pa = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402

from mien.recognition.folder import find_images  # noqa: E402
from mien.scale.plan import plan  # noqa: E402
from mien.scale.storage import Store  # noqa: E402
from mien.scale.worker import Reader, Work, read_note  # noqa: E402


def reader(out: Path, model: Path) -> Reader:
    found = Reader(Work(Store.at(str(out)), model.name, model.read_bytes(), {"detector": "whole", "threads": 1}))
    found.ready()
    return found


def read_all(source: Path, out: Path, model: Path, **options: Any) -> list[dict[str, Any]]:
    worker = reader(out, model)
    for number, block in enumerate(plan(str(source), size=16, **options)):
        worker.read(number, block)
    return rows_of(out)


def without_source(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in ("source", "error")} for row in rows]


def pack_tar(photos: Path, path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for photo in find_images([photos]):
            member = tarfile.TarInfo(photo.name)
            member.size = photo.stat().st_size
            archive.addfile(member, io.BytesIO(photo.read_bytes()))


def test_photos_rows_and_tars_give_what_one_process_gives(
    photos: Path, model: Path, alone: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert read_all(photos, tmp_path / "photos", model) == alone
    paths = find_images([photos])
    table = pa.table({"image": [path.read_bytes() for path in paths], "name": [str(path) for path in paths]})
    (tmp_path / "rows").mkdir()
    parquet.write_table(table, tmp_path / "rows" / "all.parquet", row_group_size=16)
    (tmp_path / "tars").mkdir()
    pack_tar(photos, tmp_path / "tars" / "all.tar")
    rows = read_all(tmp_path / "rows", tmp_path / "from_rows", model, naming="name")
    assert [row["source"] for row in rows] == [row["source"] for row in alone]
    assert without_source(rows) == without_source(alone)
    tars = read_all(tmp_path / "tars", tmp_path / "from_tars", model)
    assert [row["source"] for row in tars] == [f"all.tar/{path.name}" for path in paths]
    assert without_source(tars) == without_source(alone)


def test_poison_is_set_aside_with_its_reason(photos: Path, model: Path, tmp_path: Path) -> None:
    (block,) = plan(str(photos), size=48)
    done = reader(tmp_path, model).read(3, block)
    assert (done.number, done.photos, done.faces, done.unreadable) == (3, COUNT, COUNT - 2, 2)
    lines = (tmp_path / "_unreadable" / "part-00000003.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert [entry["source"] for entry in found] == [str(photos / f"{number}.png") for number in POISON]
    assert [entry["error"] for entry in found] == [row["error"] for row in rows_of(tmp_path) if row["error"]]
    assert all("expected JPEG, PNG" in entry["error"] for entry in found)
    assert parquet.read_table(tmp_path / "part-00000003.parquet").num_rows == COUNT


def test_a_careful_worker_tells_what_it_reads_and_leaves_out_what_is_deadly(
    photos: Path, model: Path, alone: list[dict[str, Any]], tmp_path: Path
) -> None:
    (block,) = plan(str(photos), size=48)
    deadly = str(photos / "5.png")
    reader(tmp_path, model).read(0, block, careful=True, fatal=frozenset({deadly}))
    found = rows_of(tmp_path)
    assert "crashed the process" in found[5]["error"]
    assert [row for row in found if row["source"] != deadly] == [row for row in alone if row["source"] != deadly]
    assert read_note(Store.at(str(tmp_path)), 0) == str(photos / f"{COUNT - 1}.png")
    assert read_note(Store.at(str(tmp_path)), 1) is None
