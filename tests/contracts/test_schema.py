"""What is written is what the published schema says."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

import mien
from mien.cli import main

jsonschema = pytest.importorskip("jsonschema")


@pytest.fixture(scope="module")
def photos(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo with a face, one without, one that is cut off, and a file that is none."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("photos")
    content = (examples / "astronaut.jpg").read_bytes()
    (folder / "face.jpg").write_bytes(content)
    (folder / "cut.jpg").write_bytes(content[: len(content) // 2])
    (folder / "none.jpg").write_bytes(b"no picture")
    Image.new("RGB", (64, 64), "grey").save(folder / "grey.png")
    return folder


def schema(capsys: pytest.CaptureFixture[str]) -> Any:
    assert main(["schema"]) == 0
    read = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(read)
    return jsonschema.Draft202012Validator(read)


@pytest.mark.parametrize("detector", ["yunet", "haar"])
def test_real_output_is_valid(detector: str, photos: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    validator = schema(capsys)
    options = ["--model", str(model), "--detector", detector, "--threads", "1", "--accept-truncated"]
    assert main(["predict", str(photos), "--json", *options]) == 3
    entries = json.loads(capsys.readouterr().out)
    assert main(["predict", str(photos), "--format", "jsonl", *options]) == 3
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == entries
    assert {tuple(entry) == ("source", "error") for entry in entries} == {True, False}
    assert {entry.get("truncated", False) for entry in entries} == {True, False}
    for entry in entries:
        validator.validate(entry)


def test_the_schema_knows_every_field(model: Path, examples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A field that is lacking or unknown is refused, on every level."""
    validator = schema(capsys)
    whole = mien.load(model, threads=1).predict(examples / "astronaut.jpg").to_dict()
    validator.validate(whole)
    for level in (lambda it: it, lambda it: it["faces"][0], lambda it: it["faces"][0]["box"],
                  lambda it: it["faces"][0]["quality"]):  # fmt: skip
        for field in level(whole):
            lacking, more = deepcopy(whole), deepcopy(whole)
            del level(lacking)[field]
            level(more)["other"] = 1
            assert not validator.is_valid(lacking), field
            assert not validator.is_valid(more), field
