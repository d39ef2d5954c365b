"""Network analysis: parameters, FLOPs, receptive fields and activation memory, measured on the network itself.

One forward pass with hooks on the layers measures any network. The module also holds the formulas of system A's
analysis: entropy floor, information surplus, generalisation bound, imbalance ratio.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

from mien.errors import DataError, OptionError

_LOCAL_POOLS = (nn.MaxPool2d, nn.AvgPool2d)
_GLOBAL_POOLS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
# Only the layers listed here are known to leave the receptive field unchanged: group and instance norm depend on the
# whole image, and an unknown layer may too.
_POINTWISE = (
    *(_BatchNorm, _DropoutNd, nn.Identity, nn.Sigmoid, nn.Tanh, nn.Hardsigmoid, nn.Hardswish),
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus),
)


@dataclass(frozen=True)
class Field:
    """The square of input pixels that one unit depends on (Araujo, Norris & Sim 2019, Distill), same on both axes.

    Attributes:
        size: side in pixels.
        stride: pixels between neighbouring units.
        padding: pixels by which the first unit's field begins before the image. Unit i covers the pixels i·stride −
            padding … i·stride − padding + size − 1.
    """

    size: int = 1
    stride: int = 1
    padding: int = 0

    def extend(self, kernel: int, stride: int, padding: int) -> Field:
        """Return the field after a layer with this (dilated) kernel, stride and leading padding."""
        return Field(self.size + (kernel - 1) * self.stride, self.stride * stride, self.padding + padding * self.stride)

    def count_whole(self, units: int, side: int) -> int:
        """Count how many of ``units`` along one axis have all ``side`` pixels of that axis in their field."""
        first = [unit * self.stride - self.padding for unit in range(units)]
        return sum(start <= 0 and start + self.size >= side for start in first)


@dataclass(frozen=True)
class Block:
    """Consecutive layers: a new block begins at the first convolution or linear layer after a pooling layer, and at
    the first linear layer after convolutions.

    Attributes:
        parameters: weights and biases, trainable or frozen, each counted where it is first used.
        flops: 2 × multiply-accumulates of its convolutions and linear layers, for one face.
        side: width of its last convolution's output map; None without convolutions.
        field: receptive field after its last convolution, before pooling; None where it has none, or none that can be
            derived (branches, functions between layers, global layers).
        pooled: receptive field after its last local pooling layer; None likewise.
        activation_bytes: memory of its layers' outputs for one face in float32. In-place layers add nothing.
    """

    name: str
    parameters: int = 0
    flops: int = 0
    side: int | None = None
    field: Field | None = None
    pooled: Field | None = None
    activation_bytes: int = 0

    @property
    def receptive_field(self) -> int | None:
        """Side in pixels of ``field``."""
        return self.field.size if self.field else None


@dataclass(frozen=True)
class Analysis:
    """Blocks in execution order, and totals. ``parameters`` includes those that belong to no layer that ran."""

    blocks: tuple[Block, ...]
    parameters: int
    flops: int
    activation_bytes: int


@dataclass(frozen=True)
class _Step:
    """One layer that ran. Outputs are kept alive so that no storage is reused; ``chained``: its input is the
    previous layer's output, unmodified."""

    module: nn.Module
    given: torch.Tensor
    result: torch.Tensor
    version: int
    chained: bool
    own_memory: bool


def analyse(network: nn.Module, size: int = 48, channels: int = 1) -> Analysis:
    """Run ``network`` once on a blank face (1, channels, size, size) and measure its cost.

    Counts convolutions and linear layers that are modules; arithmetic in plain functions is not counted. The network
    runs in evaluation mode and returns to its previous mode.

    Raises:
        OptionError: it does not take that input.
    """
    steps = _steps(network, torch.zeros(1, channels, size, size))
    blocks = _blocks(steps)
    return Analysis(
        blocks,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        flops=sum(block.flops for block in blocks),
        activation_bytes=sum(block.activation_bytes for block in blocks),
    )


def _steps(network: nn.Module, face: torch.Tensor) -> list[_Step]:
    steps: list[_Step] = []

    def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        # A version that changed between two layers reveals an in-place addition: a residual branch.
        last, version = (steps[-1].result, steps[-1].version) if steps else (face, 0)
        chained.append(bool(inputs) and inputs[0] is last and last._version == version)

    def after(module: nn.Module, inputs: tuple[Any, ...], result: Any) -> None:
        follows, given = chained.pop(), inputs[0] if inputs else None
        if not isinstance(given, torch.Tensor) or not isinstance(result, torch.Tensor):
            return  # recurrent layers and the like; layers after them do not count as chained
        own = result.untyped_storage().data_ptr() != given.untyped_storage().data_ptr()
        steps.append(_Step(module, given, result, result._version, follows, own))

    chained: list[bool] = []
    leaves = [module for module in network.modules() if not list(module.children())]
    hooks = [leaf.register_forward_pre_hook(before) for leaf in leaves]
    hooks += [leaf.register_forward_hook(after) for leaf in leaves]
    modes = {module: module.training for module in network.modules()}
    try:
        with torch.no_grad():  # not inference_mode, which keeps no versions
            network.eval()(face)
    except RuntimeError as error:
        message = f"The network does not take a face of shape {tuple(face.shape)}; give its own size and channels."
        raise OptionError(f"{message} PyTorch says: {error}") from error
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training
    return steps


