"""Start a network from the weights of a finished model, or from dlib's (transfer learning)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mien.datasets.faces import FaceSet
from mien.errors import ModelError, RecipeError
from mien.networks.face_residual import FaceResidual, read_weights
from mien.preprocess import apply
from mien.recipes.recipe import Recipe
from mien.recognition.model_files import bundle

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Started:
    """What a network took over: layers loaded from the model, and layers that it lacks, which stay random."""

    loaded: tuple[str, ...]
    fresh: tuple[str, ...]


_MEASURED = 256
"""Training faces that batch norms are measured on."""


def begin(network: nn.Module, recipe: Recipe, part: FaceSet) -> None:
    """Load the weights that the recipe starts from, if any, in place. part: the training set. Raises as ``start``."""
    dlib = isinstance(network, FaceResidual) and network.pretrained
    if recipe.network.start is None and not dlib:
        return
    faces = part.pixels[np.random.default_rng(recipe.train.seed).permutation(len(part))[:_MEASURED]]
    crops = torch.from_numpy(apply(faces, recipe.preprocess))
    if recipe.network.start is not None:
        start(network, recipe.network.start, part.label_set.labels, crops)
    elif isinstance(network, FaceResidual):
        full = replace(recipe.preprocess, scale=1.0, standardise="none")
        network.start(read_weights(), torch.from_numpy(apply(faces, full)), crops)


def start(network: nn.Module, model: str, classes: tuple[str, ...], crops: torch.Tensor) -> Started:
    """Load a finished model's weights into ``network``, in place; its output layer by class name.

    An exported model has its batch norms folded into the convolutions. Here they are unfolded with the statistics of
    ``crops``, so that the network in evaluation mode computes what the model did. A first kernel that input smoothing
    widened (``calibrate.smooth``) is cut to the network's size. Each group of ``classes`` outputs (consensus, heads)
    starts from the model's outputs of those names; a class that the model lacks stays random. From a model with as many
    heads and the same classes, each head starts from the model's.

    Args:
        model: name, alias or path of a model file.
        crops: float32 (N, C, S, S), preprocessed, a few hundred.

    Raises:
        RecipeError: no layer fits.
        ModelError: as ``bundle.read`` does.
        FileMissingError: as ``bundle.read`` does.
    """
    about = bundle.read(model)
    weights = _read_weights(about.graph, model)
    output = _output_layer(network)
    loaded: list[str] = []
    fresh: list[str] = []
    norms = dict(_norms(network))
    with torch.no_grad():
        for name, layer in _layers(network):
            if layer is output:
                continue
            (loaded if _load(name, layer, weights, normed=name in norms) else fresh).append(name)
        if not loaded:
            raise RecipeError(
                f"network.start = {model!r} has no layer in common with this network. Give a model of the same network "
                "and the same network.widths and network.blocks, or leave network.start out."
            )
        _unfold(network, {norms[name]: _bias(name, weights) for name in loaded if name in norms}, crops)
        _load_output(output, about.labels.labels, classes, weights)
    return Started(tuple(loaded), tuple(fresh))


def _read_weights(graph: bytes, model: str) -> dict[str, NDArray[np.float32]]:
    import onnx  # 0.2 s, needed by few trainings
    from onnx import numpy_helper

    graph_of_model = onnx.load_from_string(graph).graph
    # float16 weights are cast to the names of the float32 ones.
    names = {node.input[0]: node.output[0] for node in graph_of_model.node if node.op_type == "Cast"}
    weights: dict[str, NDArray[np.float32]] = {}
    for one in graph_of_model.initializer:
        values = numpy_helper.to_array(one)
        if values.dtype in (np.float32, np.float16):
            name = names.get(one.name, one.name)
            # A network with heads for corpora is the inner one of two.
            weights[name.removeprefix("network.").removeprefix("network.")] = values.astype(np.float32)
    if not weights:
        raise ModelError(f"network.start = {model!r} has no float weights; expected a model that is not quantised.")
    return weights


def _layers(network: nn.Module) -> Iterator[tuple[str, nn.Conv2d | nn.Linear]]:
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            yield name, module


def _norms(network: nn.Module) -> Iterator[tuple[str, nn.BatchNorm2d]]:
    """Yield each convolution's name and the batch norm that follows it directly."""
    before = ""
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d) and before:
            yield before, module
        before = name if isinstance(module, nn.Conv2d) else ""


def _output_layer(network: nn.Module) -> nn.Linear:
    linear = [layer for _, layer in _layers(network) if isinstance(layer, nn.Linear)]
    if not linear:
        raise RecipeError("network.start needs a network with a linear output; leave it out.")
    return linear[-1]


def _bias(name: str, weights: Weights) -> NDArray[np.float32]:
    """Return a layer's bias; export names that of a convolution without one after its weight."""
    return weights[name + (".weight_bias" if f"{name}.weight_bias" in weights else ".bias")]


def _load(name: str, layer: nn.Conv2d | nn.Linear, weights: Weights, *, normed: bool) -> bool:
    """Load one layer and return whether it fitted. normed: a batch norm, which ``_unfold`` sets, adds the bias."""
    biased = bool({f"{name}.weight_bias", f"{name}.bias"} & set(weights))
    kernel = weights.get(f"{name}.weight")
    if kernel is None or biased != (normed or layer.bias is not None):
        return False
    kernel = _cut(kernel, tuple(layer.weight.shape))
    if kernel.shape != tuple(layer.weight.shape):
        return False
    layer.weight.copy_(torch.from_numpy(np.array(kernel)))
    if layer.bias is not None:
        layer.bias.copy_(torch.zeros_like(layer.bias) if normed else torch.from_numpy(np.array(_bias(name, weights))))
    return True


def _cut(kernel: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the centre of a kernel (O, I, k, k) larger than ``shape``; others as they are."""
    if kernel.ndim != 4 or len(shape) != 4 or kernel.shape[2] <= shape[2]:
        return kernel
    rim = (kernel.shape[2] - shape[2]) // 2
    return kernel[:, :, rim : rim + shape[2], rim : rim + shape[3]]


def _unfold(network: nn.Module, biases: Mapping[nn.BatchNorm2d, NDArray[np.float32]], crops: torch.Tensor) -> None:
    """Set statistics, scale and shift of each batch norm so that it adds the folded bias and nothing else."""

    def measure(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None or norm.running_var is None:
            return
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3), unbiased=False)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(torch.from_numpy(np.array(biases[norm])) + mean)

    hooks = [norm.register_forward_pre_hook(measure) for norm in biases]
    training = network.training
    network.eval()(crops)
    network.train(training)
    for hook in hooks:
        hook.remove()


def _load_output(output: nn.Linear, known: tuple[str, ...], classes: tuple[str, ...], weights: Weights) -> None:
    if known == classes and output.out_features > len(classes):
        name = _named(weights, tuple(output.weight.shape))
        if name is not None:
            output.weight.copy_(torch.from_numpy(weights[name]))
            output.bias.copy_(torch.from_numpy(weights[name.removesuffix(".weight") + ".bias"]))
            return
    name = _named(weights, (len(known), output.in_features))
    if name is None:
        return
    kernel = weights[name]
    for row in range(output.out_features):
        label = classes[row % len(classes)]
        if label in known:
            output.weight[row] = torch.from_numpy(np.array(kernel[known.index(label)]))
            output.bias[row] = 0.0


def _named(weights: Weights, shape: tuple[int, ...]) -> str | None:
    return next((name for name, values in weights.items() if values.shape == shape), None)
