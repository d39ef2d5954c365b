"""Index and explore a corpus, against only decoding the same images with Pillow, all in one run.

    python benchmarks/explore_cost.py $MIEN_DATA/fer2013.zip

Bars: at most 6 × the decoding time, at most 1.5 GB of memory at the peak.
"""

from __future__ import annotations

import io
import resource
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from mien.datasets import index, manifest
from mien.datasets.quality import explore


def decode(path: Path) -> int:
    """Decode all images of a zip with Pillow and return their number."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.lower().endswith((".png", ".jpg", ".jpeg"))]
        return sum(np.asarray(Image.open(io.BytesIO(archive.read(name)))).ndim > 0 for name in names)


def main(path: Path) -> None:
    """Measure and print."""
    start = time.perf_counter()
    count = decode(path)
    decoded = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        made = index.index([path], Path(folder) / "m.parquet")
        indexed = time.perf_counter()
        explore.explore(manifest.read(made.path), Path(folder) / "page")
        explored = time.perf_counter()
    base = decoded - start
    print(f"{count} images; Pillow {base:.1f} s; index {indexed - decoded:.1f} s; explore {explored - indexed:.1f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{(explored - decoded) / base:.2f} × decoding (bar: 6); peak memory {peak:.2f} GiB (bar: 1.5 GB)")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
