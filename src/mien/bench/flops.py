"""Count the floating-point operations of a network from its ONNX graph and the shapes ONNX Runtime reports."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    Shape = Sequence[int]

# Indices of the two factors among a node's inputs; quantised operators have scales and zero points between them.
_CONVOLUTIONS = {"Conv": (0, 1), "FusedConv": (0, 1), "ConvInteger": (0, 1), "QLinearConv": (0, 3)}
_PRODUCTS = {"Gemm": 0, "MatMul": 0, "MatMulInteger": 0, "QLinearMatMul": 0}


def count(graph: bytes, inputs: tuple[int, int, int]) -> int:
    """Count 2 × the multiply-accumulates of all convolutions and matrix products for one face.

    Args:
        graph: a serialised ONNX ``ModelProto`` with input ``crops``.
        inputs: its (channels, height, width). Counted as in ``mien.reproduction.analysis``, without activations,
            pooling and sums. The graph runs once, not optimised, so that all nodes are as exported.

    Raises:
        ModelError: it cannot run.
    """
    return sum(_count_node(node) for node in _run_profiled(graph, inputs))


def _run_profiled(graph: bytes, inputs: tuple[int, int, int]) -> list[dict[str, Any]]:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        # Prepacked weights would be missing from the node's inputs.
        options.add_session_config_entry("session.disable_prepacking", "1")
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "run")
        try:
            session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            session.run(None, {"crops": np.zeros((1, *inputs), np.float32)})
        except (state.InvalidProtobuf, state.InvalidGraph, state.InvalidArgument, state.Fail, state.NotImplemented,
                state.RuntimeException) as error:  # fmt: skip
            raise ModelError(f"The graph cannot run on one face of shape {inputs}: {error}.") from None
        events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    return [event["args"] for event in events if "output_type_shape" in event.get("args", {})]


def _count_node(node: dict[str, Any]) -> int:
    kind = node["op_name"]
    given = [_shape(typed) for typed in node["input_type_shape"]]
    result = _shape(node["output_type_shape"][0])
    if kind in _CONVOLUTIONS:
        return 2 * math.prod(result) * math.prod(given[_CONVOLUTIONS[kind][1]][1:])
    if kind == "ConvTranspose":
        return 2 * math.prod(given[0]) * math.prod(given[1][1:])
    if kind in _PRODUCTS:
        left = given[_PRODUCTS[kind]]
        # Gemm may transpose its left factor; the number of rows of the result is the same either way.
        inner = math.prod(left) // result[0] if kind == "Gemm" else left[-1]
        return 2 * math.prod(result) * inner
    return 0


def _shape(typed: dict[str, Shape]) -> Shape:
    return next(iter(typed.values()))
