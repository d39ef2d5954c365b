"""Throw mutated files at a door of Mien: what is no good is refused by name, quickly, in bounded memory, for ever.

    python benchmarks/fuzz.py images --count 200000      # photos: multipart, base64, raw and WebSocket frames
    python benchmarks/fuzz.py films --count 20000        # films, every 20th through the whole verb
    python benchmarks/fuzz.py archives --count 20000     # zips, tars, CSV files of corpora
    python benchmarks/fuzz.py manifests --count 20000
    python benchmarks/fuzz.py models --count 20000       # ONNX files with valid seals, classical models
    python benchmarks/fuzz.py recipes --count 20000      # recipes, and those of run folders

A case depends on --seed and its number alone. Cases run in worker processes that may take 1 GiB beside what they have
when they start; one that takes longer than --patience, in processor time, is ended. DOOR-SEED.state in --out has a byte
for each case, so that the same command goes on where it was cut off, DOOR-SEED.json the counts and findings, findings/
the files. --show CASE writes the file of a case.

Outcomes: read; refused (a MienError or a 4xx answer); traceback (any other exception, a 5xx answer); memory (a
MemoryError or 503); crash (the process died); hang. Exit code 1 if there is any of the last four.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import psutil

OUTCOMES = ("open", "read", "refused", "traceback", "memory", "crash", "hang")
GOOD = ("read", "refused")

_SLOT = struct.Struct("<qddq")
"""What a worker is at: its case (-1: none), when it began in ``time.monotonic`` and in its own processor time, and its
peak memory in kB."""

_SLOTS = 64

_SHOWN = 200
"""Findings that the summary lists."""


class State:
    """A file that workers and their supervisor share: a slot for each worker, then a byte for each case."""

    def __init__(self, path: Path, workers: int, count: int) -> None:
        self.workers, self.count = workers, count
        self.start = _SLOTS * _SLOT.size
        size = self.start + count
        with path.open("a+b") as file:
            if file.seek(0, os.SEEK_END) != size:
                file.truncate(0)
                file.truncate(size)
            self.map = mmap.mmap(file.fileno(), size)

    def done(self, case: int) -> bool:
        """Tell whether a case has an outcome."""
        return self.map[self.start + case] != 0

    def note(self, case: int, outcome: str) -> None:
        """Write a case's outcome."""
        self.map[self.start + case] = OUTCOMES.index(outcome)

    def enter(self, worker: int, case: int, peak: int) -> None:
        """Write what a worker begins."""
        _SLOT.pack_into(self.map, worker * _SLOT.size, case, time.monotonic(), time.process_time(), peak)

    def at(self, worker: int) -> tuple[int, float, float, int]:
        """Return what a worker is at."""
        case, since, used, peak = _SLOT.unpack_from(self.map, worker * _SLOT.size)
        return case, since, used, peak

    def counts(self) -> Counter[str]:
        """Count the outcomes."""
        codes = Counter(self.map[self.start :])
        return Counter({OUTCOMES[code]: times for code, times in codes.items()})


