"""``mien ensemble`` writes a file that every other verb and the server take."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import bars, write_zip
from support import linear_graph, write_model

pytestmark = pytest.mark.train
pytest.importorskip("onnx")
pytest.importorskip("sklearn")
pytest.importorskip("pydantic")

from mien.cli import main  # noqa: E402
from mien.labels import FER2013  # noqa: E402
from mien.preprocess import PreprocessSpec  # noqa: E402
from mien.recognition.model_files import bundle  # noqa: E402

Photo = Callable[[Path, int], Path]


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    """A grey model of 16 pixels and one of 24 in colour."""
    specs = {"small": PreprocessSpec(size=16), "large": PreprocessSpec(size=24, grey=False, channels=3)}
    for index, (name, spec) in enumerate(specs.items()):
        shape = (spec.channels * spec.size**2, len(FER2013))
        weights = np.random.default_rng(index).normal(0, 0.05, shape).astype(np.float32)
        graph = linear_graph(spec, len(FER2013), weights=weights)
        write_model(
            tmp_path / f"{name}.onnx", preprocess=spec, name=name, graph=graph, uncertain_below=0.3 + index / 10
        )
    return [str(tmp_path / f"{name}.onnx") for name in specs]


def predict(model: str, photo: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    assert main(["predict", str(photo), "--model", model, "--detector", "whole", "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)[0]


def test_an_ensemble_is_a_model_for_every_verb(
    pair: list[str], tmp_path: Path, photo: Photo, capsys: pytest.CaptureFixture[str]
) -> None:
    out, picture = str(tmp_path / "both.onnx"), photo(tmp_path / "a.png", 0)
    assert main(["ensemble", *pair, "-o", out, "--weights", "3,1"]) == 0
    shown = capsys.readouterr().out
    assert "small: weight 0.75; reads the crop in grey, shrunk to 16×16\nlarge: weight 0.25\n" in shown
    assert "Uncertain below 0.400: the highest of the members'; --data fits it" in shown
    assert shown.endswith(f"Model: {out} (sha256 {bundle.read(out).digest})\n")
    own, small, large = (predict(model, picture, capsys) for model in (out, *pair))
    assert own["model"] == "both"
    for label, value in own["faces"][0]["probabilities"].items():
        members = [result["faces"][0]["probabilities"][label] for result in (small, large)]
        assert value == pytest.approx(0.75 * members[0] + 0.25 * members[1], abs=0.02)
    assert main(["models", out]) == 0
    card = capsys.readouterr().out
    assert "members      small 0.75, large 0.25" in card
    assert "input        24×24 RGB" in card
    assert main(["explain", str(picture), "--model", out, "--detector", "whole", "--out", str(tmp_path / "maps")]) == 0
    assert json.loads((tmp_path / "maps" / "a.json").read_text())["model"] == "both"
    data = write_zip(bars({"Training": 2, "PublicTest": 2, "PrivateTest": 2}), tmp_path / "fer2013.zip")
    assert main(["evaluate", out, "--data", str(data), "--out", str(tmp_path / "scores")]) == 0
    metrics = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    assert metrics["model"] == "both"
    assert metrics["temperature"] == 1


def test_the_threshold_is_fitted_on_data(pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_zip(bars({"Training": 2, "PublicTest": 4, "PrivateTest": 2}), tmp_path / "fer2013.zip")
    out = tmp_path / "both.onnx"
    assert main(["ensemble", *pair, "--out", str(out), "--data", str(data)]) == 0
    shown = capsys.readouterr().out
    assert "fitted on the validation set" in shown
    assert "same label on" in shown
    file = bundle.read(out)
    assert file.uncertain_below == file.metrics["uncertain"]["confidence"]
    assert file.metrics["public_test"]["faces"] == 28


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weights", "0.5"], "expected one number above 0 for each model"),
        (["--weights", "0.5,0"], "expected numbers above 0, such as 0.7,0.3"),
        (["--weights", "a,b"], "expected numbers above 0, such as 0.7,0.3"),
        (["--out", "pair"], "does not end in .onnx"),
    ],
)
def test_wrong_options_are_one_line(
    options: list[str], message: str, pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ensemble", *pair, "--out", str(tmp_path / "both.onnx"), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "both.onnx").exists()


def test_an_ensemble_is_served(pair: list[str], tmp_path: Path, photo: Photo) -> None:
    pytest.importorskip("fastapi", reason="needs the [serve] extra")
    pytest.importorskip("httpx")
    from serving import get, post, serving

    from mien.recognition.recognizer import load
    from mien.web.settings import Settings

    out, picture = tmp_path / "both.onnx", photo(tmp_path / "a.png", 0)
    assert main(["ensemble", *pair, "--out", str(out)]) == 0
    recognizer = load(out, detector="whole", threads=1)
    with serving(Settings(threads=1, log_level="error"), recognizer) as address:
        answer = post(f"{address}/v1/predict", content=picture.read_bytes(), headers={"Content-Type": "image/png"})
        (result,) = answer.json()["results"]
        assert result["faces"] == recognizer.predict(picture.read_bytes()).to_dict()["faces"]
        models = get(f"{address}/v1/models").json()["models"]
        members = [one["model"] for one in models[0]["provenance"]["members"]]
        assert members == ["small", "large"]
