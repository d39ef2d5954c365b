"""The style of all plots, their files, and the plots of ``mien data explore``.

Okabe–Ito colours, class names, labelled axes. Files are PNG of 300 dpi, SVG and PDF; pages embed a smaller PNG.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.drawing import fonts
from mien.drawing.draw import assign_colours
from mien.errors import MissingExtraError
from mien.files import appearing

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]

OKABE_ITO = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#8C8C8C", "#000000", "#F0E442")
"""A palette for every kind of colour vision (Okabe and Ito 2008); yellow comes last because it is pale."""

ORANGE, GREEN, BLUE, RED, GREY, BLACK = (OKABE_ITO[index] for index in (0, 2, 4, 5, 6, 7))

MARKERS = "osD^vP*X<>"
"""One for each class, so that colour is never needed."""

PAGE_DPI, PAPER_DPI = 110, 300
KINDS = ("png", "svg", "pdf")
"""The formats that every plot is written in."""

_CELL = 96
_EDGE: Any = {"edgecolor": "#555555", "linewidth": 0.4}  # of bars, as some classes have pale colours

_STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.axisbelow": True,
    "svg.fonttype": "path",
    "svg.hashsalt": "mien",
    "pdf.fonttype": 42,  # journals refuse Type 3 fonts
}


def colours(names: Sequence[str]) -> dict[str, str]:
    """Assign a colour to each class, the one that it has in annotated pictures and on the page; grey for no label."""
    assigned = assign_colours(tuple(name for name in names if name))
    return {name: "#{:02x}{:02x}{:02x}".format(*assigned[name]) if name else GREY for name in names}


def new(width: float, height: float, feature: str = "mien data explore") -> Figure:
    """Create an empty figure, size in inches, without registering it in pyplot's global state.

    Raises:
        MissingExtraError: without matplotlib, which ``feature`` needs.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError.for_extra(feature, "train") from None
    return Figure(figsize=(width, height), layout="constrained")


def percent(axis: Axis) -> None:
    """Format an axis of shares in [0, 1] as percentages, with as many decimals as its ticks need."""
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1))


def stop_at_whole(*axes: Axis) -> None:
    """Keep axes of shares in [0, 1] from going on below 0 % and above 100 %, where the data's margins would."""
    for axis in axes:
        low, high = axis.get_view_interval()
        axis.set_view_interval(max(low, 0.0), min(high, 1.0), ignore=True)


def save(figure: Figure, folder: Path, name: str) -> tuple[bytes, tuple[Path, ...]]:
    """Write a figure as NAME.png, NAME.svg and NAME.pdf; return the PNG for a page, and the paths."""
    content, paths = render(figure, "png"), list[Path]()
    for kind in KINDS:
        path = folder / f"{name}.{kind}"
        with appearing(path) as draft:
            draft.write_bytes(render(figure, kind, PAPER_DPI))
        paths.append(path)
    return content, tuple(paths)


def render(figure: Figure, kind: str, dpi: int = PAGE_DPI) -> bytes:
    """Render a figure as ``png``, ``svg`` or ``pdf`` and return the content of the file."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    with rc_context(_STYLE):
        _make_legible(figure)
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=_UNDATED.get(kind))
    figure.set_layout_engine("none")  # a second format reuses the layout, whose computation costs as much as drawing
    return buffer.getvalue()


_UNDATED: Mapping[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""What keeps two files of the same plot equal."""


def _make_legible(figure: Figure) -> None:
    """Give texts with letters that matplotlib's font lacks a font that has them, or transliterate them."""
    from matplotlib.text import Text

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            words = [label.get_text() for label in axis.get_majorticklabels()]
            lacking = _missing_letters("".join(words))
            if lacking:
                axis.set_ticks(axis.get_majorticklocs(), [_make_text_legible(text) for text in words])
                axis.set_tick_params(labelfontfamily=_font_families(lacking))
    for text in figure.findobj(Text):
        lacking = _missing_letters(text.get_text())
        if lacking:
            text.set_fontfamily(_font_families(lacking))
            text.set_text(_make_text_legible(text.get_text()))


def _missing_letters(text: str) -> str:
    """Return the distinct letters of a text that matplotlib's default font lacks."""
    own = _own_font()
    return "".join(sorted({letter for letter in text if not letter.isascii() and not fonts.has_letters(own, letter)}))


def _make_text_legible(text: str) -> str:
    lacking = _missing_letters(text)
    return text if not lacking or fonts.font_file(lacking) else fonts.plain(text)


def _font_families(lacking: str) -> list[str]:
    """Return matplotlib's font and, if there is one, an installed font that has the missing letters."""
    from matplotlib import font_manager

    path = fonts.font_file(lacking)
    if path is None:
        return ["DejaVu Sans"]
    font_manager.fontManager.addfont(path)
    return ["DejaVu Sans", font_manager.FontProperties(fname=path).get_name()]


