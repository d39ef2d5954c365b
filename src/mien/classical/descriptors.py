"""Hand-made features of face crops, as in the published baselines: HOG, LBP, Gabor energies, raw pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mien.classical.trunk import Trunk, read_trunk
from mien.datasets.faces import Watch
from mien.errors import ImageError, RecipeError
from mien.recipes.classical_table import ClassicalTable

Floats = NDArray[np.float32]

CHUNK = 256
PATTERNS = 59
"""Codes of the uniform local binary patterns of 8 neighbours: 58 with at most two changes, one for all others."""
SHORTEST_WAVE = 4.0


def descriptors(crops: Floats, table: ClassicalTable, watch: Watch | None = None) -> Floats:
    """Compute the features, float32 (N, D), of crops from ``preprocess.apply``, float32 (N, 1, S, S).

    A trunk takes crops (N, C, S, S) with the channels of its model.

    hog:    histograms of oriented gradients, L2-Hys blocks (Dalal & Triggs 2005; on faces: Carcagnì et al. 2015).
    lbp:    histograms of uniform local binary patterns by cell (Ojala et al. 2002; Shan et al. 2009), their square
            roots, so that Euclidean distance is Hellinger's.
    gabor:  mean magnitude by cell of a bank of Gabor filters (Lyons et al. 1998; Bartlett et al. 2003).
    pixels: the crop, row by row.
    network: features of the model ``table.trunk`` (``trunk.Trunk``).

    watch wraps the iterable of chunks of 256 faces, for a progress bar. If the side is not a multiple of the cell, the
    pixels left over at the right and at the bottom are ignored.

    Raises:
        ImageError: another shape.
        RecipeError: cells or blocks that do not fit into the crop.
    """
    check(crops, table)
    if not len(crops):
        return descriptors(np.zeros((1, *crops.shape[1:]), np.float32), table)[:0]
    compute = _FEATURES[table.features]
    planes = crops if table.trunk else crops[:, 0]
    starts: Iterable[int] = range(0, len(crops), CHUNK)
    return np.concatenate([compute(planes[i : i + CHUNK], table) for i in (watch(starts) if watch else starts)])


def check(crops: Floats, table: ClassicalTable) -> None:
    """Check the arguments of ``descriptors`` before any work is done; raises as ``descriptors`` does."""
    channels = _trunk(table.trunk).about.preprocess.channels if table.trunk else 1
    if crops.ndim != 4 or crops.shape[1] != channels or crops.shape[2] != crops.shape[3]:
        raise ImageError(
            f"Crops of shape {crops.shape}: these features need (N, {channels}, S, S). Set preprocess.channels = "
            f"{channels}."
        )
    side = crops.shape[-1]
    if table.trunk and (size := _trunk(table.trunk).about.preprocess.size) != side:
        raise RecipeError(
            f"The network of classical.trunk = {table.trunk!r} reads crops of {size} pixels; these have {side}. Set "
            "preprocess.size."
        )
    need = {"hog": table.cell * table.block, "lbp": max(table.cell, 2 * table.radius + 1), "gabor": table.cell}
    if side < need.get(table.features, 0):
        raise RecipeError(
            f"classical: cell = {table.cell}, block = {table.block}, radius = {table.radius} need crops of at least "
            f"{need[table.features]} pixels for {table.features}; these have {side}. Lower them, or raise "
            "preprocess.size."
        )


@cache
def _trunk(name: str) -> Trunk:
    return read_trunk(name)


def _network(crops: Floats, table: ClassicalTable) -> Floats:
    return _trunk(table.trunk).features(crops)


def _hog(crops: Floats, table: ClassicalTable) -> Floats:
    from skimage.feature import hog

    cell, block = (table.cell, table.cell), (table.block, table.block)
    rows = [hog(crop, table.orientations, cell, block, "L2-Hys", feature_vector=True) for crop in crops]
    return np.stack(rows).astype(np.float32)


def _lbp(crops: Floats, table: ClassicalTable) -> Floats:
    from skimage.feature import local_binary_pattern

    cells = crops.shape[-1] // table.cell
    rows = np.empty((len(crops), cells * cells * PATTERNS), np.float32)
    cell_index = np.arange(cells * table.cell) // table.cell
    offsets = (cell_index[:, None] * cells + cell_index) * PATTERNS
    for row, crop in zip(rows, _stretch(crops), strict=True):
        codes = local_binary_pattern(crop, 8, table.radius, "nri_uniform").astype(np.int64)
        codes = codes[: len(cell_index), : len(cell_index)] + offsets
        row[:] = np.sqrt(np.bincount(codes.ravel(), minlength=len(row)) / table.cell**2)
    return rows


def _stretch(crops: Floats) -> NDArray[np.uint8]:
    # Patterns compare neighbours; on floats, rounding errors would order equal pixels. Stretching each crop to 0–255
    # keeps the grey levels of an 8-bit original distinct after any scaling and standardisation.
    low, high = crops.min((1, 2), keepdims=True), crops.max((1, 2), keepdims=True)
    stretched: NDArray[np.uint8] = np.rint((crops - low) / np.maximum(high - low, 1e-6) * 255).astype(np.uint8)
    return stretched


def _gabor(crops: Floats, table: ClassicalTable) -> Floats:
    from scipy.fft import fft2, ifft2

    side, cells = crops.shape[-1], crops.shape[-1] // table.cell
    edge = side // 2
    padded = np.pad(crops, ((0, 0), (edge, edge), (edge, edge)), mode="symmetric")
    spectra = fft2(padded)
    inner = slice(edge, edge + cells * table.cell)
    energies = np.empty((len(crops), table.scales * table.orientations, cells, cells), np.float32)
    for index, filter_ in enumerate(_bank(padded.shape[-1], table.scales, table.orientations)):
        magnitude = np.abs(ifft2(spectra * filter_)[:, inner, inner])
        energies[:, index] = magnitude.reshape(-1, cells, table.cell, cells, table.cell).mean((2, 4))
    return energies.reshape(len(crops), -1)


@cache
def _bank(side: int, scales: int, orientations: int) -> tuple[NDArray[np.complex64], ...]:
    """Return the filters' spectra, each complex64 (side, side); filters wider than half the side are truncated."""
    from scipy.fft import fft2
    from skimage.filters import gabor_kernel

    spectra = []
    for step, turn in product(range(scales), range(orientations)):
        kernel = gabor_kernel(2 ** (-step / 2) / SHORTEST_WAVE, np.pi * turn / orientations, n_stds=2)
        reach = min(side // 4, *(length // 2 for length in kernel.shape))
        middle = tuple(slice(length // 2 - reach, length // 2 + reach + 1) for length in kernel.shape)
        kernel = kernel[middle]
        # Without this the filters would also respond to brightness (Lades et al. 1993).
        kernel = kernel - np.abs(kernel) * (kernel.sum() / np.abs(kernel).sum())
        canvas = np.zeros((side, side), np.complex64)
        canvas[: kernel.shape[0], : kernel.shape[1]] = kernel
        spectra.append(fft2(np.roll(canvas, (-reach, -reach), (0, 1))))
    return tuple(spectra)


def _pixels(crops: Floats, table: ClassicalTable) -> Floats:
    return crops.reshape(len(crops), -1)


_FEATURES: dict[str, Callable[[Floats, ClassicalTable], Floats]] = {
    "hog": _hog,
    "lbp": _lbp,
    "gabor": _gabor,
    "pixels": _pixels,
    "network": _network,
}
