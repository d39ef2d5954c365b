"""``mien explain`` and its two sisters: a picture and its numbers for each photo, nothing lost, nothing overwritten."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from corpora import bars, write_zip
from PIL import Image
from support import write_run

import mien
from mien.cli import main
from mien.drawing.percents import percent
from mien.interpret.explain import explain_image

if TYPE_CHECKING:
    from collections.abc import Callable

    Explain = Callable[..., int]
    Photo = Callable[[Path, int], Path]


@pytest.fixture
def explain(model: Path, tmp_path: Path) -> Explain:
    """Run ``mien explain`` in this process, with the small model and one face a photo."""

    def run(*arguments: object, detector: str = "whole", out: Path = tmp_path / "out") -> int:
        settings = ["--model", str(model), "--detector", detector, "--threads", "1", "--out", str(out)]
        return main(["explain", *settings, *map(str, arguments)])

    return run


@pytest.fixture
def folder(tmp_path: Path, photo: Photo) -> Path:
    photo(tmp_path / "photos" / "1.png", 1)
    (tmp_path / "photos" / "2.png").write_text("no picture")
    photo(tmp_path / "photos" / "sub" / "3.jpg", 3)
    return tmp_path / "photos"


def test_each_photo_has_a_picture_and_its_numbers(
    folder: Path, tmp_path: Path, model: Path, explain: Explain, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(folder, "--classes", "top2") == 3
    output, error = capsys.readouterr()
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert names == {"1.png", "1.json", "sub/3.png", "sub/3.json"}
    assert error.count("\n") == 1
    assert str(folder / "2.png") in error
    found = explain_image(mien.load(model, detector="whole", threads=1), folder / "1.png", 2)
    told = json.loads((tmp_path / "out" / "1.json").read_text())
    assert told == json.loads(json.dumps(found.to_dict()))
    for line, one in zip(output.splitlines(), found.maps[0], strict=False):
        assert line.startswith(f"{folder / '1.png'}  face 1  {one.label} {percent(one.probability)}")
        assert f"{one.faithfulness.score:+.2f}" in line
        assert ("explains nothing" in line) is not one.faithfulness.explains
    with Image.open(tmp_path / "out" / "1.png") as picture, Image.open(tmp_path / "out" / "sub" / "3.png") as other:
        assert picture.size[0] == other.size[0] > 2 * 240


def test_named_classes(folder: Path, tmp_path: Path, explain: Explain) -> None:
    assert explain(folder / "1.png", "--classes", "sad, anger") == 0
    faces = json.loads((tmp_path / "out" / "1.json").read_text())["faces"]
    assert [one["class"] for one in faces[0]["maps"]] == ["sadness", "anger"]


@pytest.mark.parametrize(
    "wrong",
    [
        (("--classes", "hapiness"), "Did you mean 'happiness'?"),
        (("--classes", "anger,,fear"), "expected classes such as"),
        (("--classes", "top9"), "give 1 to 7"),
        (("--classes", "contempt"), "no 'contempt'"),
        (("--method", "gradcam"), "Did you mean 'grad-cam'?"),
        (("--method", "grad-cam"), "--model RUN"),
        (("--layer", "features.3"), "leave it out"),
    ],
)
def test_wrong_use_writes_nothing(
    folder: Path,
    tmp_path: Path,
    explain: Explain,
    capsys: pytest.CaptureFixture[str],
    wrong: tuple[tuple[str, ...], str],
) -> None:
    arguments, words = wrong
    assert explain(folder, *arguments) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_photo_without_a_face_is_said_and_no_error(
    folder: Path, tmp_path: Path, explain: Explain, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(folder / "1.png", detector="yunet") == 0
    output, error = capsys.readouterr()
    assert "no face" in output
    assert error == ""
    assert json.loads((tmp_path / "out" / "1.json").read_text())["faces"] == []
    assert (tmp_path / "out" / "1.png").exists()


def test_photos_of_one_name_do_not_meet(folder: Path, tmp_path: Path, photo: Photo, explain: Explain) -> None:
    photo(folder / "1.jpg", 4)
    photo(folder / "scan", 5)
    assert explain(folder / "1.png", folder / "1.jpg", folder / "scan", folder / "sub") == 0
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")}
    assert names == {"1.png.png", "1.jpg.png", "scan.png", "sub/3.png"}


@pytest.mark.parametrize("place", [".", "sub", "new"])
def test_photos_are_never_overwritten(
    folder: Path, explain: Explain, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    before = (folder / "1.png").read_bytes()
    assert explain(folder, out=folder / place) == 2
    assert "--out" in capsys.readouterr().err
    assert (folder / "1.png").read_bytes() == before


def test_explain_needs_no_torch(folder: Path, tmp_path: Path, model: Path) -> None:
    script = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'matplotlib', 'captum', 'onnx', 'sklearn']));"
        "from mien.cli import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", script, "explain", str(folder / "1.png"), "--model", str(model)]
    done = subprocess.run(
        [*command, "--detector", "whole", "--out", str(tmp_path / "out")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "1.png").exists()


@pytest.mark.train
@pytest.mark.parametrize("method", ["grad-cam", "layer-cam", "integrated-gradients", "occlusion"])
def test_a_run_folder_is_a_model(folder: Path, tmp_path: Path, explain: Explain, method: str) -> None:
    pytest.importorskip("captum")
    run = write_run(tmp_path / "run")
    assert explain(folder / "1.png", "--method", method, "--model", run) == 0
    told = json.loads((tmp_path / "out" / "1.json").read_text())
    assert told["faces"][0]["maps"][0]["method"] == method


@pytest.mark.train
def test_layers(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("captum")
    run, out = write_run(tmp_path / "run"), tmp_path / "out"
    photos = (str(folder / "1.png"), str(folder / "sub"))
    assert main(["explain-layers", str(run), *photos, "--detector", "whole", "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {
        f"{name}.{kind}" for name in ("filters", "1.layers", "3.layers") for kind in ("png", "svg", "pdf")
    }
    assert main(["explain-layers", str(run), photos[0], "--out", str(out)]) == 0
    assert "no face" in capsys.readouterr().out
    shutil.rmtree(run / "checkpoints")
    assert main(["explain-layers", str(run), "--out", str(out)]) == 2
    assert "best.ckpt" in capsys.readouterr().err


@pytest.mark.train
def test_embedding(tmp_path: Path) -> None:
    pytest.importorskip("captum")
    run, out = write_run(tmp_path / "run"), tmp_path / "out"
    faces = bars({"Training": 12})
    data = write_zip(faces, tmp_path / "faces.zip")
    arguments = ("--data", data, "--split", "Training", "--faces", 40, "--out", out)
    assert main(["explain-embedding", str(run), *map(str, arguments)]) == 0
    with (out / "embedding.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 40
    assert {row["label"] for row in rows} <= set(faces.label_set.labels)
    assert (out / "embedding.png").exists()
