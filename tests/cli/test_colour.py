"""A network that is shown colour is trained, evaluated and served on colour: one pixel path."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from corpora import plant, png

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from mien.cli import main  # noqa: E402
from mien.evaluation import predictions  # noqa: E402
from mien.preprocess import grey  # noqa: E402

HUES = {"happy": (170, 60, 60), "sad": (40, 126, 60)}
"""Two colours of one luminance."""

RECIPE = """
name = "hue"
[data]
classes = ["happiness", "sadness"]
[preprocess]
size = 16
grey = false
channels = 3
[network]
spatial_dropout = 0.0
dropout = 0.0
[augment]
flip = 0.0
[train]
epochs = 3
batch_size = 8
rate = 0.003
"""


def tinted(kind: str, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(-25, 26, (24, 24, 1))
    return (np.array(HUES[kind]) + noise).astype(np.uint8)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {"train": 40, "validation": 10, "test": 10}
    files: dict[str, bytes | str] = {}
    for part, count in counts.items():
        for kind in HUES:
            files |= {f"{part}/{kind}/{at}.png": png(tinted(kind, len(files) + at)) for at in range(count)}
    return plant(tmp_path_factory.mktemp("hue") / "corpus", files)


@pytest.fixture(scope="module")
def run(corpus: Path) -> Path:
    recipe = corpus.parent / "hue.toml"
    recipe.write_text(RECIPE)
    assert main(["train", str(recipe), "--data", str(corpus), "--out", str(corpus.parent / "run")]) == 0
    return corpus.parent / "run"


def test_classes_differ_in_hue_alone() -> None:
    brightness = [grey(tinted(kind, seed)).mean() for kind in HUES for seed in range(20)]
    assert np.ptp(brightness) < 8
    assert abs(np.mean(brightness[:20]) - np.mean(brightness[20:])) < 2


def test_colour_is_learned_and_read_alike_from_crops_and_photos(run: Path, corpus: Path, tmp_path: Path) -> None:
    arguments = ["evaluate", str(run / "model.onnx"), "--out"]
    assert main([*arguments, str(tmp_path / "crops"), "--data", str(corpus), "--split", "test"]) == 0
    crops = json.loads((tmp_path / "crops" / "metrics.json").read_text())["parts"]["test"]
    assert crops["accuracy"] == 1.0
    photos = [*arguments, str(tmp_path / "photos"), "--photos", str(corpus / "test"), "--detector", "whole"]
    assert main(photos) == 0
    assert json.loads((tmp_path / "photos" / "metrics.json").read_text())["accuracy"] == crops["accuracy"]


def test_predictions_keep_the_colours(run: Path) -> None:
    kept = predictions.read(run / "predictions.parquet")
    assert kept.crops is not None
    assert kept.crops.shape[1:] == (24, 24, 3)
    named = [kept.label_set.labels[label] for label in kept.labels]
    means = kept.crops.mean((1, 2))
    assert all((red > green) == (name == "happiness") for name, (red, green, _) in zip(named, means, strict=True))


def test_matrix_audit_report_and_export_take_colour(run: Path, corpus: Path, tmp_path: Path) -> None:
    model = str(run / "model.onnx")
    assert main(["evaluate", model, model, "--matrix", "--data", str(corpus), "--out", str(tmp_path / "matrix")]) == 0
    assert "| 100.0%" in (tmp_path / "matrix" / "matrix.md").read_text()
    audit = ["audit", model, "--data", str(corpus), "--out", str(tmp_path / "audit")]
    assert main([*audit, "--corruptions", "noise"]) == 0
    assert main(["report", str(run), "--out", str(tmp_path / "report")]) == 0
    assert main(["export", str(run), "--data", str(corpus), "--int8"]) == 0
    assert main(["data", "preview", str(run.parent / "hue.toml"), "--data", str(corpus), "--out", str(tmp_path / "p.png")]) == 0  # fmt: skip # noqa: E501
