"""Plots of one model: training, confusion matrix, classes, confidence, and one-vs-rest curves.

Okabe–Ito colours and cividis; colour alone never carries meaning. All functions take and return values; none reads a
file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.preprocess import rgb
from mien.reporting.figures import BLUE, GREEN, GREY, OKABE_ITO, ORANGE, RED, new, percent, stop_at_whole, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mien.evaluation.metrics.calibration import Reliability, RiskCoverage
    from mien.evaluation.metrics.checks import Doubles
    from mien.evaluation.metrics.curves import ClassCurves


DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)))
"""Line styles, cycled so that neighbouring lines differ."""


@dataclass(frozen=True)
class Curves:
    """Learning curves over K epochs, counted from 1; float64 (K,) each.

    Attributes:
        accuracy, loss: means over the augmented training faces, in [0, 1] and in nats of the recipe's own loss.
        validation_accuracy, validation_loss: on the validation set, the loss as cross-entropy in nats.
        rate: learning rate at the end of the epoch.
        chosen: epoch of the checkpoint that was kept.
        diverged: epoch from which training and validation loss diverge, None if they do not.
    """

    accuracy: Doubles
    loss: Doubles
    validation_accuracy: Doubles
    validation_loss: Doubles
    rate: Doubles
    chosen: int
    diverged: int | None = None

    @property
    def epochs(self) -> NDArray[np.int64]:
        """The epochs' numbers, int64 (K,)."""
        return np.arange(1, len(self.loss) + 1)


def line_style(index: int) -> dict[str, Any]:
    """Return colour and dashes of the line number ``index``; the first 24 differ. Pale yellow is reserved for areas."""
    return {"color": OKABE_ITO[index % 8], "linestyle": DASHES[index % len(DASHES)]}


@styled
def draw_training(curves: Curves) -> Figure:
    """Plot accuracy, loss and learning rate by epoch, and mark the kept epoch and a divergence."""
    figure = new(8.4, 6.6)
    top, rate = figure.subfigures(2, 1, squeeze=False, height_ratios=(2, 1.15)).flat
    accuracy, loss = top.subplots(1, 2)
    _draw_pair(accuracy, curves, curves.accuracy, curves.validation_accuracy)
    accuracy.set(title="Accuracy", xlabel="epoch", ylabel="accuracy")
    percent(accuracy.yaxis)
    stop_at_whole(accuracy.yaxis)
    _draw_pair(loss, curves, curves.loss, curves.validation_loss)
    loss.set(title="Loss", xlabel="epoch", ylabel="loss (nats)")
    if curves.diverged:
        loss.axvspan(curves.diverged, len(curves.loss), color=RED, alpha=0.12, label="the losses diverge")
    handles, names = loss.get_legend_handles_labels()
    top.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    axes = rate.subplots()
    axes.plot(curves.epochs, curves.rate, color=BLUE, marker=_choose_marker(curves))
    axes.set(title="Learning rate", xlabel="epoch", ylabel="rate at the epoch's end")
    axes.ticklabel_format(axis="y", scilimits=(-3, 3))
    axes.set_ylim(bottom=0)
    set_whole_ticks(axes)
    return figure


def _draw_pair(axes: Axes, curves: Curves, own: Doubles, validation: Doubles) -> None:
    axes.plot(
        curves.epochs, own, color=BLUE, linestyle="--", marker=_choose_marker(curves), label="training, augmented"
    )
    axes.plot(curves.epochs, validation, color=ORANGE, marker=_choose_marker(curves), label="validation")
    axes.plot(
        [curves.chosen], [validation[curves.chosen - 1]], "o", color=RED, markersize=8,
        label=f"kept: epoch {curves.chosen}",
    )  # fmt: skip
    set_whole_ticks(axes)


def _choose_marker(curves: Curves) -> str:
    return "o" if len(curves.loss) < 5 else ""  # a line through a single point is invisible


