"""``mien predict``: the formats tell the same story, bad files stay alone, cut-off runs end as uncut ones."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageChops, ImageStat

import mien
from mien.cli import main
from mien.cli.writing.output import Table
from mien.drawing.percents import percent
from mien.recognition.columns import csv_columns
from mien.recognition.folder import CHUNK, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    Predict = Callable[..., int]
    Photo = Callable[[Path, int], Path]

RUN = [sys.executable, "-c", "import sys; from mien.cli import main; sys.exit(main())"]
MANY = 2 * CHUNK + 5


@pytest.fixture
def recognizer(model: Path) -> mien.Recognizer:
    return mien.load(model, detector="whole", threads=1)


@pytest.fixture
def folder(tmp_path: Path, photo: Photo) -> Path:
    """Two photos and, between them, a text file that calls itself a photo."""
    photo(tmp_path / "photos" / "1.png", 1)
    (tmp_path / "photos" / "2.png").write_text("no picture")
    photo(tmp_path / "photos" / "sub" / "3.png", 3)
    return tmp_path / "photos"


@pytest.fixture
def many(tmp_path: Path, photo: Photo) -> Path:
    """Enough photos for three batches, two of them unreadable, one name with a line break and one with a quote."""
    names = {3: 'a"b', 4: "line\nbreak, comma", 5: "Zoë 中"} if os.name != "nt" else {5: "Zoë 中"}
    for seed in range(MANY):
        photo(tmp_path / "many" / f"{seed:02} {names.get(seed, '')}.png", seed)
    for seed in (7, CHUNK + 2):
        (tmp_path / "many" / f"{seed:02} .png").write_bytes(b"\x89PNG")
    return tmp_path / "many"


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_formats_agree_with_each_other_and_with_python(
    folder: Path, predict: Predict, recognizer: mien.Recognizer, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = {}
    for form in ("json", "jsonl", "csv", "table"):
        assert predict(folder, "--format", form) == 3
        shown[form] = capsys.readouterr().out
    entries = json.loads(shown["json"])
    assert entries == [json.loads(line) for line in shown["jsonl"].splitlines()]
    one, bad, three = entries
    assert one == recognizer.predict(folder / "1.png").to_dict()
    assert three == recognizer.predict(folder / "sub" / "3.png").to_dict()
    assert set(bad) == {"source", "error"}
    assert bad["source"] == str(folder / "2.png")
    rows = rows_of(shown["csv"])
    assert [row["source"] for row in rows] == [entry["source"] for entry in entries]
    assert rows[1]["error"] == bad["error"]
    for row, entry in ((rows[0], one), (rows[2], three)):
        face = entry["faces"][0]
        assert {label: float(row[f"p_{label}"]) for label in face["probabilities"]} == face["probabilities"]
        assert {key: float(row[key]) for key in face["box"]} == face["box"]
        assert (float(row["score"]), float(row["confidence"])) == (face["score"], face["confidence"])
        assert (row["emotion"], row["uncertain"]) == (face["emotion"], str(face["uncertain"]).lower())
        assert (row["face"], row["error"]) == ("0", "")
        assert f"{face['emotion']}" in shown["table"]
        assert percent(face["confidence"]) in shown["table"]
    assert "unreadable" in shown["table"]


def test_csv_columns(folder: Path, predict: Predict, capsys: pytest.CaptureFixture[str]) -> None:
    predict(folder / "1.png", "--format", "csv")
    labels = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
    header = capsys.readouterr().out.splitlines()[0].split(",")
    assert header == csv_columns(labels)
    assert header[:3] + header[-2:] == ["source", "face", "left", "p_neutral", "error"]


@pytest.mark.parametrize(("form", "words"), [("csv", ",,,"), ("json", '"faces": []'), ("table", "no face")])
def test_a_photo_without_a_face_is_said_and_no_error(
    folder: Path, predict: Predict, capsys: pytest.CaptureFixture[str], form: str, words: str
) -> None:
    assert predict(folder / "1.png", "--format", form, detector="yunet") == 0
    output, error = capsys.readouterr()
    assert words in output
    assert error == ""
    if form == "csv":
        assert [(row["face"], row["emotion"], row["error"]) for row in rows_of(output)] == [("", "", "")]


def test_unreadable_files_are_listed_last_with_their_reason(
    folder: Path, predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(folder) == 3
    error = capsys.readouterr().err
    assert error.startswith("mien: unreadable: ")
    assert error.count("\n") == 1
    assert str(folder / "2.png") in error
    assert predict(folder / "2.png", "--format", "json") == 3
    assert predict(folder / "1.png", folder / "sub") == 0


def test_stdin(
    folder: Path, predict: Predict, recognizer: mien.Recognizer, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for content, code in (((folder / "1.png").read_bytes(), 0), (b"", 3), (b"no picture", 3)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert predict("-", "--format", "json") == code
        entry = json.loads(capsys.readouterr().out)[0]
        assert entry["source"] == "-"
        assert ("error" in entry) == bool(code)
        if not code:
            assert entry["faces"] == recognizer.predict(folder / "1.png").to_dict()["faces"]


def test_a_pattern_that_the_shell_left(folder: Path, predict: Predict, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(f"{folder}/**/[13].png", "--format", "jsonl") == 0
    sources = [json.loads(line)["source"] for line in capsys.readouterr().out.splitlines()]
    assert sources == [str(folder / "1.png"), str(folder / "sub" / "3.png")]


def test_options_reach_the_detector_and_stand_anywhere(
    examples: Path, predict: Predict, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = examples / "astronaut.jpg"
    assert main(["predict", "--format", "json", str(photo), "--model", str(model)]) == 0
    result = json.loads(capsys.readouterr().out)[0]
    assert result["detector"] == "yunet"
    assert len(result["faces"]) == 1
    for option in (("--min-size", 400), ("--threshold", 0.9999)):
        assert predict(photo, "--format", "json", *option, detector="yunet") == 0
        assert json.loads(capsys.readouterr().out)[0]["faces"] == []


def test_an_unknown_detector_suggests_the_nearest(
    folder: Path, predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(folder, detector="yunt") == 2
    assert "Did you mean 'yunet'?" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "table"])
def test_a_file_holds_what_stdout_would(
    folder: Path, tmp_path: Path, predict: Predict, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    out = tmp_path / f"out.{form}"
    out.write_text("older and much longer than what comes now " * 999)
    assert predict(folder, "--format", form) == 3
    expected = capsys.readouterr().out
    assert predict(folder, "--format", form, "--out", out) == 3
    assert out.read_bytes() == expected.encode()
    assert capsys.readouterr().out == ""
    extra = {f"{out.name}.run.json"} if form in ("jsonl", "csv") else set()
    assert {path.name for path in tmp_path.iterdir()} == {"photos", out.name} | extra


def test_an_error_leaves_the_older_file(
    folder: Path, tmp_path: Path, predict: Predict, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "out.json"
    out.write_text("older")
    stop_at(2, monkeypatch)
    assert predict(folder, "--format", "json", "--out", out) == 130
    assert capsys.readouterr().err == "mien: interrupted\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "photos"]
    assert out.read_text() == "older"


def test_ctrl_c_leaves_valid_json_on_stdout(
    folder: Path, predict: Predict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stop_at(2, monkeypatch)
    assert predict(folder, "--format", "json") == 130
    assert len(json.loads(capsys.readouterr().out)) == 1


def stop_at(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C as the photo of this number, counted from 1, is handed over."""
    from mien.cli import predict as module
    from mien.recognition.folder import read_folder

    def stopping(*arguments: Any, **options: Any) -> Any:
        for position, entry in enumerate(read_folder(*arguments, **options), 1):
            if position == number:
                raise KeyboardInterrupt
            yield entry

    monkeypatch.setattr(module, "read_folder", stopping)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_in_a_process(many: Path, model: Path) -> None:
    at_the_first_result = (
        "import os, signal; from mien.results import ImageResult;"
        # A shell that starts its jobs in the background has them ignore Ctrl-C, and children inherit that.
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        "ImageResult.to_dict = lambda _: os.kill(os.getpid(), signal.SIGINT) or {};"
    )
    command = [sys.executable, "-c", at_the_first_result + RUN[2], "predict", str(many), "--model", str(model)]
    done = subprocess.run([*command, "--format", "jsonl"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "mien: interrupted\n")


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_cut_off_run_ends_as_an_uncut_one(
    many: Path, tmp_path: Path, predict: Predict, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    out = tmp_path / f"out.{form}"
    command = (many, "--format", form, "--out", out, "--resume")
    assert predict(*command) == 3
    whole, errors = out.read_bytes(), capsys.readouterr().err
    assert errors.count("\n") == 2
    lines = [position for position, byte in enumerate(whole) if byte == ord("\n")]
    cuts = {
        0,
        1,
        lines[0] + 1,
        lines[4],
        lines[6] - 3,
        lines[CHUNK] + 1,
        lines[CHUNK + 1] + 9,
        lines[-2] + 1,
        len(whole) - 1,
    }
    for cut in cuts | {len(whole)}:
        out.write_bytes(whole[:cut])
        assert predict(*command) == 3, cut
        assert out.read_bytes() == whole, cut
        assert capsys.readouterr().err == errors, cut


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_resumed_run_meets_an_unreadable_photo(many: Path, tmp_path: Path, predict: Predict, form: str) -> None:
    """After the first batch, which is kept: the resumed run writes no header, and its rows without a face are whole."""
    (many / "zz last.png").write_bytes(b"no picture")
    out = tmp_path / f"out.{form}"
    command = (many, "--format", form, "--out", out, "--resume")
    assert predict(*command) == 3
    whole = out.read_bytes()
    out.write_bytes(b"".join(whole.splitlines(keepends=True)[: CHUNK + 3]))
    assert predict(*command) == 3
    assert out.read_bytes() == whole
    assert b"zz last.png" in whole.splitlines()[-1]


def test_parquet_holds_the_rows_of_csv(many: Path, tmp_path: Path, predict: Predict) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert predict(many, "--format", "csv", "--out", tmp_path / "out.csv") == 3
    assert predict(many, "--format", "parquet", "--out", tmp_path / "out.parquet") == 3
    table = parquet.read_table(tmp_path / "out.parquet")
    rows = rows_of((tmp_path / "out.csv").read_text())
    assert table.column_names == list(rows[0])
    for row, other in zip(rows, table.to_pylist(), strict=True):
        shown = {name: "" if value is None else str(value) for name, value in other.items()}
        assert {**shown, "uncertain": shown["uncertain"].lower()} == row


def test_a_cut_off_parquet_run_ends_as_an_uncut_one(
    many: Path, tmp_path: Path, predict: Predict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow")
    from mien.cli.writing import output, resume

    for module in (output, resume):
        monkeypatch.setattr(module, "PHOTOS_A_PART", CHUNK)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert predict(many, "--format", "parquet", "--out", whole) == 3
    errors = capsys.readouterr().err
    for moment in (3, CHUNK + 1, 2):
        with monkeypatch.context() as patch:
            stop_at(moment, patch)
            assert predict(many, "--format", "parquet", "--out", cut, "--resume") == 130
    capsys.readouterr()
    assert predict(many, "--format", "parquet", "--out", cut, "--resume") == 3
    assert capsys.readouterr().err == errors
    assert [file.name for file in sorted(whole.iterdir())] == [f"part-0000{at}.parquet" for at in range(3)]
    assert [file.read_bytes() for file in sorted(cut.iterdir())] == [file.read_bytes() for file in sorted(whole.iterdir())]  # fmt: skip # noqa: E501
    (many / "00 .png").unlink()
    assert predict(many, "--format", "parquet", "--out", cut, "--resume") == 2
    assert "Name the same photos" in capsys.readouterr().err
    assert len(list(cut.iterdir())) == 3


def test_parquet_needs_a_folder(folder: Path, predict: Predict, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(folder, "--format", "parquet") == 2
    assert "needs --out" in capsys.readouterr().err


def test_photos_that_are_done_are_not_read_again(
    many: Path, tmp_path: Path, predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (many, "--format", "csv", "--out", tmp_path / "out.csv", "--resume")
    stop_at(2 * CHUNK + 2, monkeypatch)
    assert predict(*command) == 130
    monkeypatch.undo()
    seen: list[str] = []
    decode = mien.Recognizer.decode
    monkeypatch.setattr(mien.Recognizer, "decode", lambda self, path, **o: seen.append(path) or decode(self, path, **o))  # type: ignore[func-returns-value] # fmt: skip
    assert predict(*command) == 3
    assert len(seen) == MANY - 2 * CHUNK


def test_many_faces_of_one_photo_are_one_entry(examples: Path, tmp_path: Path, predict: Predict) -> None:
    """A photo's rows may be cut between its faces; the photo is then done again."""
    canvas = Image.new("RGB", (700, 350))
    with Image.open(examples / "astronaut.jpg") as picture:
        face = picture.crop((100, 0, 350, 250))
    canvas.paste(face, (30, 50))
    canvas.paste(face, (400, 50))
    canvas.save(tmp_path / "two.png")
    out = tmp_path / "out.csv"
    command = (tmp_path / "two.png", "--format", "csv", "--out", out, "--resume")
    assert predict(*command, detector="yunet") == 0
    whole = out.read_bytes()
    assert [row["face"] for row in rows_of(whole.decode())] == ["0", "1"]
    out.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
    assert predict(*command, detector="yunet") == 0
    assert out.read_bytes() == whole


@pytest.mark.parametrize("change", ["detector", "max_faces", "photos", "settings", "damage", "longer"])
def test_resuming_another_run_is_refused_and_changes_nothing(
    many: Path, tmp_path: Path, predict: Predict, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    out = tmp_path / "out.jsonl"
    command: list[Any] = [many, "--format", "jsonl", "--out", out]
    assert predict(*command) == 3
    if change == "settings":
        (tmp_path / "out.jsonl.run.json").unlink()
    if change == "photos":
        (many / "00 .png").unlink()
    if change == "longer":
        (many / f"{MANY - 1} .png").unlink()
    if change == "damage":
        out.write_bytes(b"{}\n" + out.read_bytes())
    before, _ = out.read_bytes(), capsys.readouterr()
    command += ["--resume", *(["--max-faces", 1] if change == "max_faces" else [])]
    assert predict(*command, detector="yunet" if change == "detector" else "whole") == 2
    words = {
        "photos": "Name the same photos",
        "longer": "its end",
        "settings": "run.json",
        "damage": "damaged at byte 0",
    }
    assert words.get(change, f"another {change}") in capsys.readouterr().err
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    "arguments", [("--resume",), ("--resume", "--out", "x.json"), ("--resume", "--out", "x", "--format", "json")]
)
def test_resume_needs_a_file_that_can_be_resumed(
    folder: Path, predict: Predict, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert predict(folder, *arguments) == 2
    assert "--resume needs" in capsys.readouterr().err


def test_annotated_photos_keep_their_folders(folder: Path, tmp_path: Path, photo: Photo, predict: Predict) -> None:
    photo(folder / "sub" / "1.png", 5)
    (folder / "sub" / "3.png").rename(folder / "sub" / "scan")
    assert predict(folder, folder / "sub" / "scan", "--save-annotated", tmp_path / "drawn") == 3
    drawn = {path.relative_to(tmp_path / "drawn").as_posix() for path in (tmp_path / "drawn").rglob("*.*")}
    assert drawn == {"1.png", "sub/1.png", "sub/scan.png"}
    with Image.open(tmp_path / "drawn" / "1.png") as picture:
        assert picture.size == (20, 24)


def test_annotated_photos_of_two_folders_do_not_meet(tmp_path: Path, photo: Photo, predict: Predict) -> None:
    photo(tmp_path / "a" / "1.png", 1)
    photo(tmp_path / "b" / "1.png", 2)
    assert predict(tmp_path / "a", tmp_path / "b", "--save-annotated", tmp_path / "out") == 0
    assert sorted(path.parent.name for path in (tmp_path / "out").rglob("*.png")) == ["a", "b"]


def test_blur_hides_the_faces_that_are_saved(
    examples: Path, tmp_path: Path, predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = examples / "astronaut.jpg"
    assert predict(photo, "--save-annotated", tmp_path / "shown", detector="yunet") == 0
    assert predict(photo, "--save-annotated", tmp_path / "blurred", "--blur", detector="yunet") == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(set(rows)) == len(rows) / 2  # what is read is the same
    shown, blurred = (Image.open(tmp_path / kind / "astronaut.jpg") for kind in ("shown", "blurred"))
    changed = ImageChops.difference(shown, blurred)
    assert min(ImageStat.Stat(changed.crop((195, 155, 255, 185))).mean) > 5  # the eyes
    assert changed.crop((0, 300, 512, 512)).getbbox() is None
    assert predict(photo, "--blur") == 2
    assert "--save-annotated" in capsys.readouterr().err


@pytest.mark.parametrize("place", [".", "sub", "new"])
def test_photos_are_never_drawn_over(
    folder: Path, predict: Predict, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    before = (folder / "1.png").read_bytes()
    assert predict(folder, "--save-annotated", folder / place) == 2
    assert predict(folder / "1.png", "--save-annotated", folder) == 2
    assert predict(folder / "1.png", "--format", "json", "--out", folder / "1.png") == 2
    assert capsys.readouterr().err.count("choose another") == 3
    assert (folder / "1.png").read_bytes() == before


def test_no_output_folder_is_said_before_the_work(
    folder: Path, tmp_path: Path, predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    for form in ("json", "csv"):
        assert predict(folder, "--format", form, "--out", tmp_path / "none" / "x") == 2
        assert "its folder does not exist" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows file names are text")
@pytest.mark.parametrize("name", [b"\xff\xfe.png", "Zoë 中文 😀.png".encode(), b"x" * 251 + b".png", b"a\x1b[2J\n.png"])
@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_any_file_name_comes_back(tmp_path: Path, photo: Photo, predict: Predict, name: bytes, form: str) -> None:
    path = photo(tmp_path / "photos" / os.fsdecode(name), 1)
    out = tmp_path / "out"
    assert predict(tmp_path / "photos", "--format", form, "--out", out) == 0
    text = os.fsdecode(out.read_bytes())
    if form in ("json", "jsonl"):
        assert (json.loads(text)[0] if form == "json" else json.loads(text))["source"] == str(path)
    elif form == "csv":
        assert rows_of(text)[0]["source"] == str(path)
    else:
        assert len(text.splitlines()) in (2, 3)


@pytest.mark.skipif(os.name == "nt", reason="Windows file names are text")
@pytest.mark.parametrize("form", ["table", "json"])
def test_a_terminal_that_cannot_show_the_name(tmp_path: Path, photo: Photo, model: Path, form: str) -> None:
    photo(tmp_path / os.fsdecode(b"\xff.png"), 1)
    photo(tmp_path / "Zoë.png", 1)
    command = [*RUN, "predict", str(tmp_path), "--model", str(model), "--detector", "whole", "--format", form]
    settings = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, check=False, env=settings)
    assert (done.returncode, done.stderr) == (0, b"")
    if form == "json":
        assert [Path(entry["source"]).name for entry in json.loads(done.stdout)] == [
            "Zoë.png",
            os.fsdecode(b"\xff.png"),
        ]


def test_on_a_terminal_the_table_has_style_and_folds_long_names(
    model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    table = Table(screen, ())
    table.add(mien.load(model, detector="whole").predict(folder / "1.png"))
    table.add(Unreadable("[bold]" + "n" * 200, "why"))
    table.close()
    assert "\x1b[" in screen.getvalue()
    shown = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())
    assert "[bold]nn" in shown
    assert "unreadable" in shown
    assert shown.count("n" * 10) >= 3
    assert max(map(len, shown.splitlines())) == 100


def test_the_progress_bar_can_be_forced_and_stays_off_stdout(
    folder: Path, predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(folder, "--format", "jsonl", "--progress") == 3
    output, error = capsys.readouterr()
    assert len([json.loads(line) for line in output.splitlines()]) == 3
    assert "photos" in error
    assert "3/3" in error


def test_predict_needs_no_torch(folder: Path, model: Path) -> None:
    script = "import sys; sys.modules['torch'] = None; "
    command = [sys.executable, "-c", script + RUN[2], "predict", str(folder / "1.png"), "--model", str(model)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
