"""RAF-DB's folders, AffectNet-7, contempt, the Taiwanese corpora: rows, votes, listed faults, carved splits."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from corpora import face, pack_zip, plant, png

pytest.importorskip("pyarrow")

from mien.cli import main
from mien.datasets import faces, guard, index, manifest
from mien.datasets.formats import carved, readers
from mien.datasets.index import Indexed
from mien.datasets.rows import Options, Problem, Row
from mien.datasets.sources.archive import open_source
from mien.errors import DataError
from mien.labels import scheme

Files = dict[str, bytes | str]
PNG = png(face(0))
HELD_OUT = {
    "rafdb": {"validation": 1226},
    "affectnet7": {"validation": 1509},
    "affectnet_contempt": {"validation": 197, "test": 393},
    "taiwanese": {"validation": 3, "test": 3},
}


def some(corpus: str, split: str) -> str:
    """The first key that a list holds out for ``split``."""
    return next(key for key, part in carved.held_out(corpus).items() if part == split)


RAFDB: Files = {
    f"rafdb/train/happy/{some('rafdb', 'validation')}_aligned.png": PNG,
    "rafdb/train/sad/train_99999_aligned.png": PNG,
    "rafdb/test/angry/test_0001_aligned.png": PNG,
}
AFFECTNET7: Files = {
    "affectnet7/test/fear/1.png": PNG,
    "affectnet7/train/angry/90001.png": PNG,
    f"affectnet7/{some('affectnet7', 'validation')}.png": PNG,
}
CONTEMPT: Files = {
    f"affectnet_contempt/{some('affectnet_contempt', 'test')}.png": PNG,
    f"affectnet_contempt/{some('affectnet_contempt', 'validation')}.png": PNG,
    "affectnet_contempt/9999999.png": PNG,
}
VOTED = ("happy", "angry", "sad", "fear", "disgust", "surprise", "peace")
HEADER = ",".join(["image", "performer", "intended", *(f"voting_{word}" for word in VOTED)])
TAIWANESE: Files = {
    "taiwanese/labels.csv": f"{HEADER},countermax_happy\n"
    f"a1,{some('taiwanese', 'test')},fear,0.02,0.0,0.1,0.3,0.0,0.66,0.0,0.0\n"
    f"b2,{some('taiwanese', 'validation')},neutral,0.1,0.0,0.0,0.0,0.0,0.0,0.99,0.0\n"
    "c3,99,sad,0.0,0.5,0.5,0.0,0.0,0.0,0.1,0.0\n"
    "d4,99,,0.5,0.5,0.0,0.0,0.0,0.0,0.1,0.0\n",
    **{f"taiwanese/{stem}.png": PNG for stem in ("a1", "b2", "c3", "d4")},
}
LAYOUTS = {
    "rafdb-folders": ("rafdb_train", RAFDB),
    "affectnet7": ("affectnet7", AFFECTNET7),
    "affectnet-contempt": ("affectnet_contempt", CONTEMPT),
    "taiwanese": ("taiwanese", TAIWANESE),
}
LISTS: Files = {
    "affectnet7_test_train_duplicates.csv": "test,train,distance,same_label\n"
    "test/fear/1.jpg,train/angry/90001.jpg,2,0\n",
    "affectnet7_train_exact_duplicates.csv": "group,image,labels_in_group\n"
    "0,train/sad/90002.jpg,2\n0,train/fear/90003.jpg,2\n1,train/happy/90004.jpg,1\n1,train/happy/90005.jpg,1\n",
}
FAULTY: Files = {
    name: png(face(seed))
    for seed, name in enumerate(
        (
            "affectnet7/test/fear/1.png", "affectnet7/test/fear/2.png", "affectnet7/train/angry/90001.png",
            "affectnet7/train/sad/90002.png", "affectnet7/train/fear/90003.png", "affectnet7/train/happy/90004.png",
            "affectnet7/train/happy/90005.png",
        )
    )
}  # fmt: skip
FAULTY["affectnet7/train/angry/90001.png"] = FAULTY["affectnet7/test/fear/1.png"]


def read(path: Path, reader: str) -> tuple[list[Row], list[Problem]]:
    with open_source(path) as source:
        items = list(index.items(source, reader, Options()))
    return [item for item in items if isinstance(item, Row)], [item for item in items if isinstance(item, Problem)]


@pytest.mark.parametrize(("reader", "layout"), LAYOUTS.items())
def test_layout_is_recognised(reader: str, layout: tuple[str, Files], tmp_path: Path) -> None:
    stem, files = layout
    packed = pack_zip(tmp_path / f"{stem}.zip", files)
    folder = plant(tmp_path / "d", files)
    assert [readers.detect(path)[0] for path in (packed, folder)] == [reader] * 2
    rows, _ = read(packed, reader)
    assert len(rows) == len([name for name in files if name.endswith(".png")])
    with open_source(packed) as source:
        assert all(row.member in source for row in rows)


def test_folders_named_themselves_are_recognised(tmp_path: Path) -> None:
    plant(tmp_path, {**AFFECTNET7, **CONTEMPT})
    assert readers.detect(tmp_path / "affectnet7")[0] == "affectnet7"
    assert readers.detect(tmp_path / "affectnet_contempt")[0] == "affectnet-contempt"


def test_plain_folders_are_still_plain(tmp_path: Path) -> None:
    plant(tmp_path, {"train/happy/1.png": PNG, "test/sad/2.png": PNG})
    assert readers.detect(tmp_path)[0] == "folders"


def test_rafdb_validation_is_the_same_in_both_layouts(tmp_path: Path) -> None:
    rows, _ = read(plant(tmp_path / "folders", RAFDB), "rafdb-folders")
    assert {(row.label, row.split, row.dataset) for row in rows} == {
        ("happiness", "validation", "rafdb"), ("sadness", "train", "rafdb"), ("anger", "test", "rafdb"),
    }  # fmt: skip
    stem = some("rafdb", "validation")
    official: Files = {
        "EmoLabel/list_patition_label.txt": f"{stem}.jpg 4\ntrain_99999.jpg 5\ntest_0001.jpg 6\n",
        **{f"Image/aligned/{name}_aligned.jpg": PNG for name in (stem, "train_99999", "test_0001")},
    }
    listed, _ = read(plant(tmp_path / "official", official), "rafdb")
    assert {(row.label, row.split) for row in listed} == {(row.label, row.split) for row in rows}


def test_affectnet7_splits(tmp_path: Path) -> None:
    rows, _ = read(plant(tmp_path / "d", AFFECTNET7), "affectnet7")
    by_split = {row.split: row for row in rows}
    assert by_split.keys() == {"train", "validation", "test"}
    assert (by_split["test"].label, by_split["test"].dataset) == ("fear", "affectnet7")
    assert by_split["train"].label == "anger"


def test_contempt_is_carved_in_three(tmp_path: Path) -> None:
    rows, _ = read(plant(tmp_path, CONTEMPT), "affectnet-contempt")
    assert {(row.label, row.split) for row in rows} == {
        ("contempt", "train"), ("contempt", "validation"), ("contempt", "test"),
    }  # fmt: skip


def test_taiwanese_votes_label_and_performer(tmp_path: Path) -> None:
    packed = pack_zip(tmp_path / "t.zip", TAIWANESE)
    rows, problems = read(packed, "taiwanese")
    assert not problems
    first, second, tie, open_tie = rows
    # neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, unknown, no face
    assert first.votes == (0, 2, 66, 10, 0, 0, 30, 0, 0, 0)
    assert (first.label, first.own, first.split) == ("surprise", {"intended": "fear"}, "test")
    assert (second.label, second.split, second.subject) == ("neutral", "validation", some("taiwanese", "validation"))
    assert (tie.label, tie.split, tie.subject) == ("sadness", "train", "99")
    assert (open_tie.label, open_tie.own) == (None, {"intended": None})
    made = index.index([packed], tmp_path / "m.parquet").path
    assert manifest.read(made).column("intended") == ["fear", "neutral", "sadness", None]
    soft = faces.load(made, scheme("ferplus"))
    assert soft.votes is not None
    np.testing.assert_allclose(soft.votes[0], np.array([0, 2, 66, 10, 0, 0, 30, 0]) / 108, atol=1e-6)


BROKEN: list[tuple[str, Files, str, str]] = [
    ("rafdb-folders", {**RAFDB, "rafdb/train/sad/x.png": PNG}, "sad/x.png", "train_00003_aligned"),
    ("rafdb-folders", {**RAFDB, "rafdb/train/sad/x.txt": "x"}, "sad/x.txt", ".txt is not an image"),
    ("affectnet-contempt", {**CONTEMPT, "affectnet_contempt/x.png": PNG}, "/x.png", "<number>"),
    ("affectnet-contempt", {**CONTEMPT, "affectnet_contempt/7.txt": "x"}, "/7.txt", ".txt is not an image"),
    ("taiwanese", {**TAIWANESE, "taiwanese/e5.png": PNG}, "e5.png", "is not in labels.csv"),
    ("taiwanese", {**TAIWANESE, "taiwanese/labels.csv": f"{HEADER}\n"
                   "a1,01,sad,0,0,0,0,0,0,1\nb2,01,sad,0,0,0,0,0,0,1\nc3,01,sad,0,0,0,0,0,0,1\n"
                   "d4,01,sad,0,0,0,0,0,0,1\nz9,01,sad,0,0,0,0,0,0,1\n"}, "labels.csv:6", "no image 'z9'"),
]  # fmt: skip


@pytest.mark.parametrize(("reader", "files", "where", "what"), BROKEN)
def test_what_does_not_fit_is_named(reader: str, files: Files, where: str, what: str, tmp_path: Path) -> None:
    _, problems = read(plant(tmp_path, files), reader)
    assert [problem.where.endswith(where) and what in problem.what for problem in problems] == [True]


@pytest.mark.parametrize(
    ("line", "what"),
    [("a1,,sad,0,0,0,0,0,0,1", "no performer"), ("a1,01,sad,0,0,0,0,0,0,1.5", "from 0 to 1"),
     ("a1,01,sad,0,0,0,0,0,0,", "from 0 to 1")],
)  # fmt: skip
def test_a_broken_line_of_votes_costs_one_row(line: str, what: str, tmp_path: Path) -> None:
    files: Files = {"t/labels.csv": f"{HEADER}\n{line}\n", "t/a1.png": PNG}
    rows, problems = read(plant(tmp_path, files), "taiwanese")
    assert not rows
    assert [what in problem.what for problem in problems] == [True]


def test_affectnet7_names_a_file_in_no_split(tmp_path: Path) -> None:
    files: Files = {**LISTS, "affectnet7.zip": pack_zip(
        tmp_path / "x.zip", {**AFFECTNET7, "affectnet7/happy/1.png": PNG}).read_bytes()}  # fmt: skip
    _, problems = read(plant(tmp_path, files) / "affectnet7.zip", "affectnet7")
    assert [(problem.where, "{train,test}" in problem.what) for problem in problems] == [
        ("affectnet7/happy/1.png", True)
    ]


@pytest.fixture
def faulty(tmp_path: Path) -> Indexed:
    plant(tmp_path, LISTS)
    return index.index([pack_zip(tmp_path / "affectnet7.zip", FAULTY)], tmp_path / "m.parquet")


def test_listed_rows_are_flagged(faulty: Indexed) -> None:
    assert faulty.problems == 0
    assert dict(faulty.flags) == {"listed_leak": 1, "listed_conflict": 2, "listed_duplicate": 1}
    report = guard.check(manifest.read(faulty.path))
    assert report.listed == dict(faulty.flags)
    assert not report.clean
    assert report.to_dict()["listed"] == dict(faulty.flags)


def test_listed_rows_are_dropped_and_their_training_images_kept(faulty: Indexed) -> None:
    rows = manifest.read(faulty.path)
    report = guard.check(rows)
    assert [leak.copies for leak in report.leaks] == [1]
    kept = guard.drop_leaks(rows, report)
    assert {member.removeprefix("affectnet7/") for member in kept.column("member")} == {
        "test/fear/2.png", "train/angry/90001.png", "train/happy/90004.png",
    }  # fmt: skip
    assert kept.info["dropped_leaks"]["listed"] == 4
    assert kept.info["dropped_leaks"]["rows"] == 0
    assert guard.check(kept).clean


def test_check_verb_names_listed_rows(faulty: Indexed, capsys: pytest.CaptureFixture[str]) -> None:
    clean = faulty.path.with_name("clean.parquet")
    assert main(["data", "check", str(faulty.path), "--drop-leaks", str(clean)]) == 3
    text = capsys.readouterr().out
    assert re.search(r"LISTED: 2 training images .*several labels \(listed_conflict\)", text)
    assert "4 images dropped, 3 kept" in text
    assert main(["data", "check", str(clean)]) == 0


def test_missing_lists_are_said(tmp_path: Path) -> None:
    made = index.index([pack_zip(tmp_path / "affectnet7.zip", FAULTY)], tmp_path / "m.parquet")
    assert (made.rows, made.problems, made.dropped) == (7, 2, 0)
    assert {problem.where for problem in made.first_problems} == set(LISTS)
    assert not made.flags


def test_a_damaged_list_is_an_error(tmp_path: Path) -> None:
    plant(tmp_path, {**LISTS, "affectnet7_train_exact_duplicates.csv": "group,image\n0,train/sad/1.jpg\n"})
    with pytest.raises(DataError, match="lacks the columns"):
        index.index([pack_zip(tmp_path / "affectnet7.zip", FAULTY)], tmp_path / "m.parquet")


@pytest.mark.parametrize("corpus", HELD_OUT)
def test_carved_lists_are_as_they_were_drawn(corpus: str) -> None:
    parts = list(carved.held_out(corpus).values())
    assert {part: parts.count(part) for part in set(parts)} == HELD_OUT[corpus]


def test_unknown_and_damaged_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"No carved split for 'fer2013'; there are .*rafdb"):
        carved.split_of("fer2013", "1")
    monkeypatch.setattr(carved, "FOLDER", plant(tmp_path, {"odd.csv": "key,split\n1,train\n"}))
    with pytest.raises(DataError, match=r"odd\.csv is damaged"):
        carved.split_of("odd", "1")
