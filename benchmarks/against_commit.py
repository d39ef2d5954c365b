"""Time this tree against an earlier commit: photos, films, a folder, the cold start and the server, taking turns.

    python benchmarks/against_commit.py --commit 656730b                             # 4 rounds, about 8 minutes
    python benchmarks/against_commit.py --commit 656730b --rounds 1 --only photo     # rows whose name has this word

Needs the extras ``video`` and ``serve`` and the repository's history: the commit is checked out into a temporary
worktree (or give ``--tree FOLDER``, one that exists) and runs in this Python with these libraries, so that only Mien's
own code differs. Each row and side is a process of its own, in every round the sides in turn, each second round in
reverse. Sides are both trees with the same model (``--model``, which both have) and both with their own ``default``;
the default of another commit may be another network.

A row's time is that of one photo, of a film's second, or of a whole command. Printed are, for each model, the medians
of both sides and the ratio of this tree's time to the commit's (median and range of the rounds; below 1 is faster), of
wall time and of CPU time of all threads (user and system). CPU time hardly depends on what else the machine does, but a
row that uses more cores at once gains in wall time alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image
from serve_client import closed_loop, photo
from serve_topology import answers, free_port, wait_for

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "astronaut.jpg"
RATE = 25
"""Frames a second of the films."""

FILM_SECONDS = 3
FOLDER_PHOTOS = 64

_PHOTO = """
import json, sys, time
import mien
path, model, budget, decoded = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4] == "decoded"
recognizer = mien.load(model)
if decoded:
    import numpy as np
    from PIL import Image
    with Image.open(path) as picture:
        path = np.array(picture.convert("RGB"))
read = recognizer.predict if hasattr(type(recognizer), "predict") else recognizer.read
faces = len(read(path, keep_pixels=False).faces)
read(path, keep_pixels=False)
walls, begun, worked = [], time.perf_counter(), time.process_time()
while time.perf_counter() - begun < budget or len(walls) < 3:
    start = time.perf_counter()
    read(path, keep_pixels=False)
    walls.append(time.perf_counter() - start)
