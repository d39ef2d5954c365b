"""Gradient maps are those of their papers, on every network; features and embeddings are the network's own."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support import write_run

pytestmark = pytest.mark.train
pytest.importorskip("torch")
pytest.importorskip("captum")

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from mien.errors import DataError, FileMissingError, ModelError, OptionError  # noqa: E402
from mien.interpret import (  # noqa: E402
    faithfulness,
    feature_plots,
    features,
    gradients,
)
from mien.interpret.gradients import GradCam, Integrated, LayerCam, stages  # noqa: E402
from mien.labels import FER2013  # noqa: E402
from mien.networks import networks  # noqa: E402
from mien.preprocess import PreprocessSpec, apply  # noqa: E402
from mien.reporting import figures  # noqa: E402

torch.set_num_threads(1)


def two_blobs() -> NDArray[np.float32]:
    """A bright blob in the upper left and one in the lower right corner."""
    face = np.zeros((1, 24, 24), np.float32)
    face[:, 3:8, 3:8] = face[:, 16:21, 16:21] = 1
    return face


def corner_network() -> nn.Module:
    """One convolution that copies its input; class 1 sums its upper left quarter, class 0 is always 0."""
    copy, dense = nn.Conv2d(1, 1, 1, bias=False), nn.Linear(24 * 24, 2, bias=False)
    quarter = torch.zeros(24, 24)
    quarter[:12, :12] = 0.1
    with torch.no_grad():
        copy.weight.fill_(1)
        dense.weight.copy_(torch.stack([torch.zeros(24 * 24), quarter.flatten()]))
    return nn.Sequential(copy, nn.ReLU(inplace=True), nn.Flatten(), dense)


def predict(network: nn.Module) -> faithfulness.Predict:
    def probabilities(batch: NDArray[np.float32]) -> NDArray[np.float64]:
        with torch.no_grad():
            found: NDArray[np.float64] = network(torch.from_numpy(batch)).softmax(1).double().numpy()
        return found

    return probabilities


@pytest.mark.parametrize("method", [LayerCam, Integrated])
def test_only_the_blob_that_decides_is_found(method: type[LayerCam]) -> None:
    network, face = corner_network(), two_blobs()
    (found,) = method(network).maps(face, [1])
    assert found.shape == (24, 24)
    assert found[3:8, 3:8].mean() > 10 * np.abs(found[12:, 12:]).mean()
    told = faithfulness.measure(predict(network), face, np.stack([found, found[::-1, ::-1]]), [1, 1])
    assert [one.explains for one in told] == [True, False]


def test_grad_cam_cannot_tell_two_places_of_one_channel_apart() -> None:
    """Its weight is the channel's: the reason why the finer methods are here, and why maps have a score."""
    (found,) = GradCam(corner_network()).maps(two_blobs(), [1])
    np.testing.assert_allclose(found[3:8, 3:8], found[16:21, 16:21], rtol=1e-5)
    assert found[3:8, 3:8].min() > found[10:14, 10:14].max()


def four_block() -> tuple[Any, NDArray[np.float32]]:
    torch.manual_seed(1)
    network = networks.build("four_block", 7).eval()
    return network, np.random.default_rng(0).standard_normal((1, 48, 48)).astype(np.float32)


def test_maps_are_those_of_the_papers() -> None:
    """Worked out once more with autograd: the network cut in two behind the last convolution's ReLU."""
    network, face = four_block()
    blocks = network.features
    last = torch.from_numpy(face)[None]
    for block in blocks[:3]:
        last = block(last)
    maps = blocks[3][:6](last).detach().requires_grad_()
    logits = network.head(blocks[3][6:](maps.clone()).mean((2, 3)))
    for place in (2, 5):
        (gradient,) = torch.autograd.grad(logits[0, place], maps, retain_graph=True)
        expected: dict[Any, torch.Tensor] = {
            GradCam: (gradient.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True),
            LayerCam: (gradient.clamp(min=0) * maps).sum(1, keepdim=True),
        }
        for method, cells in expected.items():
            large = functional.interpolate(cells.detach(), size=(48, 48), mode="bilinear")[0, 0].numpy()
            found = method(network, "features.3.5").maps(face, [place])[0]
            np.testing.assert_allclose(found, large, rtol=1e-3, atol=1e-6 * np.abs(large).max())


def test_integrated_gradients_add_up_to_the_difference() -> None:
    network, face = corner_network(), two_blobs()
    both = torch.from_numpy(np.stack([face, faithfulness.hidden(face)]))
    whole, blank = network(both)[:, 1].tolist()
    assert Integrated(network).maps(face, [1]).sum() == pytest.approx(whole - blank, rel=1e-3)


def test_stages_of_the_four_block_network() -> None:
    network, face = four_block()
    assert [(one.name, one.channels, one.side) for one in stages(network, face)] == [
        ("features.0.5", 32, 48), ("features.1.5", 64, 24), ("features.2.5", 128, 12), ("features.3.5", 256, 6),
    ]  # fmt: skip
    assert gradients.stage(network, face, 4).side == 6
    assert gradients.stage(network, face, 12).side == 12
    assert gradients.stage(network, face, 999).side == 48
    assert gradients.stage(network, face, 4, "features.1.5").side == 24
    with pytest.raises(OptionError, match=r"Did you mean 'features\.1\.5'"):
        gradients.stage(network, face, 4, "features.1.4")


