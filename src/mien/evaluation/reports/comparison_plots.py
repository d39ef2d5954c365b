"""Plots that compare several models. Colour, dashes and markers encode the same, so colour is never needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mien.evaluation.reports.plots import line_style, set_whole_ticks
from mien.reporting.figures import BLUE, GREY, OKABE_ITO, new, percent, stop_at_whole, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mien.evaluation.reports.plots import Curves

MARKERS = "osD^vPX*<>"
HATCHES = ("", "///", "...", "xx", "\\\\\\")


@dataclass(frozen=True)
class Figure95:
    """A metric in [0, 1] with its 95 % interval, which is None for published values."""

    value: float
    interval: tuple[float, float] | None = None

    @property
    def reach(self) -> tuple[float, float]:
        """Lengths of the error bar below and above the value."""
        if self.interval is None:
            return 0.0, 0.0
        low, high = self.interval
        return max(self.value - low, 0.0), max(high - self.value, 0.0)


@styled
def draw_accuracies(accuracy: Mapping[str, Figure95], macro_f1: Mapping[str, Figure95]) -> Figure:
    """Plot accuracy and macro F1 of each model as bars with 95 % intervals."""
    figure = new(8.6, 0.42 * len(accuracy) + 1.3)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, title, values in zip(panels, ("Accuracy", "Macro F1"), (accuracy, macro_f1), strict=True):
        _draw_bars(axes, values, [OKABE_ITO[index % 8] for index in range(len(values))])
        axes.set(title=title, xlabel=f"{title[0].lower()}{title[1:]} with 95 % interval")
    panels[0].invert_yaxis()
    return figure


def _draw_bars(axes: Axes, values: Mapping[str, Figure95], colours: Sequence[str]) -> None:
    rows = np.arange(len(values))
    numbers = [value.value for value in values.values()]
    reach = np.array([value.reach for value in values.values()]).T
    axes.barh(rows, numbers, 0.7, color=colours)
    known = [row for row, value in enumerate(values.values()) if value.interval]
    axes.errorbar(
        [numbers[row] for row in known], known, xerr=reach[:, known], fmt="none", ecolor="black", capsize=4,
        linewidth=1.2,
    )  # fmt: skip
    for row, value in enumerate(values.values()):
        axes.text(value.value + value.reach[1] + 0.015, row, f"{value.value:.1%}", va="center", fontsize=9)
    axes.set_yticks(rows, list(values))
    axes.set_xlim(0, 1.16)  # room for the numbers; the axis itself stops at 100 %
    axes.spines["bottom"].set_bounds(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    percent(axes.xaxis)


@styled
def draw_class_f1(values: Mapping[str, Mapping[str, float | None]], labels: Sequence[str]) -> Figure:
    """Plot the F1 of each class, one bar for each model; no bar where a model or its data lacks the class.

    Args:
        values: model → class → F1.
    """
    step = 0.8 / len(values)
    figure = new(8.6, len(labels) * (0.2 * len(values) + 0.2) + 1.3)
    axes = figure.subplots()
    for index, (name, row) in enumerate(values.items()):
        scored = [(at, f1) for at, label in enumerate(labels) if (f1 := row.get(label)) is not None]
        spots = [at + (index - (len(values) - 1) / 2) * step for at, _ in scored]
        bars = axes.barh(
            spots, [f1 for _, f1 in scored], step, color=OKABE_ITO[index % 8], edgecolor="white", linewidth=0.5,
            hatch=HATCHES[index % len(HATCHES)], label=name,
        )  # fmt: skip
        axes.bar_label(bars, [f"{f1:.2f}" for _, f1 in scored], padding=3, fontsize=8)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="F1 of the class", xlim=(0, 1.08), ylim=(-0.55, len(labels) - 0.45), title="F1 of each class")
    axes.spines["bottom"].set_bounds(0, 1)
    axes.invert_yaxis()
    _add_legend(figure, len(values))
    return figure


@styled
def draw_curves(curves_by_name: Mapping[str, Curves]) -> Figure:
    """Plot training loss, validation loss and validation accuracy by epoch, one line for each model."""
    figure = new(8.6, 6.6)
    top, bottom = figure.subfigures(2, 1, squeeze=False).flat
    panels = [*top.subplots(1, 2), bottom.subplots()]
    for index, (name, curves) in enumerate(curves_by_name.items()):
        marker = "o" if len(curves.loss) < 5 else ""
        for axes, values in zip(panels, (curves.loss, curves.validation_loss, curves.validation_accuracy), strict=True):
            axes.plot(curves.epochs, values, label=name, marker=marker, **line_style(index))
    titles = ("Training loss", "Validation loss", "Validation accuracy")
    for axes, title in zip(panels, titles, strict=True):
        axes.set(title=title, xlabel="epoch", ylabel="accuracy" if "accuracy" in title else "loss (nats)")
        set_whole_ticks(axes)
    percent(panels[2].yaxis)
    stop_at_whole(panels[2].yaxis)
    handles, names = panels[2].get_legend_handles_labels()
    bottom.legend(handles, names, loc="outside lower center", ncols=_count_columns(len(names)), frameon=False)
    return figure


@styled
def draw_scatter(points: Mapping[str, tuple[float, Figure95]], what: str, title: str) -> Figure:
    """Plot accuracy over cost on a logarithmic axis. what: the axis label, with its unit."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    figure = new(7.2, 4.8)
    axes = figure.subplots()
    for index, (name, (cost, accuracy)) in enumerate(points.items()):
        axes.errorbar(
            [cost], [accuracy.value], yerr=np.array(accuracy.reach).reshape(2, 1), fmt=MARKERS[index % len(MARKERS)],
            color=OKABE_ITO[index % 8], markersize=9, capsize=4, linewidth=1.2, label=f"{name} ({cost:,.3g})",
        )  # fmt: skip
    costs = [cost for cost, _ in points.values()]
    axes.set_xscale("log")
    axes.set_xlim(min(costs) / 2, max(costs) * 2)
    axes.set(xlabel=what, ylabel="accuracy with 95 % interval", title=title)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(_choose_ticks(min(costs) / 2, max(costs) * 2))
    percent(axes.yaxis)
    axes.margins(y=0.15)
    stop_at_whole(axes.yaxis)
    axes.grid(alpha=0.3)
    _add_legend(figure, len(points))
    return figure


