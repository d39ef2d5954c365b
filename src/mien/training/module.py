"""The training step as a Lightning module; Lightning runs the loop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning import LightningModule
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from mien.errors import RecipeError, TrainingError
from mien.networks import networks
from mien.networks.backbones import PREFIX, Backbone
from mien.networks.consensus import Consensus, CorporaLoss
from mien.networks.pooled import Pooled
from mien.recipes.recipe import Recipe
from mien.recipes.tables import AugmentTable
from mien.training import calibrate, distillation, schedule
from mien.training.augment import Augment, Mix
from mien.training.consistency import consistency_loss
from mien.training.losses import Loss
from mien.training.self_cure import SelfCure

Batch = tuple[torch.Tensor, ...]

NOT_YET = -1e9
"""``choice`` in epochs that cannot be selected."""

_LABELS = "self_cure_labels"
"""Key of the present labels in a checkpoint."""


def network_of(recipe: Recipe, classes: int, *, trained: bool = False) -> nn.Module:
    """Build the recipe's network. trained: its weights will be loaded, so pretrained ones need not be downloaded."""
    options = recipe.network.model_dump(exclude={"name", "start"}, exclude_none=True)
    if trained and (recipe.network.name.startswith(PREFIX) or recipe.network.pretrained):
        options["pretrained"] = False
    spec = recipe.preprocess
    least = min([spec.size, *(stage.size for stage in recipe.train.sizes)])
    outputs = classes * (1 + len(recipe.data.corpora.heads))
    network = networks.build(recipe.network.name, outputs, spec.channels, least, **options)
    if len(recipe.train.sizes) > 1 and not networks.flexible(network):
        raise RecipeError(
            f"train.sizes is not supported by {recipe.network.name}, which takes one size only; leave it out."
        )
    if recipe.calibrate.smooth:
        calibrate.first_convolution(network)  # fail now, not at the export after hours of training
    return Consensus(network, classes) if recipe.data.corpora.heads else network


def _on_device(recipe: Recipe) -> AugmentTable:
    """Return the part of ``[augment]`` applied to whole batches; ``harmonise`` already moved the faces of corpora."""
    done = {"flip": 0.0, "rotate": 0.0, "shift": 0.0, "zoom": 0.0}
    return recipe.augment.model_copy(update=done) if recipe.data.corpora.shares else recipe.augment


