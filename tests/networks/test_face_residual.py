from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
pytest.importorskip("pydantic")

from mien.errors import FileMissingError, RecipeError  # noqa: E402
from mien.networks import face_residual, networks  # noqa: E402
from mien.networks.face_residual import FaceResidual  # noqa: E402


def _weights(network: FaceResidual) -> dict[str, np.ndarray]:
    """Return random weights with the names and shapes of dlib's."""
    draw = np.random.default_rng(0)
    convolutions: dict[str, Any] = {"conv32_down": network.stem[0]}
    for name, block in network.blocks.items():
        convolutions |= {f"{name}.conv1": block.first, f"{name}.conv2": block.second}
    found = {}
    for name, conv in convolutions.items():
        outputs, inputs, side, _ = conv.weight.shape
        found[f"{name}.conv.filters"] = draw.normal(0, 0.1, (side, side, inputs, outputs))
        found[f"{name}.conv.bias"] = draw.normal(0, 0.1, outputs)
        found[f"{name}.scale.weights"] = draw.uniform(0.5, 1.5, outputs)
        found[f"{name}.scale.biases"] = draw.normal(0, 0.1, outputs)
    return {name: values.astype(np.float32) for name, values in found.items()}


def test_it_has_the_parameters_it_says_and_takes_any_size() -> None:
    network = networks.build("face_residual", 8, 3, 64)
    assert networks.parameter_count(network) == 4_399_656
    for size in (32, 64, 80, 97):
        assert network.eval()(torch.zeros(2, 3, size, size)).shape == (2, 8)
    assert networks.flexible(network)


def test_images_too_small_and_grey_weights_are_refused() -> None:
    with pytest.raises(RecipeError, match="32"):
        networks.build("face_residual", 8, 3, 24)
    with pytest.raises(RecipeError, match="channels = 3"):
        networks.build("face_residual", 8, 1, 64, pretrained=True)


def test_weights_become_batch_norms_that_answer_as_scale_and_bias_did() -> None:
    network = FaceResidual(8, 3, 64)
    weights = _weights(network)
    faces = torch.from_numpy(np.random.default_rng(1).uniform(0, 255, (16, 3, 64, 64)).astype(np.float32))
    crops = (faces - torch.tensor(face_residual.MEAN)[:, None, None]) / 256
    network.start(weights, faces, crops)
    conv = torch.from_numpy(weights["conv32_down.conv.filters"]).permute(3, 2, 0, 1)
    answers = torch.nn.functional.conv2d(crops, conv, torch.from_numpy(weights["conv32_down.conv.bias"]), 2, 3)
    scale, bias = (torch.from_numpy(weights[f"conv32_down.scale.{name}"]) for name in ("weights", "biases"))
    wanted = torch.relu(answers * scale[:, None, None] + bias[:, None, None])
    with torch.no_grad():
        assert torch.allclose(network.train().stem(crops), wanted, atol=1e-4)
        assert torch.allclose(network.eval().stem(crops), wanted, atol=1e-2)


def test_weights_of_another_network_are_refused() -> None:
    network = FaceResidual(8, 3, 64)
    weights = _weights(network)
    del weights["conv256_2.conv2.scale.biases"]
    with pytest.raises(RecipeError, match=r"conv256_2\.conv2\.scale\.biases"):
        network.start(weights, torch.zeros(2, 3, 64, 64), torch.zeros(2, 3, 64, 64))


def test_absent_weights_say_which_variable_leads_to_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIEN_WEIGHTS", str(tmp_path))
    with pytest.raises(FileMissingError, match="MIEN_WEIGHTS"):
        face_residual.read_weights()
    np.savez(tmp_path / face_residual.WEIGHTS, a=np.ones(2, np.float16))
    assert face_residual.read_weights()["a"].dtype == np.float32
