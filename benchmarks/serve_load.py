"""Load on deploy/ as it is: the real nginx in front of two real Gunicorns, on this machine.

    python benchmarks/serve_load.py                                # all parts, about 35 minutes
    python benchmarks/serve_load.py --brief                        # all parts, a few seconds each
    python benchmarks/serve_load.py --parts steady throughput      # some

Photos are JPEGs of 640×480 with one face; each Gunicorn has one worker of one thread. The load generator runs on the
same cores, and what it takes of them is not given back to the server. Prints one Markdown table.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
from serve_client import Answers, closed_loop, open_loop, photo
from serve_topology import Topology, answers, topology, wait_for

Row = tuple[str, str, str]

_ALONE = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from mien.recognition.detection.detect import get_detector
from mien.recognition.recognizer import load
photo, seconds, way = sys.stdin.buffer.read(), float(sys.argv[1]), sys.argv[2]
if way == "calls":
    readers = [load(threads=2)]
else:
    import cv2
    cv2.setNumThreads(1)
    one = load(threads=1)
    readers = [one, one.with_detector(get_detector("yunet"))]
def read(reader):
    count, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        reader.predict(photo, keep_pixels=False)
        count += 1
    return count / (time.perf_counter() - begun)
for reader in readers:
    reader.predict(photo)
with ThreadPoolExecutor(len(readers)) as pool:
    print(sum(pool.map(read, readers)))
"""


def capacity(running: Topology, content: bytes, seconds: float) -> Answers:
    """Return what four clients get that ask one after the other."""
    return asyncio.run(closed_loop(running.address, content, 4, seconds))


def alone(content: bytes, seconds: float, way: str) -> float:
    """Return the photos a second that one process reads with two threads: in one call after the other, or in a pool."""
    command = [sys.executable, "-c", _ALONE, str(seconds), way]
    done = subprocess.run(command, input=content, capture_output=True, check=True)
    return float(done.stdout)


def memory(running: Topology) -> float:
    """Return the workers' resident memory together, in MB."""
    return sum(worker.memory_info().rss for replica in running.replicas for worker in replica.workers()) / 1e6


def steady(running: Topology, content: bytes, brief: bool) -> list[Row]:
    """80 % of capacity for five minutes."""
    rate = 0.8 * capacity(running, content, 4 if brief else 20).rate
    found = asyncio.run(open_loop(running.address, content, rate, 6 if brief else 300))
    p50, p99 = found.percentile(50), found.percentile(99)
    told = f"{rate:.0f} photos/s for {found.lasted:.0f} s: {found.told}, p50 {p50:.0f} ms, p99 {p99:.0f} ms"
    return [("steady, 80 % of capacity", "0 errors; p99 ≤ 4 × p50", f"{told} = {p99 / p50:.1f} × p50")]


