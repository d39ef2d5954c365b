"""explore, prepare, clean, apply-review and preview, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from mien.cli import DONE, FAILED, PARTLY, main

pytest.importorskip("pyarrow")

from mien.datasets import manifest
from tests import corpora


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


def test_clean_then_apply(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "clean"
    assert main(["data", "clean", str(faces), "--out", str(out), "--face", "0"]) == DONE
    assert "42 images looked at" in capsys.readouterr().out
    first = manifest.read(faces).column("id")[0]
    (out / "review.csv").write_text(f"id,action,new_label\n{first},drop,\n")
    new = tmp_path / "new.parquet"
    assert main(["data", "apply-review", str(faces), str(out / "review.csv"), str(new)]) == DONE
    assert len(manifest.read(new)) == 41


def test_preview_needs_a_recipe(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["data", "preview", str(tmp_path / "none.toml"), "--data", str(faces), "--out", str(tmp_path / "b.png")]
    assert main(arguments) == FAILED
    assert "No recipe at" in capsys.readouterr().err
