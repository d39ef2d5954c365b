"""The script that gives finished model files their name and corpora changes nothing else in them."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien.recognition.model_files import bundle, names
from mien.recognition.recognizer import load

pytest.importorskip("pyarrow")

SCRIPT = Path(__file__).parents[2] / "scripts" / "describe_model.py"


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    spec = importlib.util.spec_from_file_location("describe_model", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    module.main()


@pytest.mark.parametrize("name", names.FILES)
def test_shipped_files_keep_their_networks(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "copy.onnx"
    shutil.copy(names.locate(name), copy)
    before, pixels = bundle.read(copy), np.random.default_rng(0).integers(0, 256, (2, 48, 48), np.uint8)
    call(monkeypatch, copy, "--name", "other", "--training", "rafdb", "ferplus", "--pretraining", "dlib_face_resnet29")
    after = bundle.read(copy)
    assert [(each.name, each.use) for each in after.trained_on] == [
        ("rafdb", "training"), ("fer2013", "training"), ("ferplus", "training"), ("dlib_face_resnet29", "pretraining"),
    ]  # fmt: skip
    assert after == replace(before, name="other", trained_on=after.trained_on)
    recognizers = [load(each, detector="whole", threads=1) for each in (name, copy)]
    first, second = (each.classify(pixels) for each in recognizers)
    np.testing.assert_array_equal(first, second)


def test_without_corpora_those_of_the_file_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "copy.onnx"
    shutil.copy(names.locate("nano"), copy)
    before = bundle.read(copy)
    call(monkeypatch, copy, "--name", "other")
    assert bundle.read(copy) == replace(before, name="other")
