"""``mien doctor`` says what is there, names the command that mends what is not, and fails only when it must."""

from __future__ import annotations

import json
import shutil
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest

from mien.cli import doctor, main
from mien.recognition.model_files import bundle, names
from mien.recognition.model_files.corpus import Corpus

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped models with the small one in it, so that the shipped weights play no part."""
    folder = tmp_path / "weights"
    folder.mkdir()
    shutil.copy(model, folder / "small.onnx")
    monkeypatch.setattr(names, "WEIGHTS", folder)
    monkeypatch.setattr(names, "FILES", {"small": "small.onnx"})
    monkeypatch.setattr(names, "ALIASES", {"default": "small"})
    return folder


def report(capsys: pytest.CaptureFixture[str], code: int) -> dict[tuple[str, str], dict[str, Any]]:
    assert main(["doctor", "--format", "json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] == (code == 0)
    return {(check["group"], check["name"]): check for check in found["checks"]}


def test_a_sound_installation(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    checks = report(capsys, 0)
    assert checks["libraries", "numpy"]["found"] == metadata.version("numpy")
    assert "CPUExecutionProvider" in checks["runtime", "providers"]["found"]
    shipped = checks["models", "small"]["found"]
    assert bundle.read(model).digest[:12] in shipped
    assert "7 emotions" in shipped
    assert "50.0% on PrivateTest" in shipped
    assert shipped.startswith("also default; ")
    assert "Trained on: not stated in the file" in shipped
    assert checks["detectors", "yunet"]["found"] == "ready"
    assert all(check["state"] != "broken" for check in checks.values())


def test_the_table_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    checks = report(capsys, 0)
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown and check["found"] in shown for (_, name), check in checks.items())


def test_a_file_holds_no_padding(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines are not filled with spaces up to the longest one, which is hundreds of letters long."""
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [line.rstrip() for line in lines]


def test_the_corpora_of_a_model_and_their_terms(capsys: pytest.CaptureFixture[str], weights: Path) -> None:
    stated = [Corpus("fer2013", "for a contest"), Corpus("imagenet", "for research", "pretraining")]
    bundle.rewrite(weights / "small.onnx", trained_on=stated)
    told = report(capsys, 0)["models", "small"]["found"]
    assert "Trained on: fer2013 (for a contest); imagenet (for research)" in told


def test_a_damaged_model_is_broken(capsys: pytest.CaptureFixture[str], weights: Path) -> None:
    content = bytearray((weights / "small.onnx").read_bytes())
    content[len(content) // 4] ^= 1
    (weights / "small.onnx").write_bytes(content)
    check = report(capsys, 2)["models", "small"]
    assert check["state"] == "broken"
    assert "damaged" in check["found"]


def test_a_missing_model_is_broken(capsys: pytest.CaptureFixture[str], weights: Path) -> None:
    (weights / "small.onnx").unlink()
    assert "pip install" in report(capsys, 2)["models", "small"]["found"]


def test_opencv_5_is_broken(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    monkeypatch.setattr(cv2, "__version__", "5.0.0")
    check = report(capsys, 2)["libraries", "opencv"]
    assert "opencv-python-headless<5" in check["found"]


def test_two_opencv_packages_are_broken(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Found:
        def __init__(self, name: str) -> None:
            self.metadata = {"Name": name}

    pair = [Found("opencv-python"), Found("opencv-python-headless"), Found("numpy")]
    monkeypatch.setattr("mien.cli.doctor.metadata.distributions", lambda: pair)
    check = report(capsys, 2)["libraries", "opencv packages"]
    assert "pip uninstall opencv-python opencv-python-headless" in check["found"]


def test_a_missing_library_is_broken(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor._LIBRARIES, "pillow", "no_such_module")
    assert report(capsys, 2)["libraries", "pillow"]["state"] == "broken"


def test_a_missing_extra_is_no_fault(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "EXTRAS", {"train": (("no_such_module",), "training")})
    check = report(capsys, 0)["extras", "train"]
    assert check["state"] == "optional"
    assert "pip install 'mien[train]'" in check["found"]
    assert "adds training" in check["found"]


def test_the_extras_are_those_of_the_package() -> None:
    """But those that only who works on Mien itself needs."""
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(doctor.EXTRAS) == set(project["project"]["optional-dependencies"]) - {"test", "docs", "release"}
