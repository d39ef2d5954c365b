"""Inspect a network's features: filters of its first layer, feature maps of each stage (system B), embedding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import nn

from mien.errors import DataError, ModelError
from mien.interpret.gradients import Hook, run_with_hooks, stages
from mien.preprocess import PreprocessSpec, apply

_BATCH = 256
_BEFORE_TSNE = 50  # components kept; more add noise and cost to t-SNE (van der Maaten & Hinton 2008, section 4.2)
_LEAST = 5


@dataclass(frozen=True)
class FeatureMaps:
    """Output of one stage for one face: ``maps`` float32 (channels, side, side) of the layer ``name``."""

    name: str
    maps: NDArray[np.float32]


def feature_maps(network: nn.Module, face: NDArray[np.float32]) -> tuple[FeatureMaps, ...]:
    """Compute the feature maps of each stage for a network input float32 (channels, S, S), first stage first.

    The network is run in evaluation mode.

    Raises:
        ModelError: a network without feature maps.
    """
    chosen = stages(network.eval(), face)
    if not chosen:
        raise ModelError("This network has no feature maps larger than one cell, so there is nothing to show.")
    kept: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Hook:
        # Cloned, because a later in-place layer would overwrite it.
        return lambda _module, _inputs, result: kept.update({name: result.clone()})

    run_with_hooks(network, face, {stage.module: keep(stage.name) for stage in chosen})
    return tuple(FeatureMaps(stage.name, kept[stage.name][0].numpy()) for stage in chosen)


def first_filters(network: nn.Module) -> tuple[str, NDArray[np.float32]]:
    """Return the name and the filters, float32 (filters, channels, k, k), of the first convolution. ``ModelError``."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            return name, module.weight.detach().float().numpy()
    raise ModelError("This network has no convolution, so it has no filters to show.")


def embed(
    network: nn.Module, pixels: NDArray[np.uint8], spec: PreprocessSpec
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Compute the inputs of the last dense layer, float32 (N, D), and the most probable class, int64 (N,).

    Args:
        pixels: face crops uint8 (N, H, W).

    Raises:
        ModelError: a network without a dense layer.
    """
    dense = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not dense:
        raise ModelError("This network has no dense layer, so it has no embedding in front of one.")
    inputs: list[NDArray[np.float32]] = []
    hook = dense[-1].register_forward_pre_hook(lambda _, given: inputs.append(given[0].float().numpy()))
    try:
        with torch.inference_mode():
            predicted = [
                network.eval()(torch.from_numpy(apply(pixels[start : start + _BATCH], spec))).argmax(1).numpy()
                for start in range(0, len(pixels), _BATCH)
            ]
    finally:
        hook.remove()
    return np.concatenate(inputs), np.concatenate(predicted)


@dataclass(frozen=True)
class Projection:
    """An embedding in two dimensions.

    Attributes:
        pca: float64 (N, 2), the two directions of largest variance.
        shares: fraction of the variance in each of them.
        tsne: float64 (N, 2). Neighbours stay neighbours; distances between groups and their sizes mean nothing.
    """

    pca: NDArray[np.float64]
    shares: tuple[float, float]
    tsne: NDArray[np.float64]


def project(points: NDArray[np.float32], seed: int = 0) -> Projection:
    """Project an embedding, float32 (N, D), D ≥ 2, by PCA and by t-SNE (van der Maaten & Hinton 2008).

    Raises:
        DataError: fewer than 5 faces.
    """
    if len(points) < _LEAST:
        raise DataError(f"{len(points)} faces to project: expected at least {_LEAST}.")
    pca = PCA(min(_BEFORE_TSNE, *points.shape), random_state=seed)
    components = pca.fit_transform(points.astype(np.float64))
    perplexity = min(30.0, (len(points) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(components)
    first, second = pca.explained_variance_ratio_[:2].tolist()
    return Projection(components[:, :2], (first, second), tsne.astype(np.float64))