def throughput(running: Topology, content: bytes, brief: bool) -> list[Row]:
    """What the whole topology reads, against the library alone, in turns."""
    turns, seconds = (1, 4) if brief else (3, 15)
    served, calls, pooled = [], [], []
    for _ in range(turns):
        served.append(capacity(running, content, seconds).rate)
        calls.append(alone(content, seconds, "calls"))
        pooled.append(alone(content, seconds, "pool"))
    ours, one, best = (sorted(rates)[turns // 2] for rates in (served, calls, pooled))
    told = f"{ours:.0f} photos/s; library with 2 threads, one call after the other {one:.0f}: ratio {ours / one:.2f}"
    return [("throughput", "≥ 0.8 × library", f"{told}; two threads that each call it {best:.0f}: {ours / best:.2f}")]


def overload(running: Topology, content: bytes, brief: bool) -> list[Row]:
    """Five times the capacity for a minute, then back to normal; memory over the second half, as the first fills it."""
    before = capacity(running, content, 3 if brief else 10)
    calm, sizes = before.percentile(50), [memory(running)]
    halves = []
    for _ in range(2):
        halves.append(asyncio.run(open_loop(running.address, content, 5 * before.rate, 3 if brief else 30)))
        sizes.append(memory(running))
    found, recovery = halves[0].with_those_of(halves[1]), _recovery(running, content, 2 * calm)
    statuses = ", ".join(f"{times} × {status}" for status, times in sorted(found.seen.items(), key=str))
    told = (
        f"{5 * before.rate:.0f}/s for {found.lasted:.0f} s: {statuses}; p99 of the 200s {found.percentile(99):.0f} ms"
    )
    expected = "only 200 and 503; p99 bounded; memory flat; normal within 5 s"
    grown = " → ".join(f"{size:.0f}" for size in sizes)
    return [("overload, 5 ×", expected, f"{told}; memory {grown} MB; normal after {recovery:.1f} s")]


def _recovery(running: Topology, content: bytes, calm: float) -> float:
    """Return the seconds until five answers in a row took no longer than ``calm`` ms."""
    begun, good = time.perf_counter(), 0
    while good < 5:
        found = asyncio.run(closed_loop(running.address, content, 1, 60, 1))
        good = good + 1 if found.seen[200] and found.percentile(50) <= calm else 0
        if time.perf_counter() - begun > 60:
            return float("inf")
    return time.perf_counter() - begun


def killed(running: Topology, content: bytes, brief: bool) -> list[Row]:
    """A worker killed with -9 every 3 s."""
    kill = [replica.kill_worker for replica in running.replicas]
    found, times = _disturbed(running, content, 3, 6 if brief else 60, kill)
    return [("worker killed with -9 every 3 s", "0 failed", _told(found, f"{times} kills"))]


def restarted(running: Topology, content: bytes, brief: bool) -> list[Row]:
    """Rolling restarts."""
    restart = [replica.restart for replica in running.replicas]
    found, times = _disturbed(running, content, 5, 10 if brief else 60, restart)
    return [("rolling restart (HUP) every 5 s", "0 failed", _told(found, f"{times} restarts"))]


def _told(found: Answers, what: str) -> str:
    return f"{what}, {found.seen.total()} requests: {found.told}, slowest {found.percentile(100):.0f} ms"


def _disturbed(
    running: Topology, content: bytes, every: float, seconds: float, disturb: list[Callable[[], None]]
) -> tuple[Answers, int]:
    """Let four clients ask, and disturb the two replicas in turn."""
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(lambda: asyncio.run(closed_loop(running.address, content, 4, seconds)))
        times = 0
        while not asking.done():
            time.sleep(every)
            if not asking.done():
                disturb[times % len(disturb)]()
                times += 1
    for replica in running.replicas:
        wait_for(lambda: answers(replica.address))  # noqa: B023
    return asking.result(), times


def grown(running: Topology, content: bytes, brief: bool) -> list[Row]:
    """Memory over 100,000 requests, once caches are full."""
    first, most = (300, 600) if brief else (5000, 100_000)
    asyncio.run(closed_loop(running.address, content, 4, 3600, first))
    before = memory(running)
    found = asyncio.run(closed_loop(running.address, content, 4, 3600, most))
    after = memory(running)
    asked = f"{found.seen.total()} requests, {found.told}"
    told = f"{asked}: {before:.0f} → {after:.0f} MB, {after / before - 1:+.1%}"
    return [("memory", "≤ +5 % over 100,000 requests", told)]


PARTS = {
    "steady": steady, "throughput": throughput, "overload": overload, "killed": killed, "restarted": restarted,
    "memory": grown,
}  # fmt: skip


def main() -> None:
    """Run the parts and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--brief", action="store_true")
    options = parser.parse_args()
    content = photo()
    print(f"{psutil.cpu_count()} cores, photos of {len(content) / 1000:.0f} kB\n")
    print("| part | bar | measured |\n|---|---|---|")
    for name in options.parts:
        # Each part has its own servers; recycling is off, as it would hide what memory does.
        with tempfile.TemporaryDirectory() as folder, topology(Path(folder), MAX_REQUESTS="0") as running:
            capacity(running, content, 1 if options.brief else 5)
            for row in PARTS[name](running, content, options.brief):
                print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
