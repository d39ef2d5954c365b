"""Photos as phones send them, 0.3 to 24 megapixels, at 80 % of capacity, alone and beside bodies that mean harm.

    python benchmarks/serve_mixed.py               # capacity, then five minutes of each part
    python benchmarks/serve_mixed.py --brief       # a few seconds each

Parts: the photos alone; beside 8 hostile bodies a second that nginx itself refuses, which shows what sending and
receiving them costs on these cores whatever Mien does; beside the same bodies sent to Mien; beside these and bombs: a
directory of 60,000 tags, and pictures within all limits whose 24 megapixels take 20 to 50 kB.

Two Gunicorns of one thread behind nginx, as in deploy/, each in a memory control group of 1 GiB, version 2 or 1,
where this user may make one; where not, the table says so, and memory is only measured. The load generator runs on the
same cores. Exit code 1 if a request failed, a worker was killed, or a bar was missed.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import numpy as np
import psutil
from PIL import Image
from serve_client import Answers, closed_loop, open_loop
from serve_topology import ROOT, Replica, Topology, topology, wait_for

LIMIT = 1 << 30
MEGAPIXELS = (0.3, 0.3, 0.8, 1, 2, 2, 4, 8, 12, 12, 24)
HOSTILE = 8.0
"""Bodies a second that mean harm."""

PREDICT, NOWHERE = "/v1/predict", "/metrics"
"""Where photos are read, and what nginx answers with 404 itself."""

BESIDE = "0 failed, p99 ≤ 4 × before"


def photos() -> list[bytes]:
    """Return JPEG files of these sizes in a random order, every third turned by its EXIF block."""
    with Image.open(ROOT / "examples" / "astronaut.jpg") as example:
        face = example.convert("RGB")
    made = []
    for number, megapixels in enumerate(MEGAPIXELS):
        width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
        picture = face.resize((width, round(width * 3 / 4)), Image.Resampling.BICUBIC)
        exif = Image.Exif()
        if number % 3 == 0:
            exif[0x0112] = 6
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=85, exif=exif)
        made.append(buffer.getvalue())
    Random(0).shuffle(made)
    return made


def hostile() -> list[bytes]:
    """Return bodies within all limits whose headers cost much to read, which once stopped the server."""
    head, end = (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">LLBBBBB", 9, 9, 8, 2, 0, 0, 0)),
        _chunk(b"IEND", b""),
    )
    return [
        b"\xff\xd8" + b"\xff" * 19_900_000,
        b"\xff\xd8" + (b"\xff\xe1\x00\x04AB" * 3_300_000),
        b"\xff\xd8" + (b"\xff\xfe\x00\x02" * 4_900_000),
        head + _chunk(b"teXt", b"") * 1_600_000 + end,
        b"P6\n" + b"# x\n" * 4_900_000 + b"9 9\n255\n",
    ]


def bombs() -> list[bytes]:
    """Return small bodies: one whose directory claims 60,000 tags, and two that unpack to 24 megapixels."""
    layered = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">LLBBBBB", 6000, 4000, 8, 4, 0, 0, 0))
    rows = zlib.compress(bytes(24_000_000 * 2 + 4000), 9)
    tags = struct.pack("<2sHLH", b"II", 42, 8, 60_000) + struct.pack("<HHLL", 65_000, 3, 1, 0) * 60_000
    clear = io.BytesIO()
    Image.new("P", (5000, 4800)).save(clear, "GIF", transparency=0)
    return [tags, layered + _chunk(b"IDAT", rows) + _chunk(b"IEND", b""), clear.getvalue()]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))


class Group:
    """A memory control group below this process's own; ``None`` from ``make`` where there can be none."""

    def __init__(self, folder: Path, *, version: int) -> None:
        self.folder, self.version = folder, version

    @classmethod
    def make(cls, name: str) -> Group | None:
        """Make a group with the limit, of version 2 or 1."""
        for line in Path("/proc/self/cgroup").read_text().splitlines() if Path("/proc/self/cgroup").exists() else ():
            number, controllers, path = line.split(":", 2)
            if number == "0":
                parent, version, limit = Path("/sys/fs/cgroup") / path.lstrip("/"), 2, "memory.max"
            elif "memory" in controllers.split(","):
                parent, version, limit = Path("/sys/fs/cgroup/memory") / path.lstrip("/"), 1, "memory.limit_in_bytes"
            else:
                continue
            group = cls(parent / name, version=version)
            try:
                group.folder.mkdir()
                (group.folder / limit).write_text(str(LIMIT))
            except OSError:
                group.close()
                continue
            return group
        return None

    def take(self, pid: int) -> None:
        """Move a process into the group."""
        (self.folder / "cgroup.procs").write_text(str(pid))

    def kills(self) -> int:
        """Return how many processes the kernel killed for memory."""
        text = (self.folder / ("memory.events" if self.version == 2 else "memory.oom_control")).read_text()
        return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")), 0)

    def peak(self) -> int:
        """Return the most bytes that it took."""
        return int((self.folder / ("memory.peak" if self.version == 2 else "memory.max_usage_in_bytes")).read_text())

    def close(self) -> None:
        """Remove the group, whose processes have ended."""
        try:
            wait_for(lambda: not self.folder.exists() or not (self.folder / "cgroup.procs").read_text(), 20)
            self.folder.rmdir()
        except (OSError, TimeoutError):
            return


