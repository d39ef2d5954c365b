"""Every official layout, on small trees with the real names: format found by itself, rows right, nothing dropped."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import bars, face, members, pack_tar, pack_zip, plant, png, write_csv

pytest.importorskip("pyarrow")

from mien.datasets import index, manifest
from mien.datasets.formats import readers
from mien.datasets.rows import Options, Problem, Row
from mien.datasets.sources.archive import open_source
from mien.errors import DataError, OptionError

Files = dict[str, bytes | str]
PNG = png(face(0))


def npy(value: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(value))
    return buffer.getvalue()


def sequence(subject: str, session: str, frames: int) -> Files:
    stem = f"{subject}/{session}/{subject}_{session}_"
    return {f"cohn-kanade-images/{stem}{number:08d}.png": PNG for number in range(1, frames + 1)}


CKPLUS: Files = {
    **sequence("S005", "001", 11),
    "Emotion/S005/001/S005_001_00000011_emotion.txt": "   3.0000000e+00\n",
    **sequence("S010", "002", 2),
    "Emotion/S010/002/S010_002_00000002_emotion.txt": "   7.0000000e+00\n",
    **sequence("S011", "001", 4),  # without an emotion, as 266 of the 593 are
}
CKPLUS48: Files = {
    **{f"CK+48/happy/S010_006_{number:08d}.png": PNG for number in (13, 14, 15)},
    "CK+48/contempt/S138_008_00000009.png": PNG,
}
KDEF: Files = {
    "KDEF/AF01/AF01ANS.JPG": PNG, "KDEF/AF01/AF01HAFL.JPG": PNG, "KDEF/BM33/BM33SUHR.JPG": PNG,
}  # fmt: skip
JAFFE: Files = {f"jaffe/{name}.tiff": PNG for name in ("KA.AN1.39", "KA.HA2.30", "YM.FE3.69")}
RAFDB: Files = {
    "basic/EmoLabel/list_patition_label.txt": "train_00001.jpg 5\ntest_0001.jpg 7\n",
    "basic/Image/aligned/train_00001_aligned.jpg": PNG,
    "basic/Image/original/train_00001.jpg": PNG,
    "basic/Image/original/test_0001.jpg": PNG,
}
AFFECTNET: Files = {
    "train_set/images/4.jpg": PNG, "train_set/annotations/4_exp.npy": npy("7"),
    "train_set/annotations/4_aro.npy": npy("0.1"),
    "val_set/images/12.jpg": PNG, "val_set/annotations/12_exp.npy": npy("0"),
}  # fmt: skip
AFFECTNET_CSV: Files = {
    "validation.csv": "subDirectory_filePath,face_x,expression\n689/a.jpg,1,6\n12/b.jpg,1,10\n",
    "Manually_Annotated_Images/689/a.jpg": PNG, "Manually_Annotated_Images/12/b.jpg": PNG,
}  # fmt: skip
FOLDERS: Files = {"train/Happy/1.png": PNG, "val/sad/2.jpg": PNG, "test/Angry/3.png": PNG}
CSV: Files = {
    "list.csv": "path,label,split,subject\nfaces/1.png,happy,train,p1\nfaces/2.png,FEAR,test,p2\n",
    "faces/1.png": PNG, "faces/2.png": PNG,
}  # fmt: skip
VOTES = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
FERPLUS: Files = {
    "fer2013new.csv": VOTES
    + "Training,fer0000000.png,4,0,0,1,3,2,0,0,0,0\nPublicTest,fer0000001.png,0,9,1,0,0,0,0,0,0,0\n",
    "data/FER2013Train/fer0000000.png": PNG,
    "data/FER2013Valid/fer0000001.png": PNG,
}
FER_FOLDERS: Files = dict(members(bars({"Training": 1, "PublicTest": 1, "PrivateTest": 1})))
LAYOUTS = {
    "ckplus": CKPLUS, "ckplus48": CKPLUS48, "kdef": KDEF, "jaffe": JAFFE, "rafdb": RAFDB, "affectnet": AFFECTNET,
    "folders": FOLDERS, "csv": CSV, "ferplus": FERPLUS, "fer2013-folders": FER_FOLDERS,
}  # fmt: skip


def rows(path: Path, reader: str, options: Options | None = None) -> list[Row]:
    with open_source(path) as source:
        found = list(index.items(source, reader, options))
    assert not [item for item in found if isinstance(item, Problem)]
    return [item for item in found if isinstance(item, Row)]


def facts(found: list[Row]) -> set[tuple[str | None, str, str, str, str]]:
    return {(row.label, row.split, row.subject, row.session, row.pose) for row in found}


@pytest.mark.parametrize(("reader", "files"), LAYOUTS.items())
def test_layout_is_found_in_folder_zip_and_tar(reader: str, files: Files, tmp_path: Path) -> None:
    paths = [plant(tmp_path / "d", files), pack_zip(tmp_path / "d.zip", files), pack_tar(tmp_path / "d.tar.gz", files)]
    assert [readers.detect(path)[0] for path in paths] == [reader] * 3
    folder, zipped, tarred = (sorted(rows(path, reader), key=lambda row: row.member) for path in paths)
    assert folder == zipped == tarred
    with open_source(paths[0]) as source:
        assert all(row.member in source for row in folder)


def test_ckplus_apex_and_neutral_frames(tmp_path: Path) -> None:
    plant(tmp_path, CKPLUS)
    found = rows(tmp_path, "ckplus")
    assert [(row.member[-12:-4], row.label) for row in found if row.subject == "S005"] == [
        ("00000001", "neutral"), ("00000009", "disgust"), ("00000010", "disgust"), ("00000011", "disgust"),
    ]  # fmt: skip
    # The first frame of a two-frame sequence is neutral, never also an apex.
    assert [row.label for row in found if row.subject == "S010"] == ["neutral", "surprise"]
    assert [row.label for row in found if row.subject == "S011"] == ["neutral"]
    apex = rows(tmp_path, "ckplus", Options(last=1, neutral=False))
    assert facts(apex) == {("disgust", "", "S005", "001", ""), ("surprise", "", "S010", "002", "")}


def test_ckplus48_subject_and_sequence(tmp_path: Path) -> None:
    found = rows(plant(tmp_path, CKPLUS48), "ckplus48")
    assert facts(found) == {("happiness", "", "S010", "006", ""), ("contempt", "", "S138", "008", "")}


def test_ckplus48_last_frames_of_each_sequence(tmp_path: Path) -> None:
    frames = {f"CK+48/anger/S010_004_0000001{number}.png": PNG for number in (7, 9, 8)}
    plant(tmp_path, frames | {"CK+48/anger/S010_005_00000003.png": PNG, "CK+48/anger/S010_004_00000016.png": PNG})
    assert len(rows(tmp_path, "ckplus48")) == 5  # all, of a copy with four frames, too
    last = sorted(row.member[-25:] for row in rows(tmp_path, "ckplus48", Options(last=1)))
    assert [name.rpartition("/")[2] for name in last] == ["S010_004_00000019.png", "S010_005_00000003.png"]


def test_truncated_ckplus_subjects_are_flagged(tmp_path: Path) -> None:
    found = rows(plant(tmp_path, {"CK+/anger/00_005_00000023.png": PNG}), "ckplus48")
    assert (found[0].subject, found[0].flags) == ("00", ("subject_truncated",))


def test_kdef_name_and_angles(tmp_path: Path) -> None:
    plant(tmp_path, KDEF)
    assert facts(rows(tmp_path, "kdef")) == {
        ("anger", "", "F01", "A", "S"), ("happiness", "", "F01", "A", "FL"), ("surprise", "", "M33", "B", "HR"),
    }  # fmt: skip
    assert facts(rows(tmp_path, "kdef", Options(angles=("S", "HR")))) == {
        ("anger", "", "F01", "A", "S"), ("surprise", "", "M33", "B", "HR"),
    }  # fmt: skip
    with pytest.raises(OptionError, match="No KDEF angle XX"):
        rows(tmp_path, "kdef", Options(angles=("XX",)))


def test_jaffe_name(tmp_path: Path) -> None:
    found = rows(plant(tmp_path, JAFFE), "jaffe")
    assert facts(found) == {
        ("anger", "", "KA", "1", ""), ("happiness", "", "KA", "2", ""), ("fear", "", "YM", "3", ""),
    }  # fmt: skip


def test_rafdb_prefers_aligned(tmp_path: Path) -> None:
    found = {row.split: row for row in rows(plant(tmp_path, RAFDB), "rafdb")}
    assert found["train"].member == "basic/Image/aligned/train_00001_aligned.jpg"
    assert found["test"].member == "basic/Image/original/test_0001.jpg"
    assert (found["train"].label, found["test"].label) == ("sadness", "neutral")


def test_affectnet_annotations_and_list(tmp_path: Path) -> None:
    found = rows(plant(tmp_path / "npy", AFFECTNET), "affectnet")
    assert {(row.label, row.split) for row in found} == {("contempt", "train"), ("neutral", "validation")}
    found = rows(plant(tmp_path / "csv", AFFECTNET_CSV), "affectnet")
    assert [(row.label, row.split, row.flags) for row in found] == [
        ("anger", "validation", ()), (None, "validation", ("no_face",)),
    ]  # fmt: skip
    assert readers.detect(tmp_path / "csv")[0] == "affectnet"


def test_folders_and_list(tmp_path: Path) -> None:
    found = rows(plant(tmp_path / "a", FOLDERS), "folders")
    assert {(row.label, row.split) for row in found} == {
        ("happiness", "train"), ("sadness", "validation"), ("anger", "test"),
    }  # fmt: skip
    found = rows(plant(tmp_path / "b", CSV), "csv")
    assert facts(found) == {("happiness", "train", "p1", "", ""), ("fear", "test", "p2", "", "")}
    # A list can be named itself; its images lie beside it.
    assert facts(rows(tmp_path / "b" / "list.csv", "csv")) == facts(found)


def test_fer2013_csv_is_found_inside_a_zip(tmp_path: Path) -> None:
    faces = bars({"Training": 1, "PublicTest": 1, "PrivateTest": 1})
    text = write_csv(faces, tmp_path / "fer2013.csv").read_text()
    path = pack_zip(tmp_path / "kaggle.zip", {"fer2013/fer2013.csv": text, "fer2013/README": "x"})
    assert readers.detect(path)[0] == readers.detect(tmp_path / "fer2013.csv")[0] == "fer2013-csv"
    assert len(rows(path, "fer2013-csv")) == len(faces)


def test_two_layouts_at_once_are_not_guessed(tmp_path: Path) -> None:
    plant(tmp_path, {**CKPLUS, **RAFDB})
    with pytest.raises(DataError, match=r"could be ckplus \(.*; rafdb \(.*--format"):
        readers.detect(tmp_path)
    with pytest.raises(OptionError, match="Did you mean 'ckplus'"):
        readers.get("ckplu")


def test_no_classes_at_all(tmp_path: Path) -> None:
    plant(tmp_path, {"holiday/1.jpg": PNG})
    with pytest.raises(DataError, match=r"layout of a known corpus \(it holds holiday/1\.jpg\)"):
        readers.detect(tmp_path)


BROKEN: list[tuple[str, Files, str, str]] = [
    ("ckplus", {**CKPLUS, "Emotion/S005/001/S005_001_00000011_emotion.txt": "nine"}, "emotion.txt", "no emotion code"),
    ("ckplus", {**CKPLUS, "Emotion/S099/001/S099_001_00000011_emotion.txt": "1"}, "Emotion/S099/001", "no frames"),
    ("ckplus48", {**CKPLUS48, "CK+48/happy/x.png": PNG}, "CK+48/happy/x.png", "subject_sequence_frame"),
    ("kdef", {**KDEF, "KDEF/AF01/AF01XXS.JPG": PNG}, "AF01XXS.JPG", "KDEF's naming"),
    ("jaffe", {**JAFFE, "jaffe/README.tiff": PNG}, "README.tiff", "JAFFE's naming"),
    (
        "rafdb",
        {**RAFDB, "basic/EmoLabel/list_patition_label.txt": "train_00001.jpg 9\ntest_0001.jpg 7\n"},
        "label.txt:1",
        "code 1–7",
    ),
    ("rafdb", {**RAFDB, "basic/Image/original/train_7.jpg": PNG}, "train_7.jpg", "is not in list_patition"),
    ("affectnet", {**AFFECTNET, "val_set/images/5.jpg": PNG}, "val_set/images/5.jpg", "5_exp.npy cannot be read"),
    ("affectnet", {**AFFECTNET, "val_set/annotations/12_exp.npy": npy("11")}, "images/12.jpg", "expected 0–10"),
    ("folders", {**FOLDERS, "test/Angry/notes.txt": "x"}, "notes.txt", ".txt is not an image"),
    ("folders", {**FOLDERS, "test/grumpy/1.png": PNG}, "test/grumpy/1.png", "Unknown emotion 'grumpy'"),
    ("csv", {**CSV, "list.csv": "path,label\n../x.png,happy\n"}, "list.csv:2", "unsafe path"),
    ("csv", {**CSV, "list.csv": "path,label\na.png,grumpy\n"}, "list.csv:2", "Unknown emotion"),
    ("csv", {**CSV, "list.csv": 'path,label\na.png,"happy\n'}, "list.csv:2", "cannot be read"),
    ("csv", {**CSV, "list.csv": "path,label\na.png,happy,1,2\n"}, "list.csv:2", "4 cells"),
    ("ferplus", {**FERPLUS, "data/FER2013Train/x.png": PNG}, "x.png", "FER+ names images"),
]


@pytest.mark.parametrize(("reader", "files", "where", "what"), BROKEN)
def test_what_does_not_fit_is_named(reader: str, files: Files, where: str, what: str, tmp_path: Path) -> None:
    with open_source(plant(tmp_path, files)) as source:
        problems = [item for item in index.items(source, reader) if isinstance(item, Problem)]
    assert len(problems) == 1
    assert problems[0].where.endswith(where)
    assert what in problems[0].what


def test_a_csvs_further_columns_come_along(tmp_path: Path) -> None:
    text = """path,label,subject,id,sex,age,weight,note
1.png,happy,p1,7,F,23,61.5,
2.png,FEAR,p2,8,,31,70,
3.png,sad,p3,9,M,,,x
"""
    plant(tmp_path, {"list.csv": text, **{f"{place}.png": png(face(place)) for place in (1, 2, 3)}})
    expected: dict[str, list[Any]] = {
        "sex": ["F", None, "M"],
        "age": [23, 31, None],
        "weight": [61.5, 70.0, None],
        "note": [None, None, "x"],
    }
    found = [row.own for row in rows(tmp_path, "csv")]
    assert found == [{name: values[place] for name, values in expected.items()} for place in range(3)]
    other = pack_zip(tmp_path / "other.zip", {"train/happy/a.png": png(face(4))})
    made = manifest.read(index.index([tmp_path / "list.csv", other], tmp_path / "both.parquet").path)
    assert {name: made.column(name) for name in made.own_columns} == {
        name: [*values, None] for name, values in expected.items()
    }
    assert made.column("subject") == ["p1", "p2", "p3", ""]
    assert len(made.pixels([3])) == 1
    assert not list(tmp_path.glob("*.part"))
