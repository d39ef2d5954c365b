"""``mien scale predict``: what is wrong is one line before Ray starts; a missing extra names its command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mien.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

    Photo = Callable[[Path, int], Path]


@pytest.fixture
def folder(tmp_path: Path, photo: Photo) -> Path:
    photo(tmp_path / "photos" / "1.png", 1)
    return tmp_path / "photos"


def test_a_missing_extra_names_the_command(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("mien.scale")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["scale", "predict", str(folder), str(tmp_path / "out")]) == 2
    assert "pip install 'mien[scale]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{folder}"], "DST"),
        (["{gone}", "{out}"], "No file or folder"),
        (["{folder}", "{folder}/out"], "inside the source"),
        (["{folder}", "{folder}"], "inside the source"),
        (["{folder}", "{out}", "--block", "100"], "multiple of 16"),
        (["{folder}", "{out}", "--kind", "tar"], "photos, parquet, webdataset"),
        (["{folder}", "{out}", "--kind", "parquet"], "No parquet files"),
        (["{folder}", "{out}", "--column", "image"], "apply to Parquet files only"),
        (["{folder}", "{out}", "--model", "gone.onnx"], "gone.onnx"),
        (["{folder}", "{out}", "--detector", "yunett"], "yunet"),
        (["{folder}", "{out}", "--gpus", "-1"], "0 or more"),
        (["{folder}", "{out}", "--workers", "0"], "1 or more"),
        (["{folder}", "{used}"], "is not empty"),
        (["{folder}", "{used}", "--resume"], "has no _run.json"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], words: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray")
    used = tmp_path / "used"
    used.mkdir()
    (used / "mine.txt").touch()
    places = {"folder": folder, "gone": tmp_path / "gone", "out": tmp_path / "out", "used": used}
    assert main(["scale", "predict", *[argument.format(**places) for argument in arguments]]) == 2
    output, error = capsys.readouterr()
    assert output == ""
    assert error.startswith("mien: error: ")
    assert error.count("\n") == 1
    assert words in error
    assert not (tmp_path / "out").exists()


def test_another_run_is_not_gone_on_with(
    folder: Path, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray")
    from mien.scale import job
    from mien.scale.plan import plan

    options = {"detector": "whole"}
    work = job.Job(str(folder), str(tmp_path / "out"), model=str(model), options=options)
    settings = job._collect_settings(work, plan(str(folder)))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "_run.json").write_text(json.dumps({**settings, "model": "0" * 64, "block": 16}))
    arguments = ["--model", str(model), "--detector", "whole", "--resume"]
    assert main(["scale", "predict", str(folder), str(tmp_path / "out"), *arguments]) == 2
    assert "was written with different model, block" in capsys.readouterr().err
