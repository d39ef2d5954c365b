"""Batches of several requests' photos, or threads that each read whole photos? What src/mien/web/pool.py rests on.

    python benchmarks/serve_batching.py

Photos of 640×480 with one face, decoded anew each time; photos a second, the best of three runs of each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
from serve_client import photo

from mien.recognition.detection.detect import get_detector
from mien.recognition.recognizer import Recognizer, load

THREADS = 2
SIZES = (1, 4, 16)
Work = Callable[[int], object]


def batches(recognizer: Recognizer, content: bytes, size: int) -> Work:
    """Read photos in batches of ``size``."""
    return lambda count: [
        recognizer.predict([content] * min(size, count - start), keep_pixels=False)
        for start in range(0, count, size)
    ]  # fmt: skip


def pooled(recognizers: list[Recognizer], content: bytes) -> Work:
    """Read photos one by one in as many threads as there are recognizers."""

    def work(count: int) -> None:
        with ThreadPoolExecutor(len(recognizers)) as pool:
            list(pool.map(lambda at: recognizers[at % len(recognizers)].read(content, keep_pixels=False), range(count)))

    return work


def rate(work: Work, count: int) -> float:
    """Return photos a second."""
    work(count // 8)
    best = 0.0
    for _ in range(3):
        begun = time.perf_counter()
        work(count)
        best = max(best, count / (time.perf_counter() - begun))
    return best


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=96)
    count, content = parser.parse_args().photos, photo()
    many, one = load(threads=THREADS), load(threads=1)
    rows: list[tuple[str, int, Work]] = [
        *((f"batches of {size}, {THREADS} threads inside", THREADS, batches(many, content, size)) for size in SIZES),
        (f"{THREADS} threads, one detector", 1, pooled([one] * THREADS, content)),
        (f"{THREADS} threads, a detector each", 1,
         pooled([one, *(one.with_detector(get_detector("yunet")) for _ in range(THREADS - 1))], content)),
    ]  # fmt: skip
    print("| way | photos/s |\n|---|---|")
    for name, threads, work in rows:
        cv2.setNumThreads(threads)
        print(f"| {name} | {rate(work, count):.0f} |", flush=True)


if __name__ == "__main__":
    main()
