"""Is a converted network still the same? Crops to compare two on without data, and how far they may differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from mien.errors import ModelError
from mien.preprocess import PreprocessSpec

TOLERANCE = 1e-4
"""Largest difference in probability that float32 arithmetic in another order explains."""

INT8_TOLERANCE = 0.05
"""For int8 models: a value between two steps may round the other way, and one step changes a probability by more than
float32's precision. The largest difference on 64 generated crops was 0.0065, with ``fer7-nano``."""


def is_quantised(graph: bytes) -> bool:
    """Check whether a serialised ONNX ``ModelProto`` computes with int8 maps."""
    return any(node.op_type == "QuantizeLinear" for node in onnx.load_model_from_string(graph).graph.node)


def generate_crops(spec: PreprocessSpec, count: int = 64) -> NDArray[np.uint8]:
    """Generate crops uint8 (count, size, size[, 3]): ramps from dark to bright, the first flat, with growing noise."""
    draw = np.random.default_rng(0)
    shape = (spec.size, spec.size) if spec.grey else (spec.size, spec.size, 3)
    ramp = np.linspace(0, 1, spec.size)
    ramp = ramp if spec.grey else ramp[:, None]
    crops = [
        128 + share * (255 * (ramp - 0.5) + draw.normal(0, 60 * share, shape)) for share in np.linspace(0, 1, count)
    ]
    generated: NDArray[np.uint8] = np.clip(crops, 0, 255).astype(np.uint8)
    return generated


def check_difference(own: NDArray[Any], given: NDArray[Any], allowed: float, names: tuple[str, str]) -> float:
    """Return the largest difference between two networks' probabilities on the same crops, (N, C) each.

    Args:
        own: of the converted network.
        given: of the network that it was made from.
        allowed: the largest difference that is no error.
        names: of both, for the message.

    Raises:
        ModelError: a difference above ``allowed``, or one that is not a number.
    """
    difference = float(np.abs(own - given).max())
    if not difference <= allowed:
        raise ModelError(
            f"{' and '.join(names)} differ by {difference:.2e} in probability; expected ≤ {allowed:.0e}. "
            "This is an error of the conversion: please report it."
        )
    return difference