def _blocks(steps: list[_Step]) -> tuple[Block, ...]:
    blocks: list[Block] = []
    field: Field | None = Field()
    seen: set[int] = set()
    pooled = True  # so that the first layer opens a block
    for step in steps:
        weighted = isinstance(step.module, _ConvNd | nn.Linear)
        dense = isinstance(step.module, nn.Linear)
        if not blocks or (weighted and pooled) or (dense and blocks[-1].side is not None):
            blocks.append(Block("dense" if dense else f"block {len(blocks) + 1}"))
            pooled = False
        field = _next_field(field, step)
        blocks[-1] = _add_step(blocks[-1], step, field, seen)
        pooled = pooled or isinstance(step.module, (*_LOCAL_POOLS, *_GLOBAL_POOLS))
    return tuple(blocks)


def _add_step(block: Block, step: _Step, field: Field | None, seen: set[int]) -> Block:
    new = [parameter for parameter in step.module.parameters() if id(parameter) not in seen]
    seen.update(id(parameter) for parameter in new)
    block = replace(
        block,
        parameters=block.parameters + sum(parameter.numel() for parameter in new),
        flops=block.flops + _flops(step),
        activation_bytes=block.activation_bytes + step.own_memory * step.result.numel() * step.result.element_size(),
    )
    if isinstance(step.module, _ConvNd):
        return replace(block, side=step.result.shape[-1], field=field)
    return replace(block, pooled=field) if isinstance(step.module, _LOCAL_POOLS) else block


def _flops(step: _Step) -> int:
    module = step.module
    if isinstance(module, nn.Linear):
        return 2 * module.in_features * step.result.numel()
    if isinstance(module, _ConvNd):
        # A transposed convolution spreads each input value, a convolution gathers for each output value.
        values, partners = (
            (step.given.numel(), module.out_channels)
            if module.transposed
            else (step.result.numel(), module.in_channels)
        )
        return 2 * math.prod(module.kernel_size) * (partners // module.groups) * values
    return 0


def _next_field(field: Field | None, step: _Step) -> Field | None:
    module = step.module
    if field is None or not step.chained:
        return None
    if isinstance(module, _POINTWISE):
        return field
    if isinstance(module, nn.Conv2d):
        kernels = [1 + (k - 1) * d for k, d in zip(module.kernel_size, module.dilation, strict=True)]
        # "same" pads the odd pixel behind, "valid" nothing.
        padding = [(k - 1) // 2 if module.padding == "same" else 0 for k in kernels]
        shape = (kernels, module.stride, padding if isinstance(module.padding, str) else module.padding)
    elif isinstance(module, _LOCAL_POOLS):
        spread = getattr(module, "dilation", 1)
        kernels = [1 + (k - 1) * d for k, d in zip(_pair(module.kernel_size), _pair(spread), strict=True)]
        shape = (kernels, _pair(module.stride), _pair(module.padding))
    else:
        return None
    if any(height != width for height, width in shape):
        return None
    return field.extend(*(height for height, _ in shape))


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def entropy(counts: Mapping[str, int]) -> float:
    """Return the entropy in nats of a label distribution, class → faces; empty classes add nothing.

    It is the loss of the best predictor that ignores the face, and a floor for such predictors only: a network that
    uses the face can go below it (system A's equation 18 says the opposite). Raises ``DataError``.
    """
    total = _total(counts)
    return -sum(count / total * math.log(count / total) for count in counts.values() if count)


def surplus(classes: int, loss: float) -> float:
    """Return ln(C) − loss in nats, system A's "information surplus" (section VI.B) of a cross-entropy ``loss``."""
    if classes < 2:
        raise OptionError(f"Information surplus of {classes} classes; expected 2 or more.")
    return math.log(classes) - loss


def imbalance(counts: Mapping[str, int]) -> float:
    """Return the largest class over the smallest (system A, equation 2). ``DataError`` for an empty class."""
    _total(counts)
    if min(counts.values()) == 0:
        empty = ", ".join(label for label, count in counts.items() if not count)
        raise DataError(f"The imbalance ratio has no value: no face of {empty}. Leave the empty classes out.")
    return max(counts.values()) / min(counts.values())


def _total(counts: Mapping[str, int]) -> int:
    if not counts or min(counts.values()) < 0 or not any(counts.values()):
        raise DataError(f"Class counts {dict(counts)}: expected whole numbers from 0, at least one face.")
    return sum(counts.values())


@dataclass(frozen=True)
class Bound:
    """An upper bound on the generalisation gap: error rate on new faces minus error rate on the training faces.

    Attributes:
        dimension: the assumed VC dimension.
        value: None where the formula has no real value.
        vacuous: true if the bound says nothing: no value, or at least 1.
        why: the reason, in words.
    """

    dimension: float
    value: float | None
    vacuous: bool
    why: str


def generalisation_bound(parameters: int, faces: int, *, dropout: float = 0.25, delta: float = 0.05) -> Bound:
    """Return system A's equation 14: √((d ln(2N/d) − ln(δ/4)) / N) with d = (1 − dropout)·parameters, N = faces.

    The document only states d up to a factor; we use 1. delta: probability that the bound fails; the document gives
    none.

    Raises:
        OptionError: values out of range.
    """
    if parameters < 1 or faces < 1 or not 0 <= dropout < 1 or not 0 < delta < 1:
        raise OptionError(
            f"Bound of {parameters} parameters, {faces} faces, dropout {dropout}, delta {delta}: expected counts "
            "from 1, dropout in [0, 1) and delta in (0, 1)."
        )
    dimension = (1 - dropout) * parameters
    radicand = (dimension * math.log(2 * faces / dimension) - math.log(delta / 4)) / faces
    if radicand < 0:
        why = f"d = {dimension:,.0f} is more than 2N = {2 * faces:,}: the logarithm is negative, the root has no value"
        return Bound(dimension, None, vacuous=True, why=why)
    value = math.sqrt(radicand)
    why = f"an error rate {'is never above 1' if value >= 1 else 'below 1: the bound says something'}"
    return Bound(dimension, value, vacuous=value >= 1, why=why)
