"""``mien video``: every frame a row, ids that stay, outputs that agree; cut-off runs end as uncut ones."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("scipy")

import films
from support import full_after

import mien
from mien.cli import main
from mien.cli.ending import ended_well
from mien.tracking.stream import Follower
from mien.video import timeline

Video = Callable[..., int]


@pytest.fixture
def video(model: Path, crossing: Path) -> Video:
    """Run ``mien video`` in this process, with the small model."""

    def run(*arguments: object, film: object = crossing) -> int:
        return main(["video", str(film), *map(str, arguments), "--model", str(model), "--threads", "1"])

    return run


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_every_frame_is_a_row_with_its_true_time(video: Video, tmp_path: Path) -> None:
    assert video("--out", tmp_path / "out.csv") == 0
    frames = {int(row["frame"]): float(row["seconds"]) for row in rows_of(tmp_path / "out.csv")}
    assert list(frames) == list(range(len(frames)))
    assert list(frames.values()) == films.vary(films.CROSSING)


def test_ids_stay_with_their_people(video: Video, tmp_path: Path, examples: Path) -> None:
    video("--out", tmp_path / "out.csv")
    actors = films.cast(examples)
    given: list[Counter[str]] = [Counter() for _ in actors]
    for row in rows_of(tmp_path / "out.csv"):
        if row["person"]:
            x, y = (float(row[a]) + float(row[b]) / 2 for a, b in (("left", "width"), ("top", "height")))
            places = [actor.place(float(row["seconds"])) or (-999.0, -999.0) for actor in actors]
            # Where two are in the same place, the one in front is seen.
            nearest = min(
                range(len(actors)), key=lambda at: (round(np.hypot(x - places[at][0], y - places[at][1]) / 12), -at)
            )
            given[nearest][row["person"]] += 1
    ids = [counter.most_common(1)[0] for counter in given]
    kept = sum(count for _, count in ids) / sum(sum(counter.values()) for counter in given)
    print(f"\n{kept:.1%} of {sum(map(len, given))} ids kept: {given}")  # noqa: T201
    assert len({who for who, _ in ids}) == len(actors)
    assert kept >= 0.95


def test_the_formats_agree_with_each_other_and_with_python(
    video: Video, tmp_path: Path, model: Path, crossing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recognizer = mien.load(model, threads=1)
    expected = [result.to_dict() for result in recognizer.stream(mien.Film(crossing))]
    video("--format", "jsonl")
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == expected
    video("--out", tmp_path / "out.csv")
    video("--out", tmp_path / "out.parquet")
    for form in ("csv", "parquet"):
        read = timeline.read(tmp_path / f"out.{form}", form, recognizer.labels)
        assert [result.to_dict() for result in read] == expected


def test_all_outputs_at_once(video: Video, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    names = ("out.csv", "film.vtt", "events.csv", "drawn.mp4", "page")
    options = ("--out", "--subtitles", "--events", "--annotated", "--summary")
    pairs = [word for option, name in zip(options, names, strict=True) for word in (option, tmp_path / name)]
    assert video(*pairs, "--progress") == 0
    output, error = capsys.readouterr()
    assert "frames show a face; 3 people" in output
    assert "film" in error
    assert (tmp_path / "film.vtt").read_text().startswith("WEBVTT\n\n00:00:00.000 --> ")
    assert (tmp_path / "events.csv").read_text().startswith("person,emotion,onset")
    assert [frame.seconds for frame in mien.Film(tmp_path / "drawn.mp4")] == films.vary(films.CROSSING)
    assert "3 people" in (tmp_path / "page" / "index.html").read_text("utf-8")


def test_one_person_is_no_people(video: Video, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert video("--out", tmp_path / "out.csv", "--max-faces", "1", "--seconds", "0.3") == 0
    assert capsys.readouterr().out.rstrip().endswith("; 1 person")


def test_sampling_and_an_end(video: Video, tmp_path: Path) -> None:
    video("--out", tmp_path / "out.csv", "--every", "5", "--seconds", "1.5")
    seconds = films.vary(films.CROSSING)
    rows = {int(row["frame"]): float(row["seconds"]) for row in rows_of(tmp_path / "out.csv")}
    assert rows == {at: seconds[at] for at in range(0, len(seconds), 5) if seconds[at] < 1.5}


def test_a_cadence_keeps_the_people(video: Video, tmp_path: Path) -> None:
    video("--out", tmp_path / "out.csv", "--detect-every", "3")
    rows = rows_of(tmp_path / "out.csv")
    assert {row["seen"] for row in rows if row["person"]} == {"true", "false"}
    assert {int(row["frame"]) % 3 == 0 for row in rows if row["seen"] == "true"} == {True}
    assert len({row["person"] for row in rows} - {""}) <= 4


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("options", [(), ("--detect-every", "3")], ids=["every frame", "cadence"])
def test_a_run_that_was_cut_off_ends_as_one_that_was_not(
    video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, options: tuple[str, ...]
) -> None:
    monkeypatch.setattr(timeline, "FRAMES_A_PART", 8)
    for folder in ("whole", "cut"):
        (tmp_path / folder).mkdir()
    outputs = {"--out": f"out.{form}", "--subtitles": "film.vtt", "--events": "events.csv"}

    def run(folder: str, *more: str) -> int:
        return video(*[w for k, name in outputs.items() for w in (k, tmp_path / folder / name)], *options, *more)

    assert run("whole") == 0
    for moment in (0, 7, 40):
        with monkeypatch.context() as patch:
            interrupt(patch, moment)
            assert run("cut", "--resume") == 130
    assert run("cut", "--resume") == 0
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def interrupt(patch: pytest.MonkeyPatch, moment: int) -> None:
    """Press Ctrl-C when so many frames have been read."""
    step, count = Follower.step, [0]

    def stepping(self: Follower, frame: Any) -> Any:
        count[0] += 1
        if count[0] > moment:
            raise KeyboardInterrupt
        return step(self, frame)

    patch.setattr(Follower, "step", stepping)


def test_ctrl_c_leaves_whole_files(video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(monkeypatch, 30)
    names = {"--out": "out.parquet", "--subtitles": "f.vtt", "--annotated": "drawn.mp4", "--summary": "page"}
    assert video(*[word for option, name in names.items() for word in (option, tmp_path / name)]) == 130
    parquet = pytest.importorskip("pyarrow.parquet")
    assert set(parquet.read_table(tmp_path / "out.parquet")["frame"].to_pylist()) == set(range(30))
    assert len(list(mien.Film(tmp_path / "drawn.mp4"))) == 30
    assert "30 frames" in (tmp_path / "page" / "index.html").read_text("utf-8")
    assert (tmp_path / "f.vtt").read_text().rstrip().endswith(("</v>", "WEBVTT"))


@pytest.mark.parametrize(
    ("option", "limit"),
    [
        ("--out", ("out.csv", 20_000)), ("--out", ("out.jsonl", 20_000)), ("--out", ("out.parquet", 3000)),
        ("--subtitles", ("film.vtt", 600)), ("--events", ("events.csv", 100)), ("--annotated", ("drawn.mp4", 20_000)),
        ("--annotated", ("drawn.mkv", 20_000)), ("--summary", ("page", 20_000)),
    ],
)  # fmt: skip
def test_on_a_full_disk_outputs_are_whole_or_absent_and_named(
    video: Video, tmp_path: Path, option: str, limit: tuple[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    name, size = limit
    path = tmp_path / "out" / name
    path.parent.mkdir()
    with full_after(size):
        assert video(option, path) == 2
    error = capsys.readouterr().err
    assert "File too large" in error
    assert str(path) in error
    left = files_of(path.parent)
    assert not [file for file in left if file.endswith(".part")]
    if path.suffix in (".csv", ".jsonl", ".vtt"):
        assert video(option, tmp_path / name) == 0
        whole = (tmp_path / name).read_bytes()
        begun = left.get(name, b"")
        assert whole.startswith(begun)
        assert begun.endswith(b"\n")
        assert path.suffix != ".vtt" or whole[len(begun) :].startswith(b"\n"), "a cue was cut"
    elif name != "page":
        assert set(left) <= {f"{name}.run.json"}


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_a_run_whose_disk_was_full_is_resumed_to_the_same_files(video: Video, tmp_path: Path, name: str) -> None:
    assert video("--out", tmp_path / f"whole-{name}") == 0
    with full_after(20_000):
        assert video("--out", tmp_path / name) == 2
    assert video("--out", tmp_path / name, "--resume") == 0
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole-{name}").read_bytes()


# Shells start background jobs, such as these tests may be, with SIGINT ignored, and children inherit that.
HEEDING_CTRL_C = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "runpy.run_module('mien', run_name='__main__')"
)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_a_real_ctrl_c(model: Path, crossing: Path) -> None:
    command = [sys.executable, "-c", HEEDING_CTRL_C, "video", str(crossing), "--format", "jsonl", "--model", str(model)]
    # Nobody reads on after the first line: the film's rows do not fit into a pipe, so that it cannot be over too early.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pipesize=4096) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "mien: interrupted\n")
    lines = [line for line in (first + rest).splitlines(keepends=True) if line.endswith("\n")]
    assert [json.loads(line)["frame"] for line in lines] == list(range(len(lines)))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGHUP")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["TERM", "HUP"])
def test_who_stops_a_service_gets_whole_files(
    tmp_path: Path, model: Path, crossing: Path, number: signal.Signals
) -> None:
    pytest.importorskip("matplotlib")
    outputs = ["--annotated", str(tmp_path / "drawn.mp4"), "--summary", str(tmp_path / "page"), "--format", "jsonl"]
    # Whoever runs the tests with nohup has SIGHUP ignored, which children inherit.
    heeding = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); " + HEEDING_CTRL_C
    command = [sys.executable, "-c", heeding, "video", str(crossing), *outputs, "--model", str(model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pipesize=4096) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        process.send_signal(number)
        rest, error = process.communicate(timeout=600)
    assert (process.returncode, error) == (130, "mien: interrupted\n")
    given = len(lines) + rest.count("\n")
    assert 5 <= given < len(films.vary(films.CROSSING))
    assert abs(len(list(mien.Film(tmp_path / "drawn.mp4"))) - given) <= 1
    assert "frames from 0:00.0" in (tmp_path / "page" / "index.html").read_text("utf-8")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGHUP")
def test_signals_are_given_back_and_what_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    terminating = signal.getsignal(signal.SIGTERM)
    try:
        with ended_well():
            signal.raise_signal(signal.SIGHUP)
        with pytest.raises(KeyboardInterrupt), ended_well():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == terminating
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_sound_is_left_out_if_asked(video: Video, tmp_path: Path) -> None:
    assert video("--annotated", tmp_path / "drawn.mp4", "--no-sound", "--seconds", "0.5") == 0
    assert not mien.Film(tmp_path / "drawn.mp4").about.sound


@pytest.mark.parametrize("verb", ["video", "watch"])
def test_passwords_are_never_printed(model: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    for address in ("rtsp://admin:geheim@127.0.0.1:1/x", "http://127.0.0.1:1/x?password=geheim"):
        assert main([verb, address, "--model", str(model)]) == 2
        assert main([verb, address, "--model", str(model), "--threads", "1", address]) == 2
    output, error = capsys.readouterr()
    assert "geheim" not in output + error
    assert "rtsp://***@127.0.0.1:1/x" in error


def test_a_refused_resume_leaves_even_a_torn_file_alone(
    video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for form, torn in (("csv", b'20,0.9,"'), ("jsonl", b'{"frame": 20, "sec')):
        out = tmp_path / f"out.{form}"
        with monkeypatch.context() as patch:
            interrupt(patch, 20)
            video("--out", out)
        lines = out.read_bytes().splitlines(keepends=True)
        out.write_bytes(b"".join([*lines[:3], *lines[5:], torn]))
        before = out.read_bytes()
        assert video("--out", out, "--resume") == 2
        assert out.read_bytes() == before


def test_resume_refuses_another_film_and_other_settings(
    video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], crossing: Path
) -> None:
    out = tmp_path / "out.jsonl"
    with monkeypatch.context() as patch:
        interrupt(patch, 20)
        video("--out", out)
    before = out.read_bytes()
    assert video("--out", out, "--resume", "--smooth", "0.5") == 2
    assert "made with another smooth" in capsys.readouterr().err
    assert video("--out", out, "--resume", "--seconds", "0.3") == 2
    assert "made with another seconds" in capsys.readouterr().err
    other = tmp_path / "other.mp4"
    other.write_bytes(crossing.read_bytes() + b"0")
    assert video("--out", out, "--resume", film=other) == 2
    assert "another film bytes" in capsys.readouterr().err
    assert out.read_bytes() == before
    lines = before.decode().splitlines(keepends=True)
    out.write_text("".join([*lines[:3], *lines[4:]]))
    assert video("--out", out, "--resume") == 2
    assert "another video or run (frame 4" in capsys.readouterr().err


def test_a_damaged_film_is_read_as_far_as_it_goes_and_said(
    video: Video, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = films.vary(2)
    noisy = (np.random.default_rng(at).integers(0, 255, (64, 96, 3), np.uint8) for at in range(len(times)))
    whole = films.write(tmp_path / "film.mkv", noisy, times).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    outputs = ("--out", tmp_path / "out.csv", "--summary", tmp_path / "page")
    assert video(*outputs, film=tmp_path / "cut.mkv") == 3
    assert "cut.mkv: it ends at" in capsys.readouterr().err.replace("\n", " ")
    rows = rows_of(tmp_path / "out.csv")
    assert 5 < len(rows) < len(times)
    assert {row["person"] for row in rows} == {""}
    assert "The film is damaged" in (tmp_path / "page" / "index.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--out", "x.txt"), "expected a name ending in .csv, .jsonl, .parquet"),
        (("--resume",), "--resume needs --out"),
        (("--format", "parquet"), "needs --out"),
        (("--blur",), "--blur needs"),
        (("--no-sound",), "--no-sound needs --annotated"),
        (("--reconnect", "5"), "reconnect needs a camera or a stream"),
        (("--annotated", "x.gif"), "expected a name ending in .mp4"),
        (("--out", "x.csv", "--events", "x.csv"), "different names"),
        (("--every", "2", "--fps", "3"), "choose one"),
        (("--detect-every", "0"), "1 or more"),
        (("--fps", "inf"), "argument --fps: 'inf': expected a number"),
        (("--fps", "0"), "argument --fps: '0': expected a number above 0"),
        (("--seconds", "nan"), "argument --seconds: 'nan': expected a number"),
        (("--seconds=-5",), "argument --seconds: '-5': expected a number above 0"),
        (("--seconds", "1e999"), "expected a number"),
        (("--bridge", "nan"), "argument --bridge: 'nan': expected a number"),
        (("--smooth=-inf",), "argument --smooth: '-inf': expected a number"),
        (("--min-size=-1",), "argument --min-size: '-1': expected a number, 0 or more"),
        (("--threshold", "nan"), "argument --threshold: 'nan': expected a number"),
        (("--out", "none/x.csv"), "does not exist"),
    ],
)
def test_wrong_options(
    video: Video, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str
) -> None:
    assert video(*[tmp_path / word if "x." in word else word for word in options]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_film_is_never_written_over(video: Video, tmp_path: Path, crossing: Path) -> None:
    copy = tmp_path / "film.mp4"
    copy.write_bytes(crossing.read_bytes())
    assert video("--annotated", copy, film=copy) == 2
    assert copy.read_bytes() == crossing.read_bytes()


def test_what_is_no_film(video: Video, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    assert video(film=tmp_path / "text.mp4") == 2
    assert "Cannot read" in capsys.readouterr().err
    assert video(film=tmp_path / "gone.mp4") == 2
    assert "No such video" in capsys.readouterr().err
