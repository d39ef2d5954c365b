"""The training step as a Lightning module; the loop itself is Lightning's."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning import LightningModule
from torch import nn
from torch.nn import functional

from mien.errors import TrainingError
from mien.learning import networks
from mien.learning.augment import Augment
from mien.learning.recipe import Recipe, TrainTable

Batch = tuple[torch.Tensor, torch.Tensor]


class Classifier(LightningModule):
    """A recipe's network with its loss, augmentation and optimiser.

    Batches are (crops float32 (N, C, S, S), labels int64 (N,)). Logs ``loss`` and ``accuracy`` of the augmented
    training faces, ``public_loss`` and ``public_accuracy`` of PublicTest, all in [0, 1] but the losses (nats), and
    ``choice``: the PublicTest accuracy in epochs of full-size images, 0 before; the best epoch is chosen by it.
    """

    def __init__(self, recipe: Recipe, classes: int) -> None:
        super().__init__()
        self.recipe = recipe
        options = recipe.network.model_dump(exclude={"name"})
        self.network = networks.build(recipe.network.name, classes, recipe.preprocess.channels, **options)
        self.augment = Augment(recipe.augment)
        self.loss = nn.CrossEntropyLoss(label_smoothing=recipe.train.label_smoothing)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Map crops (N, C, S, S) to logits (N, classes)."""
        logits: torch.Tensor = self.network(crops)
        return logits

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment training batches and shrink all to the epoch's size: on the device, in float32."""
        crops, labels = batch
        if self.trainer.training:
            # Seeded by the step, augmentation and dropout of a resumed run are those of an uninterrupted one.
            torch.manual_seed(self.recipe.train.seed * 1_000_003 + self.global_step)
            crops = self.augment(crops)
        size = self.recipe.size_at(self.current_epoch)
        if size != crops.shape[-1]:
            # Judging 48-pixel faces while training on 32 reads 10-15 points too low (batch-norm statistics).
            crops = functional.interpolate(crops, size=(size, size), mode="bilinear", antialias=True)
        if self.recipe.train.channels_last:
            crops = crops.contiguous(memory_format=torch.channels_last)
        return crops, labels

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Return the loss. Raises ``TrainingError`` naming step, batch and rate if it is not finite."""
        crops, labels = batch
        logits = self(crops).float()
        loss: torch.Tensor = self.loss(logits, labels)
        if not math.isfinite(loss.item()):
            rate = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]
            raise TrainingError(
                f"The loss is {loss.item()} at step {self.global_step} (batch {batch_idx} of epoch "
                f"{self.current_epoch}, learning rate {rate:.2g}). Lower train.rate or set bfloat16 = false."
            )
        self._log("", loss, logits, labels)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log loss and accuracy on PublicTest."""
        crops, labels = batch
        logits = self(crops).float()
        accuracy = self._log("public_", functional.cross_entropy(logits, labels), logits, labels)
        # A network that has only seen small faces may not be chosen: it fails on full-size ones.
        full_size = self.recipe.size_at(self.current_epoch) == self.recipe.preprocess.size
        self.log("choice", accuracy * full_size, on_step=False, on_epoch=True, batch_size=len(labels))

    def _log(self, prefix: str, loss: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        accuracy = (logits.argmax(1) == labels).float().mean()
        values = {f"{prefix}loss": loss.detach(), f"{prefix}accuracy": accuracy}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=len(labels))
        return accuracy

    def configure_optimizers(self) -> Any:
        """Build the recipe's optimiser and schedule."""
        optimizer = _optimizer(self.network, self.recipe.train)
        scheduler = _scheduler(optimizer, self.recipe.train, int(self.trainer.estimated_stepping_batches))
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]


def _optimizer(network: nn.Module, table: TrainTable) -> torch.optim.Optimizer:
    weights = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": table.decay}, {"params": rest, "weight_decay": 0.0}]
    if table.optimizer == "sgd":
        return torch.optim.SGD(groups, table.rate, momentum=0.9, nesterov=True)
    return torch.optim.Adam(groups, table.rate) if table.optimizer == "adam" else torch.optim.AdamW(groups, table.rate)


def _scheduler(optimizer: torch.optim.Optimizer, table: TrainTable, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    if table.schedule == "one_cycle":
        # Momentum stays fixed: with Adam its cycling moves beta 1, which the moving average does not like.
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, table.rate, total_steps=steps, pct_start=table.warmup, cycle_momentum=False
        )
    if table.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
