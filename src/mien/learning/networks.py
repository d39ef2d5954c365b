"""Networks: they know tensors and nothing else. Input float32 (N, channels, S, S), output logits (N, classes)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from mien.errors import RecipeError, nearest


class FourBlock(nn.Module):
    """System A's network: four blocks of [conv 3×3, batch norm, ReLU] × 2, max-pool, spatial dropout.

    Widths 32-64-128-256, global average pooling, dense 512 and 256 with dropout, linear output. With ten outputs
    it has the published 1,439,082 trainable parameters. Smallest input 16×16 (four halvings).
    """

    widths = (32, 64, 128, 256)

    def __init__(self, classes: int, channels: int = 1, spatial_dropout: float = 0.25, dropout: float = 0.5) -> None:
        super().__init__()
        inputs = (channels, *self.widths[:-1])
        blocks = [_block(i, o, spatial_dropout) for i, o in zip(inputs, self.widths, strict=True)]
        self.features = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            *_dense(self.widths[-1], 512, dropout), *_dense(512, 256, dropout), nn.Linear(256, classes)
        )

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Map float (N, channels, S, S) to logits (N, classes)."""
        logits: torch.Tensor = self.head(self.features(crops).mean((2, 3)))
        return logits


def _block(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(*_conv(inputs, outputs), *_conv(outputs, outputs), nn.MaxPool2d(2), nn.Dropout2d(dropout))


def _conv(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def _dense(inputs: int, outputs: int, dropout: float) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs), nn.ReLU(inplace=True), nn.Dropout(dropout)]


NETWORKS: dict[str, Callable[..., nn.Module]] = {"four_block": FourBlock}


def build(name: str, classes: int, channels: int, **options: float) -> nn.Module:
    """Build a registered network. Raises ``RecipeError`` for an unknown name."""
    if name not in NETWORKS:
        known = tuple(NETWORKS)
        raise RecipeError(f"No network {name!r}; known are {', '.join(known)}.{nearest(name, known)}")
    return NETWORKS[name](classes, channels, **options)


def parameter_count(network: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
