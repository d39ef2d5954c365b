"""Mien's own residual network for small faces."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from mien.errors import RecipeError
from mien.networks.attention import attend
from mien.networks.pooled import Pooled


class Residual(Pooled):
    """Residual network (He et al. 2016) that is cheap on a CPU: its blocks work on at most a quarter of the pixels.

    Stem conv 3×3 of half the first width, batch norm, ReLU, max-pool; then a stage for each of ``widths`` with
    ``blocks`` residual blocks, max-pools between stages, global average pooling, dropout, linear output. At 48×48 the
    stages see 24×24, 12×12 and 6×6 maps. Takes images of any size, at least 2 to the number of stages.

    Args:
        widths: output maps of each stage.
        attention: within each block, before the sum (Hu et al. 2018).
        spatial_dropout: of whole maps, between stages.
        separable: use depthwise and pointwise convolutions (Chollet 2017): with the same number of weights, the maps
            can be twice as wide.
    """

    def __init__(
        self,
        classes: int,
        channels: int = 1,
        size: int = 48,
        *,
        widths: tuple[int, ...] = (64, 128, 256),
        blocks: int = 2,
        spatial_dropout: float = 0.0,
        dropout: float = 0.3,
        attention: Literal["se", "cbam"] | None = None,
        separable: bool = False,
    ) -> None:
        super().__init__()
        if size < 2 ** len(widths):
            raise RecipeError(
                f"preprocess.size = {size} (or a stage of train.sizes) is smaller than the {len(widths)} pools of "
                f"network.widths allow; give at least {2 ** len(widths)}."
            )
        stem = widths[0] // 2
        self.stem = nn.Sequential(_conv(channels, stem), nn.BatchNorm2d(stem), nn.ReLU(inplace=True), nn.MaxPool2d(2))
        stages: list[nn.Module] = []
        for index, width in enumerate(widths):
            if index:
                stages += [nn.MaxPool2d(2), nn.Dropout2d(spatial_dropout)]
            inputs = widths[index - 1] if index else stem
            stages += [Block(inputs if first else width, width, attention, separable) for first in _first(blocks)]
        self.stages = nn.Sequential(*stages)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(widths[-1], classes))

    def maps(self, crops: torch.Tensor) -> torch.Tensor:
        """Map float (N, channels, S, S) to the last stage's maps, float (N, width, S/2^stages, S/2^stages)."""
        maps: torch.Tensor = self.stages(self.stem(crops))
        return maps


class Block(nn.Module):
    """Two 3×3 convolutions with batch norm, attention and a shortcut, which is a 1×1 convolution if widths differ.

    The last batch norm starts at zero, so that the untrained block is an identity (Goyal et al. 2017).
    """

    def __init__(
        self, inputs: int, outputs: int, attention: Literal["se", "cbam"] | None, separable: bool = False
    ) -> None:
        super().__init__()
        conv = _separable if separable else _conv
        last = nn.BatchNorm2d(outputs)
        nn.init.zeros_(last.weight)
        self.body = nn.Sequential(
            *(conv(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True), conv(outputs, outputs), last),
            *attend(attention, outputs),
        )
        projection = (nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.skip = nn.Sequential(*projection) if inputs != outputs else nn.Identity()
        self.activation = nn.ReLU(inplace=True)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Map float (N, inputs, H, W) to (N, outputs, H, W)."""
        added: torch.Tensor = self.activation(self.body(maps) + self.skip(maps))
        return added


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def _separable(inputs: int, outputs: int) -> nn.Sequential:
    depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
    return nn.Sequential(depthwise, nn.Conv2d(inputs, outputs, 1, bias=False))


def _first(blocks: int) -> list[bool]:
    return [True, *[False] * (blocks - 1)]
