"""Networks, from input float32 (N, channels, S, S) to logits (N, classes), without preprocessing or softmax."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import nn

from mien.errors import RecipeError, nearest
from mien.networks.attention import attend
from mien.networks.backbones import PREFIX, backbone
from mien.networks.face_residual import FaceResidual
from mien.networks.residual import Residual

Attention = Literal["se", "cbam"] | None


class FourBlock(nn.Module):
    """System A's network: four blocks of [conv 3×3, batch norm, ReLU] × 2, max-pool, spatial dropout.

    Widths 32-64-128-256, global average pooling, dense 512 and 256 with dropout, linear output. With ten outputs
    it has the published 1,439,082 trainable parameters. Smallest input 16×16 (four halvings).
    """

    widths = (32, 64, 128, 256)

    def __init__(
        self,
        classes: int,
        channels: int = 1,
        size: int = 48,
        *,
        spatial_dropout: float = 0.25,
        dropout: float = 0.5,
        attention: Attention = None,
    ) -> None:
        super().__init__()
        _check_pools(size, 4)
        self.features = _stack((channels, *self.widths), spatial_dropout, attention)
        self.head = nn.Sequential(
            *_dense(self.widths[-1], 512, dropout), *_dense(512, 256, dropout), nn.Linear(256, classes)
        )

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Map float (N, channels, S, S) to logits (N, classes)."""
        logits: torch.Tensor = self.head(self.features(crops).mean((2, 3)))
        return logits


