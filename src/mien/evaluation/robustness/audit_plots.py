"""Plots of an audit: Okabe–Ito colours, distinct marker shapes, axes with units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mien.evaluation.robustness.corruptions import FAMILIES, SEVERITIES, corrupt
from mien.reporting import figures
from mien.reporting.figures import BLACK, BLUE, GREEN, GREY, ORANGE, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mien.evaluation.robustness.audit import Corrupted, Robustness
    from mien.evaluation.robustness.slices import Slicing

_MARKS = ((BLUE, "o", "-"), (RED, "s", "--"), (GREEN, "^", "-."), (ORANGE, "D", ":"), (BLACK, "v", (0, (5, 1, 1, 1))))
"""Colour, marker and line of the corruptions of a family."""


def draw_slices(slicings: Sequence[Slicing], overall: float) -> Figure:
    """Plot the accuracy of every slice with its interval, one panel for each slicing; small slices are hollow."""
    sizes = [len(slicing.slices) for slicing in slicings]
    figure = figures.new(8.2, 0.3 * sum(sizes) + 0.55 * len(sizes) + 1.3)
    panels = figure.subplots(len(sizes), 1, sharex=True, squeeze=False, height_ratios=[size + 0.8 for size in sizes])
    for axes, slicing in zip(panels[:, 0], slicings, strict=True):
        _draw_slicing(axes, slicing, overall)
    panels[-1, 0].set_xlabel("accuracy (share of the slice's faces)")
    figures.percent(panels[-1, 0].xaxis)
    figure.legend(handles=_build_legend(overall), loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def _draw_slicing(axes: Axes, slicing: Slicing, overall: float) -> None:
    for row, part in enumerate(slicing.slices):
        colour, face = (GREY, "white") if part.small else (BLUE, BLUE)
        axes.hlines(row, *part.interval, color=colour, linewidth=2)
        axes.plot(part.accuracy, row, "o", color=colour, markerfacecolor=face, markersize=7, zorder=3)
        axes.plot(part.expected, row, "|", color=RED, markersize=11, markeredgewidth=2, zorder=4)
    axes.axvline(overall, color=BLACK, linestyle=":", linewidth=1)
    axes.set_yticks(range(len(slicing.slices)), [f"{part.name}  ({part.faces:,})" for part in slicing.slices])
    axes.set_ylim(len(slicing.slices) - 0.4, -0.6)
    axes.set_title(_write_title(slicing), loc="left", fontsize=10)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _write_title(slicing: Slicing) -> str:
    unit = f": {slicing.unit}" if slicing.unit else ""
    contrast = slicing.contrast
    if contrast is None:
        return f"{slicing.by}{unit}"
    value = f"p = {contrast.adjusted:.3f}" if contrast.adjusted >= 0.001 else "p < 0.001"
    return f"{slicing.by}{unit}. {'Slices differ' if contrast.differs else 'No significant difference'}, {value}"


def _build_legend(overall: float) -> list[Any]:
    from matplotlib.lines import Line2D

    common: dict[str, Any] = {"linewidth": 2, "markersize": 7}
    return [
        Line2D([], [], color=BLUE, marker="o", label="accuracy, 95 % interval; faces in brackets", **common),
        Line2D([], [], color=GREY, marker="o", markerfacecolor="white", label="too few faces to test", **common),
        Line2D([], [], color=RED, marker="|", linestyle="", markersize=11, markeredgewidth=2,
               label="accuracy expected from its classes"),
        Line2D([], [], color=BLACK, linestyle=":", linewidth=1, label=f"all faces: {overall:.1%}"),
    ]  # fmt: skip


def draw_curves(robustness: Robustness) -> Figure:
    """Plot accuracy over severity for each corruption, one panel for each family; severity 0 is the clean faces."""
    by_name = {result.name: result for result in robustness.corrupted}
    families = {
        family: [by_name[name] for name in names if name in by_name]
        for family, names in FAMILIES.items()
        if set(names) & set(by_name)
    }
    columns = min(2, len(families))
    rows = -(-len(families) // columns)
    figure = figures.new(4.6 * columns, 3.4 * rows)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[len(families) :]:
        axes.set_visible(False)
    for panel, (family, members) in enumerate(families.items()):
        _draw_family(panels.flat[panel], family, members, robustness)
        if panel + columns >= len(families):
            panels.flat[panel].set_xlabel("severity (0: clean)")
            panels.flat[panel].tick_params(labelbottom=True)
        if panel % columns == 0:
            panels.flat[panel].set_ylabel(f"accuracy on {robustness.faces:,} faces")
    return figure


def _draw_family(axes: Axes, family: str, members: Sequence[Corrupted], robustness: Robustness) -> None:
    steps = [0, *SEVERITIES]
    for rank, (result, (colour, marker, line)) in enumerate(zip(members, _MARKS, strict=False)):
        accuracy, bounds = [robustness.clean, *result.accuracy], [robustness.interval, *result.intervals]
        below = [value - low for value, (low, _) in zip(accuracy, bounds, strict=True)]
        above = [high - value for value, (_, high) in zip(accuracy, bounds, strict=True)]
        beside = [step + 0.07 * (rank - (len(members) - 1) / 2) for step in steps]  # keep error bars apart
        axes.errorbar(beside, accuracy, (below, above), color=colour, marker=marker, linestyle=line, capsize=2,
                      markersize=5, linewidth=1.5, label=result.name)  # fmt: skip
    axes.axhline(robustness.majority, color=GREY, linestyle=":", linewidth=1.2)
    axes.text(0, robustness.majority - 0.015, "majority class", color=GREY, fontsize=8.5, va="top")
    axes.set(ylim=(0, 1), xticks=steps)
    axes.set_title(family, loc="left", fontsize=10)
    figures.percent(axes.yaxis)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    # Above the panel, as curves may lie anywhere within it.
    axes.legend(frameon=False, fontsize=8.5, loc="lower right", bbox_to_anchor=(1.02, 0.985), ncols=len(members),
                handlelength=1.4, handletextpad=0.3, columnspacing=0.7)  # fmt: skip


def draw_examples(robustness: Robustness, seed: int = 0) -> Figure:
    """Show one face under each corruption: clean and at the five severities."""
    face, points = robustness.example
    rows = {}
    for result in robustness.corrupted:
        worse = [corrupt(face, result.name, severity, points=points, seed=seed)[0] for severity in SEVERITIES]
        captions = ["clean", *(f"severity {severity}" for severity in SEVERITIES)]
        rows[result.name.replace("-", "-\n")] = list(zip([face[0], *worse], captions, strict=True))
    drawn: Figure = figures.grid(rows, 1 + len(SEVERITIES))
    return drawn
