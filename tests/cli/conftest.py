"""A small model file and small photos, so that the command line runs end to end without the shipped weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from support import SIZE

from mien.cli import main
from mien.labels import FER2013
from mien.preprocess import PreprocessSpec
from mien.recognition.model_files import bundle

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file whose network is one random linear layer: another photo gives other probabilities."""
    path = tmp_path_factory.mktemp("model") / "linear.onnx"
    described: dict[str, Any] = {
        "metrics": {"private_test": {"faces": 8, "accuracy": 0.5}}, "provenance": {}, "licence": "MIT",
        "recipe_digest": "0",
    }  # fmt: skip
    spec = PreprocessSpec(size=SIZE)
    bundle.write(path, linear_graph(), name="linear", labels=FER2013, preprocess=spec, temperature=3.0, uncertain_below=0.4, **described)  # fmt: skip # noqa: E501
    return path


def linear_graph() -> bytes:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    weights = np.random.default_rng(0).normal(0, 0.3, (SIZE * SIZE, len(FER2013))).astype(np.float32)
    crops = helper.make_tensor_value_info("crops", onnx.TensorProto.FLOAT, ["N", 1, SIZE, SIZE])
    logits = helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["N", len(FER2013)])
    nodes = [
        helper.make_node("Flatten", ["crops"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    constants = [onnx.numpy_helper.from_array(weights, "weights")]
    graph = helper.make_graph(nodes, "linear", [crops], [logits], constants)
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(file.SerializeToString())


@pytest.fixture
def photo() -> Callable[[Path, int], Path]:
    """Write a small photo that only ``--detector whole`` finds a face in; another seed gives other pixels."""

    def write(path: Path, seed: int) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).integers(0, 256, (24, 20, 3), np.uint8)
        Image.fromarray(noise).save(path, format="png")
        return path

    return write


@pytest.fixture
def predict(model: Path) -> Callable[..., int]:
    """Run ``mien predict`` in this process, with the small model and one face a photo."""

    def run(*arguments: object, detector: str = "whole") -> int:
        settings = ["--model", str(model), "--detector", detector, "--threads", "1"]
        return main(["predict", *map(str, arguments), *settings])

    return run