cpu = (time.process_time() - worked) / len(walls)
print(json.dumps({"wall": sorted(walls)[len(walls) // 2], "cpu": cpu, "faces": faces}))
"""
_FOLDER = """
import json, sys, time
import mien
from pathlib import Path
from mien.recognition.folder import read_folder
paths, model = sorted(Path(sys.argv[1]).iterdir()), sys.argv[2]
recognizer = mien.load(model)
list(read_folder(recognizer, paths[:16]))
begun, worked = time.perf_counter(), time.process_time()
faces = sum(len(result.faces) for result in read_folder(recognizer, paths))
wall, cpu = time.perf_counter() - begun, time.process_time() - worked
print(json.dumps({"wall": wall / len(paths), "cpu": cpu / len(paths), "faces": faces}))
"""
_FILM = """
import json, sys, time
import mien
path, model = sys.argv[1], sys.argv[2]
recognizer = mien.load(model)
for _ in zip(range(3), recognizer.stream(mien.Film(path))):
    pass
begun, worked = time.perf_counter(), time.process_time()
results = list(recognizer.stream(mien.Film(path)))
wall, cpu = time.perf_counter() - begun, time.process_time() - worked
seconds = len(results) / float(sys.argv[3])
print(json.dumps({"wall": wall / seconds, "cpu": cpu / seconds, "faces": max(len(one.people) for one in results)}))
"""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Side:
    """A tree and a model that it runs."""

    tree: Path
    model: str

    def environment(self) -> dict[str, str]:
        """Return the variables of its processes: its own source, no settings, which an old server may refuse."""
        left_out = ("PYTHONDONTWRITEBYTECODE", "MIEN_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        return {**kept, "PYTHONPATH": str(self.tree / "src")}


@dataclass(frozen=True)
class Cost:
    """Seconds of wall time and of CPU time, and the faces seen, by which sides are checked to do the same work."""

    wall: float
    cpu: float
    faces: int


Measure = Callable[[Side], Cost]


def backdrop(width: int, height: int) -> Pixels:
    """Return soft colours under the grain of a sensor, so that files are as large as those of cameras."""
    draw = np.random.default_rng(0)
    coarse = draw.integers(40, 200, (height // 100, width // 100, 3)).astype(np.uint8)
    large = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    grain = np.rint(draw.standard_normal((height, width, 3), np.float32) * 3).astype(np.int16)
    return np.clip(large + grain, 0, 255).astype(np.uint8)


def head(width: int) -> Pixels:
    """Return the example's head, ``width`` pixels wide."""
    with Image.open(EXAMPLE) as picture:
        crop = np.asarray(picture.convert("RGB"))[45:195, 165:285]
    size = width, width * 5 // 4
    return np.asarray(
        cv2.resize(crop, size, interpolation=cv2.INTER_AREA if width < 120 else cv2.INTER_CUBIC), np.uint8
    )


def with_heads(picture: Pixels, count: int, width: int, shift: int = 0) -> Pixels:
    """Return a copy with so many heads beside each other, moved by ``shift`` pixels."""
    canvas, face = picture.copy(), head(width)
    for number in range(count):
        left = (number + 1) * picture.shape[1] // (count + 1) - width // 2 + shift
        top = picture.shape[0] // 2 - face.shape[0] // 2 + shift // 2
        canvas[top : top + face.shape[0], left : left + width] = face
    return canvas


def write_photo(path: Path, size: tuple[int, int], count: int, width: int) -> Path:
    """Write a JPEG file as cameras do."""
    Image.fromarray(with_heads(backdrop(*size), count, width)).save(path, quality=92)
    return path


def write_film(path: Path, count: int) -> Path:
    """Write 1080p with so many moving faces."""
    import av

    still = backdrop(1920, 1080)
    with av.open(str(path), "w") as container:
        track = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "23"})
        track.width, track.height, track.pix_fmt = 1920, 1080, "yuv420p"
        for number in range(FILM_SECONDS * RATE):
            picture = with_heads(still, count, 200, round(60 * np.sin(number / 15)))
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(track.encode())
    return path


def write_folder(folder: Path) -> Path:
    """Write photos of 640×480 with a face."""
    folder.mkdir()
    for number in range(FOLDER_PHOTOS):
        (folder / f"{number:03}.jpg").write_bytes(photo())
    return folder


def in_process(code: str, *arguments: str) -> Measure:
    """Return what runs one of the programs above; the model comes after the first argument."""

    def measure(side: Side) -> Cost:
        command = [sys.executable, "-c", code, arguments[0], side.model, *arguments[1:]]
        done = subprocess.run(command, env=side.environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{side.tree}, {side.model}: exit code {done.returncode}.\n{done.stderr[-2000:]}")
        return Cost(**json.loads(done.stdout.splitlines()[-1]))

    return measure


def cold_start(side: Side) -> Cost:
    """Run `mien predict` with the example, start to end: the median of three."""
    command = [sys.executable, "-m", "mien", "predict", str(EXAMPLE), "--model", side.model]
    costs = []
    for _ in range(4):
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, env=side.environment(), capture_output=True, check=True)
        wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1))
    return sorted(costs[1:], key=lambda cost: cost.wall)[1]


