"""A network's figures are those of pencil and paper, and None where paper gives none."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytestmark = pytest.mark.train
pytest.importorskip("torch")

import torch  # noqa: E402
from torch import nn  # noqa: E402

from mien.errors import DataError, OptionError  # noqa: E402
from mien.networks.networks import FourBlock, parameter_count  # noqa: E402
from mien.reproduction.analysis import (  # noqa: E402
    Analysis,
    Field,
    analyse,
    entropy,
    generalisation_bound,
    imbalance,
    surplus,
)


@pytest.fixture(scope="module")
def system_a() -> Analysis:
    return analyse(FourBlock(10))


def test_system_a_totals(system_a: Analysis) -> None:
    assert system_a.parameters == parameter_count(FourBlock(10)) == 1_439_082
    assert sum(block.parameters for block in system_a.blocks) == 1_439_082
    assert round(system_a.flops / 1e6, 1) == 235.4


def test_system_a_blocks(system_a: Analysis) -> None:
    *blocks, dense = system_a.blocks
    assert [round(block.flops / 1e6, 1) for block in blocks] == [43.8, 63.7, 63.7, 63.7]
    assert [block.receptive_field for block in blocks] == [5, 14, 32, 68]
    assert [block.pooled.size for block in blocks if block.pooled] == [6, 16, 36, 76]
    assert [block.side for block in blocks] == [48, 24, 12, 6]
    # 2·9·(1·32 + 32·32)·48² and 2·(256·512 + 512·256 + 256·10)
    assert (blocks[0].flops, dense.flops) == (43_794_432, 529_408)
    # kernels, biases and two vectors of batch norm for each convolution
    assert blocks[0].parameters == (9 * 32 + 3 * 32) + (9 * 32 * 32 + 3 * 32)
    # two convolutions and two batch norms at 48², one pooling at 24²; ReLU is in place, dropout off
    assert blocks[0].activation_bytes == 4 * 32 * (4 * 48 * 48 + 24 * 24)
    assert dense.name == "dense"
    assert dense.receptive_field is None


def test_blocks_are_the_children_of_features(system_a: Analysis) -> None:
    own = [sum(parameter.numel() for parameter in child.parameters()) for child in FourBlock(10).features]
    assert [block.parameters for block in system_a.blocks[:4]] == own


def test_stride_dilation_groups_and_padding() -> None:
    network = nn.Sequential(
        nn.Conv2d(4, 8, 3, stride=2, padding=1),  # field 3, stride 2, padding 1
        nn.Conv2d(8, 8, 3, padding="same", dilation=2, groups=4),  # kernel 5: 3 + 4·2 = 11, padding 1 + 2·2
        nn.AvgPool2d(3, 2, padding=1),  # 11 + 2·2 = 15, stride 4, padding 5 + 2
        nn.Conv2d(8, 2, 1),
    )
    first, second = analyse(network, 16, 4).blocks
    assert first.field == Field(11, 2, 5)
    assert first.pooled == Field(15, 4, 7)
    assert second.field == Field(15, 4, 7)
    assert second.pooled is None
    assert first.flops == 2 * 9 * 4 * 8 * 64 + 2 * 9 * 2 * 8 * 64
    assert second.flops == 2 * 8 * 2 * 16


def test_the_field_is_what_gradients_reach() -> None:
    """The recursion against the network: which input pixels move the middle unit of block 4's last convolution."""
    torch.manual_seed(0)
    network: Any = FourBlock(10).eval()
    field = analyse(network, 160).blocks[3].field
    assert field is not None
    blocks = [*network.features[:3], network.features[3][:5]]  # up to the second batch norm, before ReLU
    face = torch.rand(1, 1, 160, 160, requires_grad=True)
    nn.Sequential(*blocks)(face)[0, :, 10, 10].sum().backward()
    assert face.grad is not None
    rows = face.grad[0, 0].abs().sum(1).nonzero().flatten().tolist()
    first = 10 * field.stride - field.padding
    # Max-pooling passes one of four gradients on: 1 + 2 + 4 pixels may stay untouched on each side.
    assert first <= rows[0] <= first + 7
    assert first + field.size - 8 <= rows[-1] <= first + field.size - 1


def test_units_that_see_everything() -> None:
    assert Field(68, 8, 30).count_whole(6, 48) == 2  # units 2 and 3: pixels −14…53 and −6…61
    assert Field(96, 8, 40).count_whole(6, 48) == 6
    assert Field(5, 1, 2).count_whole(48, 48) == 0


class Odd(nn.Module):
    """Two convolutions with something between them that no layer does."""

    def __init__(self, between: str) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.between = between

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        maps = self.first(faces)
        if self.between == "branch in place":
            maps += faces
        if self.between == "branch":
            maps = maps + faces
        if self.between == "pooling function":
            maps = nn.functional.max_pool2d(maps, 2)
        result: torch.Tensor = self.second(maps)
        return result


