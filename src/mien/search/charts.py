"""Plots of the learning-rate range test and of the hyper-parameter search.

Okabe–Ito colours; no meaning is carried by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from mien.reporting import figures
from mien.reporting.figures import BLACK, BLUE, GREEN, GREY, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


def rate(
    rates: NDArray[np.float64],
    losses: NDArray[np.float64],
    smoothed: NDArray[np.float64],
    *,
    suggestion: float,
    tenth: float,
    title: str = "",
) -> Figure:
    """Plot the loss over the logarithm of the learning rate, float64 (N,) each, with both suggested rates."""
    figure, axes = _new(7.2, 4.8)
    axes.plot(rates, losses, color=GREY, linewidth=0.8, alpha=0.6, label="loss of each step")
    axes.plot(rates, smoothed, color=BLUE, linewidth=2, label="smoothed")
    axes.axvline(suggestion, color=RED, linewidth=1.5, label=f"{suggestion:.1e}: half of the fall, the suggestion")
    height = float(np.interp(np.log(suggestion), np.log(rates), smoothed))
    axes.plot([suggestion], [height], "o", color=RED, markersize=8, zorder=4)
    axes.axvline(tenth, color=GREEN, linestyle="--", linewidth=1.5, label=f"{tenth:.1e}: rate of the minimum / 10")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss (nats)", title=title)
    # Single steps of a diverging network may reach thousands; the valley would look flat beside them.
    bottom, top = float(smoothed.min()), float(smoothed[: int(smoothed.argmin()) + 1].max())
    rise = max(top - bottom, 0.05 * abs(top))
    axes.set_ylim(min(float(losses.min()), bottom) - 0.1 * rise, top + 0.6 * rise)
    _legend(figure)
    return figure


def history(
    complete: Mapping[int, float], pruned: Mapping[int, float], failed: Sequence[int], defaults: float | None = None
) -> Figure:
    """Plot the validation accuracy, in [0, 1], of each trial by its number, and the best so far.

    Args:
        failed: numbers of trials without one.
        defaults: accuracy of the recipe's own values, if known.
    """
    figure, axes = _new(7.2, 4.8)
    numbers = sorted(complete)
    best = np.maximum.accumulate([complete[number] for number in numbers])
    last = max([*numbers, *pruned, *failed])
    axes.step([*numbers, last], [*best, best[-1]], where="post", color=BLUE, linewidth=1.5, label="best so far")
    axes.plot(numbers, [complete[number] for number in numbers], "o", color=BLUE, label="complete")
    if pruned:
        axes.plot(list(pruned), list(pruned.values()), "x", color=GREY, label="pruned: best until then")
    if defaults is not None:
        axes.axhline(defaults, color=BLACK, linestyle="--", linewidth=1, label=f"recipe's own values: {defaults:.2%}")
    top = numbers[int(best.argmax())]
    label = f"best: trial {top}, {best[-1]:.2%}"
    axes.plot([top], [best[-1]], "o", color="none", markeredgecolor=RED, markersize=13, mew=1.5, label=label)
    axes.margins(y=0.12)
    if failed:
        low = axes.get_ylim()[0]
        axes.plot(list(failed), [low] * len(failed), "^", color=RED, clip_on=False, label="failed", zorder=5)
        axes.set_ylim(bottom=low)
    axes.set(xlabel="trial", ylabel="validation accuracy", xlim=(-0.5, max(last, 1) + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figures.percent(axes.yaxis)
    figures.stop_at_whole(axes.yaxis)
    _legend(figure)
    return figure


def importance(shares: Mapping[str, float], trials: int) -> Figure:
    """Plot each key's share, summing to 1, of the variance of the validation accuracy over ``trials`` trials."""
    figure, axes = _new(7.2, 0.42 * len(shares) + 1.3)
    names = sorted(shares, key=shares.__getitem__)
    bars = axes.barh(names, [shares[name] for name in names], color=BLUE)
    axes.bar_label(bars, [f"{shares[name]:.0%}" for name in names], padding=4)
    axes.set(xlabel=f"share of the accuracy's variance over {trials} trials (fANOVA)", xlim=(0, 1.08))
    axes.spines["bottom"].set_bounds(0, 1)
    figures.percent(axes.xaxis)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    return figure


def _new(width: float, height: float) -> tuple[Figure, Axes]:
    figure = figures.new(width, height)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _legend(figure: Figure) -> None:
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