def served(content: bytes, seconds: float) -> Measure:
    """Return what asks `mien serve` with four clients for so long, and the server's time for a photo."""

    def measure(side: Side) -> Cost:
        port = free_port()
        command = [sys.executable, "-m", "mien", "serve", "--port", str(port), "--models", side.model]
        command += ["--log-level", "error"]
        server = subprocess.Popen(command, env=side.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        address, observed = f"http://127.0.0.1:{port}", psutil.Process(server.pid)
        try:
            wait_for(lambda: server.poll() is not None or answers(address))
            if server.poll() is not None:
                raise SystemExit(f"{side.tree}, {side.model}: mien serve ended with exit code {server.returncode}.")
            asyncio.run(closed_loop(address, content, 4, seconds / 4))
            before = _used(observed)
            load = asyncio.run(closed_loop(address, content, 4, seconds))
            cpu = _used(observed) - before
        finally:
            server.terminate()
            server.wait()
        if load.failed:
            raise SystemExit(f"{side.tree}, {side.model}: {load.failed} requests failed: {load.seen}")
        return Cost(1 / load.rate, cpu / load.seen[200], 1)

    return measure


def _used(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and its children."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def rows(folder: Path, only: str, budget: float) -> dict[str, Measure]:
    """Write the inputs of the rows whose name contains ``only``; return row → measurement."""

    def large(count: int) -> Measure:
        file = write_photo(folder / f"large{count}.jpg", (2000, 1400), count, 300)
        return in_process(_PHOTO, str(file), f"{budget}", "decoded")

    def camera(count: int) -> Measure:
        file = write_photo(folder / f"12mp{count}.jpg", (4000, 3000), count, 500)
        return in_process(_PHOTO, str(file), f"{budget}", "file")

    def film(count: int) -> Measure:
        return in_process(_FILM, str(write_film(folder / f"film{count}.mp4", count)), str(RATE))

    makers: dict[str, Callable[[], Measure]] = {
        "photo 512×512, decoded, one face": lambda: in_process(_PHOTO, str(EXAMPLE), f"{budget}", "decoded"),
        "photo 2000×1400, decoded, one face": lambda: large(1),
        "photo 2000×1400, decoded, three faces": lambda: large(3),
        "photo 12 MP from disk, one face": lambda: camera(1),
        "photo 12 MP from disk, three faces": lambda: camera(3),
        "film 1080p, a second, one person": lambda: film(1),
        "film 1080p, a second, three people": lambda: film(3),
        "folder of 640×480, a photo": lambda: in_process(_FOLDER, str(write_folder(folder / "photos"))),
        "cold start, mien predict": lambda: cold_start,
        "server, 640×480, a photo": lambda: served(photo(), 2 * budget),
    }
    return {name: maker() for name, maker in makers.items() if only in name}


@contextmanager
def checked_out(commit: str, folder: Path) -> Iterator[Path]:
    """Give a worktree of the commit, and remove it at the end."""
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--detach", "--quiet", str(folder), commit], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def spread(values: list[float]) -> str:
    """Return median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} – {max(values):.2f})"


def line(name: str, model: str, costs: Mapping[bool, list[Cost]]) -> str:
    """Return a row of the table; ``costs`` has the rounds of the commit (False) and of this tree (True)."""
    old, new = costs[False], costs[True]
    pairs = list(zip(old, new, strict=True))
    walls = [statistics.median(cost.wall for cost in side) for side in (old, new)]
    works = [statistics.median(cost.cpu for cost in side) for side in (old, new)]
    cells = [name, model, f"{walls[0] * 1000:.1f}", f"{walls[1] * 1000:.1f}"]
    cells += [spread([two.wall / one.wall for one, two in pairs]), f"{works[0] * 1000:.1f}", f"{works[1] * 1000:.1f}"]
    cells.append(spread([two.cpu / one.cpu for one, two in pairs]))
    faces = sorted({cost.faces for cost in old}), sorted({cost.faces for cost in new})
    note = "" if faces[0] == faces[1] else f" (faces {faces[0]} and {faces[1]})"
    speed = f" ({1 / walls[0]:.2f} → {1 / walls[1]:.2f} × real time)" if name.startswith("film") else ""
    cells[0] += note + speed
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure in rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commit", default="656730b")
    parser.add_argument("--tree", type=Path, help="a worktree of the commit that exists")
    parser.add_argument("--model", default="fer7", help="of both trees (default: fer7)")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=1.2, help="of each measurement of a photo (default: 1.2)")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.tree is not None:
            measure(options, folder, options.tree.resolve())
            return
        with checked_out(options.commit, folder / "tree") as tree:
            measure(options, folder, tree)


def measure(options: argparse.Namespace, folder: Path, tree: Path) -> None:
    """Let the sides take turns and print the table."""
    sides = [(model, new) for model in (options.model, "default") for new in (False, True)]
    measures = rows(folder, options.only, options.seconds)
    costs: dict[tuple[str, str], dict[bool, list[Cost]]] = {
        (name, model): {False: [], True: []} for name in measures for model, _ in sides
    }
    for turn in range(options.rounds):
        for name, one in measures.items():
            for model, new in sides if turn % 2 == 0 else sides[::-1]:
                costs[name, model][new].append(one(Side(ROOT if new else tree, model)))
        print(f"round {turn + 1} of {options.rounds} done", file=sys.stderr, flush=True)
    print(f"{os.cpu_count()} cores, {options.rounds} rounds, ms; {options.commit} → this tree")
    print(
        "| what | model | before | now | ratio | CPU before | CPU now | ratio of CPU |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for (name, model), one in costs.items():
        print(line(name, model, one))


if __name__ == "__main__":
    main()
