"""Where a photo's time goes: four stages that add up, as bars of text and as a picture; no time is asserted."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image
from support import noise, write_model

pytest.importorskip("onnx")

from mien.bench import breakdown, measure
from mien.bench.breakdown import STAGES, Breakdown, Stage
from mien.cli import main
from mien.errors import ImageError

ASTRONAUT = "examples/astronaut.jpg"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_model(tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.fixture
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the rest of the benchmark out, which takes minutes."""
    machine = {"system": "Linux", "cores": 2, "python": "3", "libraries": {}}
    described = {"name": "m", "digest": "", "bytes": 1, "flops": 1}

    def nothing(_photo: Path, shown: str, **_: object) -> measure.Bench:
        return measure.Bench(machine, described, shown, 1, {}, ())

    monkeypatch.setattr(measure, "measure", nothing)


def test_the_stages_of_a_photo(model: Path, examples: Path) -> None:
    measured = breakdown.measure(
        examples / "astronaut.jpg", "a.jpg", model=str(model), threads=1, device="cpu", rounds=2
    )
    assert [stage.name for stage in measured.stages] == list(STAGES)
    assert (measured.photo, measured.width, measured.height, measured.faces) == ("a.jpg", 512, 512, 1)
    assert sum(stage.share for stage in measured.stages) == pytest.approx(1)
    assert all(0 < stage.low <= stage.seconds <= stage.high for stage in measured.stages)
    assert measured.title.startswith("a.jpg: 512×512, 1 face, 1 thread: ")


def test_a_photo_without_a_face_says_so(model: Path, tmp_path: Path) -> None:
    Image.fromarray(noise(60, 60)).save(tmp_path / "noise.png")
    with pytest.raises(ImageError, match="no face detected"):
        breakdown.measure(tmp_path / "noise.png", "", model=str(model), threads=1, device="cpu", rounds=1)


@pytest.mark.usefixtures("_brief")
def test_bars_and_picture(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    asked = ["--model", str(model), "--repeat", "1", "--threads", "1"]
    assert main(["bench", ASTRONAUT, *asked, "--plot", str(tmp_path / "photo.png")]) == 0
    shown = capsys.readouterr().out
    rows = [line.split() for line in shown.splitlines() if line.split()[:1] and line.split()[0] in STAGES]
    assert [row[0] for row in rows] == list(STAGES)
    bars, shares = [row[1].count("█") for row in rows], [int(row[3].rstrip("%")) for row in rows]
    assert max(bars) == 40
    assert bars.index(max(bars)) == shares.index(max(shares))
    with Image.open(tmp_path / "photo.png") as picture:
        assert picture.width > picture.height
    assert main(["bench", ASTRONAUT, *asked, "--format", "json", "--plot", str(tmp_path / "photo.svg")]) == 0
    written = json.loads(capsys.readouterr().out)
    assert [stage["name"] for stage in written["breakdown"]["stages"]] == list(STAGES)
    assert (tmp_path / "photo.svg").read_text("utf-8").startswith("<?xml")


@pytest.mark.usefixtures("_brief")
def test_without_a_photo_nothing_is_added(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--model", str(model), "--threads", "1", "--format", "json"]) == 0
    assert "breakdown" not in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--plot", "photo.gif"], ".png, .svg"),
        (["--plot", ASTRONAUT], "is the photo"),
        (["--plot", "x.svg", "--out", "x.svg"], "choose two files"),
    ],
)
def test_files_that_cannot_be(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["bench", ASTRONAUT, *options]) == 2
    assert words in capsys.readouterr().err


def test_the_picture_names_every_stage() -> None:
    pytest.importorskip("matplotlib")
    from mien.reporting import figures

    stages = tuple(Stage(name, 0.001, 0.0005, 0.002, 0.25) for name in STAGES)
    figure = breakdown.draw(Breakdown("a.jpg", 4, 3, 2, 1, stages))
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == list(STAGES)[::-1]
    assert "2 faces" in axes.get_title()
    with Image.open(io.BytesIO(figures.render(figure, "png"))) as picture:
        assert picture.format == "PNG"
