"""Attention modules for convolutional blocks; they reweight feature maps and keep their shape."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn


class SqueezeExcitation(nn.Module):
    """Channel attention from the average of each map (Hu et al. 2018), with their reduction of 16, at least 8 units."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = _bottleneck(channels)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Map float (N, C, H, W) to the same shape."""
        attended: torch.Tensor = maps * self.gate(maps.mean((2, 3), keepdim=True)).sigmoid()
        return attended


class CBAM(nn.Module):
    """Channel attention from average and maximum, then spatial attention by a 7×7 convolution (Woo et al. 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = _bottleneck(channels)
        # Checkpoints hold the spatial kernel under the name "place"; a new name would make old runs unreadable.
        self.place = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Map float (N, C, H, W) to the same shape."""
        average, maximum = maps.mean((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
        maps = maps * (self.gate(average) + self.gate(maximum)).sigmoid()
        pooled = torch.cat([maps.mean(1, keepdim=True), maps.amax(1, keepdim=True)], 1)
        attended: torch.Tensor = maps * self.place(pooled).sigmoid()
        return attended


def _bottleneck(channels: int) -> nn.Sequential:
    inner = max(channels // 16, 8)
    return nn.Sequential(nn.Conv2d(channels, inner, 1), nn.ReLU(inplace=True), nn.Conv2d(inner, channels, 1))


def attend(kind: Literal["se", "cbam"] | None, channels: int) -> list[nn.Module]:
    """Build the attention module of a block with ``channels`` maps; an empty list for None."""
    if kind is None:
        return []
    return [SqueezeExcitation(channels) if kind == "se" else CBAM(channels)]