@pytest.mark.parametrize("between", ["branch in place", "branch", "pooling function"])
def test_no_field_rather_than_a_wrong_one(between: str) -> None:
    assert analyse(Odd("nothing"), 8).blocks[0].receptive_field == 5
    (block,) = analyse(Odd(between), 8).blocks
    assert block.receptive_field is None
    assert block.parameters == (9 + 1) * 4 + (9 * 4 + 1) * 4


@pytest.mark.parametrize("layer", [nn.GroupNorm(2, 4), nn.Upsample(scale_factor=2), nn.AdaptiveAvgPool2d(4)])
def test_layers_that_look_elsewhere_end_the_field(layer: nn.Module) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), layer, nn.Conv2d(4, 4, 3))
    assert analyse(network, 12).blocks[-1].receptive_field is None


def test_transposed_convolution() -> None:
    network = nn.Sequential(nn.ConvTranspose2d(3, 5, 2, stride=2))
    (block,) = analyse(network, 6, 3).blocks
    assert block.flops == 2 * 4 * 3 * 5 * 36
    assert block.receptive_field is None


@pytest.mark.parametrize(
    ("name", "parameters", "gmacs"), [("mobilenet_v2", 3_504_872, 0.301), ("resnet18", 11_689_512, 1.814)]
)
def test_torchvision_totals(name: str, parameters: int, gmacs: float) -> None:
    """The parameters and multiply-accumulates that torchvision's documentation states."""
    models = pytest.importorskip("torchvision.models")
    found = analyse(getattr(models, name)(weights=None), 224, 3)
    assert found.parameters == parameters
    assert found.flops / 2e9 == pytest.approx(gmacs, abs=5e-4)
    assert found.blocks[-2].receptive_field is None


def test_shared_layers_count_once_but_run_twice() -> None:
    shared = nn.Conv2d(4, 4, 3, padding=1)
    (block,) = analyse(nn.Sequential(shared, nn.ReLU(), shared), 8, 4).blocks
    assert block.parameters == (9 * 4 + 1) * 4
    assert block.flops == 2 * (2 * 9 * 4 * 4 * 64)
    assert block.receptive_field == 5


def test_recurrent_layers_are_passed_over() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rows, self.last = nn.GRU(8, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, faces: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.last(self.rows(faces[:, 0])[0][:, -1])
            return result

    found = analyse(Recurrent(), 8)
    assert found.flops == 2 * 4 * 2
    assert found.parameters == found.blocks[0].parameters + 3 * 4 * (8 + 4 + 2)


def test_the_network_is_left_as_it_was() -> None:
    network: Any = FourBlock(7).train()
    network.head.eval()
    averages = network.features[0][1].running_mean.clone()
    analyse(network)
    assert network.training
    assert network.features.training
    assert not network.head.training
    assert torch.equal(network.features[0][1].running_mean, averages)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_a_wrong_input_is_named() -> None:
    with pytest.raises(OptionError, match=r"shape \(1, 3, 48, 48\)"):
        analyse(FourBlock(7), 48, 3)


def test_entropy_and_surplus() -> None:
    assert entropy({"a": 5, "b": 5, "c": 0}) == pytest.approx(math.log(2))
    assert entropy({"a": 3, "b": 1}) == pytest.approx(0.562335, abs=1e-6)
    assert surplus(10, 0.308) == pytest.approx(1.9946, abs=1e-4)
    with pytest.raises(DataError, match="at least one face"):
        entropy({"a": 0})
    with pytest.raises(OptionError, match="2 or more"):
        surplus(1, 0.1)


def test_imbalance() -> None:
    assert imbalance({"surprise": 206, "fear": 188, "contempt": 12}) == pytest.approx(17.1667, abs=1e-4)
    with pytest.raises(DataError, match="no face of b"):
        imbalance({"a": 3, "b": 0})


def test_bound() -> None:
    bound = generalisation_bound(100, 1_000_000, dropout=0.0, delta=0.04)
    # √((100·ln 20,000 + ln 100) / 10⁶) = √(994.95 / 10⁶)
    assert bound.value == pytest.approx(0.031543, abs=1e-6)
    assert not bound.vacuous
    large = generalisation_bound(100, 60, dropout=0.0)  # √((100·ln 1.2 + ln 80) / 60) = 0.614
    assert large.value == pytest.approx(0.6139, abs=1e-4)
    over = generalisation_bound(20, 20, dropout=0.0)  # √((20·ln 2 + ln 80) / 20) = 0.955
    assert over.value == pytest.approx(0.9552, abs=1e-4)
    assert generalisation_bound(4, 6, dropout=0.0).vacuous  # √((4·ln 3 + ln 80) / 6) = 1.21
    none = generalisation_bound(1_439_082, 5224)
    assert (none.value, none.vacuous) == (None, True)
    assert none.dimension == pytest.approx(1_079_311.5)
    with pytest.raises(OptionError, match=r"delta in \(0, 1\)"):
        generalisation_bound(10, 10, delta=0.0)
