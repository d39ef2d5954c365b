"""torchvision classifiers for face crops, grey or pseudo-RGB, with emotions as classes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from mien.errors import FileMissingError, RecipeError, nearest

PREFIX = "torchvision:"


class Backbone(nn.Module):
    """A torchvision classifier with a new last dense layer.

    Args:
        network: takes float (N, channels, S, S).
        head: the name of its last dense layer, the only part trained while the rest is frozen (systems A and D: head
            only, then fine-tuned).
    """

    def __init__(self, network: nn.Module, head: str) -> None:
        super().__init__()
        self.network, self.head = network, head
        self.frozen = False

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Map float (N, channels, S, S) to logits (N, classes)."""
        logits: torch.Tensor = self.network(crops)
        return logits

    def freeze(self, frozen: bool) -> None:
        """Freeze or unfreeze everything but the head, batch-norm statistics included."""
        self.frozen = frozen
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(not frozen or name.startswith(f"{self.head}."))
        self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        """Switch to training mode; a frozen trunk stays in evaluation mode, dropout before the head included."""
        super().train(mode)
        if mode and self.frozen:
            self.network.eval()
            self.network.get_submodule(self.head).train()
        return self


def backbone(
    name: str,
    classes: int,
    channels: int,
    size: int = 48,
    *,
    pretrained: bool = True,
    dropout: float = 0.2,
    stride: Literal[1, 2] | None = None,
) -> Backbone:
    """Build torchvision's classifier ``name`` for ``classes`` emotions.

    Args:
        size: of the crops in pixels; one forward pass checks that the classifier takes them.
        channels: 1 sums the first convolution's kernels over RGB, which is the same function on pseudo-RGB.
        pretrained: ImageNet weights through torchvision's own loader, which downloads them once and caches them.
        stride: of the first convolution; None keeps it.

    Raises:
        RecipeError: an unknown name or crops that the classifier cannot take.
        FileMissingError: the weights are not available.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise RecipeError(f"torchvision has no classifier {name!r}.{nearest(name, known)}")
    try:
        network = models.get_model(name, weights=_weights(name) if pretrained else None)
    except OSError as error:
        raise FileMissingError(
            f"torchvision's weights for {name} could not be fetched: {error}. Put the file into "
            f"{torch.hub.get_dir()}/checkpoints, or set network.pretrained = false."
        ) from error
    _adapt_stem(network, channels, stride)
    head = _replace_head(network, classes, dropout)
    _check_size(network, name, channels, size)
    return Backbone(network, head)


def _weights(name: str) -> str:
    """Return the name of the first ImageNet weights, the ones that papers use.

    torchvision's newer ones are trained longer, with label smoothing and mixup, which raises the accuracy on ImageNet
    but lowers that of frozen features on other tasks (Kornblith et al. 2021).
    """
    from torchvision import models

    known = models.get_model_weights(name).__members__
    return "IMAGENET1K_V1" if "IMAGENET1K_V1" in known else "DEFAULT"


def _adapt_stem(network: nn.Module, channels: int, stride: int | None) -> None:
    stem = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    if stem is None:
        raise RecipeError("This classifier has no convolution to take face crops; choose a convolutional one.")
    if channels == 1:
        stem.in_channels = 1
        stem.weight = nn.Parameter(stem.weight.detach().sum(1, keepdim=True))
    if stride:
        stem.stride = (stride, stride)


def _check_size(network: nn.Module, name: str, channels: int, size: int) -> None:
    """Raise ``RecipeError`` if the network cannot take crops of ``size``: too few pixels for its pools, mostly."""
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, channels, size, size))
    except (RuntimeError, AssertionError) as error:  # vision transformers assert their one size
        raise RecipeError(
            f"preprocess.size = {size} (or a stage of train.sizes) does not work with {PREFIX}{name}: {error}. Choose "
            "a larger size, such as 96 or 224, or another network."
        ) from error
    network.train()


def _replace_head(network: nn.Module, classes: int, dropout: float) -> str:
    """Replace the last dense layer by dropout and a new one; return its name."""
    name = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1:]
    if not name:
        raise RecipeError("This classifier does not end in a dense layer; choose another one.")
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # replaced by our own
    owner = network.get_submodule(name[0].rpartition(".")[0])
    features = int(network.state_dict()[f"{name[0]}.weight"].shape[1])
    setattr(owner, name[0].rpartition(".")[2], nn.Sequential(nn.Dropout(dropout), nn.Linear(features, classes)))
    return str(name[0])
