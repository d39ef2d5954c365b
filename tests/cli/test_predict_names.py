"""``mien predict`` and names: with a dash, too long, of two photos alike, two of one file, and for spreadsheets."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mien.cli.writing import targets

if TYPE_CHECKING:
    from collections.abc import Callable

    Predict = Callable[..., int]
    Photo = Callable[[Path, int], Path]

POSIX = pytest.mark.skipif(os.name == "nt", reason="needs names that Windows has not")
RUN = "import sys; from mien.cli import main; sys.exit(main())"


def test_a_name_after_two_dashes_is_no_option(
    tmp_path: Path, photo: Photo, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mien.cli import main

    monkeypatch.chdir(tmp_path)
    photo(tmp_path / "-dash.png", 1)
    photo(tmp_path / "--out", 2)
    settings = ["--model", str(model), "--detector", "whole", "--format", "csv"]
    assert main(["predict", *settings, "--", "-dash.png", "--out"]) == 0
    rows = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert [row["source"] for row in rows] == ["-dash.png", "--out"]
    assert main(["predict", *settings, "-dash.png"]) == 2


def test_two_photos_never_share_an_annotated_file(tmp_path: Path, photo: Photo, predict: Predict) -> None:
    for seed, name in enumerate(("x.pgm", "x.pgm.png", "y")):
        photo(tmp_path / "photos" / name, seed)
    assert predict(tmp_path / "photos", tmp_path / "photos" / "y", "--save-annotated", tmp_path / "drawn") == 0
    names = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert names == ["x.pgm.2.png", "x.pgm.png", "y.png"]


def test_a_case_blind_file_system_has_one_file_for_two_names(
    tmp_path: Path, photo: Photo, predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo(tmp_path / "a" / "1.png", 1)
    photo(tmp_path / "A" / "1.png", 2)
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system is case-blind itself")
    for blind, count in ((False, 1), (True, 2)):
        monkeypatch.setattr(targets, "_case_blind", lambda _, blind=blind: blind)
        out = tmp_path / f"drawn{blind}"
        assert predict(tmp_path / "a", tmp_path / "A", "--save-annotated", out) == 0
        assert len({str(path).casefold() for path in out.rglob("*.png")}) == count


@POSIX
def test_the_longest_names_work(tmp_path: Path, photo: Photo, predict: Predict) -> None:
    photo(tmp_path / "photos" / ("x" * 251 + ".pgm"), 1)
    photo(tmp_path / "photos" / ("x" * 251 + ".pbm"), 2)
    assert predict(tmp_path / "photos", "--save-annotated", tmp_path / "drawn") == 0
    names = [path.name for path in (tmp_path / "drawn").iterdir()]
    assert len(names) == 2
    assert all(name.endswith(".png") and len(name) <= 255 for name in names)


@POSIX
def test_a_name_too_long_for_what_lies_beside_it_is_refused_before_the_work(
    tmp_path: Path, photo: Photo, predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = photo(tmp_path / "1.png", 1)
    assert predict(picture, "--out", tmp_path / ("x" * 250 + ".csv")) == 2
    assert "too long" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["1.png"]


@POSIX
@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_another_name_of_a_photo_is_no_output(
    tmp_path: Path, photo: Photo, predict: Predict, capsys: pytest.CaptureFixture[str],
    link: Callable[[Path, Path], None],
) -> None:  # fmt: skip
    picture = photo(tmp_path / "photos" / "1.png", 1)
    before = picture.read_bytes()
    (tmp_path / "drawn").mkdir()
    link(picture, tmp_path / "drawn" / "1.png")
    link(picture, tmp_path / "out.csv")
    assert predict(picture, "--save-annotated", tmp_path / "drawn") == 2
    assert predict(picture, "--out", tmp_path / "out.csv") == 2
    assert capsys.readouterr().err.count("choose another") == 2
    assert picture.read_bytes() == before


@POSIX
@pytest.mark.parametrize("name", ["a\rb.png", "a\nb.png", "a\r\nb.png", 'a"b,c.png'])
def test_names_with_line_breaks_keep_to_their_row(tmp_path: Path, photo: Photo, predict: Predict, name: str) -> None:
    picture = photo(tmp_path / "photos" / name, 1)
    photo(tmp_path / "photos" / "z.png", 2)
    out = tmp_path / "out.csv"
    assert predict(tmp_path / "photos", "--out", out) == 0
    content = out.read_bytes()
    with out.open(encoding="utf-8", newline="") as stream:
        assert [row["source"] for row in csv.DictReader(stream)] == [str(picture), str(tmp_path / "photos" / "z.png")]
    assert content.count(b"\n") - name.count("\n") == 3
    assert predict(tmp_path / "photos", "--out", out, "--resume") == 0
    assert out.read_bytes() == content


@POSIX
def test_excel_opens_the_file_as_it_is(
    tmp_path: Path, photo: Photo, predict: Predict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["+1.png", "=cmd|' 'A0.png", "@x.png", "Zoë.png"]
    for seed, name in enumerate(names):
        photo(tmp_path / name, seed)
    command = (*names, "--out", "out.csv", "--excel")
    assert predict(*command) == 0
    content = Path("out.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbfsource,")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert [row["source"] for row in rows] == ["'+1.png", "'=cmd|' 'A0.png", "'@x.png", "Zoë.png"]
    assert [float(row["left"]) for row in rows] == [0.0] * 4
    Path("out.csv").write_bytes(content[:-5])
    assert predict(*command, "--resume") == 0
    assert Path("out.csv").read_bytes() == content
    assert predict(*command[:-1], "--resume") == 2
    assert "another excel" in capsys.readouterr().err
    assert predict(names[3], "--format", "json", "--excel") == 2


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_closed_standard_streams(tmp_path: Path, photo: Photo, model: Path) -> None:
    picture, out = photo(tmp_path / "1.png", 1), tmp_path / "out.csv"
    command = [sys.executable, "-c", RUN, "predict", str(picture), "--model", str(model), "--detector", "whole"]
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    done = subprocess.run([*closed, *command, "--out", str(out)], check=False)
    assert done.returncode == 0
    lines = out.read_text("utf-8").splitlines()
    assert lines[0].startswith("source,")
    assert len(lines) == 2
    assert subprocess.run([*closed, *command], check=False).returncode == 0