@contextmanager
def limited(running: Topology) -> Iterator[list[Group]]:
    """Put both replicas into groups, and let them begin anew, so that all that they take is counted."""
    groups = []
    for number, replica in enumerate(running.replicas):
        group = Group.make(f"mien-{replica.process.pid}-{number}")
        if group is not None:
            groups.append(group)
            group.take(replica.process.pid)
            _replace_workers(replica)
    try:
        yield groups
    finally:
        for replica in running.replicas:
            replica.process.terminate()
            replica.process.wait(60)
        for group in groups:
            group.close()


def _replace_workers(replica: Replica) -> None:
    before = {worker.pid for worker in replica.workers()}
    replica.restart()
    wait_for(lambda: bool(replica.workers()) and not before & {worker.pid for worker in replica.workers()}, 120)
    time.sleep(2)


def row(name: str, bar: str, answers: Answers, more: str) -> str:
    """Return a line of the table."""
    p50, p99 = answers.percentile(50), answers.percentile(99)
    numbers = (
        f"{answers.seen.total()} requests, {answers.told}, p50 {p50:.0f} ms, p99 {p99:.0f} ms = {p99 / p50:.1f} × p50"
    )
    return f"| {name} | {bar} | {numbers}{more} |"


async def beside(
    address: str, photos_: list[bytes], bodies: list[bytes], rate: float, seconds: float, *, path: str
) -> tuple[Answers, Answers]:
    """Ask for photos at a rate, and send hostile bodies to ``path`` beside it; return the answers to both."""
    ours = open_loop(address, photos_, rate, seconds)
    theirs = open_loop(address, bodies, HOSTILE, seconds, path)
    return await asyncio.gather(ours, theirs)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brief", action="store_true")
    parser.add_argument("--seconds", type=float, default=300.0, help="of each part")
    options = parser.parse_args()
    seconds = 10.0 if options.brief else options.seconds
    mixed, bodies = photos(), hostile()
    print(
        f"{psutil.cpu_count()} cores; photos {min(map(len, mixed)) / 1e6:.2f} to {max(map(len, mixed)) / 1e6:.1f} MB\n"
    )
    print("| part | bar | measured |\n|---|---|---|")
    with (
        tempfile.TemporaryDirectory() as folder,
        topology(Path(folder), MAX_REQUESTS="0") as running,
        limited(running) as groups,
    ):
        asyncio.run(closed_loop(running.address, mixed, 4, 3 if options.brief else 20))  # fills caches
        capacity = asyncio.run(closed_loop(running.address, mixed, 4, 6 if options.brief else 40))
        print(row("capacity, 4 clients", "", capacity, f", {capacity.rate:.1f} photos/s"), flush=True)
        rate = 0.8 * capacity.rate
        alone = asyncio.run(open_loop(running.address, mixed, rate, seconds))
        print(row(f"{rate:.1f}/s for {seconds:g} s", "0 failed, p99 ≤ 4 × p50", alone, ""), flush=True)
        worst, failed = 0.0, alone.failed
        for name, sent, path, bar in (
            (f"beside {HOSTILE:g} bodies/s that nginx refuses", bodies, NOWHERE, ""),
            (f"beside {HOSTILE:g} hostile bodies/s", bodies, PREDICT, BESIDE),
            (f"beside {HOSTILE:g} hostile bodies/s, bombs among them", bodies + bombs(), PREDICT, BESIDE),
        ):
            ours, theirs = asyncio.run(beside(running.address, mixed, sent, rate, seconds, path=path))
            ratio = ours.percentile(99) / alone.percentile(99)
            seen = ", ".join(f"{times} × {what}" for what, times in sorted(theirs.seen.items(), key=str))
            print(row(name, bar, ours, f" = {ratio:.1f} × p99 before; hostile: {seen}"), flush=True)
            if bar:
                worst, failed = max(worst, ratio), failed + ours.failed
        kills = sum(group.kills() for group in groups)
        print(f"| memory | 1 GiB each, no kill | {_memory(running, groups)} |", flush=True)
    held = not (failed or kills) and alone.percentile(99) <= 4 * alone.percentile(50) and worst <= 4
    sys.exit(0 if held else 1)


def _memory(running: Topology, groups: list[Group]) -> str:
    if len(groups) == len(running.replicas):
        peaks = " and ".join(f"{group.peak() / 1e6:.0f}" for group in groups)
        return f"peak {peaks} MB in control groups v{groups[0].version}, {sum(group.kills() for group in groups)} kills"
    now = [sum(worker.memory_info().rss for worker in replica.workers()) / 1e6 for replica in running.replicas]
    return (
        f"NOT LIMITED: no control group can be made here; {np.round(now).astype(int).tolist()} MB resident at the end"
    )


if __name__ == "__main__":
    main()
