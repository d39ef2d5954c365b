"""Time of ``mien data index`` on a zip of images against only reading and decoding the same images with Pillow.

    python benchmarks/index_time.py fer2013.zip [--runs 3]

The two take turns in one process, so that a busy machine slows both; the ratio of the medians counts.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from mien.datasets.index import index
from mien.formats import SUFFIXES


def decode_only(path: Path) -> int:
    """Read and decode every image, keeping none; return their number."""
    count = 0
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if Path(name).suffix.lower() in SUFFIXES:
                with Image.open(io.BytesIO(archive.read(name))) as image:
                    np.asarray(image)
                count += 1
    return count


def main() -> None:
    """Measure by turns and print both medians, wall time and processor time, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zip", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    taken: dict[str, list[tuple[float, float]]] = {"decode only": [], "index": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.runs):
            for name, work in (
                ("decode only", lambda: decode_only(options.zip)),
                ("index", lambda: index([options.zip], Path(folder) / "m.parquet").rows),
            ):
                wall, processor = time.perf_counter(), time.process_time()
                count = work()
                taken[name].append((time.perf_counter() - wall, time.process_time() - processor))
                print(f"{name:<12}{count:>8} images {taken[name][-1][0]:6.2f} s, processor {taken[name][-1][1]:6.2f} s")
    for place, kind in enumerate(("wall", "processor")):
        medians = [statistics.median(run[place] for run in runs) for runs in taken.values()]
        print(f"{kind}: decode only {medians[0]:.2f} s, index {medians[1]:.2f} s, ratio {medians[1] / medians[0]:.2f}")


if __name__ == "__main__":
    main()
