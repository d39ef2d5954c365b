"""Peak memory of ``mien data index`` on many and on few images: it must not grow with their number.

    python benchmarks/index_memory.py [--few 30000] [--many 300000]

Zips of small grey PNGs are generated in a temporary folder; each size is indexed in a process of its own (Linux only).
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

INDEX = """
import json, sys, time
from mien.datasets.index import index
start = time.perf_counter()
found = index([sys.argv[1]], sys.argv[2])
# Not ru_maxrss, which a child inherits from a parent that was larger: here the one that wrote the zip.
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"rows": found.rows, "seconds": time.perf_counter() - start, "peak_mb": peak / 1024}))
"""
CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def generate(path: Path, count: int) -> None:
    """Write a zip of ``count`` different 24×24 PNGs in class folders."""
    draw = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            buffer = io.BytesIO()
            Image.fromarray(draw.integers(0, 256, (24, 24), np.uint8)).save(buffer, "PNG", compress_level=0)
            archive.writestr(f"train/{CLASSES[number % 7]}/image_{number:07d}.png", buffer.getvalue())


def measure(folder: Path, count: int) -> dict[str, float]:
    """Index ``count`` generated images in another process; return rows, seconds and peak memory in MB."""
    path = folder / f"{count}.zip"
    generate(path, count)
    command = [sys.executable, "-c", INDEX, str(path), str(folder / f"{count}.parquet")]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def main() -> None:
    """Measure both sizes and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=30_000)
    parser.add_argument("--many", type=int, default=300_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        few, many = (measure(Path(folder), count) for count in (options.few, options.many))
    for found in (few, many):
        print(f"{found['rows']:>8,.0f} images: {found['seconds']:6.1f} s, peak {found['peak_mb']:6.1f} MB")
    print(f"ratio {many['peak_mb'] / few['peak_mb']:.2f} (bar 1.2); {time.perf_counter() - started:.0f} s in all")


if __name__ == "__main__":
    main()
