"""Attribution maps from gradients: Grad-CAM, LayerCAM and integrated gradients, for any network from faces to logits.

captum computes the gradients; this module chooses the layer, for any network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerGradCam, LayerGradientXActivation
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from mien import run_files
from mien.errors import FileMissingError, ModelError, OptionError, nearest
from mien.export.export import load_network, recipe_of
from mien.interpret import faithfulness
from mien.recognition.model_files import bundle

COARSE, FINE = 4, 12
"""Smallest map side for Grad-CAM and for LayerCAM, where the network has one as large: a mouth cannot be located in
2 × 2 cells. LayerCAM was made for earlier layers, for which Grad-CAM's single weight per channel is too coarse."""

_POINTS = 32  # on the path of integrated gradients

Hook = Callable[[nn.Module, Any, Any], None]


@dataclass(frozen=True)
class Stage:
    """The last output at one resolution: that of ``module``, with ``channels`` maps of ``side``²."""

    name: str
    module: nn.Module
    channels: int
    side: int


def stages(network: nn.Module, face: NDArray[np.float32]) -> tuple[Stage, ...]:
    """Return the network's stages for a face float32 (channels, S, S), largest maps first.

    A stage ends with the last module, single or compound, that returns maps of its resolution; resolutions without a
    convolution, as after the last pooling, are not stages. The network is run once, in its current mode.
    """
    last: dict[int, Stage] = {}
    convolved: set[int] = set()

    def note(name: str) -> Hook:
        def hook(module: nn.Module, _: Any, result: Any) -> None:
            if not isinstance(result, torch.Tensor) or result.ndim != 4 or result.shape[-1] < 2:
                return
            last[result.shape[-1]] = Stage(name, module, result.shape[1], result.shape[-1])
            if isinstance(module, nn.Conv2d):
                convolved.add(result.shape[-1])

        return hook

    run_with_hooks(network, face, {module: note(name) for name, module in network.named_modules() if name})
    return tuple(last[side] for side in sorted(convolved, reverse=True))


def run_with_hooks(network: nn.Module, face: NDArray[np.float32], hooks: Mapping[nn.Module, Hook]) -> None:
    """Run the network once, without gradients, on a face float32 (channels, S, S), with forward hooks on modules."""
    handles = [module.register_forward_hook(hook) for module, hook in hooks.items()]
    try:
        with torch.no_grad():
            network(torch.from_numpy(face[None]))
    finally:
        for handle in handles:
            handle.remove()


def stage(network: nn.Module, face: NDArray[np.float32], least: int, name: str = "") -> Stage:
    """Choose the deepest stage with maps of at least ``least``², or else the largest; or the stage called ``name``.

    Raises:
        OptionError: a name that is no stage.
        ModelError: a network without convolutions.
    """
    candidates = stages(network, face)
    if not candidates:
        raise ModelError("This network has no feature maps larger than one cell; use the method occlusion.")
    if not name:
        large = [candidate for candidate in candidates if candidate.side >= least]
        return large[-1] if large else candidates[0]
    known = [candidate.name for candidate in candidates]
    if name not in known:
        raise OptionError(f"No layer {name!r}; this network has {', '.join(known)}.{nearest(name, known)}")
    return candidates[known.index(name)]


class GradCam:
    """Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391): feature maps weighted by the mean gradient of each.

    Signed, where the paper sets negative evidence to zero; ``Map.strength`` does that. Coarse: its resolution is that
    of the layer's maps.
    """

    name = "grad-cam"

    def __init__(self, network: nn.Module, layer: str = "") -> None:
        self.network, self.layer = network.eval(), layer

    def maps(self, face: NDArray[np.float32], classes: Sequence[int]) -> NDArray[np.float32]:
        """Return float32 (K, S, S) for K class indices and a network input float32 (channels, S, S)."""
        chosen = stage(self.network, face, COARSE, self.layer)
        attributed = LayerGradCam(self.network, chosen.module).attribute(*_repeat(face, classes))
        return _enlarge(attributed, face.shape[-1])


