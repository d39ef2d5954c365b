"""What several tests share: a network small enough to write down, model files around it, generated pictures."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mien.labels import FER2013, LabelSet
from mien.preprocess import PreprocessSpec
from mien.recognition.crop import CropSpec
from mien.recognition.detection.detect import Detection
from mien.recognition.model_files import bundle
from mien.results import Box

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mien.recognition.model_files.bundle import Bundle


SIZE = 16
"""Side of the crops of the tiny network that the verbs are given."""


class Quarters:
    """A detector that takes each quarter of the picture for a face."""

    name = "quarters"
    crop = CropSpec(1.0, 0.0, False)

    def detect(self, pixels: NDArray[np.uint8]) -> tuple[Detection, ...]:
        height, width = pixels.shape[0] / 2, pixels.shape[1] / 2
        boxes = (Box(x * width, y * height, width, height) for y in (0, 1) for x in (0, 1))
        return tuple(Detection(box, 0.9 - index / 10, None) for index, box in enumerate(boxes))


class Nobody(Quarters):
    """A detector that finds nothing."""

    def detect(self, pixels: NDArray[np.uint8]) -> tuple[Detection, ...]:
        assert pixels.dtype == np.uint8
        return ()


def linear_weights(spec: PreprocessSpec, classes: int) -> NDArray[np.float32]:
    """Return the matrix (channels × size × size, C) of the tiny network."""
    shape = (spec.channels * spec.size**2, classes)
    return np.random.default_rng(0).normal(0, 0.3, shape).astype(np.float32)


def linear_graph(
    spec: PreprocessSpec, classes: int, *, inputs: str = "crops", outputs: str = "logits", weights: Any = None
) -> bytes:
    """Return a network of one matrix, whose logits NumPy can check."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    matrix = linear_weights(spec, classes) if weights is None else weights
    crops = helper.make_tensor_value_info(inputs, onnx.TensorProto.FLOAT, ["N", spec.channels, spec.size, spec.size])
    logits = helper.make_tensor_value_info(outputs, onnx.TensorProto.FLOAT, ["N", classes])
    nodes = [
        helper.make_node("Flatten", [inputs], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], [outputs]),
    ]
    graph = helper.make_graph(nodes, "linear", [crops], [logits], [onnx.numpy_helper.from_array(matrix, "weights")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def write_model(path: Path, *, labels: LabelSet = FER2013, graph: bytes | None = None, **changes: Any) -> Bundle:
    """Write a model file around the tiny network; ``changes`` replace parts of its description."""
    spec = changes.get("preprocess", PreprocessSpec(size=16))
    described: dict[str, Any] = {
        "name": "tiny", "preprocess": spec, "temperature": 2.0, "uncertain_below": 0.4, "metrics": {"accuracy": 0.5},
        "provenance": {"corpus": "none"}, "licence": "MIT", "recipe_digest": "0" * 64, **changes,
    }  # fmt: skip
    return bundle.write(path, graph or linear_graph(spec, len(labels)), labels=labels, **described)


@contextmanager
def full_after(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond ``size`` bytes: writing more fails as on a full disk."""
    resource = pytest.importorskip("resource", reason="needs the limits of Unix")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def little_memory(more: int) -> Iterator[None]:
    """Let this process take at most ``more`` bytes of address space beside what it has."""
    resource = pytest.importorskip("resource", reason="needs the limits of Unix")
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs Linux's size of a process")
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return random RGB pixels, (height, width, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def gradient(height: int, width: int) -> NDArray[np.uint8]:
    """Return smooth RGB pixels that differ in every place and direction."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x + y) * 255 // max(height + width - 2, 1)]
    return np.stack(planes, axis=2).astype(np.uint8)


def write_run(path: Path, *, channels: int = 1, **network: Any) -> Path:
    """Write a run folder whose network has first weights; its model file holds the tiny network of the same inputs."""
    import json

    torch = pytest.importorskip("torch")
    from mien.recipes import recipe as recipes
    from mien.training.module import network_of

    values = {
        "name": "run", "preprocess": {"size": 24, "channels": channels}, "network": network or {"name": "four_block"},
        "data": {"split": "image"}, "train": {"epochs": 1, "batch_size": 8, "rate": 0.001},
    }  # fmt: skip
    recipe = recipes.parse(values)
    torch.manual_seed(0)
    weights = network_of(recipe, len(FER2013)).state_dict()
    (path / "checkpoints").mkdir(parents=True)
    (path / "recipe.json").write_text(json.dumps(values))
    torch.save({"state_dict": {f"network.{key}": value for key, value in weights.items()}}, path / "checkpoints" / "best.ckpt")  # fmt: skip # noqa: E501
    write_model(path / "model.onnx", preprocess=recipe.preprocess)
    return path
