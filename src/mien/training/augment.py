"""Augmentation of whole batches on the device, after preprocessing (Kornia, torchvision)."""

from __future__ import annotations

import torch
from torch import nn

from mien.recipes.tables import AugmentTable


class Augment(nn.Module):
    """Augment each face of a batch with its own random transform.

    Takes and returns float (N, C, S, S). Empty areas are filled with the nearest edge pixels, because a constant
    border would be a cue that no detector's crop has.
    """

    def __init__(self, table: AugmentTable) -> None:
        super().__init__()
        import kornia.augmentation as kornia

        steps: list[nn.Module] = []
        if table.flip:
            steps.append(kornia.RandomHorizontalFlip(p=table.flip))
        if table.vertical_flip:
            steps.append(kornia.RandomVerticalFlip(p=table.vertical_flip))
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
        if table.brightness:
            steps.append(Brightness(table.brightness))
        if table.erase:
            area = (0.02, table.erase_area)
            steps.append(kornia.RandomErasing(scale=area, ratio=(0.4, 2.5), p=table.erase))
        self.steps = nn.Sequential(*steps)

    @torch.no_grad()
    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Return the augmented batch, same shape and dtype."""
        augmented: torch.Tensor = self.steps(crops)
        return augmented


class Brightness(nn.Module):
    """Multiply each face by its own factor in 1 ± ``spread``, as Keras' brightness range does (systems C and E).

    Kornia's version clips to [0, 1], which would cut off the negative half of standardised crops.
    """

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.spread = spread

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Map float (N, C, S, S) to the same shape."""
        factors = torch.empty(len(crops), 1, 1, 1, device=crops.device, dtype=crops.dtype)
        return crops * factors.uniform_(1 - self.spread, 1 + self.spread)


class Mix(nn.Module):
    """Mixup and CutMix of a batch and its targets; with both enabled, one is drawn for each batch."""

    def __init__(self, table: AugmentTable) -> None:
        super().__init__()
        from torchvision.transforms import v2

        self.transforms = [v2.MixUp(alpha=table.mixup)] if table.mixup else []
        self.transforms += [v2.CutMix(alpha=table.cutmix)] if table.cutmix else []

    def forward(self, crops: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mixed crops float (N, C, S, S) and targets float (N, K); unchanged if the recipe mixes nothing."""
        if not self.transforms:
            return crops, targets
        transform = self.transforms[int(torch.randint(len(self.transforms), ()))]
        mixed: tuple[torch.Tensor, torch.Tensor] = transform(crops, targets)
        return mixed
