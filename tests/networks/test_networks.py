"""Networks have the published shape, the parameters of pencil and paper, and only the options they declare."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.train
pytest.importorskip("torch")

import torch  # noqa: E402

torch.set_num_threads(1)

from torch import nn  # noqa: E402

from mien.errors import RecipeError  # noqa: E402
from mien.export.export import to_onnx  # noqa: E402
from mien.networks.attention import CBAM, SqueezeExcitation  # noqa: E402
from mien.networks.backbones import Backbone  # noqa: E402
from mien.networks.networks import NETWORKS, FourBlock, build, flexible, parameter_count  # noqa: E402
from mien.networks.pooled import Pooled  # noqa: E402
from mien.networks.residual import Block  # noqa: E402
from mien.preprocess import PreprocessSpec  # noqa: E402
from mien.recipes.recipe import parse  # noqa: E402
from mien.recipes.tables import POOLED  # noqa: E402
from mien.recognition.session import OnnxSession  # noqa: E402
from mien.training.module import LightningClassifier, network_of  # noqa: E402


def convolutions(*widths: int, norm: bool = True) -> int:
    """Parameters of 3×3 convolutions in a row: kernels, biases, and gain and offset of batch norm."""
    pairs = itertools.pairwise(widths)
    return sum(9 * inputs * outputs + outputs * (3 if norm else 1) for inputs, outputs in pairs)


def dense(*widths: int) -> int:
    return sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(widths))


def residual(*widths: int, blocks: int) -> int:
    """Parameters of the residual network's stem and stages: no biases, batch norm after each convolution."""
    total = 0
    for inputs, outputs in itertools.pairwise((widths[0] // 2, *widths)):
        total += 9 * outputs * (inputs + (2 * blocks - 1) * outputs) + 2 * outputs * 2 * blocks
        total += (inputs + 2) * outputs if inputs != outputs else 0
    return total + (9 + 2) * (widths[0] // 2)


def face_residual() -> int:
    """Parameters of dlib's stem 7×7 and its 3, 4, 3 and 3 blocks of two convolutions, batch norm after each."""
    total, before = (49 + 2) * 32, 32
    for width, blocks in ((32, 3), (64, 4), (128, 3), (256, 3)):
        total += 9 * width * (before + (2 * blocks - 1) * width) + 2 * width * 2 * blocks
        before = width
    return total


OWN = {
    "four_block": convolutions(1, 32, 32, 64, 64, 128, 128, 256, 256) + dense(256, 512, 256, 10),
    "conv_pool": convolutions(1, 32, 64, 128, norm=False) + dense(128 * 6 * 6, 128, 10),
    "custom_cnn": convolutions(1, 32, 64, 64, 128, 128, 256, 256) + dense(256 * 3 * 3, 256, 10) + 2 * 256,
    "flatten_dense": convolutions(1, 32, 32, 64, 64, 128, 128, 256, 256) + dense(256 * 3 * 3, 256, 10) + 2 * 256,
    "vgg": convolutions(1, 64, 64, 128, 128, 256, 256, 512, 512) + dense(512 * 3 * 3, 4096, 4096, 10),
    "residual": residual(64, 128, 256, blocks=2) + dense(256, 10),
    "face_residual": face_residual() + dense(256, 10),
}

LEAST = {"conv_pool": 8, "residual": 8, "face_residual": 32}
"""Smallest image where it is not 16×16."""

FLEXIBLE = {"four_block", "residual", "face_residual"}
"""Those that take images of several sizes."""

TORCHVISION = {
    "mobilenet_v2": (3_504_872, 1280, 32 * 9),
    "shufflenet_v2_x1_0": (2_278_604, 1024, 24 * 9),
    "resnet18": (11_689_512, 512, 64 * 49),
    "vgg11_bn": (132_868_840, 4096, 64 * 9),
    "efficientnet_b0": (5_288_548, 1280, 32 * 9),
    "convnext_tiny": (28_589_128, 768, 96 * 16),
}
"""Parameters that torchvision states for 1000 classes, features before the last layer, first kernel's weights."""


def made(name: str, classes: int = 7, channels: int = 1, size: int = 48, **options: Any) -> nn.Module:
    if name.startswith("torchvision:"):
        options["pretrained"] = False
    return build(name, classes, channels, size, **options)


def awake(network: nn.Module, crops: torch.Tensor) -> nn.Module:
    """Return the network with the batch-norm statistics of ``crops``: fresh ones let hardly a difference through."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(crops)
    return network.eval()


def check_rows(network: nn.Module, channels: int, size: int) -> None:
    """Each face has its own row of logits, whatever stands beside it."""
    torch.manual_seed(0)
    crops = torch.randn(2, channels, size, size)
    awake(network, crops)
    with torch.inference_mode():
        logits, alone = network(crops), network(crops[1:])
    assert logits.shape == (2, 7)
    torch.testing.assert_close(alone[0], logits[1], atol=1e-4, rtol=1e-3)
    assert (logits[0] - logits[1]).abs().max() > 1e-3


def test_system_a_has_the_published_parameters() -> None:
    assert parameter_count(FourBlock(10)) == OWN["four_block"] == 1_439_082


def test_every_network_is_counted_here() -> None:
    assert set(OWN) == set(NETWORKS)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_own_networks_have_the_parameters_of_their_layers(name: str) -> None:
    assert parameter_count(build(name, 10)) == OWN[name]


@pytest.mark.parametrize("name", list(NETWORKS))
@pytest.mark.parametrize(("channels", "size"), [(1, 16), (3, 48)])
def test_own_networks_give_one_row_of_logits_a_face(name: str, channels: int, size: int) -> None:
    size = max(size, LEAST.get(name, 16))
    check_rows(build(name, 7, channels, size), channels, size)


@pytest.mark.parametrize("name", list(TORCHVISION))
def test_torchvision_networks_on_grey_and_colour(name: str) -> None:
    documented, features, kernel = TORCHVISION[name]
    for channels in (3, 1):
        network = made(f"torchvision:{name}", channels=channels)
        exchanged = dense(features, 7) - dense(features, 1000) - (2 * kernel if channels == 1 else 0)
        assert parameter_count(network) == documented + exchanged
        check_rows(network, channels, 48)


def test_only_networks_without_flattening_take_other_sizes() -> None:
    assert {name for name in NETWORKS if flexible(build(name, 7))} == FLEXIBLE
    for size, name in itertools.product((32, 48, 64), sorted(FLEXIBLE)):
        assert build(name, 7).eval()(torch.zeros(1, 1, size, size)).shape == (1, 7)
    assert flexible(made("torchvision:mobilenet_v2"))


@pytest.mark.parametrize("name", list(NETWORKS))
def test_every_parameter_learns(name: str) -> None:
    size = max(16, LEAST.get(name, 16))
    network = build(name, 7, 1, size).train()
    network(torch.randn(8, 1, size, size)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(("kind", "each"), [("se", 0), ("cbam", 2 * 49)])
@pytest.mark.parametrize("name", ["four_block", "custom_cnn", "flatten_dense"])
def test_attention_adds_its_gates_to_each_block(name: str, kind: str, each: int) -> None:
    widths = (32, 64, 128, 256)
    gates = sum(2 * width * max(width // 16, 8) + max(width // 16, 8) + width + each for width in widths)
    network = build(name, 10, attention=kind)
    assert parameter_count(network) == OWN[name] + gates
    check_rows(build(name, 7, 1, 16, attention=kind), 1, 16)


def test_residual_widths_and_blocks() -> None:
    widths = (16, 24, 32, 32)
    network = build("residual", 10, widths=widths, blocks=3)
    assert parameter_count(network) == residual(*widths, blocks=3) + dense(32, 10)
    check_rows(build("residual", 7, 1, 16, widths=widths, blocks=1, attention="se"), 1, 16)
    with pytest.raises(RecipeError, match=r"4 pools of network\.widths allow; give at least 16"):
        build("residual", 7, 1, 15, widths=widths)


def test_separable_blocks_have_the_weights_of_depthwise_and_pointwise_kernels() -> None:
    widths, blocks = (16, 24), 2
    usual = build("residual", 10, widths=widths, blocks=blocks)
    network = build("residual", 10, widths=widths, blocks=blocks, separable=True)
    pairs = [(8, 16), *[(16, 16)] * 3, (16, 24), *[(24, 24)] * 3]
    saved = sum(9 * inputs * outputs - (9 * inputs + inputs * outputs) for inputs, outputs in pairs)
    assert parameter_count(network) == parameter_count(usual) - saved
    check_rows(build("residual", 7, 1, 16, widths=widths, separable=True, attention="se"), 1, 16)
    assert sum(isinstance(each, nn.Conv2d) and each.groups > 1 for each in network.modules()) == len(pairs)


def test_an_untrained_residual_block_passes_its_input_on() -> None:
    block = Block(8, 8, None).eval()
    maps = torch.randn(2, 8, 6, 6).relu()
    torch.testing.assert_close(block(maps), maps)


@pytest.mark.parametrize("kind", [SqueezeExcitation, CBAM])
def test_attention_only_dampens(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    maps = torch.rand(2, 32, 6, 6) + 0.1
    share = kind(32)(maps) / maps
    assert share.shape == maps.shape
    assert 0 < share.min() < share.max() < 1
    places = share.std((2, 3)).max()
    assert (places > 1e-4) == (kind is CBAM)  # squeeze-excitation treats all places of a map alike


def test_a_grey_stem_is_the_colour_stem_on_grey_as_rgb() -> None:
    networks = []
    for channels in (3, 1):
        torch.manual_seed(0)
        networks.append(made("torchvision:resnet18", channels=channels).eval())
    grey = torch.randn(2, 1, 48, 48)
    with torch.inference_mode():
        colour, own = networks[0](grey.expand(-1, 3, -1, -1)), networks[1](grey)
    torch.testing.assert_close(own, colour, atol=1e-5, rtol=1e-4)


def test_stride_one_keeps_twice_the_resolution() -> None:
    sides = []
    for stride in (None, 1):
        network: Any = made("torchvision:mobilenet_v2", stride=stride).eval()
        sides.append(network.network.features(torch.zeros(1, 1, 64, 64)).shape[-1])
    assert sides == [2, 4]


@pytest.mark.parametrize(
    ("name", "options"), [*((name, {}) for name in NETWORKS), ("four_block", {"attention": "cbam"})]
)
def test_onnx_says_what_pytorch_says(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    size = max(16, LEAST.get(name, 16))
    crops = torch.randn(3, 1, size, size)
    network = awake(build(name, 7, 1, size, **options), crops)
    with torch.inference_mode():
        own = network(crops).numpy()
    session = OnnxSession(to_onnx(network, PreprocessSpec(size=size)))
    assert np.ptp(own, axis=0).max() > 1e-2
    # Rounding grows with the depth and the size of the logits; most with AVX2 alone, 2e-5 of their range.
    np.testing.assert_allclose(session.logits(crops.numpy()), own, atol=4e-5 * max(1.0, float(np.ptp(own))), rtol=1e-4)


def test_an_export_leaves_the_network_as_it_was() -> None:
    layers = (nn.Conv2d(1, 4, 16), nn.BatchNorm2d(4), nn.ReLU6(inplace=True), nn.Flatten(), nn.Linear(4, 2))
    network = nn.Sequential(*layers)
    awake(network, torch.randn(8, 1, 16, 16))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    to_onnx(network, PreprocessSpec(size=16))
    assert tuple(network) == layers
    assert layers[2].inplace
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("fourblock", {}, "Did you mean 'four_block'"),
        ("torchvision:mobilenet_v9", {}, "no classifier 'mobilenet_v9'. Did you mean 'mobilenet_v"),
        (
            "conv_pool",
            {"attention": "se"},
            "network.attention is no option of conv_pool, which has spatial_dropout, dr",
        ),
        ("vgg", {"spatial_dropout": 0.1}, "network.spatial_dropout is no option of vgg, which has dropout"),
        ("four_block", {"pretrained": False}, "network.pretrained is no option of four_block"),
        ("torchvision:resnet18", {"attention": "se"}, "network.attention is no option of torchvision:resnet18"),
        ("torchvision:squeezenet1_1", {"pretrained": False}, "does not end in a dense layer"),
    ],
)
def test_mistakes_are_named(name: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(RecipeError) as caught:
        build(name, 7, **options)
    assert says in str(caught.value)


@pytest.mark.parametrize(("name", "least"), [(each, LEAST.get(each, 16)) for each in OWN])
def test_images_smaller_than_the_pools_are_refused(name: str, least: int) -> None:
    check_rows(build(name, 7, 1, least), 1, least)
    with pytest.raises(RecipeError, match=f"give at least {least}"):
        build(name, 7, 1, least - 1)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in FLEXIBLE])
def test_growing_sizes_need_a_network_that_takes_several(name: str) -> None:
    sizes = [{"epoch": 0, "size": 32}, {"epoch": 1, "size": 48}]
    values: dict[str, Any] = {"name": "x", "train": {"epochs": 2, "sizes": sizes}}
    network_of(parse(values), 7)
    with pytest.raises(RecipeError, match=rf"train\.sizes .*{name}"):
        network_of(parse({**values, "network": {"name": name}}), 7)


def steps(network: Backbone, count: int) -> None:
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for _ in range(count):
        optimizer.zero_grad()
        network(torch.randn(4, 1, 32, 32)).square().sum().backward()
        optimizer.step()


def changed(before: dict[str, torch.Tensor], network: nn.Module) -> set[str]:
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


def copied(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_frozen_trunks_stay_bit_for_bit_and_thawed_ones_move() -> None:
    torch.manual_seed(0)
    network = made("torchvision:mobilenet_v2").train()
    assert isinstance(network, Backbone)
    before = copied(network)
    network.freeze(True)
    network.eval()
    network.train()  # as Lightning does around each validation
    steps(network, 2)
    head = {"network.classifier.1.1.weight", "network.classifier.1.1.bias"}
    assert changed(before, network) == head
    assert parameter_count(network) == dense(1280, 7)
    network.freeze(False)
    steps(network, 1)
    moved = changed(before, network)
    assert {"network.features.0.0.weight", "network.features.0.1.running_mean"} <= moved
    assert len(moved) == len(before)


def test_a_recipe_that_freezes_starts_frozen() -> None:
    """DDP looks at what learns before the first epoch begins."""
    train = {"epochs": 2, "frozen": 2}
    network = {"name": "torchvision:mobilenet_v2", "pretrained": False}
    module = LightningClassifier(parse({"name": "x", "network": network, "train": train}), [1, 1])
    assert parameter_count(module.network) == dense(1280, 2)


def test_recipes_know_the_networks_with_attention_maps() -> None:
    pooled = {name for name, maker in NETWORKS.items() if isinstance(maker, type) and issubclass(maker, Pooled)}
    assert pooled == set(POOLED)
