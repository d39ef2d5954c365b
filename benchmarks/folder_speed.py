"""Photos a second of a folder: one after the other, and with decoding, finding and reading overlapped.

python benchmarks/folder_speed.py [--photos 48] [--side 2000] [--threads 1]

Processor time, of all threads, depends far less than photos a second on what else the machine does: docs/scale.md plans
with it, as a worker has one CPU (--threads 1).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

import mien
from mien.recognition.folder import CHUNK, read_folder

EXAMPLE = Path(__file__).parents[1] / "examples" / "astronaut.jpg"


def photos(folder: Path, count: int, side: int) -> list[Path]:
    """Write ``count`` JPEG files with a face, ``side`` pixels wide."""
    with Image.open(EXAMPLE) as picture:
        large = picture.convert("RGB").resize((side, side * picture.height // picture.width), Image.Resampling.BICUBIC)
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for path in paths:
        large.save(path, quality=90)
    return paths


def one_by_one(recognizer: mien.Recognizer, paths: list[Path]) -> int:
    """Batches of faces, nothing at the same time."""
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    return sum(len(result.faces) for chunk in chunks for result in recognizer.predict(chunk, keep_pixels=False))


def overlapped(recognizer: mien.Recognizer, paths: list[Path]) -> int:
    """What ``mien predict`` does."""
    return sum(len(entry.faces) for entry in read_folder(recognizer, paths) if isinstance(entry, mien.ImageResult))


def main() -> None:
    """Measure both in turn, twice; print the better of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=48)
    parser.add_argument("--side", type=int, default=2000)
    parser.add_argument("--threads", type=int, help="of the network (default: one a core)")
    options = parser.parse_args()
    ways: dict[str, Callable[[mien.Recognizer, list[Path]], int]] = {"one by one": one_by_one, "overlapped": overlapped}
    best = dict.fromkeys(ways, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        paths, recognizer = photos(Path(folder), options.photos, options.side), mien.load(threads=options.threads)
        one_by_one(recognizer, paths[:2])
        for _ in range(2):
            for name, way in ways.items():
                begun, worked = time.perf_counter(), time.process_time()
                faces = way(recognizer, paths)
                best[name] = max(best[name], len(paths) / (time.perf_counter() - begun))
                cost = 1000 * (time.process_time() - worked) / len(paths)
                print(f"{name:<12}{best[name]:>8.1f} photos/s, processor {cost:.0f} ms a photo, {faces} faces")
    print(f"overlapped ÷ one by one: {best['overlapped'] / best['one by one']:.2f}")


if __name__ == "__main__":
    main()
