"""Augmentation of whole batches on the device, after the one pixel path (Kornia)."""

from __future__ import annotations

import torch
from torch import nn

from mien.learning.recipe import AugmentTable


class Augment(nn.Module):
    """Change each face of a batch by its own random draw.

    Takes and returns float (N, C, S, S). What leaves the frame is filled by the nearest edge pixels, because a
    constant border would be a cue that no detector's crop has.
    """

    def __init__(self, table: AugmentTable) -> None:
        super().__init__()
        import kornia.augmentation as kornia

        steps: list[nn.Module] = []
        if table.flip:
            steps.append(kornia.RandomHorizontalFlip(p=table.flip))
        if table.rotate or table.shift or table.zoom:
            steps.append(
                kornia.RandomAffine(
                    degrees=table.rotate,
                    translate=(table.shift, table.shift),
                    scale=(1 - table.zoom, 1 + table.zoom),
                    padding_mode="border",
                    p=1.0,
                )
            )
        if table.erase:
            steps.append(kornia.RandomErasing(scale=(0.02, 0.15), ratio=(0.4, 2.5), p=table.erase))
        self.steps = nn.Sequential(*steps)

    @torch.no_grad()
    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Return the changed batch, same shape and dtype."""
        changed: torch.Tensor = self.steps(crops)
        return changed
