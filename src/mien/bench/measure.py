"""Measure this machine: every stage in every round, so that no stage has the quiet minute for itself."""

from __future__ import annotations

import platform
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mien.bench import flops, gemm, process, stages
from mien.bench.stages import Stage
from mien.cores import usable_cores
from mien.recognition import bundle as bundles

Watch = Callable[[Iterable[int]], Iterable[int]]

BUDGET = 0.2
"""Seconds for each stage, and for each of the two matrix products, in every round."""


@dataclass(frozen=True)
class Row:
    """One stage, or one whole process.

    seconds: of one answer to the whole batch, median over the rounds; low, high: least and most of a round.
    flops:   of one answer, 0 where they are not counted.
    share:   of the peak in the same round with the same threads, median over the rounds; None without ``flops``.
    memory:  most bytes that the process held, median over the rounds; None where it is no process of its own.
    """

    stage: str
    batch: int
    threads: int
    seconds: float
    low: float
    high: float
    flops: int = 0
    share: float | None = None
    memory: int | None = None

    @property
    def rate(self) -> float:
        """Faces or photos a second."""
        return self.batch / self.seconds


@dataclass(frozen=True)
class Bench:
    """All that was measured. ``peaks``: threads → the library's best float32 operations a second, per library."""

    machine: dict[str, Any]
    model: dict[str, Any]
    photo: str
    rounds: int
    peaks: dict[int, dict[str, float]]
    rows: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        from mien import __version__

        return {"mien": __version__, **asdict(self), "rows": [{**asdict(row), "rate": row.rate} for row in self.rows]}


def measure(
    photo: Path, shown: str, *, model: str = "default", threads: Sequence[int], rounds: int, watch: Watch = iter
) -> Bench:
    """Measure in ``rounds`` rounds.

    photo: a file with a face.  shown: what it is called in the result.  threads: numbers of threads, each a table's
    part.  watch: wraps the rounds, for a progress bar. Raises ``ImageError`` without a face, and what ``load`` raises.
    """
    bundle = bundles.read(model)
    spec = bundle.preprocess
    cost = flops.count(bundle.graph, (spec.channels, spec.size, spec.size))
    crop = stages.first_crop(photo)
    parts = [
        stage
        for count in threads
        for stage in (*stages.of_photo(photo, model, count), *stages.of_network(bundle, crop, count, cost))
    ]
    for stage in parts:
        stage.answer()
    found = _Found()
    for _ in watch(range(rounds)):
        _round(found, parts, photo, model, threads)
    machine = {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": usable_cores(),
        "python": platform.python_version(),
        "libraries": _versions(),
    }
    described = {"name": bundle.name, "digest": bundle.digest, "bytes": len(bundle.graph), "flops": cost}
    rows = [found.row(stage) for stage in parts] + found.whole_rows()
    return Bench(machine, described, shown, rounds, found.best(), tuple(rows))


class _Found:
    """What the rounds found so far, in order."""

    def __init__(self) -> None:
        self.peaks: dict[int, list[dict[str, float]]] = defaultdict(list)
        self.seconds: dict[tuple[str, int, int], list[float]] = defaultdict(list)
        self.memory: dict[tuple[str, int, int], list[int]] = defaultdict(list)

    def best(self) -> dict[int, dict[str, float]]:
        return {
            count: {name: max(each[name] for each in found) for name in found[0]} for count, found in self.peaks.items()
        }

    def row(self, stage: Stage) -> Row:
        taken = self.seconds[stage.name, stage.batch, stage.threads]
        shares = [
            stage.flops / seconds / max(peak.values())
            for seconds, peak in zip(taken, self.peaks[stage.threads], strict=True)
        ]
        share = statistics.median(shares) if stage.flops else None
        return Row(stage.name, stage.batch, stage.threads, *_spread(taken), flops=stage.flops, share=share)

    def whole_rows(self) -> list[Row]:
        return [
            Row(*key, *_spread(self.seconds[key]), memory=round(statistics.median(found)) if found else None)
            for key, found in self.memory.items()
        ]


def _round(found: _Found, parts: Sequence[Stage], photo: Path, model: str, threads: Sequence[int]) -> None:
    for count in threads:
        # Beside each other, so that both see the same minute of the machine.
        peak = {"numpy": gemm.numpy_rate(count, BUDGET), "onnxruntime": gemm.onnx_rate(count, BUDGET)}
        found.peaks[count].append(peak)
        for stage in parts:
            if stage.threads == count:
                found.seconds[stage.name, stage.batch, count].append(stage.seconds(BUDGET))
        for name, command in stages.commands(photo, model, count).items():
            whole = process.succeed(command)
            key = (f"process: {name}", 64 if name.startswith("64") else 1, count)
            found.seconds[key].append(whole.seconds)
            found.memory[key] += [] if whole.memory is None else [whole.memory]


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def _versions() -> dict[str, str]:
    from importlib import metadata

    return {name: metadata.version(name) for name in ("numpy", "opencv-python-headless", "onnxruntime", "pillow")}
