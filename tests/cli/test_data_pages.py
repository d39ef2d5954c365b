"""explore, prepare, clean, apply-review and preview, from the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien.cli import DONE, FAILED, PARTLY, main

pytest.importorskip("pyarrow")

import corpora

from mien.datasets import manifest, prepare
from mien.preprocess import PreprocessSpec, apply
from mien.recognition.detection.detect import get_detector
from mien.recognition.recognizer import load


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    source = corpora.write_zip(corpora.bars({"Training": 6}), tmp_path / "faces.zip")
    assert main(["data", "index", str(source), "--out", str(tmp_path / "faces.parquet")]) == DONE
    return tmp_path / "faces.parquet"


def test_explore_says_where_the_page_is(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "explore", str(faces), "--out", str(tmp_path / "page"), "--sample", "20"]) == DONE
    assert "index.html: 42 images, imbalance ratio 1.0" in capsys.readouterr().out
    assert (tmp_path / "page" / "index.html").is_file()


def test_prepare_keeps_whole_images_and_says_so(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "crops"
    arguments = [
        "data",
        "prepare",
        str(faces),
        "--out",
        str(out),
        "--keep-undetected",
        "--no-clahe",
        "--threshold",
        "1",
    ]
    assert main(arguments) == PARTLY
    assert "no face in 42 images" in capsys.readouterr().err
    assert len(manifest.read(out / "manifest.parquet")) == 42
    assert len((out / "undetected.csv").read_text().splitlines()) == 43


def test_prepare_without_any_face_fails(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "prepare", str(faces), "--out", str(tmp_path / "crops"), "--threshold", "1"]) == FAILED
    assert "try another --detector" in capsys.readouterr().err


@pytest.fixture
def photos(tmp_path: Path, examples: Path) -> Path:
    files = {f"{kind}/{at}.jpg": (examples / "astronaut.jpg").read_bytes() for at, kind in enumerate(("happy", "sad"))}
    blank = corpora.png(np.full((60, 60, 3), (200, 30, 30), np.uint8))
    source = corpora.plant(tmp_path / "photos", {**files, "happy/none.png": blank})
    assert main(["data", "index", str(source), "--out", str(tmp_path / "photos.parquet")]) == DONE
    return tmp_path / "photos.parquet"


def test_framed_crops_are_colour_as_predict_sees_them_in_one_array(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "framed"
    assert main(["data", "prepare", str(photos), "--out", str(out), "--framed"]) == PARTLY
    made = manifest.read(out / "manifest.parquet")
    assert made.column("flags").count([prepare.UNDETECTED]) == 1
    settings = made.info["prepared"]
    assert {name: settings[name] for name in ("detector", "clahe", "framed", "colour", "store", "interpolation")} == {
        "detector": "yunet", "clahe": False, "framed": True, "colour": True, "store": "array", "interpolation": "area",
    }  # fmt: skip
    crops = np.load(out / "crops.npy")
    assert crops.shape == (2, 112, 112, 3)
    recognizer = load(detector=get_detector("yunet"), threads=1)
    (shown,) = recognizer.find(manifest.read(photos).pixels(np.flatnonzero(made.array("label") == "sadness"))[0]).crops
    spec = PreprocessSpec(grey=False, channels=3, size=112, scale=1.0, standardise="none")
    expected = apply([shown], spec)[0].astype(np.uint8).transpose(1, 2, 0)
    (row,) = np.flatnonzero(made.array("label") == "sadness")
    np.testing.assert_array_equal(made.pixels([int(row)])[0], expected)


def test_framed_takes_other_choices(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "framed"
    chosen = ["--grey", "--size", "40", "--store", "png", "--no-keep-undetected", "--workers", "2"]
    assert main(["data", "prepare", str(photos), "--out", str(out), "--framed", *chosen]) == PARTLY
    made = manifest.read(out / "manifest.parquet")
    assert [image.shape for image in made.pixels(range(len(made)))] == [(40, 40)] * 2


def test_framed_with_clahe_is_refused(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "prepare", str(photos), "--out", str(tmp_path / "out"), "--framed", "--clahe"]) == FAILED
    assert "framed = True needs clahe = False" in capsys.readouterr().err


def test_clean_then_apply(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "clean"
    assert main(["data", "clean", str(faces), "--out", str(out), "--face", "0"]) == DONE
    assert "42 images checked" in capsys.readouterr().out
    first = manifest.read(faces).column("id")[0]
    (out / "review.csv").write_text(f"id,action,new_label\n{first},drop,\n")
    new = tmp_path / "new.parquet"
    assert main(["data", "apply-review", str(faces), str(out / "review.csv"), str(new)]) == DONE
    assert len(manifest.read(new)) == 41


def test_preview_needs_a_recipe(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["data", "preview", str(tmp_path / "none.toml"), "--data", str(faces), "--out", str(tmp_path / "b.png")]
    assert main(arguments) == FAILED
    assert "No recipe at" in capsys.readouterr().err