class LayerCam:
    """LayerCAM (Jiang et al. 2021, doi:10.1109/TIP.2021.3089943): each cell weighted by its own positive gradient.

    Finer than Grad-CAM, because it works at earlier layers. Never negative. Exact for non-negative activations (ReLU);
    after SiLU or hard swish, slightly negative cells with negative gradients count too.
    """

    name = "layer-cam"

    def __init__(self, network: nn.Module, layer: str = "") -> None:
        self.network, self.layer = network.eval(), layer

    def maps(self, face: NDArray[np.float32], classes: Sequence[int]) -> NDArray[np.float32]:
        """Return float32 (K, S, S) for K class indices and a network input float32 (channels, S, S)."""
        chosen = stage(self.network, face, FINE, self.layer)
        products = LayerGradientXActivation(self.network, chosen.module).attribute(*_repeat(face, classes))
        return _enlarge(products.clamp(min=0).sum(1, keepdim=True), face.shape[-1])


class Integrated:
    """Integrated gradients (Sundararajan, Taly & Yan 2017, arXiv:1703.01365) from the blurred face to the face.

    Each pixel's contribution to the difference in the class's logit between the two; signed, summing to the difference.
    """

    name = "integrated-gradients"

    def __init__(self, network: nn.Module, layer: str = "") -> None:
        if layer:
            raise OptionError(f"layer = {layer!r}: integrated gradients work on pixels, not on a layer; leave it out.")
        self.network = network.eval()

    def maps(self, face: NDArray[np.float32], classes: Sequence[int]) -> NDArray[np.float32]:
        """Return float32 (K, S, S) for K class indices and a network input float32 (channels, S, S)."""
        inputs, targets = _repeat(face, classes)
        start = torch.from_numpy(faithfulness.hidden(face))[None].expand_as(inputs)
        shares = IntegratedGradients(self.network).attribute(inputs, start, targets, n_steps=_POINTS)
        summed: NDArray[np.float32] = shares.detach().sum(1).float().numpy()
        return summed


METHODS: dict[str, type[GradCam] | type[LayerCam] | type[Integrated]] = {
    method.name: method for method in (GradCam, LayerCam, Integrated)
}
"""Classes by the method names of ``mien explain --method``."""


def of_run(run: Path, method: str, layer: str = "") -> GradCam | LayerCam | Integrated:
    """Return the explainer of a run folder's best network. Raises ``OptionError`` and as ``network_of_run`` does."""
    if method not in METHODS:
        raise OptionError(f"No method {method!r}; there are {', '.join(METHODS)}.{nearest(method, tuple(METHODS))}")
    return METHODS[method](network_of_run(run), layer)


def network_of_run(run: Path) -> nn.Module:
    """Return the best network of a run folder, in evaluation mode.

    Raises:
        FileMissingError: a folder without recipe, checkpoint or exported model.
    """
    recipe = recipe_of(run)
    if not (run / run_files.MODEL).exists():
        raise FileMissingError(f"{run} has no model.onnx; run `mien export {run} --data DATA` first.")
    return load_network(run, recipe, len(bundle.read(run / run_files.MODEL).labels))


def _repeat(face: NDArray[np.float32], classes: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Repeat the face for each class, (K, channels, S, S), and return the classes as int64 (K,)."""
    return torch.from_numpy(face)[None].repeat(len(classes), 1, 1, 1), torch.tensor(list(classes))


def _enlarge(cells: torch.Tensor, side: int) -> NDArray[np.float32]:
    """Resize (K, 1, h, w) to float32 (K, side, side)."""
    large = functional.interpolate(cells.detach().float(), size=(side, side), mode="bilinear", align_corners=False)
    pixels: NDArray[np.float32] = large[:, 0].numpy()
    return pixels
