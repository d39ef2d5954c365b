"""Train on more faces than memory holds: peak memory of the process, and the speed of the loader over the network's.

    python benchmarks/lazy_corpus.py [--images 30000 1000000] [--side 224] [--store zip]

Generates colour corpora of so many images in a temporary folder: JPEGs in a zip or a tar, or an array as ``mien data
prepare --store array`` writes. A process of its own reads each corpus with ``data.memory = 0``, takes the digest of the
faces, as each training does, and trains a few steps. The bars: at most 4 GB, the same for 30,000 and 1,000,000 images,
and a loader at least twice as fast as the network on two cores. Linux only. An image of 224 pixels takes about 30 kB as
JPEG and 150 kB in an array.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from mien.datasets.manifest import COLUMNS, SCHEMA, Manifest
from mien.datasets.pixels import checksum, decode
from mien.datasets.sources import packed

LABELS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
DIFFERENT = 64
"""Images that are generated; a corpus repeats them, as neither memory nor speed depends on what they show."""


def draw_images(side: int) -> list[bytes]:
    """Return JPEGs with about as much detail as photos have."""
    draw = np.random.default_rng(0)
    images = []
    for _ in range(DIFFERENT):
        coarse = Image.fromarray(draw.integers(0, 256, (side // 8, side // 8, 3), np.uint8))
        fine = Image.fromarray(draw.integers(0, 256, (side, side, 3), np.uint8)).filter(ImageFilter.GaussianBlur(1))
        buffer = io.BytesIO()
        Image.blend(coarse.resize((side, side), Image.Resampling.BICUBIC), fine, 0.3).save(buffer, "JPEG", quality=90)
        images.append(buffer.getvalue())
    return images


def pack(path: Path, names: Iterable[str], images: list[bytes]) -> None:
    """Write a zip, a tar or an array of the images, one after the other until the names end."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for number, name in enumerate(names):
                archive.writestr(name, images[number % DIFFERENT])
    elif path.suffix == ".tar":
        with tarfile.open(path, "w") as tar:
            for number, name in enumerate(names):
                info = tarfile.TarInfo(name)
                info.size = len(images[number % DIFFERENT])
                tar.addfile(info, io.BytesIO(images[number % DIFFERENT]))
    else:
        crops = [decode(image) for image in images]
        writer = packed.Writer(path, crops[0].shape, 0)
        for number, _ in enumerate(names):
            writer.add(crops[number % DIFFERENT])
        writer.close()


def generate(folder: Path, count: int, side: int, store: str) -> Path:
    """Write a corpus with its manifest and return the manifest's path."""
    import pyarrow as pa

    source = {"array": "crops.npy"}.get(store, f"corpus.{store}")
    images = draw_images(side)
    sums = [checksum(decode(image)) for image in images]
    members = [f"crops.npy:{row}" if store == "array" else f"images/{row:07d}.jpg" for row in range(count)]
    pack(folder / source, members, images)
    values: dict[str, Iterator[Any] | list[Any]] = {name: [None] * count for name in COLUMNS.names} | {
        "id": members,
        "source": [source] * count,
        "member": members,
        "label": [LABELS[row % 7] for row in range(count)],
        "dataset": ["generated"] * count,
        "split": [("train", "validation", "test")[max(row % 20 - 17, 0)] for row in range(count)],
        "width": [side] * count,
        "height": [side] * count,
        "sha256": [sums[row % DIFFERENT] for row in range(count)],
        "flags": [[]] * count,
    }
    table = pa.table([pa.array(values[field.name], field.type) for field in COLUMNS], COLUMNS)
    return Manifest(table, {"schema": SCHEMA}, folder).write(folder / "manifest.parquet")


def train(path: Path, side: int, steps: int, network: str) -> dict[str, float]:
    """Train a few steps and return peak memory in MB and the mean seconds of loading and of computing a batch."""
    import torch

    from mien.datasets import faces
    from mien.recipes.recipe import parse
    from mien.training import fit, loaders, parts, threads

    options = {"pretrained": False} if network.startswith("torchvision:") else {}
    recipe = parse(
        {
            "name": "lazy",
            "data": {"memory": 0.0},
            "preprocess": {"size": side, "grey": False, "channels": 3},
            "network": {"name": network, **options},
            "train": {"epochs": 1, "batch_size": 32},
        }
    )
    arranged = parts.arrange(faces.load(path, memory=0, colour=True), recipe.data)
    parts.describe(arranged)
    with threads.limit(recipe):
        module = fit.build_classifier(recipe, arranged).train()
        optimizer = torch.optim.SGD(module.parameters(), 0.01)
        batches = iter(loaders.training_loader(recipe, arranged))
        seconds = np.zeros((steps, 2))
        for step in range(steps):
            started = time.perf_counter()
            crops, targets = next(batches)
            loaded = time.perf_counter()
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(crops), targets).backward()
            optimizer.step()
            seconds[step] = loaded - started, time.perf_counter() - loaded
    # Not ru_maxrss, which a child inherits from a parent that was larger: here the one that wrote the corpus.
    peak = next(
        int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    loading, computing = np.median(seconds[1:], axis=0).tolist()
    return {"peak_mb": peak / 1024, "loading": loading, "computing": computing}


def main() -> None:
    """Measure each number of images and print memory and speed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[30_000, 1_000_000])
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--store", choices=("zip", "tar", "array"), default="zip")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--network", default="torchvision:mobilenet_v3_small", help="a quick one, hard on the loader")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        print(json.dumps(train(options.train, options.side, options.steps, options.network)))
        return
    for count in options.images:
        with tempfile.TemporaryDirectory() as folder:
            path = generate(Path(folder), count, options.side, options.store)
            command = [sys.executable, __file__, *sys.argv[1:], "--train", str(path)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ)
        measured = json.loads(done.stdout)
        print(
            f"{count:>9,} images of {options.side} pixels in a {options.store}: peak {measured['peak_mb']:.0f} MB; "
            f"loader {measured['computing'] / measured['loading']:.1f} × as fast as {options.network}"
        )


if __name__ == "__main__":
    main()