class LightningClassifier(LightningModule):
    """A recipe's network with its loss, augmentation and optimiser.

    Training batches are (crops float32 (N, C, S, S), targets float32 (N, K)), validation batches have labels int64
    (N,). Logs ``loss`` and ``accuracy`` on the augmented training faces, ``validation_loss`` and
    ``validation_accuracy`` (losses in nats, accuracies in [0, 1]), and ``choice``, the criterion of the best epoch:
    the validation accuracy, minus the loss, or the epoch's number, in epochs with full-size images.
    With ``data.corpora.heads`` the targets are (N, heads, K), and the logged values are those of the consensus.
    With ``self_cure`` training batches also have the indices of their faces in the training set, int64 (N,).
    """

    def __init__(
        self,
        recipe: Recipe,
        counts: Sequence[int],
        known: NDArray[np.bool_] | None = None,
        labels: NDArray[np.int64] | None = None,
    ) -> None:
        """Build the untrained network.

        Args:
            counts: training faces of each class, in label order.
            known: bool (heads, K), classes of a head's corpora.
            labels: of the training faces, int64 (faces,), for ``self_cure``.
        """
        super().__init__()
        self.recipe = recipe
        self.network = network_of(recipe, len(counts))
        if isinstance(self.network, Backbone):
            self.network.freeze(recipe.train.frozen > 0)  # DDP collects the trainable parameters before the first epoch
        self.augment, self.mix = Augment(_on_device(recipe)), Mix(recipe.augment)
        self.loss: nn.Module = Loss(recipe.loss, counts)
        if recipe.data.corpora.heads and known is not None:
            teachers = recipe.distil.share if recipe.distil.answers else 0.0
            self.loss = CorporaLoss(known, recipe.data.corpora.agreement, recipe.loss.label_smoothing, teachers)
        self.cure: SelfCure | None = None
        if recipe.self_cure.weight and labels is not None and isinstance(self.network, Pooled):
            self.cure = SelfCure(recipe.self_cure, self.network.output.in_features, labels)
        self.teachers: dict[int, torch.Tensor] = {}  # the teachers' probabilities, by step of the round
        if recipe.train.compile:
            self.network.compile()

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Map crops (N, C, S, S) to logits (N, classes)."""
        logits: torch.Tensor = self.network(crops)
        return logits

    def on_train_epoch_start(self) -> None:
        """Freeze or unfreeze a backbone as set in the recipe."""
        table = self.recipe.train
        if isinstance(self.network, Backbone):
            self.network.freeze(self.current_epoch < table.frozen)
        if table.schedule == "plateau" and table.frozen and self.current_epoch == table.frozen:
            for group in self.optimizers().param_groups:  # type: ignore[union-attr]
                group["lr"] = table.thaw_rate

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment training batches and resize all batches to the epoch's size: on the device, in float32."""
        crops, targets, *rows = batch
        if self.trainer.training:
            if self.cure is not None:
                targets = self.cure.current_targets(targets, rows[0])
            step = self._step_of_round()
            self._seed(step)
            crops, targets = self.mix(self.augment(crops), targets)
            targets = self._distil(crops, targets, step)
            if step != self.global_step:
                self._seed(self.global_step)  # dropout must not repeat
        size = self.recipe.size_at(self.current_epoch)
        if size != crops.shape[-1]:
            # Validating on 48 pixels while training on 32 underestimates the accuracy by 10-15 points (batch norm).
            crops = functional.interpolate(crops, size=(size, size), mode="bilinear", antialias=True)
        if self.recipe.train.channels_last:
            crops = crops.contiguous(memory_format=torch.channels_last)
        return crops, targets, *rows

    def _step_of_round(self) -> int:
        rounds = self.recipe.distil.rounds
        return self.global_step % (rounds * int(self.trainer.num_training_batches)) if rounds else self.global_step

    def _seed(self, step: int) -> None:
        # Seeding by the step makes augmentation and dropout of a resumed run equal to an uninterrupted one.
        torch.manual_seed(self.recipe.train.seed * 1_000_003 + step + self.global_rank * 500_009)

    def _distil(self, crops: torch.Tensor, targets: torch.Tensor, step: int) -> torch.Tensor:
        table = self.recipe.distil
        if not table.models:
            return targets
        probabilities = self.teachers.get(step)
        if probabilities is None:
            probabilities = torch.from_numpy(distillation.predict(crops.cpu().numpy(), table))
            if table.rounds:
                self.teachers[step] = probabilities
        return (1 - table.share) * targets + table.share * probabilities.to(targets)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Return the loss.

        Raises:
            TrainingError: naming step, batch and rate if it is not finite.
        """
        crops, targets, *rows = batch
        logits, loss = self.compute_loss(crops, targets, rows)
        if not math.isfinite(loss.item()):
            rate = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]
            raise TrainingError(
                f"The loss is {loss.item()} at step {self.global_step} (batch {batch_idx} of epoch "
                f"{self.current_epoch}, learning rate {rate:.2g}). Lower train.rate or set bfloat16 = false."
            )
        if self.recipe.data.corpora.heads:
            first = (targets.sum(2) > 0).int().argmax(1)
            logits, targets = logits[:, 0], targets[torch.arange(len(targets)), first]
        self._log("", loss, logits, targets.argmax(1))
        return loss

    def compute_loss(
        self, crops: torch.Tensor, targets: torch.Tensor, rows: Sequence[torch.Tensor] = ()
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits, weighted by importance if there is one, and loss of a training batch, as the class has them.

        Args:
            rows: with ``self_cure`` one tensor, the indices of the faces, which may be relabelled.
        """
        if not isinstance(self.network, Pooled) or not (self.recipe.consistency.weight or self.cure is not None):
            logits = (self.network(crops, heads=True) if self.recipe.data.corpora.heads else self(crops)).float()
            return logits, self.loss(logits, targets)
        maps = self.network.maps(crops)
        logits, loss = self.network.classify(maps).float(), crops.new_zeros(())
        if self.recipe.consistency.weight:
            mirrored = self.network.maps(crops.flip(3))
            weights = self.network.output.weight
            loss = loss + self.recipe.consistency.weight * consistency_loss(maps, mirrored, weights)
        if self.cure is not None:
            importances = self.cure(maps.mean((2, 3)))
            logits = importances * logits
            loss = loss + self.recipe.self_cure.weight * self.cure.rank_loss(importances)
            if self.current_epoch >= self.recipe.self_cure.relabel_from:
                self.cure.relabel(logits, importances, targets, rows[0])
        return logits, loss + self.loss(logits, targets)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the present labels, which a resumed run needs."""
        if self.cure is not None:
            checkpoint[_LABELS] = self.cure.labels

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over the labels of the checkpoint."""
        if self.cure is not None:
            self.cure.labels.copy_(checkpoint[_LABELS])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log loss, accuracy and ``choice`` on the validation set."""
        crops, labels = batch
        logits = self(crops).float()
        loss = functional.cross_entropy(logits, labels)
        accuracy = self._log("validation_", loss, logits, labels)
        choices = {"accuracy": accuracy, "loss": -loss, "last": torch.full_like(loss, self.current_epoch)}
        value = choices[self.recipe.train.choose]
        # A network trained on small faces only must not be selected: it fails on full-size ones.
        full_size = self.recipe.size_at(self.current_epoch) == self.recipe.preprocess.size
        value = value if full_size else torch.full_like(value, NOT_YET)
        self.log("choice", value, on_step=False, on_epoch=True, batch_size=len(labels), sync_dist=True)

    def _log(self, prefix: str, loss: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        accuracy = (logits.argmax(1) == labels).float().mean()
        values = {f"{prefix}loss": loss.detach(), f"{prefix}accuracy": accuracy}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=len(labels), sync_dist=True)
        return accuracy

    def configure_optimizers(self) -> Any:
        """Build the recipe's optimiser and schedule."""
        trained = self.network if self.cure is None else nn.ModuleList([self.network, self.cure])
        optimizer = schedule.optimizer(trained, self.recipe.train)
        steps = int(self.trainer.estimated_stepping_batches)
        return [optimizer], [schedule.scheduler(optimizer, self.recipe.train, steps)]
