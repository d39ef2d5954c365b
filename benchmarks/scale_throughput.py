"""Ray's two workers against two processes that know nothing of each other, and their answers against one process's.

20,000 face crops of FER2013, one CPU a worker. Both times hold the start of two processes and of their networks; Ray's
own start is not in it, as a cluster is there already, and is printed.

python benchmarks/scale_throughput.py [--data FOLDER] [--brief]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from mien.parquet import read_rows
from mien.scale import cluster
from mien.scale.job import Job, predict

WORKERS = 2
BLOCK = 1024


def unpack(archive: Path, folder: Path, count: int) -> None:
    """Write ``count`` crops, evenly from the whole archive, half of them below each of two folders."""
    with zipfile.ZipFile(archive) as source:
        names = sorted(name for name in source.namelist() if name.endswith((".png", ".jpg")))
        if len(names) < count:
            sys.exit(f"{archive} holds {len(names)} crops; expected {count} or more.")
        for number in range(count):
            name = names[number * len(names) // count]
            target = folder / str(number * WORKERS // count) / f"{number:05}{Path(name).suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read(name))


def start(source: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start ``mien predict`` on a folder, with one thread for the network as a worker has."""
    command = [sys.executable, "-m", "mien", "predict", str(source), "--format", "parquet", "--out", str(out)]
    return subprocess.Popen([*command, "--detector", "whole", "--threads", "1", "--no-progress"])


def wait(*processes: subprocess.Popen[bytes]) -> None:
    """Wait for all; a process that fails ends the measurement."""
    if any(process.wait() for process in processes):
        sys.exit("mien predict failed; see above.")


def independent(photos: Path, out: Path) -> float:
    """Return the seconds of two processes with half of the crops each."""
    begun = time.perf_counter()
    wait(*[start(half, out / half.name) for half in sorted(photos.iterdir())])
    return time.perf_counter() - begun


def on_ray(photos: Path, out: Path) -> float:
    """Return the seconds of Ray's two workers, from their start to their last file."""
    job = Job(str(photos), str(out), block=BLOCK, options={"detector": "whole"}, workers=WORKERS)
    return predict(job).seconds


def by_source(folder: Path) -> dict[str, dict[str, Any]]:
    """Return each crop's row."""
    return {row["source"]: row for row in read_rows(folder)}


def compare(one: Path, ray: Path) -> None:
    """Print how far the answers of Ray's workers lie from those of one process."""
    first, second = by_source(one), by_source(ray)
    assert first.keys() == second.keys()
    columns = [name for name in next(iter(first.values())) if name.startswith("p_")]
    same = sum(first[name]["emotion"] == second[name]["emotion"] for name in first)
    largest = max(abs(first[name][column] - second[name][column]) for name in first for column in columns)
    print(
        f"one process and Ray: {same} of {len(first)} emotions equal, largest difference of a probability {largest:.1e}"
    )


def main() -> None:
    """Measure both in turn; print each round, the median ratio, and whether the answers are one process's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MIEN_DATA", ".")), help="has fer2013.zip")
    parser.add_argument("--faces", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--brief", action="store_true", help="2,000 faces, one round: for trying out")
    options = parser.parse_args()
    faces, rounds = (2_000, 1) if options.brief else (options.faces, options.rounds)
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        photos, out = Path(folder) / "photos", Path(folder) / "out"
        unpack(options.data / "fer2013.zip", photos, faces)
        begun = time.perf_counter()
        with cluster.session(None, WORKERS):
            print(f"Ray's own start: {time.perf_counter() - begun:.1f} s")
            for number in range(rounds):
                alone = independent(photos, out / f"alone-{number}")
                ray = on_ray(photos, out / f"ray-{number}")
                ratios.append(alone / ray)
                print(
                    f"round {number}: two processes {faces / alone:.0f} crops/s, Ray {faces / ray:.0f} crops/s, "
                    f"ratio {ratios[-1]:.2f}"
                )
        print(f"median ratio {statistics.median(ratios):.2f} (bar 0.9){', brief' if options.brief else ''}")
        wait(start(photos, out / "one"))
        compare(out / "one", out / "ray-0")


if __name__ == "__main__":
    main()
