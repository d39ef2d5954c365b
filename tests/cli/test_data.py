"""``mien data``: index, check, split, check again; one-line errors, and exit code 3 where something was found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from corpora import bars, face, pack_zip, png, write_zip

from mien.cli import main

pytest.importorskip("pyarrow")

from mien.datasets import manifest

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def peaks(tmp_path: Path) -> Path:
    """CK+ peak frames of ten people, three frames of two emotions each."""
    files: dict[str, bytes | str] = {}
    for person in range(10):
        for session, emotion in (("001", "happy"), ("002", "fear")):
            for frame in (11, 12, 13):
                name = f"CK+48/{emotion}/S{person:03d}_{session}_{frame:08d}.png"
                files[name] = png(face(person * 10 + int(session)) + (frame - 11))
    return pack_zip(tmp_path / "ck.zip", files)


def test_index_split_check(peaks: Path, tmp_path: Path, capsys: Capture) -> None:
    whole, by_image, by_person = (str(tmp_path / f"{name}.parquet") for name in ("whole", "image", "person"))
    assert main(["data", "index", str(peaks), "--out", whole]) == 0
    assert "ck.zip: 60 images as ckplus48 (" in capsys.readouterr().out
    assert main(["data", "split", whole, "--shares", "80/20", "--out", by_image]) == 0
    assert main(["data", "check", by_image]) == 3
    shown = capsys.readouterr().out
    assert "people of test are also in train; split by subject" in shown
    assert shown.rstrip().endswith("NOT CLEAN")
    assert main(["data", "split", whole, "--shares", "80/20", "--by", "subject", "--out", by_person]) == 0
    assert main(["data", "check", by_person]) == 0
    assert capsys.readouterr().out.rstrip().endswith("clean")


def test_drop_leaks_and_pairs(tmp_path: Path, capsys: Capture) -> None:
    files: dict[str, bytes | str] = {f"train/happy/{seed}.png": png(face(seed)) for seed in range(5)}
    corpus = pack_zip(
        tmp_path / "c.zip", {**files, "test/sad/a.png": png(face(2)), "test/sad/b.png": png(face(3) // 2)}
    )
    whole, clean, pairs = tmp_path / "m.parquet", tmp_path / "clean.parquet", tmp_path / "pairs.csv"
    assert main(["data", "index", str(corpus), "--out", str(whole)]) == 0
    assert main(["data", "check", str(whole), "--drop-leaks", str(clean), "--pairs", str(pairs)]) == 3
    assert "2 images dropped, 5 kept" in capsys.readouterr().out
    lines = pairs.read_text().splitlines()
    assert [line.split(",")[:5] for line in lines[1:]] == [
        ["exact", "train", "test", "train/happy/2.png", "test/sad/a.png"],
        ["near", "train", "test", "train/happy/3.png", "test/sad/b.png"],
    ]
    assert main(["data", "check", str(clean)]) == 0
    assert main(["data", "check", str(whole), "--drop-leaks", str(clean), "--keep-near"]) == 3
    assert len(manifest.read(clean)) == 6


def test_check_as_json_and_strict(tmp_path: Path, capsys: Capture) -> None:
    corpus = pack_zip(tmp_path / "c.zip", {"train/happy/1.png": png(face(1)), "test/sad/2.png": png(face(1))})
    main(["data", "index", str(corpus), "--out", str(tmp_path / "m.parquet")])
    capsys.readouterr()
    assert main(["data", "check", str(tmp_path / "m.parquet"), "--format", "json"]) == 3
    report = json.loads(capsys.readouterr().out)
    assert (report["clean"], report["leaks"][0]["copies"], report["conflicts"]) == (False, 1, 1)
    assert main(["data", "check", str(tmp_path / "m.parquet"), "--strict"]) == 2


def test_problems_are_shown_counted_and_strict(tmp_path: Path, capsys: Capture) -> None:
    corpus = pack_zip(tmp_path / "c.zip", {"happy/1.png": png(face(1)), "happy/2.png": "no", "../evil.png": "x"})
    out = tmp_path / "m.parquet"
    assert main(["data", "index", str(corpus), "--out", str(out), "--json"]) == 3
    shown = capsys.readouterr()
    assert json.loads(shown.out)["problems"] == 2
    assert "mien: ../evil.png: unsafe name" in shown.err
    assert f"2 problems, all in {out}.problems.csv: 2 rows left out, 0 kept" in shown.err
    out.unlink()
    assert main(["data", "index", str(corpus), "--out", str(out), "--strict"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not out.exists()


def test_folds_write_a_manifest_each(peaks: Path, tmp_path: Path) -> None:
    main(["data", "index", str(peaks), "--out", str(tmp_path / "m.parquet")])
    arguments = ["--folds", "5", "--by", "subject", "--out", str(tmp_path / "cv.parquet")]
    assert main(["data", "split", str(tmp_path / "m.parquet"), *arguments]) == 0
    assert sorted(path.name for path in tmp_path.glob("cv*")) == [f"cv-fold{number}.parquet" for number in range(1, 6)]


def test_official_split_of_fer2013(tmp_path: Path, capsys: Capture) -> None:
    corpus = write_zip(bars({"Training": 3, "PublicTest": 1, "PrivateTest": 1}), tmp_path / "fer.zip")
    out = str(tmp_path / "m.parquet")
    assert main(["data", "index", str(corpus), "--out", out]) == 0
    assert main(["data", "split", out, "--official", "--out", out]) == 0
    assert "PrivateTest" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["data", "indx"], "Did you mean 'data index'"),
        (["hlep"], "Did you mean 'help'"),
        (["data", "split", "m.parquet", "--out", "x"], "one of --official, --shares and --folds"),
        (["data", "split", "m.parquet", "--out", "x", "--shares", "80-20"], "such as 80/20"),
        (["data", "split", "m.parquet", "--out", "x", "--shares", "nan/20"], "positive shares"),
        (["data", "split", "m.parquet", "--out", "x", "--shares", "80/20", "--seed=-1"], "from 0 to 4294967295"),
        (["new", "photos", "--out", "x", "--seed=-1"], "from 0 to 4294967295"),
        (["data", "index", "nothing", "--out", "x"], "nothing does not exist"),
        (["data", "check", "none.parquet"], "mien data index"),
        (["data", "check", "none.parquet", "--distance", "60"], "0 to 32 bits"),
    ],
)
def test_errors_are_one_line(arguments: list[str], says: str, capsys: Capture) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert says in told
    assert told.count("\n") == 1


def test_group_help_lists_its_verbs_only(capsys: Capture) -> None:
    assert main(["data", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in ("data index", "data split", "data check"))
    assert "predict " not in shown.split("Verbs:")[1].split("mien VERB")[0]
    assert main(["data"]) == 2