def _choose_ticks(low: float, high: float) -> list[float]:
    """Return round tick positions between two positive numbers, sparser where they span more powers of ten."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    steps = (1, 1.5, 2, 3, 4, 6, 8) if high < 8 * low else (1, 2, 5) if high < 1000 * low else (1,)
    return [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]


@styled
def draw_literature(published: Mapping[str, float], own: Mapping[str, Figure95]) -> Figure:
    """Plot published and measured accuracies, best at the top; only measured ones have intervals."""
    rows = {**{name: Figure95(value) for name, value in published.items()}, **own}
    names = sorted(rows, key=lambda name: -rows[name].value)
    figure = new(7.6, 0.36 * len(rows) + 1.5)
    axes = figure.subplots()
    _draw_bars(axes, {name: rows[name] for name in names}, [BLUE if name in own else GREY for name in names])
    for bar, name in zip(axes.patches, names, strict=True):
        bar.set_hatch("///" if name in own else "")
        bar.set_edgecolor("white")
    axes.invert_yaxis()
    axes.set(xlabel="accuracy, with 95 % interval where measured here", title="Published and measured on FER2013")
    from matplotlib.patches import Patch

    keys = [Patch(color=GREY, label="published"), Patch(facecolor=BLUE, edgecolor="white", hatch="///", label="Mien")]
    figure.legend(handles=keys, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _add_legend(figure: Figure, entries: int) -> None:
    figure.legend(loc="outside lower center", ncols=_count_columns(entries), frameon=False)


def _count_columns(entries: int) -> int:
    return min(entries, 2)  # run names are long
