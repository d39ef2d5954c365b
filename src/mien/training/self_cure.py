"""Self-cure network for uncertain labels (SCN; Wang et al., CVPR 2020, arXiv:2002.10392).

Each face gets an importance in (0, 1), from the features of the network, which multiplies its logits: the gradient of
an unimportant face is small. A rank regularisation keeps the mean importance of the most important faces of a batch
above that of the others, and from an epoch on the others are relabelled if the network is sure of another class. The
exported network has no importance, which changes no prediction: it is the same positive factor for all logits of a
face.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from mien.recipes.tables import SelfCureTable


class SelfCure(nn.Module):
    """Importance of faces, and the labels that they have by now.

    Attributes:
        labels: int64 (faces,), on the CPU; ``relabel`` changes it. Not a buffer, because the average of the weights
            would average it, too.
    """

    def __init__(self, table: SelfCureTable, width: int, labels: NDArray[np.int64]) -> None:
        """Width: number of features. labels: of the training faces, class indices (faces,)."""
        super().__init__()
        self.table = table
        self.importance = nn.Linear(width, 1)
        self.given = torch.from_numpy(labels.copy())
        self.labels = self.given.clone()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features float (N, width) to importances in (0, 1), float32 (N, 1)."""
        return torch.sigmoid(self.importance(features).float())

    @property
    def relabelled(self) -> int:
        """Number of training faces with another label than the given one."""
        return int((self.labels != self.given).sum())

    def rank_loss(self, importances: torch.Tensor) -> torch.Tensor:
        """Return by how much the mean of the high group falls short of ``margin`` above that of the low group.

        Args:
            importances: float (N, 1), N at least 2.
        """
        ordered = importances.flatten().sort(descending=True).values
        high = self._high(len(ordered))
        return (self.table.margin - (ordered[:high].mean() - ordered[high:].mean())).clamp(min=0)

    def _high(self, faces: int) -> int:
        """Return the size of the high group of a batch; each group has at least one face."""
        return min(max(int(faces * self.table.high), 1), faces - 1)

    def current_targets(self, targets: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return targets float (N, C) with those of relabelled faces replaced by their present label.

        Args:
            targets: of the data, float (N, C).
            rows: indices of the faces in the training set, int64 (N,).
        """
        rows = rows.cpu()
        labels = self.labels[rows]
        changed = (labels != self.given[rows]).to(targets.device)
        return torch.where(changed[:, None], functional.one_hot(labels, targets.shape[1]).to(targets), targets)

    @torch.no_grad()
    def relabel(
        self, logits: torch.Tensor, importances: torch.Tensor, targets: torch.Tensor, rows: torch.Tensor
    ) -> None:
        """Give faces of the low group the predicted class where it is sure, by ``relabel_margin``.

        The authors' code relabels faces of both groups; this follows the text of the paper.

        Args:
            logits: weighted by importance, float (N, C).
            importances: float (N, 1).
            targets: present targets, float (N, C).
            rows: as in ``current_targets``.
        """
        probabilities = logits.softmax(1)
        highest, predicted = probabilities.max(1)
        own = probabilities.gather(1, targets.argmax(1, keepdim=True))[:, 0]
        low = torch.ones_like(highest, dtype=torch.bool)
        low[importances.flatten().argsort(descending=True)[: self._high(len(rows))]] = False
        sure = low & (highest - own > self.table.relabel_margin)
        self.labels[rows[sure].cpu()] = predicted[sure].cpu()
