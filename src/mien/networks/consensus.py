"""A network with one head per corpus and a consensus head, and the loss that trains them together."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


class Consensus(nn.Module):
    """A network with (1 + heads) · classes outputs: the consensus first, then a head for each corpus.

    answering: the head whose logits are returned; 0 is the consensus, 1 the first head.
    """

    def __init__(self, network: nn.Module, classes: int) -> None:
        super().__init__()
        self.network, self.classes, self.answering = network, classes, 0

    def forward(self, crops: torch.Tensor, heads: bool = False) -> torch.Tensor:
        """Map crops (N, C, S, S) to the logits (N, classes) of ``answering``, or to all, (N, 1 + heads, classes)."""
        logits: torch.Tensor = self.network(crops)
        if heads:
            return logits.reshape(len(logits), -1, self.classes)
        start = self.answering * self.classes
        return logits[:, start : start + self.classes]


class CorporaLoss(nn.Module):
    """Cross-entropy of every head on the faces that it has targets for, plus that of the consensus; nats, batch mean.

    A head covers the classes of its corpora: the others are masked out of its softmax. The consensus has two targets:
    with weight ``1 - agreement`` the face's own, over the classes of that face's head, and with weight ``agreement``
    the heads' mean prediction, in which each class is averaged over the heads that cover it (Guan et al. 2018). With
    teachers (``distil``) these two have the weight ``1 - teachers``, and the teachers' prediction has the rest.
    """

    known: torch.Tensor

    def __init__(self, known: NDArray[np.bool_], agreement: float, smoothing: float, teachers: float = 0.0) -> None:
        """Known: bool (heads, C), the classes of a head's corpora. smoothing: label smoothing over those classes."""
        super().__init__()
        self.register_buffer("known", torch.from_numpy(known), persistent=False)
        self.agreement, self.smoothing, self.teachers = agreement, smoothing, teachers

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss of logits float (N, 1 + heads, C) for targets float (N, heads, C), zeros where missing.

        With teachers, the targets have their prediction as one more row, the last.
        """
        teachers, targets = targets[:, -1], targets[:, : len(self.known)]
        heads = logits[:, 1:].masked_fill(~self.known, -1e4).log_softmax(2)
        labelled = targets.sum(2) > 0
        soft = self._smooth(targets) * labelled[:, :, None]
        loss = -(soft * heads).sum() / len(logits)
        first = labelled.int().argmax(1)
        own, known = soft[torch.arange(len(soft)), first], self.known[first]
        of_own = -(own * logits[:, 0].masked_fill(~known, -1e4).log_softmax(1)).sum(1)
        of_heads = -(self._average(heads) * logits[:, 0].log_softmax(1)).sum(1)
        of_consensus = (1 - self.agreement) * of_own + self.agreement * of_heads
        if self.teachers:
            of_teachers = -(teachers * logits[:, 0].log_softmax(1)).sum(1)
            of_consensus = (1 - self.teachers) * of_consensus + self.teachers * of_teachers
        return loss + of_consensus.mean()

    def _smooth(self, targets: torch.Tensor) -> torch.Tensor:
        spread = self.known / self.known.sum(1, keepdim=True)
        return targets * (1 - self.smoothing) + self.smoothing * spread

    def _average(self, heads: torch.Tensor) -> torch.Tensor:
        probabilities = heads.detach().exp() * self.known
        mean = probabilities.sum(1) / self.known.sum(0).clamp(min=1)
        normalised: torch.Tensor = mean / mean.sum(1, keepdim=True)
        return normalised
