"""Reference implementation of an integer network in NumPy, which the C code must match bit for bit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import ImageError
from mien.export.c.layers import Add, Conv, IntegerNetwork, Layer, Maps, MaxPool, Mean, Multiply, Standardiser
from mien.preprocess import PreprocessSpec, apply, equalise

Bytes = NDArray[np.uint8]

BATCH = 32
"""Faces per batch: float64 maps of the widest layers take 0.6 MB per face."""


def logits(network: IntegerNetwork, crops: Bytes) -> Bytes:
    """Compute the quantised logits, uint8 (N, C), of grey crops uint8 (N, S, S).

    Raises:
        ImageError: another shape or dtype.
    """
    side = network.crop.shape[0]
    if crops.dtype != np.uint8 or crops.shape[1:] != (side, side):
        raise ImageError(f"Crops of shape {crops.shape} and dtype {crops.dtype}: expected uint8 (N, {side}, {side}).")
    parts = [_logits(network, crops[start : start + BATCH]) for start in range(0, len(crops), BATCH)]
    return np.concatenate([np.empty((0, network.logits.shape[2]), np.uint8), *parts])


def _logits(network: IntegerNetwork, crops: Bytes) -> Bytes:
    maps = {network.crop.name: np.stack([enter(network, crop) for crop in crops])}
    for layer in network.layers:
        maps[layer.result.name] = _run(layer, maps)
    return maps[network.logits.name].reshape(len(crops), -1)


def enter(network: IntegerNetwork, crop: Bytes) -> Bytes:
    """Convert a grey crop (S, S) to the network's input maps (S, S, channels)."""
    spec = network.about.preprocess
    crop = equalise(crop, spec)
    table = _standardise(crop, network.crop) if spec.standardise == "image" else fixed_table(network.crop, spec)
    maps: Bytes = np.repeat(table[crop][:, :, None], spec.channels, axis=2)
    return maps


def fixed_table(crop: Maps, spec: PreprocessSpec) -> Bytes:
    """Return the input byte of each grey level, uint8 (256,), where it does not depend on the other pixels."""
    levels = np.arange(256, dtype=np.uint8)
    # ``apply`` takes images: one of each grey level, of which one pixel is read.
    images = np.broadcast_to(levels[:, None, None], (256, spec.size, spec.size))
    return quantise(apply(images, replace(spec, clahe=False))[:, 0, 0, 0], crop)


def quantise(values: NDArray[np.floating], maps: Maps) -> Bytes:
    """Quantise real values to bytes as ONNX's QuantizeLinear does (half to even)."""
    quantised: Bytes = np.clip(np.rint(values / maps.scale) + maps.zero, 0, 255).astype(np.uint8)
    return quantised


def _standardise(crop: Bytes, maps: Maps) -> Bytes:
    standardiser = Standardiser.of(maps)
    pixels = crop.astype(np.int64)
    total = int(pixels.sum())
    spread = standardiser.pixels * int((pixels**2).sum()) - total**2
    if spread <= standardiser.pixels**2:
        return np.full(256, maps.zero, np.uint8)
    divisor = math.isqrt(spread << 2 * standardiser.bits) << standardiser.EXTRA
    parts = [(standardiser.pixels * level - total) * standardiser.factor for level in range(256)]
    steps = [(abs(part) + divisor // 2) // divisor * (1 if part > 0 else -1) for part in parts]
    table: Bytes = np.clip(np.array(steps) + maps.zero, 0, 255).astype(np.uint8)
    return table


def _run(layer: Layer, computed: Mapping[str, Bytes]) -> Bytes:
    match layer:
        case Conv():
            return _conv(layer, computed[layer.source.name])
        case MaxPool():
            return _maximum(layer, computed[layer.source.name])
        case Mean():
            sums = (computed[layer.source.name].astype(np.int64) - layer.source.zero).sum((1, 2), keepdims=True)
            return _bytes(sums * layer.multiplier, layer.shift, layer.result)
        case Add():
            left, right = _centre(layer.left, computed), _centre(layer.right, computed)
            both = left * layer.left_multiplier + right * layer.right_multiplier
            return _bytes(both, layer.shift, layer.result)
        case Multiply():
            product = _centre(layer.left, computed) * _centre(layer.right, computed)
            return _bytes(product * layer.multiplier, layer.shift, layer.result)
        case _:
            return layer.entries[computed[layer.source.name]]


def _centre(maps: Maps, computed: Mapping[str, Bytes]) -> NDArray[np.int64]:
    values = computed[maps.name] if maps.values is None else maps.values[None]
    return values.astype(np.int64) - maps.zero


def _bytes(values: NDArray[np.int64], shift: int | NDArray[np.int32], result: Maps) -> Bytes:
    """Shift to the right, round half away from zero and clip to bytes."""
    half = np.int64(1) << (np.asarray(shift, np.int64) - 1)
    steps = np.sign(values) * ((np.abs(values) + half) >> shift)
    clipped: Bytes = np.clip(steps + result.zero, 0, 255).astype(np.uint8)
    return clipped


def _conv(layer: Conv, maps: Bytes) -> Bytes:
    outputs, kernel = layer.result.shape[2], layer.weights.shape[1:3]
    padded = _pad(maps.astype(np.float64) - layer.source.zero, layer, kernel)
    sums = np.zeros((layer.groups, outputs // layer.groups, len(maps) * math.prod(layer.result.shape[:2])))
    weights = layer.weights.reshape(layer.groups, -1, *layer.weights.shape[1:]).astype(np.float64)
    for row, column in np.ndindex(kernel):
        window = _window(padded, layer, row, column)
        columns = window.reshape(-1, layer.groups, weights.shape[4]).transpose(1, 2, 0)
        # float64 holds integers up to 2⁵³ exactly, the reader bounds sums by 2³¹, and BLAS multiplies floats only.
        sums += weights[:, :, row, column] @ columns
    whole = sums.reshape(outputs, -1).T.reshape(len(maps), *layer.result.shape).astype(np.int64) + layer.bias
    return _bytes(whole * layer.multiplier, layer.shift, layer.result)


def _maximum(layer: MaxPool, maps: Bytes) -> Bytes:
    padded = _pad(maps, layer, layer.kernel)
    windows = [_window(padded, layer, row, column) for row, column in np.ndindex(layer.kernel)]
    maximum: Bytes = np.maximum.reduce(windows)
    return maximum


def _pad(maps: NDArray[Any], layer: Conv | MaxPool, kernel: tuple[int, ...]) -> NDArray[Any]:
    # Below and to the right, as much as the last window needs.
    sides = zip(layer.result.shape, layer.stride, kernel, layer.pad, maps.shape[1:3], strict=False)
    ends = [(before, max(0, (out - 1) * step + size - side - before)) for out, step, size, before, side in sides]
    return np.pad(maps, ((0, 0), *ends, (0, 0)))


def _window(padded: NDArray[Any], layer: Conv | MaxPool, row: int, column: int) -> NDArray[Any]:
    (height, width, _), (down, right) = layer.result.shape, layer.stride
    return padded[:, row : row + (height - 1) * down + 1 : down, column : column + (width - 1) * right + 1 : right]
