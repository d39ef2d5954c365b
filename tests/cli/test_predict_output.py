"""Where ``mien predict`` writes, in which format, and what it says of the files that it did not read."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mien
from mien.cli.writing.output import Table
from mien.cli.writing.table import cell_width
from mien.recognition.folder import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    Predict = Callable[..., int]
    Photo = Callable[[Path, int], Path]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def many(tmp_path: Path, photo: Photo) -> Path:
    """A folder with a photo, and one below it."""
    photo(tmp_path / "many" / "1.png", 1)
    photo(tmp_path / "many" / "closed" / "2.png", 2)
    return tmp_path / "many"


@pytest.mark.parametrize(
    ("name", "form"), [("x.csv", "csv"), ("x.JSON", "json"), ("x.ndjson", "jsonl"), ("x", "table")]
)
def test_the_ending_of_the_file_says_the_format(
    many: Path, predict: Predict, capsys: pytest.CaptureFixture[str], name: str, form: str
) -> None:
    assert predict(many, "--format", form) == 0
    expected = capsys.readouterr().out
    assert predict(many, "--out", many.parent / name) == 0
    assert (many.parent / name).read_text("utf-8") == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("x.csv", "--format", "json"), "would hold json under the ending of another format, csv"),
        (("x.jsonl", "--format", "json"), "--format jsonl"),
        (("x.parquet", "--format", "table"), "--format parquet"),
        (("x.xlsx",), "no format has the ending .xlsx"),
    ],
)
def test_an_ending_that_says_otherwise_is_refused(
    many: Path, predict: Predict, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert predict(many / "1.png", "--out", many.parent / arguments[0], *arguments[1:]) == 2
    assert words in capsys.readouterr().err
    assert [path.name for path in many.parent.iterdir()] == ["many"]


def test_a_dash_is_standard_output(
    tmp_path: Path, photo: Photo, predict: Predict, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert predict(photo(tmp_path / "1.png", 1), "--out", "-", "--format", "json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 1
    assert not Path("-").exists()


def test_what_a_folder_holds_beside_photos_is_said(
    tmp_path: Path, photo: Photo, predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    photo(tmp_path / "1.png", 1)
    for name in ("a.mov", "b.mov", "c.jxl"):
        (tmp_path / name).touch()
    assert predict(tmp_path) == 0
    output, error = capsys.readouterr()
    assert output.splitlines()[-1].startswith("1 photo, 1 face, ")
    assert output.endswith(", 3 passed over (2 .mov, 1 .jxl)\n")
    assert error == ""
    assert predict(tmp_path, "--format", "csv") == 0
    assert capsys.readouterr().err == "mien: note: 3 passed over (2 .mov, 1 .jxl)\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_pipes_and_closed_folders_are_named(
    many: Path, predict: Predict, closed: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(many / "pipe.jpg")
    closed(many / "closed")
    assert predict(many, "--format", "jsonl") == 3
    output, error = capsys.readouterr()
    assert [Path(json.loads(line)["source"]).name for line in output.splitlines()] == ["1.png", "closed", "pipe.jpg"]
    assert "closed': Permission denied" in error
    assert "pipe.jpg' is a pipe" in error


@pytest.mark.parametrize("width", [80, 60])
def test_the_table_is_readable_in_a_narrow_window(
    tmp_path: Path, photo: Photo, model: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    name = "IMG_20240501_123456_a_photo_with_a_long_name.png"
    screen = Terminal()
    table = Table(screen, ())
    table.add(mien.load(model, detector="whole").predict(photo(tmp_path / name, 1)))
    table.add(Unreadable("bad.png", "why"))
    table.close()
    lines = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).splitlines()
    assert max(map(cell_width, lines)) <= width
    first = next(at for at, word in enumerate(lines[0].split("  ")) if word)
    assert first == 0
    folded = "".join(line[: lines[0].index("face")].strip() for line in lines[2:] if "unreadable" not in line)
    assert name in folded
    for word in ("emotion", "confidence", "unreadable"):
        assert any(word in line for line in lines)
    assert f"without box{', second guess' * (width < 80)}" in "".join(lines)
    assert lines[-1].startswith("2 photos, 1 face, ")


def test_wide_letters_keep_the_columns_straight(
    tmp_path: Path, photo: Photo, predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    photo(tmp_path / "悲しい.png", 1)
    photo(tmp_path / "abc.png", 2)
    assert predict(tmp_path) in (0, 3)
    header, *rows = capsys.readouterr().out.splitlines()[:3]
    at = {cell_width(row[: row.index("×")]) for row in rows}
    assert len(at) == 1
    assert header.startswith("file")


def test_cut_off_photos_are_refused_or_read_as_far_as_they_go(
    many: Path, examples: Path, predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    content = (examples / "astronaut.jpg").read_bytes()
    cut = many / "cut.jpg"
    cut.write_bytes(content[: len(content) * 3 // 4])
    assert predict(cut, "--format", "json") == 3
    assert "cut off" in json.loads(capsys.readouterr().out)[0]["error"]
    assert predict(cut, many / "1.png", "--format", "jsonl", "--accept-truncated") == 0
    output, error = capsys.readouterr()
    first, second = map(json.loads, output.splitlines())
    assert first["truncated"] is True
    assert len(first["faces"]) == 1
    assert "truncated" not in second
    assert error == f"mien: note: cut off, read as far as it goes: {cut}\n"
