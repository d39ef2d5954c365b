"""Losses: cross-entropy and focal loss for soft targets, with class weights and label smoothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mien.errors import RecipeError
from mien.recipes.tables import LossTable


class Loss(nn.Module):
    """The recipe's loss, in nats, mean over the batch.

    With targets t (rows summing to 1, after smoothing), probabilities p and class weights w, both losses are
    −Σ w·α·(1 − p)^γ·t·log p; cross-entropy has α = 1, γ = 0; the focal loss (Lin et al. 2017; system D with γ = 2,
    α = 0.25) its own. On hard targets this is the published −α (1 − p)^γ log p of the true class.
    """

    weights: torch.Tensor

    def __init__(self, table: LossTable, counts: Sequence[int]) -> None:
        """Counts: training faces of each class, at least 1.

        Raises:
            RecipeError: a wrong number of alphas.
        """
        super().__init__()
        self.smoothing = table.label_smoothing
        self.gamma = table.gamma if table.name == "focal" else 0.0
        weights = class_weights(counts, table.class_weights)
        if table.name == "focal":
            weights = weights * _alphas(table.alpha, len(counts))
        self.register_buffer("weights", torch.from_numpy(weights.astype(np.float32)), persistent=False)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss of logits float (N, C) for targets float (N, C)."""
        targets = targets * (1 - self.smoothing) + self.smoothing / logits.shape[1]
        logs = logits.log_softmax(1)
        terms = self.weights * targets * logs
        if self.gamma:
            terms = terms * (1 - logs.exp()) ** self.gamma
        return -terms.sum(1).mean()


def _alphas(alpha: float | tuple[float, ...], classes: int) -> NDArray[np.float64]:
    if isinstance(alpha, tuple) and len(alpha) != classes:
        raise RecipeError(f"loss.alpha has {len(alpha)} values for {classes} classes; give one, or one per class.")
    return np.broadcast_to(np.asarray(alpha, float), classes)


def class_weights(counts: Sequence[int], power: float) -> NDArray[np.float64]:
    """Return a weight for each class, its size to the power of ``-power``; the mean over all faces is 1.

    Power 1 is scikit-learn's "balanced" (system E), 0 is no weighting.
    """
    sizes = np.asarray(counts, float)
    weights = sizes**-power
    normalised: NDArray[np.float64] = weights * sizes.sum() / (weights * sizes).sum()
    return normalised