def test_the_network_is_left_without_hooks() -> None:
    network, face = four_block()
    GradCam(network).maps(face, [0])
    features.feature_maps(network, face)
    features.embed(network, np.zeros((2, 48, 48), np.uint8), PreprocessSpec())
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in network.modules())


CASES: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in networks.NETWORKS] + [
    ("four_block", {"attention": "cbam"}),
    ("custom_cnn", {"attention": "se"}),
    ("torchvision:mobilenet_v2", {"pretrained": False, "stride": 1}),
    ("torchvision:shufflenet_v2_x0_5", {"pretrained": False}),
    ("torchvision:resnet18", {"pretrained": False, "stride": 1}),
]


@pytest.mark.parametrize(("name", "options"), CASES, ids=[f"{name} {options}" for name, options in CASES])
def test_every_network_has_maps(name: str, options: dict[str, object]) -> None:
    torch.manual_seed(0)
    network = networks.build(name, 7, 1, 48, **options).eval()
    face = np.random.default_rng(0).standard_normal((1, 48, 48)).astype(np.float32)
    found = stages(network, face)
    sides = [one.side for one in found]
    assert sides == sorted(set(sides), reverse=True)
    assert all(one.channels >= 16 for one in found)  # no gate of an attention module, no single mask
    for method in gradients.METHODS.values():
        maps = method(network).maps(face, [0, 3])
        assert maps.shape == (2, 48, 48)
        assert maps.dtype == np.float32
        assert np.isfinite(maps).all()
        assert np.ptp(maps[0]) > 0 or method is LayerCam  # first weights may have no positive gradient
        np.testing.assert_allclose(maps[1], method(network).maps(face, [3])[0], rtol=1e-2, atol=1e-5)


def test_networks_without_maps_say_so() -> None:
    plain, face = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), np.zeros((1, 8, 8), np.float32)
    with pytest.raises(ModelError, match="use the method occlusion"):
        GradCam(plain).maps(face, [0])
    with pytest.raises(ModelError, match="nothing to show"):
        features.feature_maps(plain, face)
    with pytest.raises(ModelError, match="no filters"):
        features.first_filters(plain)
    with pytest.raises(ModelError, match="no embedding"):
        features.embed(nn.Conv2d(1, 2, 8), np.zeros((1, 8, 8), np.uint8), PreprocessSpec(size=8))
    with pytest.raises(OptionError, match="leave it out"):
        Integrated(plain, "features")


def test_feature_maps_are_the_networks_own() -> None:
    network, face = four_block()
    found = features.feature_maps(network, face)
    assert [one.maps.shape for one in found] == [(32, 48, 48), (64, 24, 24), (128, 12, 12), (256, 6, 6)]
    first = network.features[0][:6](torch.from_numpy(face)[None])[0].detach().numpy()
    np.testing.assert_allclose(found[0].maps, first, rtol=1e-5)
    name, weights = features.first_filters(network)
    assert (name, weights.shape) == ("features.0.0", (32, 1, 3, 3))


def test_the_last_dense_layer_turns_the_embedding_into_the_answer() -> None:
    network, _ = four_block()
    pixels, spec = np.random.default_rng(1).integers(0, 256, (300, 48, 48), np.uint8), PreprocessSpec()
    points, answers = features.embed(network, pixels, spec)
    assert points.shape == (300, 256)
    with torch.no_grad():
        expected = network(torch.from_numpy(apply(pixels[:20], spec))).argmax(1).numpy()
        np.testing.assert_array_equal(network.head[-1](torch.from_numpy(points[:20])).argmax(1).numpy(), expected)
    np.testing.assert_array_equal(answers[:20], expected)


def test_projections_keep_groups_apart() -> None:
    draw = np.random.default_rng(0)
    labels = np.repeat([0, 1], 30)
    points = (draw.standard_normal((60, 20)) + 12 * labels[:, None]).astype(np.float32)
    found = features.project(points)
    assert found.shares[0] > 0.8
    for plane in (found.pca, found.tsne):
        middles = [plane[labels == label].mean(0) for label in (0, 1)]
        spread = max(plane[labels == label].std(0).max() for label in (0, 1))
        assert np.hypot(*(middles[1] - middles[0])) > 2 * spread
    np.testing.assert_array_equal(features.project(points).tsne, found.tsne)
    with pytest.raises(DataError, match="at least 5"):
        features.project(points[:4])


def test_figures_are_drawn() -> None:
    network, face = four_block()
    points = features.project(np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32))
    pictures = [
        feature_plots.filters(*features.first_filters(network)),
        feature_plots.filters("wide", np.zeros((200, 3, 5, 5), np.float32)),
        feature_plots.feature_maps(face, features.feature_maps(network, face)),
        feature_plots.embedding(points, np.arange(40) % 7, FER2013.labels, "forty faces"),
    ]
    for drawn in pictures:
        with Image.open(io.BytesIO(figures.render(drawn, "png"))) as picture:
            assert picture.format == "PNG"
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20


def test_a_run_folder_is_explained(tmp_path: Path) -> None:
    run, face = write_run(tmp_path / "run"), np.zeros((1, 24, 24), np.float32)
    face[:, 4:9, 4:9] = 1
    for method in gradients.METHODS:
        explainer = gradients.of_run(run, method)
        assert explainer.name == method
        assert explainer.maps(face, [0]).shape == (1, 24, 24)
    with pytest.raises(OptionError, match="Did you mean 'grad-cam'"):
        gradients.of_run(run, "gradcam")
    (run / "model.onnx").unlink()
    with pytest.raises(FileMissingError, match="mien export"):
        gradients.of_run(run, "grad-cam")
