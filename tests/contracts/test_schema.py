"""What is written is what the published schema says."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
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


def schema(capsys: pytest.CaptureFixture[str], *of: str) -> Any:
    assert main(["schema", *of]) == 0
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
    levels: tuple[Callable[[Any], Any], ...] = (
        lambda it: it, lambda it: it["faces"][0], lambda it: it["faces"][0]["box"],
        lambda it: it["faces"][0]["quality"], lambda it: it["faces"][0]["pose"],
    )  # fmt: skip
    for level in levels:
        for field in level(whole):
            lacking, more = deepcopy(whole), deepcopy(whole)
            del level(lacking)[field]
            level(more)["other"] = 1
            assert not validator.is_valid(lacking), field
            assert not validator.is_valid(more), field


@pytest.fixture(scope="module")
def film(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames with three faces, then two without any."""
    pytest.importorskip("av")
    import films
    import numpy as np

    times = films.vary(0.4)
    empty = np.full((films.HEIGHT, films.WIDTH, 3), 90, np.uint8)
    pictures = [*films.scene(films.cast(examples), times), empty, empty]
    return films.write(
        tmp_path_factory.mktemp("film") / "film.mp4", pictures, [*times, times[-1] + 1.0, times[-1] + 2.0]
    )


@pytest.mark.parametrize("detector", ["yunet", "haar"])
def test_lines_of_a_video_are_valid(detector: str, film: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    validator = schema(capsys, "video")
    options = ["--model", str(model), "--detector", detector, "--threads", "1", "--detect-every", "2"]
    assert main(["video", str(film), "--format", "jsonl", *options]) == 0
    frames = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    people = [person for frame in frames for person in frame["people"]]
    assert frames[-1]["people"] == []
    assert {person["seen"] for person in people} == {True, False}
    # Only YuNet gives the landmarks from which the pose is estimated, and only where a face was detected.
    assert {person["pose"] is not None for person in people if person["seen"]} == {detector == "yunet"}
    assert all(person["pose"] is None for person in people if not person["seen"])
    for frame in frames:
        validator.validate(frame)


def test_the_schema_of_a_video_knows_every_field(film: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A field that is lacking or unknown is refused, on every level."""
    validator = schema(capsys, "video")
    whole = next(iter(mien.Video(film, model=mien.load(model, threads=1)))).to_dict()
    validator.validate(whole)
    levels: tuple[Callable[[Any], Any], ...] = (
        lambda it: it, lambda it: it["people"][0], lambda it: it["people"][0]["box"],
        lambda it: it["people"][0]["quality"], lambda it: it["people"][0]["pose"],
    )  # fmt: skip
    for level in levels:
        for field in level(whole):
            lacking, more = deepcopy(whole), deepcopy(whole)
            del level(lacking)[field]
            level(more)["other"] = 1
            assert not validator.is_valid(lacking), field
            assert not validator.is_valid(more), field


def test_both_schemas_define_the_same_shapes(capsys: pytest.CaptureFixture[str]) -> None:
    photo, video = schema(capsys).schema["$defs"], schema(capsys, "video").schema["$defs"]
    shared = set(photo) & set(video)
    assert shared == {"box", "quality", "pose", "share"}
    assert {name: photo[name] for name in shared} == {name: video[name] for name in shared}


def test_an_unknown_schema_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "film"]) == 2
    assert "photo, video" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("page", "columns"),
    [
        ("predict.md", "mien.recognition.columns.csv_columns"),
        ("video.md", "mien.video.timeline.list_columns"),
    ],
)
def test_the_columns_of_the_csv_are_documented_in_their_order(page: str, columns: str) -> None:
    """The table under *The columns of the CSV* is the header of the file."""
    room, _, name = columns.rpartition(".")
    header = list(getattr(importlib.import_module(room), name)(("LABEL",)))
    text = (Path(__file__).parents[2] / "docs" / page).read_text("utf-8")
    section = re.split(r"^#+ ", text.split("### The columns of the CSV\n")[1], flags=re.M)[0]
    first_cells = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    assert [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)] == header