def set_whole_ticks(axes: Axes) -> None:
    """Restrict the ticks of the horizontal axis to integers."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


@styled
def draw_confusion(counts: Sequence[Sequence[int]], labels: Sequence[str], *, normalised: bool) -> Figure:
    """Plot the confusion matrix (C, C), rows true, as counts or row percentages; – for a class without faces."""
    from matplotlib.ticker import PercentFormatter

    table = np.asarray(counts, np.int64)
    faces = table.sum(1, keepdims=True)
    shares = np.divide(table, faces, out=np.full(table.shape, np.nan), where=faces > 0)
    figure = new(0.66 * len(labels) + 2.7, 0.56 * len(labels) + 1.6)
    axes = figure.subplots()
    # Both plots are coloured by share: coloured by count, only the largest class would stand out.
    drawn = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    for row, column in np.ndindex(table.shape):
        share = shares[row, column]
        text = f"{share * 100:.0f}" if normalised else f"{table[row, column]:,}"
        ink = "black" if np.isnan(share) or share > 0.5 else "white"
        axes.text(column, row, "–" if np.isnan(share) else text, ha="center", va="center", color=ink)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), labels)
    axes.spines[:].set_visible(False)
    title = "Confusion matrix, percent of each true class" if normalised else "Confusion matrix, faces"
    axes.set(xlabel="predicted class", ylabel="true class", title=title)
    figure.colorbar(drawn, ax=axes, format=PercentFormatter(1), label="share of the true class's faces", shrink=0.9)
    return figure


@styled
def draw_class_bars(per_class: Mapping[str, Mapping[str, float | None]]) -> Figure:
    """Plot precision, recall and F1 of each class with its number of faces; absent classes have no bars."""
    names = list(per_class)
    figure = new(8.4, 0.62 * len(names) + 1.3)
    axes = figure.subplots()
    rows = np.arange(len(names))
    measures = (("precision", BLUE, ""), ("recall", ORANGE, "///"), ("f1", GREEN, ""))
    for step, (measure, colour, hatch) in enumerate(measures):
        bars_at = [(position, value) for position, name in zip(rows, names, strict=True)
                 if (value := per_class[name][measure]) is not None]  # fmt: skip
        at, values = [position + (step - 1) * 0.27 for position, _ in bars_at], [value for _, value in bars_at]
        label = "F1" if measure == "f1" else measure
        bars = axes.barh(at, values, 0.27, color=colour, hatch=hatch, edgecolor="white", linewidth=0.5, label=label)
        axes.bar_label(bars, [f"{value:.0%}" for value in values], padding=3, fontsize=8)
    support = [int(per_class[name]["support"] or 0) for name in names]
    ticks = [f"{name}\n{faces:,} face{'s' if faces != 1 else ''}" for name, faces in zip(names, support, strict=True)]
    axes.set_yticks(rows, ticks)
    axes.set(xlabel="precision, recall, F1", xlim=(0, 1.06), ylim=(-0.55, len(names) - 0.45), title="Each class")
    axes.spines["bottom"].set_bounds(0, 1)
    percent(axes.xaxis)
    axes.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


@styled
def draw_class_accuracy(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> Figure:
    """Plot the two accuracies that papers give a class, of a confusion matrix (C, C), rows true, as bars.

    Of its own faces: the share that is recognised, its recall. Of all faces: the share on which "this class or not" is
    right, which is high for rare classes whatever the model does. Classes without faces have no bars.
    """
    table = np.asarray(counts, np.int64)
    right, faces = np.diagonal(table), table.sum(1)
    either = 1 - (faces + table.sum(0) - 2 * right) / table.sum()
    shown = np.flatnonzero(faces)
    figure = new(8.4, 0.46 * len(shown) + 1.3)
    axes = figure.subplots()
    own = (right[shown] / faces[shown], BLUE, "", "of the class's own faces (recall)")
    whole = (either[shown], ORANGE, "///", "of all faces: this class or not")
    for step, (values, colour, hatch, label) in zip((-0.2, 0.2), (own, whole), strict=True):
        spots = np.arange(len(shown)) + step
        bars = axes.barh(spots, values, 0.4, color=colour, hatch=hatch, edgecolor="white", linewidth=0.5, label=label)
        axes.bar_label(bars, [f"{value:.1%}" for value in values], padding=3, fontsize=8)
    axes.set_yticks(range(len(shown)), [labels[index] for index in shown.tolist()])
    axes.set(xlabel="accuracy", xlim=(0, 1.08), ylim=(-0.55, len(shown) - 0.45), title="Accuracy of each class")
    axes.spines["bottom"].set_bounds(0, 1)
    percent(axes.xaxis)
    axes.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


@styled
def draw_reliability(diagram: Reliability) -> Figure:
    """Plot binned accuracy over confidence, its gap to perfect calibration, and the number of faces in each bin."""
    figure = new(6.4, 6.0)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    width, middles = float(diagram.edges[1] - diagram.edges[0]), (diagram.edges[:-1] + diagram.edges[1:]) / 2
    used = diagram.faces > 0
    axes.bar(middles[used], diagram.accuracy[used], width, color=BLUE, edgecolor="white", label="accuracy")
    gaps = np.nan_to_num(diagram.confidence - diagram.accuracy)
    for chosen, colour, label in ((gaps > 0, RED, "overconfident"), (gaps < 0, ORANGE, "underconfident")):
        axes.bar(
            middles[chosen], gaps[chosen], width, bottom=diagram.accuracy[chosen], color="none", edgecolor=colour,
            hatch="///" if colour == RED else "\\\\\\", linewidth=1, label=label,
        )  # fmt: skip
    axes.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1, label="calibrated")
    axes.set(ylabel="accuracy", ylim=(0, 1), xlim=(0, 1), title=f"Expected calibration error {diagram.error:.3f}")
    percent(axes.yaxis)
    below.bar(middles, diagram.faces, width, color=GREY, edgecolor="white")
    below.set(xlabel="confidence", ylabel="faces")
    percent(below.xaxis)
    # Below the plot, as bars may be as high as the panel.
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=9)
    return figure


@styled
def draw_risk_coverage(curve: RiskCoverage, at: tuple[float, float]) -> Figure:
    """Plot risk, the error rate, over coverage, the share of most confident faces.

    Args:
        at: coverage and accuracy of the point to mark.
    """
    figure = new(6.4, 4.4)
    axes = figure.subplots()
    axes.plot(curve.coverage, 1 - curve.accuracy, color=BLUE, linewidth=2)
    coverage, accuracy = at
    axes.plot([coverage], [1 - accuracy], "o", color=RED, markersize=8,
              label=f"{coverage:.0%} most confident faces: {accuracy:.1%} correct")  # fmt: skip
    total = 1 - float(curve.accuracy[-1])
    axes.axhline(total, color=GREY, linestyle="--", linewidth=1, label=f"all faces: {total:.1%} wrong")
    axes.set(xlabel="coverage: share of faces that are classified", ylabel="risk: error rate on these faces",
             xlim=(0, 1), title=f"Risk and coverage, area {curve.area:.3f}")  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.margins(y=0.15)
    stop_at_whole(axes.yaxis)
    percent(axes.xaxis)
    percent(axes.yaxis)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


@styled
def draw_roc(curves: Mapping[str, ClassCurves]) -> Figure:
    """Plot the one-vs-rest receiver operating characteristic of each class."""
    by_class = {name: both.roc for name, both in curves.items()}
    figure, axes = _make_square()
    axes.plot([0, 1], [0, 1], color="black", linestyle=":", linewidth=1)
    for index, (name, curve) in enumerate(by_class.items()):
        if curve:
            axes.plot(curve.x, curve.y, linewidth=1.6, label=f"{name} {curve.area:.3f}", **line_style(index))
    axes.set(xlabel="false-positive rate", ylabel="true-positive rate", title="ROC of each class against the rest")
    _add_legend(figure, "class, area")
    return figure


@styled
def draw_precision_recall(curves: Mapping[str, ClassCurves]) -> Figure:
    """Plot one-vs-rest precision over recall of each class."""
    figure, axes = _make_square()
    for index, (name, both) in enumerate(curves.items()):
        curve = both.precision_recall
        if curve:
            axes.plot(curve.x, curve.y, linewidth=1.6, label=f"{name} {curve.area:.3f}", **line_style(index))
    axes.set(xlabel="recall", ylabel="precision", title="Precision and recall of each class against the rest")
    _add_legend(figure, "class, average precision")
    return figure


def _make_square() -> tuple[Figure, Axes]:
    figure = new(6.9, 4.6)
    axes = figure.subplots()
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    for side in ("left", "bottom"):
        axes.spines[side].set_bounds(0, 1)
    percent(axes.xaxis)
    percent(axes.yaxis)
    return figure, axes


def _add_legend(figure: Figure, title: str) -> None:
    figure.legend(loc="outside right upper", frameon=False, title=title, fontsize=9)


@dataclass(frozen=True)
class Sample:
    """A face, uint8 (H, W), with its prediction: probabilities float64 (C,), indices of true and predicted class."""

    face: NDArray[np.uint8]
    probabilities: Doubles
    true: int
    read: int


@styled
def draw_samples(chosen: Sequence[Sample], labels: Sequence[str], title: str) -> Figure:
    """Plot faces beside bar charts of their probabilities, two in a row."""
    rows = -(-len(chosen) // 2)
    figure = new(8.6, rows * (0.2 * len(labels) + 0.85) + 0.3)
    figure.suptitle(title)
    panels = figure.subplots(rows, 4, width_ratios=(1, 1.25, 1, 1.25), squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for index, sample in enumerate(chosen):
        face, bars = panels[index // 2, index % 2 * 2], panels[index // 2, index % 2 * 2 + 1]
        face.imshow(sample.face, cmap="gray", vmin=0, vmax=255)
        face.set_title(f"true: {labels[sample.true]}", fontsize=10)
        _draw_bars(bars, sample, labels)
    return figure


def _draw_bars(axes: Axes, sample: Sample, labels: Sequence[str]) -> None:
    axes.set_axis_on()
    colours = [BLUE if index == sample.true else RED if index == sample.read else GREY for index in range(len(labels))]
    bars = axes.barh(labels, sample.probabilities, color=colours)
    axes.bar_label(bars, [f"{value:.0%}" for value in sample.probabilities], padding=2, fontsize=7)
    verdict = "right" if sample.true == sample.read else "wrong"
    axes.set_title(f"predicted: {labels[sample.read]}, {verdict}", fontsize=10)
    axes.set(xlim=(0, 1.18), xticks=[])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(labelsize=8, length=0)
    axes.invert_yaxis()


@styled
def draw_gallery(faces: Sequence[tuple[NDArray[np.uint8], str]], title: str, columns: int = 6) -> Figure:
    """Plot faces, uint8 (H, W[, 3]), with two or three lines of text below; all form one image on one pair of axes."""
    import cv2

    side, gap, text = 96, 34, 62
    rows = -(-len(faces) // columns)
    canvas = np.full((rows * (side + text), columns * (side + gap), 3), 255, np.uint8)
    figure = new(8.6, 8.6 * canvas.shape[0] / canvas.shape[1] + 0.3)
    figure.suptitle(title)
    axes = figure.subplots()
    for index, (face, caption) in enumerate(faces):
        top, left = index // columns * (side + text), index % columns * (side + gap) + gap // 2
        shown = cv2.resize(rgb(face), (side, side), interpolation=cv2.INTER_NEAREST)
        canvas[top : top + side, left : left + side] = shown
        axes.text(left + side / 2, top + side + 5, caption, ha="center", va="top", fontsize=8.5)
    axes.imshow(canvas, interpolation="nearest")
    axes.set_axis_off()
    return figure
