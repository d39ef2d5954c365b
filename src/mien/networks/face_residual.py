"""dlib's residual network for face recognition as an expression classifier, with or without pretrained weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from mien.errors import FileMissingError, RecipeError
from mien.networks.pooled import Pooled

WEIGHTS = "dlib_face_resnet29.npz"
"""The file of pretrained weights, in the folder ``MIEN_WEIGHTS``."""

MEAN = (122.782, 117.001, 104.298)
"""Mean pixel (RGB, 0–255) of the pretrained weights' preprocessing, which divides by 256."""

_STAGES = ((32, 3, False), (64, 3, True), (128, 2, True), (256, 2, True))
"""Width, number of blocks that keep the size, and whether a block that halves it comes before them."""

_SMALLEST = 32


class FaceResidual(Pooled):
    """dlib's network for face recognition (King 2017; 29 layers of dense 3×3 convolutions) without its last block.

    Stem conv 7×7 and max-pool 3×3, each of stride 2, then stages of 32-64-128-256 maps; where a block halves the size
    its shortcut is a 2×2 mean with zero channels added. Global average pooling, dropout, linear output. 4.4 million
    parameters, 0.15 G multiply-accumulates at 96×96 pixels: dense convolutions, which train 6 to 15 times faster on a
    CPU than depthwise ones with as many. Takes images of any size, at least 32×32.

    Args:
        pretrained: start from the author's weights (CC0, trained on 3 million faces); they need colour (``channels`` =
            3) and the file ``dlib_face_resnet29.npz`` in the folder ``MIEN_WEIGHTS``.
    """

    def __init__(
        self, classes: int, channels: int = 1, size: int = 48, *, dropout: float = 0.4, pretrained: bool = False
    ) -> None:
        super().__init__()
        if size < _SMALLEST:
            raise RecipeError(
                f"preprocess.size = {size} (or a stage of train.sizes) is smaller than this network's four halvings "
                f"allow; give at least {_SMALLEST}."
            )
        if pretrained and channels != 3:
            raise RecipeError("network.pretrained of face_residual needs colour; set preprocess.channels = 3.")
        self.pretrained = pretrained
        first, norm = nn.Conv2d(channels, 32, 7, 2, padding=3, bias=False), nn.BatchNorm2d(32)
        self.stem = nn.Sequential(first, norm, nn.ReLU(inplace=True))
        blocks: dict[str, nn.Module] = {}
        before = 32
        for width, count, halves in _STAGES:
            if halves:
                blocks[f"conv{width}_down"] = Block(before, width, halves=True)
            blocks |= {f"conv{width}_{number}": Block(width, width) for number in range(1, count + 1)}
            before = width
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.blocks = nn.ModuleDict(blocks)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(before, classes))

    def maps(self, crops: torch.Tensor) -> torch.Tensor:
        """Map float (N, channels, S, S) to the last feature maps, float (N, 256, S/32, S/32), sides rounded up."""
        maps: torch.Tensor = self.pool(self.stem(crops))
        for block in self.blocks.values():
            maps = block(maps)
        return maps

    @torch.no_grad()
    def start(self, weights: dict[str, NDArray[np.float32]], faces: torch.Tensor, crops: torch.Tensor) -> None:
        """Load dlib's weights; its scales and biases become batch norms, using the statistics of faces.

        Args:
            faces: float32 (N, 3, S, S) RGB, 0–255, a few hundred.
            crops: the same faces after the recipe's preprocessing.

        Raises:
            RecipeError: weights of another network.
        """
        maps = (faces - torch.tensor(MEAN)[:, None, None]) / 256
        self.eval()
        first, norm = cast("nn.Conv2d", self.stem[0]), cast("nn.BatchNorm2d", self.stem[1])
        maps = self.pool(functional.relu(_load_layer(first, norm, maps, weights, "conv32_down")))
        for name, module in self.blocks.items():
            block = cast("Block", module)
            inner = functional.relu(_load_layer(block.first, block.first_norm, maps, weights, f"{name}.conv1"))
            inner = _load_layer(block.second, block.second_norm, inner, weights, f"{name}.conv2")
            maps = functional.relu(inner + block.shortcut(maps))
        self._measure(crops)

    def _measure(self, crops: torch.Tensor) -> None:
        """Set the batch norms' running statistics from preprocessed crops."""
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = 1.0
        self.train()
        self(crops)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


class Block(nn.Module):
    """Two 3×3 convolutions with batch norm and a shortcut, which is pooled and zero-padded to the output's shape."""

    def __init__(self, inputs: int, outputs: int, *, halves: bool = False) -> None:
        super().__init__()
        self.halves, self.wider = halves, outputs - inputs
        self.first = nn.Conv2d(inputs, outputs, 3, 2 if halves else 1, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Map float (N, inputs, H, W) to (N, outputs, H, W), or to half of H and W, rounded up."""
        inner = functional.relu(self.first_norm(self.first(maps)))
        inner = self.second_norm(self.second(inner))
        return functional.relu(inner + self.shortcut(maps))

    def shortcut(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the input in the shape of the convolutions' output."""
        if not self.halves:
            return maps
        shrunk = functional.avg_pool2d(maps, 2, ceil_mode=True, count_include_pad=False)
        return functional.pad(shrunk, (0, 0, 0, 0, 0, self.wider))


def _load_layer(
    conv: nn.Conv2d, norm: nn.BatchNorm2d, maps: torch.Tensor, weights: dict[str, NDArray[np.float32]], name: str
) -> torch.Tensor:
    """Load the weights of one convolution and its batch norm, and return their output for ``maps``."""
    keys = (f"{name}.conv.filters", f"{name}.conv.bias", f"{name}.scale.weights", f"{name}.scale.biases")
    absent = [key for key in keys if key not in weights]
    if absent:
        raise RecipeError(f"The weights lack {absent[0]}; expected the weights of dlib's face recognition network.")
    filters, bias, scale, shift = (torch.from_numpy(np.asarray(weights[key], np.float32)) for key in keys)
    conv.weight.copy_(filters.permute(3, 2, 0, 1))
    outputs = conv(maps)
    variance, mean = torch.var_mean(outputs, (0, 2, 3), unbiased=False)
    norm.weight.copy_(scale * (variance + norm.eps).sqrt())
    norm.bias.copy_(shift + scale * (bias + mean))
    return functional.batch_norm(outputs, mean, variance, norm.weight, norm.bias, eps=norm.eps)


def read_weights() -> dict[str, NDArray[np.float32]]:
    """Read dlib's weights by name from the folder ``MIEN_WEIGHTS``. Raises ``FileMissingError``."""
    folder = os.environ.get("MIEN_WEIGHTS", "")
    path = Path(folder) / WEIGHTS
    if not folder or not path.exists():
        raise FileMissingError(
            f"network.pretrained of face_residual needs {WEIGHTS}, and MIEN_WEIGHTS = {folder!r} does not hold it. Set "
            "MIEN_WEIGHTS to its folder, or network.pretrained = false."
        )
    with np.load(path) as arrays:
        return {name: arrays[name].astype(np.float32) for name in arrays.files}
