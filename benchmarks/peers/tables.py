"""The result as a Markdown table and a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mien.reporting.figures import BLUE, GREEN, GREY, ORANGE, render

CORPORA = ("PrivateTest", "FER+", "KDEF", "CK+")
MEAN = ("FER+", "KDEF", "CK+")
"""Of what the mean is told: PrivateTest's labels are of FER+'s faces."""

_MARKS = {"PrivateTest": (BLUE, "o"), "FER+": (GREY, "^"), "KDEF": (ORANGE, "s"), "CK+": (GREEN, "D")}


def markdown(result: dict[str, Any]) -> str:
    """Return three tables and the notes."""
    asked = result["asked"]
    sizes = ", ".join(f"{name} {count:,}" for name, count in asked["faces"].items())
    parts = [
        f"{result['machine']}; {asked['rounds']} round{'s' * (asked['rounds'] > 1)}. Faces: {sizes}.",
        _accuracy(result["peers"]),
        _speed(result["peers"]),
        _notes(result["peers"]),
    ]
    if result.get("training"):
        parts.append(_training(result["training"]))
    return "\n\n".join(parts) + "\n"


def _accuracy(peers: Sequence[dict[str, Any]]) -> str:
    head = ["", *(f"{name}, {what}" for name in CORPORA for what in ("accuracy (95 %)", "macro F1"))]
    head.append(f"mean of {', '.join(MEAN)}")
    rows = []
    for peer in peers:
        if not peer["trained"]:
            continue
        cells = [_named(peer)]
        for name in CORPORA:
            found = peer.get("accuracy", {}).get(name)
            if found is None:
                cells += ["–", "–"]
                continue
            low, high = found["interval"]
            missed = "" if found["found"] == 1 else f", face found in {found['found']:.1%}"
            cells += [f"{found['accuracy']:.1%} ({low:.1%} – {high:.1%}{missed})", f"{found['macro_f1']:.3f}"]
        scores = [_percent(peer, name) for name in MEAN]
        known = [score for score in scores if score is not None]
        rows.append([*cells, f"{sum(known) / len(known):.1f}%" if len(known) == len(MEAN) else "–"])
    return _table(head, rows)


def _speed(peers: Sequence[dict[str, Any]]) -> str:
    head = ["", "ms a crop, batch 1", "ms a crop, batch 64", "crops/s", "ms a photo", "cold start, s",
            "imports alone, s", "memory, one photo", "memory, all", "installed"]  # fmt: skip
    rows = []
    for peer in peers:
        one, many = peer.get("batch 1"), peer.get("batch 64")
        rows.append([
            _named(peer), _spread(one, 1e3), _spread(many, 1e3), f"{1 / many['median']:,.0f}" if many else "–",
            _spread(peer.get("photo"), 1e3), _spread(peer.get("cold"), 1), _spread(peer.get("imports"), 1),
            _size(peer.get("cold_memory")), _size(peer.get("memory")), _size(peer.get("size")),
        ])  # fmt: skip
    return _table(head, rows)


def _notes(peers: Sequence[dict[str, Any]]) -> str:
    lines = []
    for peer in peers:
        failed = f" **Fails**: {peer['reason']}" if peer["reason"] else ""
        missing = f" **Failed**: {'; '.join(peer['failures'])}" if peer["failures"] else ""
        lines.append(f"- {_named(peer)}: {peer['note']}{failed}{missing}")
    return "\n".join(lines)


def _training(training: dict[str, Any]) -> str:
    rows = [[name, _spread(row["step"], 1e3), _spread(row["ratio"], 1)] for name, row in training.items()]
    return _table(["training, system A's network", "ms a step of 64", "times Mien's step"], rows)


def _named(peer: dict[str, Any]) -> str:
    return f"{peer['name']} {peer['version']}".strip()


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _spread(found: dict[str, float] | None, factor: float) -> str:
    if found is None:
        return "–"
    median, low, high = (_digits(found[name] * factor) for name in ("median", "low", "high"))
    return median if low == high else f"{median} ({low} – {high})"


def _digits(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _size(count: float | None) -> str:
    return "–" if count is None else f"{count / 1e6:,.0f} MB"


def picture(result: dict[str, Any]) -> bytes:
    """Return a PNG: accuracy, time a crop, time of a whole process, memory and size, a row each peer that ran."""
    peers = [peer for peer in result["peers"] if not peer["reason"]][::-1]
    figure = Figure(figsize=(13, 1.6 + 0.42 * len(peers)), layout="constrained")
    axes = figure.subplots(1, 4, sharey=True)
    for axis, title in zip(axes, ("accuracy, %", "ms a crop", "whole process, one photo, s", "MB"), strict=True):
        axis.set_xlabel(title)
        axis.grid(color="#DDDDDD")
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(peers)), [peer["name"] for peer in peers])
    axes[0].set_ylim(-0.6, len(peers) - 0.4)
    for name, look in _MARKS.items():
        _dots(axes[0], peers, partial(_percent, corpus=name), name, look)
    _dots(axes[1], peers, lambda peer: _median(peer, "batch 1", 1e3), "batch 1", (BLUE, "o"))
    _dots(axes[1], peers, lambda peer: _median(peer, "batch 64", 1e3), "batch 64", (ORANGE, "s"))
    _dots(axes[2], peers, lambda peer: _median(peer, "cold", 1), "cold start", (BLUE, "o"))
    _dots(axes[2], peers, lambda peer: _median(peer, "imports", 1), "imports alone", (GREY, "|"))
    _dots(axes[3], peers, lambda peer: _mega(peer, "cold_memory"), "memory, one photo", (BLUE, "o"))
    _dots(axes[3], peers, lambda peer: _mega(peer, "size"), "installed", (GREEN, "D"))
    for place, axis in enumerate(axes):
        if place:
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
            axis.tick_params(axis="x", labelsize=8)
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False,
                    fontsize=8, handletextpad=0.2, columnspacing=1.0)  # fmt: skip
    return render(figure, "png", dpi=130)


def _dots(axis: Any, peers: Sequence[dict[str, Any]], value: Callable[[dict[str, Any]], float | None], label: str,
          look: tuple[str, str]) -> None:  # fmt: skip
    found = [(place, given) for place, peer in enumerate(peers) if (given := value(peer)) is not None]
    axis.scatter(
        [given for _, given in found], [place for place, _ in found], c=look[0], marker=look[1], s=42, label=label
    )


def _percent(peer: dict[str, Any], corpus: str) -> float | None:
    found = peer.get("accuracy", {}).get(corpus)
    return None if found is None else 100 * found["accuracy"]


def _median(peer: dict[str, Any], name: str, factor: float) -> float | None:
    return peer[name]["median"] * factor if peer.get(name) else None


def _mega(peer: dict[str, Any], name: str) -> float | None:
    return peer[name] / 1e6 if peer.get(name) else None