class ConvPool(nn.Sequential):
    """Systems B and C: three times [conv 3×3, ReLU, max-pool, dropout], flatten, dense 128, linear output.

    Both state the kinds of layers and their order, not their number or widths: 32-64-128 and 128 are our choice. Takes
    images of ``size`` only (flatten), at least 8×8.
    """

    def __init__(
        self,
        classes: int,
        channels: int = 1,
        size: int = 48,
        *,
        spatial_dropout: float = 0.25,
        dropout: float = 0.5,
    ) -> None:
        _check_pools(size, 3)
        layers: list[nn.Module] = []
        for inputs, outputs in ((channels, 32), (32, 64), (64, 128)):
            convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
            layers += [convolution, nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout2d(spatial_dropout)]
        features = 128 * (size // 8) ** 2
        super().__init__(*layers, nn.Flatten(), *_dense(features, 128, dropout), nn.Linear(128, classes))


class CustomCNN(nn.Sequential):
    """System D's "sequential convolutional network built from scratch, optimized with dropout and batch normalization".

    D does not list its layers; these are our choice, cheaper than A's where maps are large: 3×3 convolutions with batch
    norm and ReLU of widths 32, 64-64, 128-128, 256-256, a max-pool and dropout after each group, flatten, dense 256
    with batch norm, output.
    Takes images of ``size`` only (flatten), at least 16×16.
    """

    groups = ((32,), (64, 64), (128, 128), (256, 256))

    def __init__(
        self,
        classes: int,
        channels: int = 1,
        size: int = 48,
        *,
        spatial_dropout: float = 0.1,
        dropout: float = 0.4,
        attention: Attention = None,
    ) -> None:
        _check_pools(size, 4)
        layers: list[nn.Module] = []
        for group in self.groups:
            for outputs in group:
                layers += _conv(channels, outputs)
                channels = outputs
            layers += [*attend(attention, channels), nn.MaxPool2d(2), nn.Dropout2d(spatial_dropout)]
        super().__init__(*layers, *_flatten(channels, size // 16, 256, dropout), nn.Linear(256, classes))


class FlattenDense(nn.Sequential):
    """System E's network: 3×3 convolutions with batch norm and ReLU of widths 32-64-128-256, max-pool after alternate
    ones, dropout 0.25, flatten, dense 256 with batch norm and dropout 0.25, output.

    We interpret "alternate" as two convolutions of each width with a pool after the second. Takes images of ``size``
    only (flatten), at least 16×16.
    """

    widths = (32, 64, 128, 256)

    def __init__(
        self,
        classes: int,
        channels: int = 1,
        size: int = 48,
        *,
        spatial_dropout: float = 0.25,
        dropout: float = 0.25,
        attention: Attention = None,
    ) -> None:
        _check_pools(size, 4)
        features = _stack((channels, *self.widths), spatial_dropout, attention)
        head = _flatten(self.widths[-1], size // 16, 256, dropout)
        super().__init__(*features, *head, nn.Linear(256, classes))


class VGG(nn.Sequential):
    """The VGG variant for FER2013 (Khaireddin and Chen 2021, 73.28 %; E's literature table).

    Four stages of two 3×3 convolutions with batch norm and ReLU, widths 64-128-256-512, max-pool, then two dense
    layers of 4096 with dropout, output: 40 million parameters at 48×48. At least 16×16.
    """

    widths = (64, 128, 256, 512)

    def __init__(self, classes: int, channels: int = 1, size: int = 48, *, dropout: float = 0.5) -> None:
        _check_pools(size, 4)
        features = _stack((channels, *self.widths), 0.0, None)
        flat = self.widths[-1] * (size // 16) ** 2
        head = (*_dense(flat, 4096, dropout), *_dense(4096, 4096, dropout))
        super().__init__(*features, nn.Flatten(), *head, nn.Linear(4096, classes))


def _check_pools(size: int, pools: int) -> None:
    if size < 2**pools:
        raise RecipeError(
            f"preprocess.size = {size} (or a stage of train.sizes) is smaller than the {pools} pools of this network "
            f"allow; give at least {2**pools}."
        )


def _stack(widths: tuple[int, ...], dropout: float, attention: Attention) -> nn.Sequential:
    pairs = itertools.pairwise(widths)
    return nn.Sequential(*(_block(inputs, outputs, dropout, attention) for inputs, outputs in pairs))


def _block(inputs: int, outputs: int, dropout: float, attention: Attention) -> nn.Sequential:
    layers = (*_conv(inputs, outputs), *_conv(outputs, outputs), *attend(attention, outputs))
    return nn.Sequential(*layers, nn.MaxPool2d(2), nn.Dropout2d(dropout))


def _conv(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def _dense(inputs: int, outputs: int, dropout: float) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs), nn.ReLU(inplace=True), nn.Dropout(dropout)]


def _flatten(channels: int, side: int, outputs: int, dropout: float) -> list[nn.Module]:
    dense = nn.Linear(channels * side * side, outputs)
    return [nn.Flatten(), dense, nn.BatchNorm1d(outputs), nn.ReLU(inplace=True), nn.Dropout(dropout)]


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "four_block": FourBlock,
    "conv_pool": ConvPool,
    "custom_cnn": CustomCNN,
    "flatten_dense": FlattenDense,
    "vgg": VGG,
    "residual": Residual,
    "face_residual": FaceResidual,
}


def build(name: str, classes: int, channels: int = 1, size: int = 48, **options: Any) -> nn.Module:
    """Build a registered network, or with ``torchvision:NAME`` a classifier of torchvision.

    Args:
        options: as in ``tables.NetworkTable``.

    Raises:
        RecipeError: an unknown name, an option that the network does not have, or images smaller than its pools allow.
    """
    if name.startswith(PREFIX):
        return _construct(backbone, name, name.removeprefix(PREFIX), classes, channels, size, **options)
    if name not in NETWORKS:
        known = (*NETWORKS, f"{PREFIX}mobilenet_v2")
        raise RecipeError(f"No network {name!r}; known are {', '.join(known)} …{nearest(name, known)}")
    return _construct(NETWORKS[name], name, classes, channels, size, **options)


def _construct(maker: Callable[..., nn.Module], name: str, *values: Any, **options: Any) -> nn.Module:
    parameters = inspect.signature(maker).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
    for key in options:
        if key not in known:
            raise RecipeError(f"network.{key} is no option of {name}, which has {', '.join(known)}; leave it out.")
    return maker(*values, **options)


def flexible(network: nn.Module) -> bool:
    """Check whether the network takes images of any size: not if it flattens feature maps into a dense layer."""
    return not any(isinstance(module, nn.Flatten) for module in network.modules())


def parameter_count(network: nn.Module) -> int:
    """Count the trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
