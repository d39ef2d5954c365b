"""A network in PyTorch where a session is expected."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


@dataclass(frozen=True)
class TorchSession:
    """A network in PyTorch, in evaluation mode on the CPU, as a session."""

    network: nn.Module = field(repr=False)

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map float32 (N, channels, size, size) to float32 (N, C)."""
        with torch.inference_mode():
            logits: NDArray[np.float32] = self.network(torch.from_numpy(batch)).numpy()
        return logits
