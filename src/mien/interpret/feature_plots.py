"""Plots for ``features``: filters, feature maps, embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mien.reporting import figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mien.interpret.features import FeatureMaps, Projection

_COLUMNS, _MOST_FILTERS = 12, 96
_MARKERS = "osD^vP*X<>"
_SIGNED, _POSITIVE = "PuOr", "viridis"  # both keep their order in any colour vision


def filters(name: str, weights: NDArray[np.float32]) -> Figure:
    """Plot filters, float32 (filters, channels, k, k); several channels are averaged."""
    shown = weights.mean(1)[:_MOST_FILTERS]
    limit = float(np.abs(shown).max()) or 1.0
    canvas, rows = _mosaic(shown, min(_COLUMNS, len(shown)))
    figure = figures.new(0.62 * min(_COLUMNS, len(shown)) + 1.6, 0.62 * rows + 0.6)
    axes = figure.subplots()
    image = axes.imshow(canvas, cmap=_SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set_axis_off()
    _, channels, height, width = weights.shape
    count = f"{len(shown)} of {len(weights)}" if len(shown) < len(weights) else f"{len(weights)}"
    mean = f", mean of {channels} channels" if channels > 1 else ""
    axes.set_title(f"{count} filters of {name}, {height} × {width}{mean}")
    figure.colorbar(image, ax=axes, label="weight", shrink=min(1.0, 2.2 / (0.62 * rows)))
    return figure


def feature_maps(face: NDArray[np.float32], stages: Sequence[FeatureMaps]) -> Figure:
    """Plot the face, a network input float32 (channels, S, S), and the strongest maps of each stage.

    Strongest by mean absolute value; a row has one colour scale, from its lowest value or 0 to its highest.
    """
    figure = figures.new(0.72 * _COLUMNS + 3.4, 0.92 * len(stages) + 1.5)
    grid = figure.add_gridspec(len(stages), 2, width_ratios=(1.5, _COLUMNS))
    plain = figure.add_subplot(grid[:, 0])
    plain.imshow(face.mean(0), cmap="gray")
    plain.set_title("network's input")
    plain.set_axis_off()
    for row, stage in enumerate(stages):
        axes = figure.add_subplot(grid[row, 1])
        order = np.argsort(-np.abs(stage.maps).mean((1, 2)), kind="stable")[:_COLUMNS]
        canvas, _ = _mosaic(stage.maps[order], _COLUMNS)
        low, high = min(0.0, float(stage.maps[order].min())), float(stage.maps[order].max())
        image = axes.imshow(canvas, cmap=_POSITIVE, vmin=low, vmax=high, interpolation="nearest")
        axes.set_axis_off()
        count, side, _ = stage.maps.shape
        axes.set_title(
            f"{stage.name}: {len(order)} strongest of {count} maps, {side} × {side}", fontsize=10, loc="left"
        )
        figure.colorbar(image, ax=axes, pad=0.01, fraction=0.02, label="activation")
    return figure


def embedding(projection: Projection, labels: NDArray[np.int64], names: Sequence[str], title: str) -> Figure:
    """Plot both projections, coloured and marked by class (``labels`` int64 (N,) into ``names``)."""
    figure = figures.new(12.4, 5.6)
    left, right = figure.subplots(1, 2)
    for axes, points in ((left, projection.pca), (right, projection.tsne)):
        _scatter(axes, points, labels, names)
        axes.spines[["top", "right"]].set_visible(False)
    first, second = projection.shares
    left.set(title="PCA", xlabel=f"component 1 ({first:.0%} of variance)", ylabel=f"component 2 ({second:.0%})")
    right.set(title="t-SNE (distances between groups mean nothing)", xticks=[], yticks=[])
    figure.suptitle(title)
    handles, texts = left.get_legend_handles_labels()
    legend = figure.legend(handles, texts, loc="outside right center", frameon=False, markerscale=2, title="class")
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1)
    return figure


def _scatter(axes: Axes, points: NDArray[np.float64], labels: NDArray[np.int64], names: Sequence[str]) -> None:
    palette = figures.colours(names)
    for index, name in enumerate(names):
        chosen = points[labels == index]
        axes.scatter(
            chosen[:, 0],
            chosen[:, 1],
            s=16,
            alpha=0.65,
            color=palette[name],
            marker=_MARKERS[index % len(_MARKERS)],
            linewidths=0,
            label=f"{name} ({len(chosen)})",
        )


def _mosaic(tiles: NDArray[np.float32], columns: int) -> tuple[NDArray[np.float32], int]:
    """Return tiles (N, h, w) on one canvas with blank seams, and the number of its rows."""
    count, height, width = tiles.shape
    rows = -(-count // columns)
    seam = max(1, height // 16)
    canvas = np.full((rows * (height + seam) - seam, columns * (width + seam) - seam), np.nan, np.float32)
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + seam), index % columns * (width + seam)
        canvas[top : top + height, left : left + width] = tile
    return canvas, rows
