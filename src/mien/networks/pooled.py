"""Base of networks that end in global average pooling and one linear layer."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn


class Pooled(nn.Module):
    """A network of feature maps, their means, dropout and a linear layer (``head``), which gives class activation maps.

    Subclasses define ``maps`` and ``head``. ``tables.POOLED`` lists their names in recipes.
    """

    head: nn.Sequential

    def maps(self, crops: torch.Tensor) -> torch.Tensor:
        """Map float (N, channels, S, S) to the last feature maps, float (N, width, h, w)."""
        raise NotImplementedError

    def classify(self, maps: torch.Tensor) -> torch.Tensor:
        """Map feature maps float (N, width, h, w) to logits (N, classes)."""
        logits: torch.Tensor = self.head(maps.mean((2, 3)))
        return logits

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Map float (N, channels, S, S) to logits (N, classes)."""
        return self.classify(self.maps(crops))

    @property
    def output(self) -> nn.Linear:
        """The linear layer from the means of ``width`` maps to the logits."""
        return cast("nn.Linear", self.head[-1])
