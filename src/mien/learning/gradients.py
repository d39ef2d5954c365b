"""Maps from gradients: Grad-CAM, LayerCAM, integrated gradients, for every network that takes faces to logits.

captum computes the gradients; here is which layer they are taken at, for networks that are not known beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerGradCam, LayerGradientXActivation
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from mien.errors import FileMissingError, ModelError, OptionError, nearest
from mien.learning.export import load_network, recipe_of
from mien.recognition import bundle, faithfulness

COARSE, FINE = 4, 12
"""Least side of the map that Grad-CAM and LayerCAM look at, where the network has one as large: a face in 2 × 2 cells
has no mouth. LayerCAM was made for earlier layers, which Grad-CAM's single weight a channel does not suit."""

_POINTS = 32  # of the path that integrated gradients sum over


@dataclass(frozen=True)
class Stage:
    """Where the network last works at one resolution: the output of ``module``, of ``channels`` maps of ``side``²."""

    name: str
    module: nn.Module
    channels: int
    side: int


def stages(network: nn.Module, face: NDArray[np.float32]) -> tuple[Stage, ...]:
    """Return the network's stages for a face float32 (channels, S, S), largest maps first.

    A stage ends with the module, single or compound, that is the last to return maps of its resolution; resolutions at
    which nothing is convolved, as after a last pooling, are no stage. The network is run once, in its present mode.
    """
    last: dict[int, Stage] = {}
    convolved: set[int] = set()

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, _: Any, result: Any) -> None:
            if not isinstance(result, torch.Tensor) or result.ndim != 4 or result.shape[-1] < 2:
                return
            last[result.shape[-1]] = Stage(name, module, result.shape[1], result.shape[-1])
            if isinstance(module, nn.Conv2d):
                convolved.add(result.shape[-1])

        return hook

    hooks = [module.register_forward_hook(note(name)) for name, module in network.named_modules() if name]
    try:
        with torch.no_grad():
            network(torch.from_numpy(face[None]))
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(last[side] for side in sorted(convolved, reverse=True))


def stage(network: nn.Module, face: NDArray[np.float32], least: int, name: str = "") -> Stage:
    """Return the deepest stage with maps of at least ``least``², or else the largest; or the stage called ``name``.

    Raises ``OptionError`` for a name that is no stage, ``ModelError`` for a network without convolutions.
    """
    found = stages(network, face)
    if not found:
        raise ModelError("This network has no feature maps larger than one cell; use the method occlusion.")
    if not name:
        large = [one for one in found if one.side >= least]
        return large[-1] if large else found[0]
    known = [one.name for one in found]
    if name not in known:
        raise OptionError(f"No layer {name!r}; this network has {', '.join(known)}.{nearest(name, known)}")
    return found[known.index(name)]


class GradCam:
    """Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391): feature maps weighted by the mean gradient of each.

    Signed, where the paper cuts off what speaks against the class; ``Map.strength`` does that. Coarse: the layer's
    cells, of which the network's size leaves few.
    """

    name = "grad-cam"

    def __init__(self, network: nn.Module, layer: str = "") -> None:
        self.network, self.layer = network.eval(), layer

    def maps(self, face: NDArray[np.float32], classes: Sequence[int]) -> NDArray[np.float32]:
        """Return float32 (K, S, S) for K class indices and a network input float32 (channels, S, S)."""
        chosen = stage(self.network, face, COARSE, self.layer)
        attributed = LayerGradCam(self.network, chosen.module).attribute(*_asked(face, classes))
        return _enlarged(attributed, face.shape[-1])


class LayerCam:
    """LayerCAM (Jiang et al. 2021, doi:10.1109/TIP.2021.3089943): each cell weighted by its own positive gradient.

    Finer than Grad-CAM, as it holds at earlier layers. Never below 0. Exact for activations that are never negative
    (ReLU); behind SiLU or hard swish the slightly negative cells with negative gradients count too.
    """

    name = "layer-cam"

    def __init__(self, network: nn.Module, layer: str = "") -> None:
        self.network, self.layer = network.eval(), layer

    def maps(self, face: NDArray[np.float32], classes: Sequence[int]) -> NDArray[np.float32]:
        """Return float32 (K, S, S) for K class indices and a network input float32 (channels, S, S)."""
        chosen = stage(self.network, face, FINE, self.layer)
        products = LayerGradientXActivation(self.network, chosen.module).attribute(*_asked(face, classes))
        return _enlarged(products.clamp(min=0).sum(1, keepdim=True), face.shape[-1])


class Integrated:
    """Integrated gradients (Sundararajan, Taly & Yan 2017, arXiv:1703.01365) from the blurred face to the face.

    Each pixel's share of the difference in the class's logit between the two, which the shares add up to; signed.
    """

    name = "integrated-gradients"

    def __init__(self, network: nn.Module, layer: str = "") -> None:
        if layer:
            raise OptionError(f"layer = {layer!r}: integrated gradients look at pixels, at no layer; leave it out.")
        self.network = network.eval()

    def maps(self, face: NDArray[np.float32], classes: Sequence[int]) -> NDArray[np.float32]:
        """Return float32 (K, S, S) for K class indices and a network input float32 (channels, S, S)."""
        inputs, targets = _asked(face, classes)
        start = torch.from_numpy(faithfulness.hidden(face))[None].expand_as(inputs)
        shares = IntegratedGradients(self.network).attribute(inputs, start, targets, n_steps=_POINTS)
        summed: NDArray[np.float32] = shares.detach().sum(1).float().numpy()
        return summed


METHODS: dict[str, type[GradCam] | type[LayerCam] | type[Integrated]] = {
    each.name: each for each in (GradCam, LayerCam, Integrated)
}
"""Method → its class, by the names that ``mien explain --method`` knows."""


def of_run(run: Path, method: str, layer: str = "") -> GradCam | LayerCam | Integrated:
    """Return the explainer of a run folder's best network. Raises ``OptionError`` and as ``network_of_run`` does."""
    if method not in METHODS:
        raise OptionError(f"No method {method!r}; there are {', '.join(METHODS)}.{nearest(method, tuple(METHODS))}")
    return METHODS[method](network_of_run(run), layer)


def network_of_run(run: Path) -> nn.Module:
    """Return the best network of a run folder, in evaluation mode.

    Raises ``FileMissingError`` for a folder without recipe, checkpoint or exported model.
    """
    recipe = recipe_of(run)
    if not (run / "model.onnx").exists():
        raise FileMissingError(f"{run} holds no model.onnx; run `mien export {run} --data DATA` first.")
    return load_network(run, recipe, len(bundle.read(run / "model.onnx").labels))


def _asked(face: NDArray[np.float32], classes: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the face once for each class, (K, channels, S, S), and the classes, int64 (K,)."""
    return torch.from_numpy(face)[None].repeat(len(classes), 1, 1, 1), torch.tensor(list(classes))


def _enlarged(cells: torch.Tensor, side: int) -> NDArray[np.float32]:
    """Return (K, 1, h, w) as float32 (K, side, side)."""
    large = functional.interpolate(cells.detach().float(), size=(side, side), mode="bilinear", align_corners=False)
    pixels: NDArray[np.float32] = large[:, 0].numpy()
    return pixels
