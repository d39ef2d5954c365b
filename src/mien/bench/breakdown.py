"""Where the time of one photo goes: decode, detect, align, classify, each timed by itself in every round."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mien import preprocess
from mien.errors import ImageError
from mien.recognition.detection import turned
from mien.recognition.recognizer import load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.figure import Figure

    from mien.recognition.recognizer import Recognizer

STAGES = {
    "decode": "the file to RGB pixels",
    "detect": "the search for faces",
    "align": "crops, their quality, the network's input",
    "classify": "the network and its probabilities",
}
"""Stage → what it does."""

_LEAST = 3  # runs of a stage in a round, of which the median counts


@dataclass(frozen=True)
class Stage:
    """One stage: its seconds (median, minimum and maximum of the rounds) and its share of all stages' medians."""

    name: str
    seconds: float
    low: float
    high: float
    share: float


@dataclass(frozen=True)
class Breakdown:
    """The stages of one photo, in their order. width, height: in pixels.  faces: how many were detected."""

    photo: str
    width: int
    height: int
    faces: int
    threads: int
    stages: tuple[Stage, ...]

    @property
    def title(self) -> str:
        """What the chart shows, on one line."""
        total = sum(stage.seconds for stage in self.stages)
        faces = f"{self.faces} face{'s' * (self.faces != 1)}"
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return f"{self.photo}: {self.width}×{self.height}, {faces}, {threads}: {total * 1e3:.3g} ms"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return asdict(self)


def measure(photo: Path, shown: str, *, model: str, threads: int, device: str, rounds: int) -> Breakdown:
    """Time the stages of one photo, all in each of ``rounds`` rounds.

    Args:
        photo: a file with a face.
        shown: its name in the result.
        model, threads, device: as for ``mien.load``.
        rounds: at least 1.

    Raises:
        ImageError: no face is detected, or the file is no usable picture.
        ModelError, OptionError, MissingExtraError: as ``mien.load``.
    """
    recognizer = load(model, threads=threads, device=device)
    searched = recognizer.find(photo)
    if not searched.crops:
        raise ImageError(f"{str(photo)!r}: no face detected. Give a photo with a face, or none to use a drawn face.")
    runs = _runs(recognizer, photo)
    for run in runs.values():
        run()
    taken = [{name: _time(run) for name, run in runs.items()} for _ in range(rounds)]
    medians = {name: statistics.median(one[name] for one in taken) for name in runs}
    total = sum(medians.values())
    stages = tuple(
        Stage(name, median, min(one[name] for one in taken), max(one[name] for one in taken), median / total)
        for name, median in medians.items()
    )
    return Breakdown(shown, searched.blank.width, searched.blank.height, len(searched.crops), threads, stages)


def draw(breakdown: Breakdown) -> Figure:
    """Draw the stages as horizontal bars in milliseconds, with their shares. Needs matplotlib (extra ``train``)."""
    from mien.reporting import figures

    figure = figures.new(7, 2.6)
    axes = figure.add_subplot()
    stages = breakdown.stages[::-1]
    milliseconds = [stage.seconds * 1e3 for stage in stages]
    spread = [
        [(stage.seconds - stage.low) * 1e3 for stage in stages],
        [(stage.high - stage.seconds) * 1e3 for stage in stages],
    ]
    names = [stage.name for stage in stages]
    axes.barh(names, milliseconds, xerr=spread, color=figures.BLUE, ecolor=figures.GREY, capsize=3)
    for row, stage in enumerate(stages):
        axes.annotate(f" {stage.share:.0%}", (stage.high * 1e3, row), va="center")
    axes.set_xlabel("milliseconds, median and range of the rounds")
    axes.set_xlim(0, max(stage.high for stage in stages) * 1.12e3)
    axes.set_title(breakdown.title)
    return figure


def _runs(recognizer: Recognizer, photo: Path) -> dict[str, Callable[[], object]]:
    """Return each stage as a call, given what the stage before it made."""
    decoded, bundle = recognizer.decode(photo), recognizer.bundle
    detections = turned.detect(recognizer.detector, decoded.pixels)

    def align() -> object:
        return preprocess.apply(recognizer.cut_out(decoded, detections).crops, bundle.preprocess)

    batch = preprocess.apply(recognizer.cut_out(decoded, detections).crops, bundle.preprocess)
    return {
        "decode": lambda: recognizer.decode(photo),
        "detect": lambda: turned.detect(recognizer.detector, decoded.pixels),
        "align": align,
        "classify": lambda: recognizer.classify_inputs(batch),
    }


def _time(run: Callable[[], object]) -> float:
    taken = []
    for _ in range(_LEAST):
        begun = time.perf_counter()
        run()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)
