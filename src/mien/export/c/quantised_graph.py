"""Convert an int8 model file to integer layers: reads the QDQ graph that ``quantise`` writes.

In that form each tensor passes through QuantizeLinear and DequantizeLinear, so that a node between them can be computed
on the bytes. Nodes that only rename or flatten disappear; any other function of one byte becomes a lookup table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from mien.errors import ModelError
from mien.export.c.layers import (
    Add,
    Conv,
    IntegerNetwork,
    Layer,
    Maps,
    MaxPool,
    Mean,
    Multiply,
    Standardiser,
    Table,
    to_fixed,
    to_fixed_pair,
)
from mien.recognition.model_files.bundle import Bundle

ADVICE = (
    "Train one of Mien's own networks, with network.attention = 'se' or none; docs/export.md lists what is supported."
)
_FUNCTIONS: dict[str, Callable[[NDArray[np.float64]], Any]] = {
    "Relu": lambda values: np.maximum(values, 0),
    "Sigmoid": lambda values: 1 / (1 + np.exp(-values)),
    "Tanh": np.tanh,
}
_PASSING = ("Flatten", "Reshape", "Squeeze", "Unsqueeze", "Identity")


def read(about: Bundle) -> IntegerNetwork:
    """Read the integer layers of an int8 model file.

    Raises:
        ModelError: a file that is not quantised, a node without an integer counterpart, colour, or sums beyond 32 bits.
    """
    spec = about.preprocess
    if not spec.grey:
        raise ModelError(
            f"{about.name} needs colour, which the C code does not support: expected preprocess.grey = true. Train a "
            "recipe with it."
        )
    graph = onnx.load_model_from_string(about.graph).graph
    if not any(node.op_type == "QuantizeLinear" for node in graph.node):
        raise ModelError(f"{about.name} is not quantised: expected a file written by `mien export RUN --int8`.")
    reader = _Reader(graph, (spec.size, spec.size, spec.channels))
    for node in graph.node:
        reader.add(node)
    if len(reader.inputs) != 1:
        raise ModelError(f"{about.name} quantises its input {len(reader.inputs)} times; expected once. {ADVICE}")
    if spec.standardise == "image":
        Standardiser.of(reader.inputs[0])  # fail here, not in the compiler, if numbers are too large
    logits = reader.maps[graph.output[0].name]
    if logits.shape != (1, 1, len(about.labels)):
        raise ModelError(f"{about.name} returns maps of {logits.shape}, not a score per class. Export it again.")
    return IntegerNetwork(about, reader.inputs[0], tuple(reader.layers), logits)


@dataclass(frozen=True)
class _Constant:
    """A dequantised initialiser: integers and their scale, a single one or one for each index of ``axis``."""

    integers: NDArray[Any]
    scale: NDArray[np.float64]
    zero: NDArray[Any]
    axis: int


@dataclass
class _Reader:
    """Convert the nodes in order. maps: by tensor name, before and after quantisation."""

    graph: Any
    shape: tuple[int, int, int]
    maps: dict[str, Maps] = field(default_factory=dict)
    constants: dict[str, _Constant] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    inputs: list[Maps] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in self.graph.initializer}
        quantisers = [node for node in self.graph.node if node.op_type == "QuantizeLinear"]
        self.quantisers = {node.input[0]: node for node in reversed(quantisers)}
        for node in reversed(self.graph.node):  # quantisation after these nodes may equally be done before them
            if node.output[0] in self.quantisers and self._lets_through(node, self.quantisers[node.output[0]]):
                self.quantisers.setdefault(node.input[0], self.quantisers[node.output[0]])

    def _lets_through(self, node: Any, quantiser: Any) -> bool:
        """Check whether the node commutes with the quantiser after it, so that it can work on bytes."""
        if node.op_type == "Clip":
            limits = self._limits(node)
            return limits is not None and _idle(limits, *self._step(quantiser))
        return node.op_type in (*_PASSING, "MaxPool")

    def add(self, node: Any) -> None:
        kinds: dict[str, Callable[[Any], None]] = {
            "QuantizeLinear": self._quantise, "DequantizeLinear": self._dequantise, "Conv": self._conv,
            "Gemm": self._dense, "MatMul": self._dense, "MaxPool": self._pool, "ReduceMean": self._mean,
            "GlobalAveragePool": self._mean, "Add": self._add, "Mul": self._multiply, "Clip": self._clip,
            **dict.fromkeys(_FUNCTIONS, self._function), **dict.fromkeys(_PASSING, self._pass),
        }  # fmt: skip
        if node.op_type not in kinds:
            raise _refuse(node, f"there are integer layers for {', '.join(kinds)} only")
        kinds[node.op_type](node)

    def _quantise(self, node: Any) -> None:
        given, (scale, zero) = node.input[0], self._step(node)
        if given == self.graph.input[0].name:
            self.maps[node.output[0]] = Maps("crop", self.shape, scale, zero)
            self.inputs.append(self.maps[node.output[0]])
        else:
            self._as(self._maps(node, given), node.output[0], scale, zero)

    def _as(self, maps: Maps, name: str, scale: float, zero: int) -> None:
        """Register the maps under ``name`` with another scale: the same maps, or a table of them."""
        if (maps.scale, maps.zero) == (scale, zero):
            self.maps[name] = maps
        else:
            self._tabulate(maps, Maps(name, maps.shape, scale, zero), lambda values: values)

    def _dequantise(self, node: Any) -> None:
        given, output = node.input[0], node.output[0]
        if given not in self.arrays:
            self.maps[output] = self._maps(node, given)
            return
        scale = self.arrays[node.input[1]].astype(np.float64)
        zero = self.arrays[node.input[2]].astype(np.int64) if len(node.input) > 2 else np.zeros((), np.int64)
        self.constants[output] = _Constant(self.arrays[given], scale, zero, _attributes(node).get("axis", 1))

    def _conv(self, node: Any) -> None:
        given, attributes = self._maps(node, node.input[0]), _attributes(node)
        weights, scales = self._weights(node, 0)
        dilations, pads = attributes.get("dilations", [1, 1]), attributes.get("pads", [0, 0, 0, 0])
        if weights.ndim != 4 or set(dilations) != {1} or attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
            raise _refuse(node, "expected two dimensions, no dilation and explicit padding")
        stride, groups = tuple(attributes.get("strides", [1, 1])), attributes.get("group", 1)
        height, width = _output_size(given, weights.shape[2:], stride, pads)
        result = self._result(node, (height, width, len(weights)))
        numbers = self._numbers(node, given, result, weights, scales)
        self.layers.append(
            Conv(given, result, weights.transpose(0, 2, 3, 1), *numbers, stride, (pads[0], pads[1]), groups)
        )

    def _dense(self, node: Any) -> None:
        given, attributes = self._maps(node, node.input[0]), _attributes(node)
        flipped = not attributes.get("transB", 0)
        weights, scales = self._weights(node, 1 if flipped else 0)
        weights = weights.T if flipped else weights
        factors = (attributes.get("transA", 0), attributes.get("alpha", 1.0), attributes.get("beta", 1.0))
        plain = factors == (0, 1.0, 1.0)
        if weights.ndim != 2 or weights.shape[1] != given.size or not plain:
            raise _refuse(node, f"expected a matrix of {given.size} inputs")
        result = self._result(node, (1, 1, len(weights)))
        numbers = self._numbers(node, given, result, weights, scales)
        height, width, channels = given.shape
        # ONNX flattens channels first, our maps hold them last: a kernel as large as the maps reorders the weights.
        kernels = weights.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        self.layers.append(Conv(given, result, kernels, *numbers, (1, 1), (0, 0), 1))

    def _weights(self, node: Any, outputs: int) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
        weights = self.constants.get(node.input[1])
        if weights is None or weights.integers.dtype != np.int8 or np.any(weights.zero):
            raise _refuse(node, "expected constant int8 weights with zero point 0")
        if weights.scale.ndim and weights.axis % weights.integers.ndim != outputs:
            raise _refuse(node, "expected a scale of the weights for each output")
        return weights.integers, np.broadcast_to(weights.scale, weights.integers.shape[outputs])

    def _numbers(
        self, node: Any, given: Maps, result: Maps, weights: NDArray[np.int8], scales: NDArray[np.float64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """Return bias, multiplier and shift of each output."""
        bias = self._bias(node, given.scale * scales)
        highest = np.abs(weights.astype(np.int64)).reshape(len(weights), -1).sum(1) * max(given.zero, 255 - given.zero)
        if (np.abs(bias) + highest).max() >= 2**31:
            raise _refuse(node, "its sums may exceed 32 bits; use fewer inputs or a smaller bias")
        multipliers, shifts = zip(*(to_fixed(given.scale * scale / result.scale) for scale in scales), strict=True)
        return bias.astype(np.int32), np.array(multipliers, np.int32), np.array(shifts, np.int32)

    def _bias(self, node: Any, scales: NDArray[np.float64]) -> NDArray[np.int64]:
        if len(node.input) < 3 or not node.input[2]:
            return np.zeros(len(scales), np.int64)
        bias = self.constants.get(node.input[2])
        if bias is not None and np.allclose(bias.scale, scales, rtol=1e-5, atol=0):
            return bias.integers.astype(np.int64)
        if bias is None and node.input[2] not in self.arrays:
            raise _refuse(node, "expected a constant bias")
        real = self.arrays[node.input[2]] if bias is None else bias.integers * bias.scale
        return np.rint(np.clip(real / scales, -(2.0**40), 2.0**40)).astype(np.int64)

    def _pool(self, node: Any) -> None:
        given, attributes = self._maps(node, node.input[0]), _attributes(node)
        kernel, stride = tuple(attributes["kernel_shape"]), tuple(attributes.get("strides", [1, 1]))
        pads, dilations = attributes.get("pads", [0, 0, 0, 0]), attributes.get("dilations", [1, 1])
        automatic = attributes.get("ceil_mode", 0) or attributes.get("auto_pad", b"NOTSET") != b"NOTSET"
        if set(dilations) != {1} or automatic:
            raise _refuse(node, "expected no dilation, no rounding up and explicit padding")
        shape = (*_output_size(given, kernel, stride, pads), given.shape[2])
        # A maximum of bytes keeps their scale; if the graph has another scale, a table follows.
        maps = Maps(node.output[0], shape, given.scale, given.zero)
        self.layers.append(MaxPool(given, maps, kernel, stride, (pads[0], pads[1])))
        self.maps[node.output[0]] = maps

    def _mean(self, node: Any) -> None:
        given, attributes = self._maps(node, node.input[0]), _attributes(node)
        axes = self.arrays[node.input[1]].tolist() if len(node.input) > 1 else attributes.get("axes", [2, 3])
        if sorted(axis % 4 for axis in axes) != [2, 3]:
            raise _refuse(node, f"expected the mean over height and width, not over the axes {axes}")
        result = self._result(node, (1, 1, given.shape[2]))
        cells = given.shape[0] * given.shape[1]
        self.layers.append(Mean(given, result, *to_fixed(given.scale / (cells * result.scale))))

    def _add(self, node: Any) -> None:
        left, right, result = self._pair(node)
        factors = to_fixed_pair(left.scale / result.scale, right.scale / result.scale)
        self.layers.append(Add(left, right, result, *factors))

    def _multiply(self, node: Any) -> None:
        left, right, result = self._pair(node)
        self.layers.append(Multiply(left, right, result, *to_fixed(left.scale * right.scale / result.scale)))

    def _pair(self, node: Any) -> tuple[Maps, Maps, Maps]:
        left, right = (self._operand(node, name) for name in node.input)
        shape = max(left.shape, right.shape)
        fits = all(maps.shape in (shape, (1, 1, shape[2])) for maps in (left, right))
        if not fits:
            raise _refuse(node, f"maps of {left.shape} and {right.shape} do not match")
        return left, right, self._result(node, shape)

    def _operand(self, node: Any, name: str) -> Maps:
        constant = self.constants.get(name)
        if constant is None:
            return self._maps(node, name)
        other = next(self.maps[given] for given in node.input if given in self.maps)
        values = constant.integers.reshape(-1)
        signed = 128 if values.dtype == np.int8 else 0
        if constant.scale.ndim or values.dtype.itemsize != 1 or values.size not in (1, other.shape[2]):
            raise _refuse(node, f"expected a constant of bytes with one scale, one for each of {other.shape[2]} maps")
        values = np.broadcast_to(values.astype(np.int64) + signed, other.shape[2]).astype(np.uint8)
        shape = (1, 1, len(values))
        return Maps(name, shape, float(constant.scale), int(constant.zero) + signed, values.reshape(shape))

    def _function(self, node: Any) -> None:
        given = self._maps(node, node.input[0])
        self._tabulate(given, self._result(node, given.shape), _FUNCTIONS[node.op_type])

    def _clip(self, node: Any) -> None:
        given = self._maps(node, node.input[0])
        limits = self._limits(node)
        if limits is None:
            raise _refuse(node, "expected constant limits")
        if _idle(limits, given.scale, given.zero):
            self.maps[node.output[0]] = given
        else:
            self._tabulate(given, self._result(node, given.shape), lambda values: np.clip(values, *limits))

    def _limits(self, node: Any) -> tuple[float, float] | None:
        """Return a Clip's lowest and highest value, infinite if missing; None if they are not constant."""
        limits = [-np.inf, np.inf]
        for index, name in enumerate(node.input[1:3]):
            if name:
                limit = self.arrays.get(name, self._real(name))
                if limit is None:
                    return None
                limits[index] = float(limit)
        return limits[0], limits[1]

    def _real(self, name: str) -> NDArray[np.float64] | None:
        constant = self.constants.get(name)
        return None if constant is None else (constant.integers - constant.zero) * constant.scale

    def _tabulate(self, given: Maps, result: Maps, function: Callable[[NDArray[np.float64]], Any]) -> None:
        values = function((np.arange(256, dtype=np.float64) - given.zero) * given.scale)
        entries = np.clip(np.rint(values / result.scale) + result.zero, 0, 255).astype(np.uint8)
        self.layers.append(Table(given, result, entries))
        self.maps[result.name] = result

    def _pass(self, node: Any) -> None:
        given = self._maps(node, node.input[0])
        flattens = node.op_type == "Flatten" or self.arrays.get(node.input[-1], np.empty(0)).size == 2
        if given.shape[:2] != (1, 1) and node.op_type != "Identity" and not flattens:
            raise _refuse(node, "maps may be flattened, but not reordered")
        self.maps[node.output[0]] = given

    def _maps(self, node: Any, name: str) -> Maps:
        if name not in self.maps:
            raise _refuse(node, f"its input {name!r} is not quantised")
        return self.maps[name]

    def _result(self, node: Any, shape: tuple[int, int, int]) -> Maps:
        """Create the node's output maps, with the scale of its quantiser."""
        name = node.output[0]
        if name not in self.quantisers:
            raise _refuse(node, "its output is not quantised")
        self.maps[name] = Maps(name, shape, *self._step(self.quantisers[name]))
        return self.maps[name]

    def _step(self, node: Any) -> tuple[float, int]:
        scale = self.arrays[node.input[1]]
        zero = self.arrays[node.input[2]] if len(node.input) > 2 else np.array(0, np.uint8)
        if scale.size != 1 or zero.dtype != np.uint8:
            raise _refuse(node, "expected uint8 activations with one scale")
        return float(scale), int(zero)


def _attributes(node: Any) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _idle(limits: tuple[float, float], scale: float, zero: int) -> bool:
    """Check whether the limits leave every byte unchanged."""
    return limits[0] < (0.5 - zero) * scale and limits[1] > (254.5 - zero) * scale


def _output_size(maps: Maps, kernel: Sequence[int], stride: Sequence[int], pads: Sequence[int]) -> tuple[int, int]:
    """Return height and width of a convolution's or pool's output. pads: top, left, bottom, right."""
    high, wide = (
        (maps.shape[axis] + pads[axis] + pads[axis + 2] - kernel[axis]) // stride[axis] + 1 for axis in (0, 1)
    )
    return high, wide


def _refuse(node: Any, why: str) -> ModelError:
    return ModelError(
        f"Node {node.name or node.output[0]!r} ({node.op_type}) cannot be written in integers: {why}. {ADVICE}"
    )
