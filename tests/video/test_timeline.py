"""Every frame a row; what is read back is what was written; a torn end is cut off cleanly; Parquet in whole parts."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from mien.errors import OptionError
from mien.results import Box, FrameResult, Person, Pose, Quality
from mien.video import timeline

LABELS = ("anger", "neutral")


def person(who: int, share: float, seen: bool = True) -> Person:
    raw = (1 - share, share) if seen else None
    box = Box(0.1 * who, 1 / 3, 40.7, 41.25)
    quality = Quality(41 / 3, 0.2, None if who == 1 else 36.6, 1.0, ("tiny", "turned") if who == 2 else ())
    values = (share, 1 - share)
    pose = Pose(-12.5, 1 / 3, 4.0) if seen and who == 2 else None
    return Person(
        who, box, seen, 0.9 if seen else None, LABELS, raw, values, share < 0.6, quality if seen else None, pose
    )


def results(count: int = 9) -> list[FrameResult]:
    people = [(), (person(1, 0.7),), (person(2, 1 / 3), person(1, 0.55, seen=False))]
    return [FrameResult(at, at / 30, 640, 480, people[at % 3]) for at in range(count)]


def written(path: Path, form: str, frames: list[FrameResult], done: int = 0) -> Path:
    if form == "parquet":
        each: timeline.Timeline = timeline.Parquet(path, LABELS, done=done)
    else:
        stream = path.open("a" if done else "w", encoding="utf-8", newline="")
        each = timeline.Csv(stream, LABELS, fresh=not done) if form == "csv" else timeline.JsonLines(stream)
    for frame in frames:
        each.add(frame)
    each.close()
    if form != "parquet":
        stream.close()
    return path


def content(path: Path) -> list[tuple[str, bytes]]:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [(file.name, file.read_bytes()) for file in files]


@pytest.fixture(params=["csv", "jsonl", "parquet"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
        monkeypatch.setattr(timeline, "FRAMES_A_PART", 4)
    return str(request.param)


def test_what_is_read_back_is_what_was_written(tmp_path: Path, form: str) -> None:
    path = written(tmp_path / "out", form, results())
    assert list(timeline.read(path, form, LABELS)) == results()


def test_what_was_cut_off_goes_on_to_the_same_output(tmp_path: Path, form: str) -> None:
    whole = content(written(tmp_path / "whole", form, results(11)))
    for kept in range(12):
        path = written(tmp_path / f"cut{kept}", form, results(kept))
        if form != "parquet":
            with path.open("ab") as stream:
                stream.write(b'10,0.3,"' if form == "csv" else b'{"frame": 10, "sec')
        done = timeline.settle(path, form)
        assert done <= kept
        assert list(timeline.read(path, form, LABELS)) == results(done)
        assert content(written(path, form, results(11)[done:], done)) == [(n.replace("whole", path.name), c) for n, c in whole]  # fmt: skip # noqa: E501


def test_nothing_is_kept_of_what_is_not_there(tmp_path: Path, form: str) -> None:
    assert timeline.settle(tmp_path / "none", form) == 0


def test_a_frame_without_a_face_is_a_row(tmp_path: Path) -> None:
    with written(tmp_path / "out.csv", "csv", results(3)).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["frame"], row["person"]) for row in rows] == [("0", ""), ("1", "1"), ("2", "2"), ("2", "1")]
    assert set(rows[0]) == set(timeline.list_columns(LABELS))
    assert {name: cell for name, cell in rows[0].items() if cell} == {
        "frame": "0", "seconds": "0.0", "frame_width": "640", "frame_height": "480",
    }  # fmt: skip
    assert (rows[3]["seen"], rows[3]["score"], rows[3]["raw_anger"], rows[3]["p_anger"]) == ("false", "", "", "0.55")
    assert float(rows[2]["p_anger"]) == 1 / 3
    assert [row["quality"] for row in rows] == ["", "", "tiny;turned", ""]
    assert [row["turn"] for row in rows] == ["", "", "36.6", ""]
    assert [bool(row["sharpness"]) for row in rows] == [False, True, True, False]
    lines = written(tmp_path / "out.jsonl", "jsonl", results(3)).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [result.to_dict() for result in results(3)]


def test_parquet_is_written_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(timeline, "FRAMES_A_PART", 4)
    path = written(tmp_path / "out.parquet", "parquet", results(9))
    assert [file.name for file in sorted(path.iterdir())] == [f"part-0000{at}.parquet" for at in range(3)]
    table = parquet.read_table(path)
    assert table.column_names == list(timeline.list_columns(LABELS))
    assert table["frame"].to_pylist() == [0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 8]
    assert table["person"].to_pylist()[:2] == [None, 1]


@pytest.mark.parametrize(("form", "bad"), [("csv", "frame,seconds\n1,2\n2,3\n3,4\n"), ("jsonl", '{"frame": 1}\n')])
def test_a_foreign_file_is_refused(tmp_path: Path, form: str, bad: str) -> None:
    (tmp_path / "out").write_text(bad)
    with pytest.raises(OptionError, match="not a complete timeline"):
        list(timeline.read(tmp_path / "out", form, LABELS))
