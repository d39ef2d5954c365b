"""``mien bench`` tells every stage with its share of the peak; nothing here asserts how long anything takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support import SIZE

from mien.bench import measure
from mien.cli import main
from mien.cores import usable_cores
from mien.labels import FER2013

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PARTS = [
    *(("decode", 1), ("detector", 1), ("end to end", 1)),
    *((stage, batch) for batch in (1, 8, 64) for stage in ("preprocessing", "classifier")),
    *(("process: imports alone", 1), ("process: one photo", 1), ("process: 64 faces", 64)),
]


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "BUDGET", 0.0)


def test_what_is_measured(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bench.json"
    asked = ["--threads", "1", "--repeat", "2", "--format", "json", "--out", str(out)]
    assert main(["bench", "--model", str(model), *asked]) == 0
    assert capsys.readouterr().out == ""
    found: dict[str, Any] = json.loads(out.read_text("utf-8"))
    assert found["model"]["flops"] == 2 * SIZE * SIZE * len(FER2013)
    assert (found["rounds"], found["photo"]) == (2, "a drawn face, 640×480")
    assert found["peaks"]["1"].keys() == {"numpy", "onnxruntime"}
    assert [(row["stage"], row["batch"]) for row in found["rows"]] == PARTS
    for row in found["rows"]:
        assert 0 < row["low"] <= row["seconds"] <= row["high"]
        assert row["rate"] == pytest.approx(row["batch"] / row["seconds"])
        assert (row["share"] is not None) == (row["stage"] == "classifier")
        assert (row["memory"] is not None) <= row["stage"].startswith("process: ")
        if row["stage"] == "classifier":
            assert row["flops"] == row["batch"] * found["model"]["flops"]
            assert 0 < row["share"] < 4


def test_the_table(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "examples/astronaut.jpg", "--model", str(model), "--threads", "1", "--repeat", "1"]) == 0
    shown = capsys.readouterr().out
    assert "photo    examples/astronaut.jpg" in shown
    assert "1 thread: float32 GFLOP/s" in shown
    assert all(stage in shown for stage, _ in PARTS)


def test_a_photo_without_a_face(model: Path, photo: Callable[[Path, int], Path], tmp_path: Path) -> None:
    assert main(["bench", str(photo(tmp_path / "noise.png", 0)), "--model", str(model), "--threads", "1"]) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--threads", "0"], "expected a whole number"),
        (["--threads", str(usable_cores() + 1)], f"may use {usable_cores()} cores"),
        (["--repeat", "no"], "expected a whole number"),
        (["--model", "no-such-model"], "no-such-model"),
        (["no-such-photo.jpg"], "no-such-photo.jpg"),
        (["examples/astronaut.jpg", "--out", "examples/astronaut.jpg"], "is the photo"),
    ],
)
def test_errors(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    assert words in capsys.readouterr().err
