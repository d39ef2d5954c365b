"""Integer layers of an int8 network for microcontrollers, and their fixed-point arithmetic.

Maps are uint8 (height, width, channels), the memory layout of the C code; a byte b stands for scale × (b − zero).
An int32 sum becomes a byte as in Jacob et al. (2018), by an int32 multiplier and a shift, in 64 bits and with one
rounding, half away from zero: ``numpy_reference`` and ``kernels.c`` do exactly the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mien.errors import ModelError
from mien.recognition.model_files.bundle import Bundle

MOST_SHIFT = 62
"""An int32 sum times an int32 multiplier is below 2⁶²."""


@dataclass(frozen=True)
class Maps:
    """Feature maps of one face.

    Attributes:
        shape: (height, width, channels); a vector is (1, 1, C).
        zero: the byte that stands for 0; 0 to 255.
        values: uint8 of ``shape`` for constant maps.
    """

    name: str
    shape: tuple[int, int, int]
    scale: float
    zero: int
    values: NDArray[np.uint8] | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """Size in bytes."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Conv:
    """Convolution with any number of groups; a dense layer is one whose kernel covers the maps.

    Attributes:
        weights: int8 (outputs, kernel height, kernel width, inputs of a group).
        bias, multiplier, shift: int32 (outputs,).
        stride, pad: (y, x); pad is above and to the left, the rest follows from the output's shape. Padding counts as
            0.
    """

    source: Maps
    result: Maps
    weights: NDArray[np.int8] = field(repr=False)
    bias: NDArray[np.int32] = field(repr=False)
    multiplier: NDArray[np.int32] = field(repr=False)
    shift: NDArray[np.int32] = field(repr=False)
    stride: tuple[int, int]
    pad: tuple[int, int]
    groups: int


@dataclass(frozen=True)
class MaxPool:
    """Maximum over a window of ``kernel``; padding never wins."""

    source: Maps
    result: Maps
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]


@dataclass(frozen=True)
class Mean:
    """Mean of each map."""

    source: Maps
    result: Maps
    multiplier: int
    shift: int


@dataclass(frozen=True)
class Add:
    """Sum of two maps; one of (1, 1, C) is broadcast."""

    left: Maps
    right: Maps
    result: Maps
    left_multiplier: int
    right_multiplier: int
    shift: int


@dataclass(frozen=True)
class Multiply:
    """Product of two maps; one of (1, 1, C) is broadcast."""

    left: Maps
    right: Maps
    result: Maps
    multiplier: int
    shift: int


@dataclass(frozen=True)
class Table:
    """Any function of one byte: ``entries`` uint8 (256,)."""

    source: Maps
    result: Maps
    entries: NDArray[np.uint8] = field(repr=False)


Layer = Conv | MaxPool | Mean | Add | Multiply | Table


@dataclass(frozen=True)
class IntegerNetwork:
    """Layers in execution order, from ``crop`` to ``logits`` (1, 1, classes), and the model file they come from."""

    about: Bundle
    crop: Maps
    layers: tuple[Layer, ...]
    logits: Maps


def sources(layer: Layer) -> tuple[Maps, ...]:
    """Return the maps that a layer reads."""
    return (layer.left, layer.right) if isinstance(layer, Add | Multiply) else (layer.source,)


def to_fixed(factor: float) -> tuple[int, int]:
    """Return (multiplier, shift): factor ≈ multiplier / 2^shift, to 31 bits.

    Raises:
        ModelError: from 2³⁰ on.
    """
    return to_fixed_pair(factor, factor)[1:]


def to_fixed_pair(left: float, right: float) -> tuple[int, int, int]:
    """Return two multipliers and their common shift, to 31 bits of the larger factor."""
    _, exponent = math.frexp(max(left, right))
    shift = min(30 - exponent + 1, MOST_SHIFT)
    if not shift >= 1:
        raise ModelError(f"A scale of {max(left, right):.3g} between two layers is out of range. Export it again.")
    # 2³¹ itself would not fit; an error of one part in 2³¹ is negligible.
    return (*(min(round(factor * 2.0**shift), 2**31 - 1) for factor in (left, right)), shift)  # type: ignore[return-value]


@dataclass(frozen=True)
class Standardiser:
    """Zero mean and unit variance in integers, from the sum Σ and the sum of squares of N pixels.

    With V = N·Σx² − Σ², a pixel x becomes (N·x − Σ) / (√V · scale): t · factor / (⌊√(V·4^bits)⌋ · 2^12), rounded half
    away from zero, where t = N·x − Σ and factor = 2^(bits + 12) / scale. Below one grey level of deviation (V ≤ N²)
    all are 0. The difference from exact arithmetic is below 2⁻¹⁰ of a step.
    """

    pixels: int
    bits: int
    factor: int

    EXTRA = 12

    @classmethod
    def of(cls, crop: Maps) -> Standardiser:
        """Build the standardiser for a network's input maps.

        Raises:
            ModelError: beyond 64 bits.
        """
        pixels = crop.shape[0] * crop.shape[1]
        bits = (63 - (pixels**2 * 16_257).bit_length()) // 2  # no variance of bytes is above 127.5²
        factor = round(2 ** (bits + cls.EXTRA) / crop.scale)
        if bits < 1 or (pixels * 255 * factor).bit_length() > 62:
            raise ModelError(f"Crops of {crop.shape[0]} pixels at a scale of {crop.scale:.3g} exceed 64-bit integers.")
        return cls(pixels, bits, factor)