def _own_font() -> str:
    from matplotlib import get_data_path

    return str(Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf")


def styled(draw: Any) -> Any:
    """Decorate a plotting function: apply the plot style, and raise ``MissingExtraError`` without matplotlib."""
    from functools import wraps

    @wraps(draw)
    def wrapped(*given: Any, **named: Any) -> Any:
        figure = new(1, 1)  # raises MissingExtraError before anything else
        from matplotlib import rc_context

        del figure
        with rc_context(_STYLE):
            return draw(*given, **named)

    return wrapped


@styled
def classes(counts: Mapping[str, Mapping[str, int]], names: Sequence[str]) -> Figure:
    """Plot class counts, one panel per split, with the number at each bar."""
    width = max(4.5, 3.1 * len(counts) + 0.8)
    figure = new(width, 0.36 * len(names) + 1.2)
    panels = np.atleast_1d(figure.subplots(1, len(counts), sharey=True))
    palette = colours(names)
    for axes, (split, row) in zip(panels, counts.items(), strict=True):
        values = [row.get(name, 0) for name in names]
        bars = axes.barh(names, values, color=[palette[name] for name in names], **_EDGE)
        axes.bar_label(bars, [f"{value:,}" for value in values], padding=3, fontsize=9)
        axes.set(title=f"{split or 'no split'} ({sum(row.values()):,})", xlabel="images")
        axes.margins(x=0.28)
        axes.locator_params(axis="x", nbins=3)
    panels[0].invert_yaxis()
    return figure


@styled
def weights(values: Mapping[str, float], ratio: float, split: str) -> Figure:
    """Plot class weights N / (classes × count), which balance the classes."""
    figure = new(6.4, 0.36 * len(values) + 1.2)
    axes = figure.subplots()
    bars = axes.barh(list(values), list(values.values()), color=list(colours(list(values)).values()), **_EDGE)
    axes.bar_label(bars, [f"{value:.2f}" for value in values.values()], padding=3, fontsize=9)
    axes.set(xlabel="class weight (1 = balanced)", title=f"{split or 'all images'}: imbalance ratio {ratio:.1f}")
    axes.margins(x=0.15)
    axes.invert_yaxis()
    return figure


@styled
def grid(rows: Mapping[str, Sequence[tuple[Image, str]]], columns: int) -> Figure:
    """Plot rows of images with the row's name to the left and optional captions below the images.

    All images share one pair of axes: the layout of 80 pairs took 20 s.
    """
    captions = any(text for row in rows.values() for _, text in row)
    rise = _CELL + (18 if captions else 4)
    canvas = np.full((len(rows) * rise, columns * (_CELL + 4), 3), 255, np.uint8)
    beside, width, height = _measure_names(list(rows)), 0.8 * columns, 0.8 * len(canvas) / (_CELL + 4)
    figure = new(beside + width, height)
    figure.set_layout_engine("none")  # it makes too little room beside an image
    axes = figure.add_axes((beside / (beside + width), 0, width / (beside + width), 1))
    for line, tiles in enumerate(rows.values()):
        for column, (image, text) in enumerate(tiles[:columns]):
            _paste(canvas, image, line * rise, column * (_CELL + 4))
            left, below = column * (_CELL + 4) + _CELL / 2, (line + 1) * rise - (rise - _CELL) + 2
            axes.text(left, below, text, ha="center", va="top", fontsize=8)
    axes.imshow(canvas, interpolation="nearest")
    axes.set_yticks([line * rise + _CELL / 2 for line in range(len(rows))], list(rows))
    axes.tick_params(length=0)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    return figure


def _measure_names(names: Sequence[str]) -> float:
    """Return the width in inches of the longest line of names beside a grid, with a margin."""
    from matplotlib.textpath import TextPath

    lines = [line for name in names for line in name.splitlines() if line.strip()]
    widths = [TextPath((0, 0), line, size=_STYLE["font.size"]).get_extents().width / 72 for line in lines]
    return max(widths) + 0.15 if widths else 0.05


def _paste(canvas: Image, image: Image, top: int, left: int) -> None:
    """Paste an image, scaled to fit, into the centre of its cell."""
    import cv2

    height, width = image.shape[:2]
    factor = _CELL / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    mode = cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST
    small = np.asarray(cv2.resize(image, size, interpolation=mode))
    small = small if small.ndim == 3 else np.repeat(small[:, :, None], 3, axis=2)
    top, left = top + (_CELL - size[1]) // 2, left + (_CELL - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0]] = small


@styled
def qualities(values: Mapping[str, NDArray[np.float32]], names: Mapping[str, str]) -> Figure:
    """Plot histograms of measures of images, two in a row, with axes named by ``names``.

    Sharpness has a logarithmic axis, as it spans decades.
    """
    rows = -(-len(values) // 2)
    figure = new(8.4, 2.6 * rows)
    panels = figure.subplots(rows, 2, squeeze=False).flat
    for axes in panels[len(values) :]:
        axes.set_visible(False)
    for axes, (name, given) in zip(panels, values.items(), strict=False):
        wide = name == "sharpness"
        numbers = np.maximum(given, 1) if wide else given
        low, high = float(numbers.min()), max(float(numbers.max()), float(numbers.min()) + 1e-3)
        bins = np.geomspace(low, high, 50) if wide else np.linspace(low, high, 50)
        axes.hist(numbers, bins=bins, color=BLUE)
        middle = float(np.median(numbers))
        axes.axvline(middle, color=RED, linewidth=1.5, label=f"median {middle:,.4g}")
        axes.set(xlabel=names[name], ylabel="images", title=name)
        axes.margins(y=0.18)
        axes.legend(frameon=False, fontsize=9, loc="upper left" if name in ("sharpness", "entropy") else "upper right")
        if wide:
            axes.set_xscale("log")
    return figure


@styled
def scatter(points: NDArray[np.float64], labels: NDArray[np.str_], share: Sequence[float]) -> Figure:
    """Plot PCA points, (N, 2) or (N, 3), with a colour and a marker for each class and a ring around its mean.

    In two dimensions a line encloses the denser half of each class. In three some 60 points of a class are shown, and a
    line goes from each class's mean to the floor. Axis labels give the explained variance.
    """
    deep = points.shape[1] == 3
    figure = new(7.6, 5.6)
    axes: Any = figure.add_subplot(projection="3d" if deep else None)
    names = sorted(set(labels.tolist()))
    palette = colours(names)
    floor = float(points[:, -1].min())
    for index, name in enumerate(names):
        own, look = points[labels == name], {"color": palette[name], "marker": MARKERS[index % len(MARKERS)]}
        shown = own[:: max(1, len(own) // _POINTS_3D)] if deep else own
        size = {"s": 16, "alpha": 0.7, "depthshade": False} if deep else {"s": 9, "alpha": 0.35, "rasterized": True}
        axes.scatter(*shown.T, linewidths=0, label=name or "no label", **size, **look)
        if deep:
            _draw_drop(axes, own.mean(0), floor, palette[name])
        else:
            _draw_half(axes, own, palette[name])
        axes.scatter(*own.mean(0)[:, None], s=110, edgecolors="black", linewidths=1.2, zorder=5, **look)
    _label_components(axes, share, deep)
    legend = figure.legend(loc="outside right upper", frameon=False, markerscale=2, title="class")
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1)
    return figure


_POINTS_3D = 60
"""Points of a class in a plot of three dimensions; more hide each other."""


def _draw_drop(axes: Any, mean: NDArray[np.float64], floor: float, colour: str) -> None:
    """Draw a line from a class's mean to the floor, without which its height cannot be read."""
    axes.plot([mean[0]] * 2, [mean[1]] * 2, [mean[2], floor], color=colour, linewidth=1.2, linestyle="--")


def _draw_half(axes: Any, points: NDArray[np.float64], colour: str) -> None:
    """Draw a line around the denser half of a class's points; none for fewer than ten, or for points on a line."""
    from matplotlib.patheffects import withStroke
    from scipy.stats import gaussian_kde

    if len(points) < 10 or np.linalg.matrix_rank(points - points.mean(0)) < 2:
        return
    density = gaussian_kde(points.T)
    (left, bottom), (right, top) = points.min(0), points.max(0)
    across, up = np.meshgrid(np.linspace(left, right, 60), np.linspace(bottom, top, 60))
    heights = density(np.vstack([across.ravel(), up.ravel()])).reshape(across.shape)
    line = axes.contour(across, up, heights, levels=[float(np.median(density(points.T)))], colors=[colour])
    line.set(linewidth=1.6, path_effects=[withStroke(linewidth=2.4, foreground="#555555")])  # for pale colours


def _label_components(axes: Any, share: Sequence[float], deep: bool) -> None:
    unit = "" if deep else " of variance"  # three long labels would overlap
    texts = [f"component {number} ({part:.1%}{unit})" for number, part in enumerate(share, 1)]
    axes.set(xlabel=texts[0], ylabel=texts[1])
    if deep:
        axes.set_zlabel(texts[2], labelpad=4)
        axes.tick_params(labelsize=8)
        axes.view_init(elev=22, azim=-62)
        axes.set_box_aspect(None, zoom=0.88)