def work(options: argparse.Namespace) -> None:
    """Be a worker: run the cases that are this worker's and still open."""
    import resource

    from fuzz_doors import DOORS

    state = State(_path(options, "state"), options.workers, options.count)
    with tempfile.TemporaryDirectory(prefix="mien-fuzz-") as folder:
        door = DOORS[options.door](Path(folder))
        if sys.platform == "linux":
            taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (taken + options.memory, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for case in range(options.worker, options.count, options.workers):
            if state.done(case):
                continue
            state.enter(options.worker, case, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
            state.note(case, _outcome(options, door, case))
        state.enter(options.worker, -1, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _outcome(options: argparse.Namespace, door: Any, case: int) -> str:
    from mien.errors import MienError

    random_ = Random(f"{options.door} {options.seed} {case}")
    try:
        return str(door.run(random_, case))
    except MemoryError:
        outcome, why = "memory", traceback.format_exc()
    except MienError:
        return "refused"
    except Exception:  # noqa: BLE001 - to find them is what this is for
        outcome, why = "traceback", traceback.format_exc()
    _keep(options, case, outcome, why, door.content)
    return outcome


def _keep(options: argparse.Namespace, case: int, outcome: str, why: str, content: bytes) -> None:
    folder = options.out / "findings"
    folder.mkdir(exist_ok=True)
    name = f"{options.door}-{options.seed}-{case}"
    (folder / f"{name}.bin").write_bytes(content)
    finding = {"case": case, "outcome": outcome, "why": why[-3000:]}
    (folder / f"{name}.json").write_text(json.dumps(finding, indent=1), "utf-8")


def supervise(options: argparse.Namespace) -> dict[str, Any]:
    """Run workers until all cases have an outcome; return the summary, which is written as JSON too."""
    options.out.mkdir(parents=True, exist_ok=True)
    state = State(_path(options, "state"), options.workers, options.count)
    before, begun, peak = options.count - state.counts()["open"], time.monotonic(), 0
    running = {worker: _start(options, state, worker) for worker in range(options.workers)}
    shown = begun
    try:
        while running:
            for worker, process in list(running.items()):
                peak = max(peak, state.at(worker)[3])
                if process.poll() == 0:
                    del running[worker]
                elif _broke(options, state, worker, process):
                    running[worker] = _start(options, state, worker)
            if time.monotonic() - shown > 10:
                shown = time.monotonic()
                print(f"{options.count - state.counts()['open']} of {options.count}: {_told(state)}", flush=True)
            time.sleep(0.05)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    seconds = time.monotonic() - begun
    return _summary(options, state, seconds, options.count - before, peak)


def _start(options: argparse.Namespace, state: State, worker: int) -> subprocess.Popen[bytes]:
    state.enter(worker, -1, 0)
    command = [sys.executable, __file__, options.door, "--worker", str(worker)]
    for name in ("count", "seed", "workers", "memory", "out"):
        command += [f"--{name}", str(getattr(options, name))]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONFAULTHANDLER": "1",
        "MALLOC_ARENA_MAX": "2",
    }
    log = (options.out / f"{options.door}-{options.seed}-{worker}.log").open("wb")
    with log:
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _broke(options: argparse.Namespace, state: State, worker: int, process: subprocess.Popen[bytes]) -> bool:
    """Note what broke a worker, ending one that hangs; tell whether another must take its place."""
    case, since, used, _ = state.at(worker)
    code = process.poll()
    if code is None:
        if case < 0 or state.done(case) or not _hangs(options, process.pid, since, used):
            return False
        process.kill()
        process.wait()
        if not state.done(case):
            state.note(case, "hang")
            _keep(options, case, "hang", f"more than {options.patience:g} s", _again(options, case))
        return True
    log = (options.out / f"{options.door}-{options.seed}-{worker}.log").read_text("utf-8", "replace")
    if case < 0:
        raise RuntimeError(f"The worker cannot start (exit code {code}):\n{log[-3000:]}")
    if not state.done(case):
        state.note(case, "crash")
        _keep(options, case, "crash", f"exit code {code}\n{log[-2500:]}", _again(options, case))
    return True


def _hangs(options: argparse.Namespace, pid: int, since: float, used: float) -> bool:
    """Tell whether a case took too long: of processor time, as other programs may keep a machine busy, or ten times."""
    waited = time.monotonic() - since
    if waited < options.patience:
        return False
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return False
    return bool(times.user + times.system - used > options.patience or waited > 10 * options.patience)


def _again(options: argparse.Namespace, case: int) -> bytes:
    """Return the file of a case that ended its process, made anew by another one that does not open it."""
    command = [sys.executable, __file__, options.door, "--show", str(case), "--seed", str(options.seed)]
    with suppress(subprocess.TimeoutExpired):
        return subprocess.run(command, capture_output=True, timeout=120, check=False).stdout
    return b""


def _summary(options: argparse.Namespace, state: State, seconds: float, ran: int, peak: int) -> dict[str, Any]:
    prefix = f"{options.door}-{options.seed}-"
    kept = sorted((options.out / "findings").glob(f"{prefix}*.json")) if (options.out / "findings").is_dir() else []
    findings = [json.loads(path.read_text("utf-8")) for path in kept[:_SHOWN]]
    summary = {
        "door": options.door, "seed": options.seed, "count": options.count, "outcomes": dict(state.counts()),
        "ran": ran, "seconds": round(seconds, 1), "patience_s": options.patience, "memory_bytes": options.memory,
        "peak_rss_bytes": peak * 1024, "findings": sorted(findings, key=lambda finding: int(finding["case"])),
    }  # fmt: skip
    _path(options, "json").write_text(json.dumps(summary, indent=1), "utf-8")
    return summary


def _told(state: State) -> str:
    return ", ".join(f"{times} {outcome}" for outcome, times in sorted(state.counts().items()))


def _path(options: argparse.Namespace, ending: str) -> Path:
    return Path(options.out) / f"{options.door}-{options.seed}.{ending}"


def _options(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("door", choices=("images", "films", "archives", "manifests", "models", "recipes", "itself"))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--patience", type=float, default=5.0, help="seconds of processor time for a case")
    parser.add_argument("--memory", type=int, default=1 << 30, help="bytes beside what a worker starts with")
    parser.add_argument("--out", type=Path, default=Path("fuzz"))
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--show", type=int, metavar="CASE", help="write the file of a case to stdout, and open nothing")
    return parser.parse_args(given)


def show(options: argparse.Namespace) -> bytes:
    """Return the file of a case."""
    from fuzz_doors import DOORS

    with tempfile.TemporaryDirectory(prefix="mien-fuzz-") as folder:
        door = DOORS[options.door](Path(folder), only_show=True)
        door.run(Random(f"{options.door} {options.seed} {options.show}"), options.show)
        return bytes(door.content)


def main(given: list[str] | None = None) -> int:
    """Run a door's cases and print the summary; return the exit code."""
    options = _options(given)
    if options.worker is not None:
        work(options)
        return 0
    if options.show is not None:
        sys.stdout.buffer.write(show(options))
        return 0
    summary = supervise(options)
    print(json.dumps(summary, indent=1))
    return 0 if set(summary["outcomes"]) <= set(GOOD) else 1


if __name__ == "__main__":
    sys.exit(main())
