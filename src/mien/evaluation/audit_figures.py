"""The figures of an audit: Okabe–Ito colours, markers of different shapes, axes with units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mien.datasets import figures
from mien.datasets.figures import BLACK, BLUE, GREEN, GREY, RED
from mien.evaluation.corruptions import SEVERITIES, corrupt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mien.evaluation.audit import Corrupted, Robustness
    from mien.evaluation.slices import Slicing

FAMILIES = {
    "noise and compression": ("noise", "shot-noise", "jpeg"),
    "blur": ("blur", "motion-blur", "low-resolution"),
    "light": ("brighter", "darker", "contrast"),
    "hidden": ("glasses", "mask"),
}
"""Which corruptions stand in one panel; together they are all there are."""

_MARKS = ((BLUE, "o", "-"), (RED, "s", "--"), (GREEN, "^", "-."))


def slices(slicings: Sequence[Slicing], overall: float) -> Figure:
    """Draw the accuracy of every slice as a point with its interval, a panel a slicing; small slices are hollow."""
    sizes = [len(each.slices) for each in slicings]
    figure = figures.new(8.2, 0.3 * sum(sizes) + 0.55 * len(sizes) + 1.3)
    panels = figure.subplots(len(sizes), 1, sharex=True, squeeze=False, height_ratios=[size + 0.8 for size in sizes])
    for axes, slicing in zip(panels[:, 0], slicings, strict=True):
        _slicing(axes, slicing, overall)
    panels[-1, 0].set_xlabel("accuracy (share of the slice's faces)")
    figures.percent(panels[-1, 0].xaxis)
    figure.legend(handles=_slice_legend(overall), loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def _slicing(axes: Axes, slicing: Slicing, overall: float) -> None:
    for row, each in enumerate(slicing.slices):
        colour, face = (GREY, "white") if each.small else (BLUE, BLUE)
        axes.hlines(row, *each.interval, color=colour, linewidth=2)
        axes.plot(each.accuracy, row, "o", color=colour, markerfacecolor=face, markersize=7, zorder=3)
        axes.plot(each.expected, row, "|", color=RED, markersize=11, markeredgewidth=2, zorder=4)
    axes.axvline(overall, color=BLACK, linestyle=":", linewidth=1)
    axes.set_yticks(range(len(slicing.slices)), [f"{each.name}  ({each.faces:,})" for each in slicing.slices])
    axes.set_ylim(len(slicing.slices) - 0.4, -0.6)
    axes.set_title(_told(slicing), loc="left", fontsize=10)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _told(slicing: Slicing) -> str:
    unit = f": {slicing.unit}" if slicing.unit else ""
    found = slicing.contrast
    if found is None:
        return f"{slicing.by}{unit}"
    value = f"p = {found.adjusted:.3f}" if found.adjusted >= 0.001 else "p < 0.001"
    return f"{slicing.by}{unit}. {'Slices differ' if found.differs else 'No more than chance'}, {value}"


def _slice_legend(overall: float) -> list[Any]:
    from matplotlib.lines import Line2D

    common: dict[str, Any] = {"linewidth": 2, "markersize": 7}
    return [
        Line2D([], [], color=BLUE, marker="o", label="accuracy, 95 % interval; in brackets the faces", **common),
        Line2D([], [], color=GREY, marker="o", markerfacecolor="white", label="too few faces to judge", **common),
        Line2D([], [], color=RED, marker="|", linestyle="", markersize=11, markeredgewidth=2,
               label="what its classes alone would give"),
        Line2D([], [], color=BLACK, linestyle=":", linewidth=1, label=f"all faces: {overall:.1%}"),
    ]  # fmt: skip


def curves(found: Robustness) -> Figure:
    """Draw the accuracy of each corruption over its severity, a panel a family; severity 0 is the faces as they are."""
    by_name = {each.name: each for each in found.corrupted}
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
    for place, (family, members) in enumerate(families.items()):
        _family(panels.flat[place], family, members, found)
        if place + columns >= len(families):
            panels.flat[place].set_xlabel("severity (0: as they are)")
            panels.flat[place].tick_params(labelbottom=True)
        if place % columns == 0:
            panels.flat[place].set_ylabel(f"accuracy on {found.faces:,} faces")
    return figure


def _family(axes: Axes, family: str, members: Sequence[Corrupted], found: Robustness) -> None:
    steps = [0, *SEVERITIES]
    for place, (each, (colour, marker, line)) in enumerate(zip(members, _MARKS, strict=False)):
        accuracy, bounds = [found.clean, *each.accuracy], [found.interval, *each.intervals]
        below = [value - low for value, (low, _) in zip(accuracy, bounds, strict=True)]
        above = [high - value for value, (_, high) in zip(accuracy, bounds, strict=True)]
        beside = [step + 0.07 * (place - (len(members) - 1) / 2) for step in steps]  # bars must not hide each other
        axes.errorbar(beside, accuracy, (below, above), color=colour, marker=marker, linestyle=line, capsize=2,
                      markersize=5, linewidth=1.5, label=each.name)  # fmt: skip
    axes.axhline(found.majority, color=GREY, linestyle=":", linewidth=1.2)
    axes.text(0, found.majority - 0.015, "always the largest class", color=GREY, fontsize=8.5, va="top")
    axes.set(ylim=(0, 1), xticks=steps)
    axes.set_title(family, loc="left", fontsize=10)
    figures.percent(axes.yaxis)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    # Above the panel: within it, curves may lie anywhere.
    axes.legend(frameon=False, fontsize=8.5, loc="lower right", bbox_to_anchor=(1.02, 0.985), ncols=len(members),
                handlelength=1.4, handletextpad=0.3, columnspacing=0.7)  # fmt: skip


def examples(found: Robustness, seed: int = 0) -> Figure:
    """Show one of the faces under each corruption, as it is and in the five severities."""
    face, points = found.example
    rows = {}
    for each in found.corrupted:
        worse = [corrupt(face, each.name, severity, points=points, seed=seed)[0] for severity in SEVERITIES]
        captions = ["as it is", *(f"severity {severity}" for severity in SEVERITIES)]
        rows[each.name.replace("-", "-\n")] = list(zip([face[0], *worse], captions, strict=True))
    drawn: Figure = figures.grid(rows, 1 + len(SEVERITIES))
    return drawn
