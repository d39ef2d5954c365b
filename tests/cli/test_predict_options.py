"""Options of ``mien predict`` that people try first: -o, -q, --json, --labels, --max-faces, --max-pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.cli import main
from mien.cli.words import counted
from mien.cli.writing.output import described


@pytest.fixture
def photo(examples: Path) -> str:
    return str(examples / "astronaut.jpg")


@pytest.fixture
def options(model: Path) -> list[str]:
    return ["--model", str(model), "--threads", "1"]


def test_json_and_o(photo: str, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", photo, "--json", *options]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert main(["predict", photo, "-o", str(tmp_path / "out.json"), *options]) == 0
    assert json.loads((tmp_path / "out.json").read_text("utf-8")) == printed


def test_quiet_leaves_errors_alone(
    photo: str, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(Path(photo).read_bytes())
    (folder / "b.jpg").write_bytes(b"no picture")
    (folder / "film.mov").touch()
    assert main(["predict", str(folder), "--json", *options]) == 3
    assert "1 passed over (1 .mov)" in capsys.readouterr().err
    assert main(["predict", str(folder), "--json", "-q", *options]) == 3
    error = capsys.readouterr().err
    assert error.startswith("mien: unreadable: ")
    assert error.count("\n") == 1


def test_labels_in_a_language(photo: str, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", photo, "--format", "csv", "--labels", "fr", *options]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert "p_colère,p_dégoût" in header
    assert row.split(",")[7] in ("colère", "dégoût", "peur", "joie", "tristesse", "surprise", "neutre")
    assert main(["predict", photo, "--labels", "frr", *options]) == 2
    assert "Did you mean 'fr'?" in capsys.readouterr().err


def test_max_faces_1_takes_the_largest(
    photo: str, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same face twice, once at two thirds, side by side."""
    with Image.open(photo) as picture:
        large, small = np.asarray(picture.convert("RGB")), np.asarray(picture.convert("RGB").resize((340, 340)))
    both = np.full((512, 852, 3), 128, np.uint8)
    both[:340, :340], both[:, 340:] = small, large
    Image.fromarray(both).save(tmp_path / "both.png")
    assert main(["predict", str(tmp_path / "both.png"), "--json", *options]) == 0
    ((first, second),) = [entry["faces"] for entry in json.loads(capsys.readouterr().out)]
    assert main(["predict", str(tmp_path / "both.png"), "--json", "--max-faces", "1", *options]) == 0
    ((kept,),) = [entry["faces"] for entry in json.loads(capsys.readouterr().out)]
    assert kept["box"] == max(first["box"], second["box"], key=lambda box: box["width"])


def test_max_pixels(photo: str, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", photo, "--max-pixels", "1000", *options]) == 3
    assert "expected at most 1000" in capsys.readouterr().err


def test_a_film_is_sent_to_the_verb_for_films(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41")
    assert main(["predict", str(film), *options]) == 3
    assert f"Run: mien video '{film}'" in capsys.readouterr().err


def test_addresses_need_files_for_some_outputs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    address = ["predict", "https://example.org/a.jpg", "--allow-urls"]
    assert main([*address, "--save-annotated", str(tmp_path)]) == 2
    assert "Addresses go without --save-annotated" in capsys.readouterr().err


def test_plurals() -> None:
    from collections import Counter

    assert described(Counter({"file without an ending": 2})) == "2 passed over (2 files without an ending)"
    assert (
        described(Counter({"hidden file": 1, "linked folder": 2})) == "3 passed over (2 linked folders, 1 hidden file)"
    )
    assert (counted(1, "photo"), counted(0, "photo")) == ("1 photo", "0 photos")
