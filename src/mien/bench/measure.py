"""Benchmark this machine: every stage runs in every round, so that load from elsewhere affects all stages alike."""

from __future__ import annotations

import platform
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mien.bench import flops, gemm, process, stages
from mien.bench.stages import Stage
from mien.cores import usable_cores
from mien.recognition.model_files import bundle as bundles

Watch = Callable[[Iterable[int]], Iterable[int]]

BUDGET = 0.2
"""Seconds for each stage and each of the two matrix products in every round."""


@dataclass(frozen=True)
class Row:
    """Measurements of one stage, or of one whole process.

    Attributes:
        seconds: time for the whole batch, median over the rounds.
        low, high: minimum and maximum over the rounds.
        flops: for the whole batch, 0 if not counted.
        share: of the peak in the same round with the same threads, median over the rounds; None without ``flops``.
        memory: peak memory of the process in bytes, median over the rounds; None for a stage within a process.
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
        """Faces or photos per second."""
        return self.batch / self.seconds


@dataclass(frozen=True)
class Bench:
    """Results of a benchmark. peaks: threads → library → peak float32 FLOP/s."""

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
    photo: Path,
    shown: str,
    *,
    model: str = "default",
    threads: Sequence[int],
    rounds: int,
    device: str = "auto",
    watch: Watch = iter,
) -> Bench:
    """Run the benchmark in ``rounds`` rounds.

    Args:
        photo: a file with a face.
        shown: its name in the result.
        threads: numbers of threads to measure with.
        device: where the networks run.
        watch: wraps the rounds, for a progress bar. Raises ``ImageError`` if no face is detected, and what
            ``mien.load`` raises.
    """
    bundle = bundles.read(model)
    spec = bundle.preprocess
    cost = flops.count(bundle.graph, (spec.channels, spec.size, spec.size))
    crop = stages.crop_first_face(photo)
    parts = [
        stage
        for count in threads
        for stage in (
            *stages.make_photo_stages(photo, model, count, device),
            *stages.make_network_stages(bundle, crop, count, cost, device),
        )
    ]
    for stage in parts:
        stage.answer()
    commands = {count: stages.list_commands(photo, model, count, device) for count in threads}
    samples = _Found()
    for _ in watch(range(rounds)):
        _run_round(samples, parts, commands)
    machine = {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": usable_cores(),
        "python": platform.python_version(),
        "libraries": _collect_versions(),
    }
    described = {"name": bundle.name, "digest": bundle.digest, "bytes": len(bundle.graph), "flops": cost}
    rows = [samples.row(stage) for stage in parts] + samples.whole_rows()
    return Bench(machine, described, shown, rounds, samples.best(), tuple(rows))


class _Found:
    """Measurements of all rounds so far, in order."""

    def __init__(self) -> None:
        self.peaks: dict[int, list[dict[str, float]]] = defaultdict(list)
        self.seconds: dict[tuple[str, int, int], list[float]] = defaultdict(list)
        self.memory: dict[tuple[str, int, int], list[int]] = defaultdict(list)

    def best(self) -> dict[int, dict[str, float]]:
        return {
            count: {name: max(peak[name] for peak in peaks) for name in peaks[0]} for count, peaks in self.peaks.items()
        }

    def row(self, stage: Stage) -> Row:
        taken = self.seconds[stage.name, stage.batch, stage.threads]
        shares = [
            stage.flops / seconds / max(peak.values())
            for seconds, peak in zip(taken, self.peaks[stage.threads], strict=True)
        ]
        share = statistics.median(shares) if stage.flops else None
        return Row(stage.name, stage.batch, stage.threads, *_summarise(taken), flops=stage.flops, share=share)

    def whole_rows(self) -> list[Row]:
        return [
            Row(*key, *_summarise(self.seconds[key]), memory=round(statistics.median(sizes)) if sizes else None)
            for key, sizes in self.memory.items()
        ]


def _run_round(samples: _Found, parts: Sequence[Stage], commands: Mapping[int, Mapping[str, Sequence[str]]]) -> None:
    for count in commands:
        # Back to back, so that both run under the same load.
        peak = {"numpy": gemm.measure_numpy(count, BUDGET), "onnxruntime": gemm.measure_onnx(count, BUDGET)}
        samples.peaks[count].append(peak)
        for stage in parts:
            if stage.threads == count:
                samples.seconds[stage.name, stage.batch, count].append(stage.seconds(BUDGET))
        for name, command in commands[count].items():
            whole = process.succeed(command)
            key = (f"process: {name}", 64 if name.startswith("64") else 1, count)
            samples.seconds[key].append(whole.seconds)
            samples.memory[key] += [] if whole.memory is None else [whole.memory]


def _summarise(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def _collect_versions() -> dict[str, str]:
    from importlib import metadata

    return {name: metadata.version(name) for name in ("numpy", "opencv-python-headless", "onnxruntime", "pillow")}
