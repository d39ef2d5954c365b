"""ONNX nodes that do what ``mien.preprocess`` does, for graphs that contain a part of the preprocessing."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from mien.preprocess import PreprocessSpec

OPSET = 18
"""The lowest version of ONNX's operators that these nodes are in: ``ReduceMean`` takes its axes as an input."""

_LUMINANCE, _SHIFT = (9798, 19235, 3735), 15
"""OpenCV's weights of red, green and blue for 8-bit pixels, in units of 2^-15, as ``preprocess.grey`` uses them."""


class Nodes:
    """Nodes and constants of a graph that is being written; all their names begin with ``prefix``."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node and return the name of its output: ``output``, or one of its own."""
        output = output or f"{self.prefix}{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def constant(self, value: Any) -> str:
        """Add a constant and return its name."""
        name = f"{self.prefix}constant{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(value), name))
        return name


def normalise(nodes: Nodes, spec: PreprocessSpec, planes: str) -> str:
    """Scale, standardise and repeat ``planes``, float32 (N, 1 or 3, S, S) from 0 to 255, as ``preprocess.apply`` does.

    Returns:
        The name of the network's input, float32 (N, channels, S, S).
    """
    scale = nodes.constant(np.float32(spec.scale))
    values = nodes.add("Mul", planes, scale)
    if spec.standardise == "image":
        values = _standardise_image(nodes, values, scale)
    elif spec.standardise == "fixed":
        values = nodes.add("Sub", values, nodes.constant(np.float32(spec.mean)))
        values = nodes.add("Div", values, nodes.constant(np.float32(spec.std)))
    repeats = nodes.constant(np.array([1, spec.channels if spec.grey else 1, 1, 1], np.int64))
    return nodes.add("Tile", values, repeats)


def _standardise_image(nodes: Nodes, values: str, scale: str) -> str:
    axes = nodes.constant(np.array([1, 2, 3], np.int64))
    centred = nodes.add("Sub", values, nodes.add("ReduceMean", values, axes))
    variance = nodes.add("ReduceMean", nodes.add("Mul", centred, centred), axes)
    deviation = nodes.add("Sqrt", variance)
    standard = nodes.add("Div", centred, deviation)
    return nodes.add("Where", nodes.add("Greater", deviation, scale), standard, nodes.constant(np.float32(0)))


def to_grey(nodes: Nodes, planes: str) -> str:
    """Convert RGB float32 (N, 3, S, S) from 0 to 255 to luminance (N, 1, S, S), whole pixels to OpenCV's own bits.

    All sums are whole numbers below 2^24, which float32 holds exactly.
    """
    weights = nodes.constant(np.array(_LUMINANCE, np.float32).reshape(1, 3, 1, 1))
    total = nodes.add("ReduceSum", nodes.add("Mul", planes, weights), nodes.constant(np.array([1], np.int64)))
    rounded = nodes.add("Add", total, nodes.constant(np.float32(2 ** (_SHIFT - 1))))
    return nodes.add("Floor", nodes.add("Mul", rounded, nodes.constant(np.float32(2**-_SHIFT))))


def shrink(nodes: Nodes, planes: str, before: int, after: int) -> str:
    """Shrink planes (N, C, before, before) to (N, C, after, after) by area averaging, whole pixels to OpenCV's bits."""
    rows = area_weights(before, after)
    lines = nodes.add("MatMul", nodes.constant(rows), planes)
    means = nodes.add("MatMul", lines, nodes.constant(np.ascontiguousarray(rows.T)))
    if before != 2 * after:
        return nodes.add("Round", means)  # half to even
    return nodes.add("Floor", nodes.add("Add", means, nodes.constant(np.float32(0.5))))  # OpenCV halves by integers


def area_weights(before: int, after: int) -> NDArray[np.float32]:
    """Return the matrix float32 (after, before) by which OpenCV's area interpolation shrinks a column of pixels."""
    weights: Any = cv2.resize(np.eye(before, dtype=np.float32), (before, after), interpolation=cv2.INTER_AREA)
    rows: NDArray[np.float32] = weights
    return rows
