"""What is lost where large JPEG photos are decoded at a reduced scale for the search, and for crops of large faces.

    python benchmarks/reduced_decoding.py --data "$MIEN_DATA" [--scenes 50]

Faces of KDEF frontal and CK+ (every n-th person) are pasted into cluttered pictures of 4000×3000 pixels, twelve each,
some 60 to 600 pixels wide, out of focus behind every other one, and saved as JPEG of quality 92. Compared with the
whole decoded photo: faces that one way alone detects, how far box corners move in pixels of the photo, and for each
model labels that change among the faces that it is certain of, and the mean absolute difference of probabilities. Crops
are taken from the reduced pixels where they are at least FACTOR times the network's input wide, else from the whole
photo; ``search`` stands for whole crops throughout, so that only the boxes differ.
"""

from __future__ import annotations

import argparse
import io
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from second_search import Face, clutter, faces, overlap

import mien
from mien.recognition.crop import cut
from mien.recognition.detection import turned
from mien.recognition.detection.detect import Detection
from mien.results import Box

WIDTH, HEIGHT, CELL = 4000, 3000, 1000
MODELS = ("default", "fer7")
FACTORS = (1.0, 1.5)
LEAST = 1600
"""Pixels of the long side that the search needs."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """A face that both ways detect: in the photo's own pixels, and as the reduced pixels say, in the photo's pixels."""

    whole: Detection
    reduced: Detection


def scene(people: list[Face], background: Pixels, draw: np.random.Generator, *, blurred: bool) -> bytes:
    """Return a JPEG file with twelve faces."""
    canvas = np.array(background[:, ::-1] if draw.random() < 0.5 else background, order="C")
    if blurred:
        small = cv2.resize(canvas, None, fx=1 / 32, fy=1 / 32, interpolation=cv2.INTER_AREA)
        canvas = np.asarray(cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)
    for cell in range(12):
        face = people[draw.integers(len(people))]
        width = float(np.exp(draw.uniform(np.log(60), np.log(600))))
        factor = min(width / face.width, (CELL - 1) / max(face.pixels.shape[:2]))
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        piece = np.asarray(cv2.resize(face.pixels, None, fx=factor, fy=factor, interpolation=method), np.uint8)
        top, left = (int(draw.integers(0, CELL - side)) for side in piece.shape[:2])
        top, left = top + cell // 4 * CELL, left + cell % 4 * CELL
        canvas[top : top + piece.shape[0], left : left + piece.shape[1]] = piece
    buffer = io.BytesIO()
    Image.fromarray(canvas).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def decode(content: bytes, least: int | None) -> tuple[Pixels, int]:
    """Return the pixels at the smallest scale whose long side has ``least`` pixels, and how much they are reduced."""
    with Image.open(io.BytesIO(content)) as photo:
        width = photo.width
        if least is not None:
            photo.draft("RGB", (least, least * photo.height // photo.width))
        pixels = np.asarray(photo.convert("RGB"))
    return pixels, round(width / pixels.shape[1])


def moved(one: Detection, scale: int) -> Detection:
    """Return a detection in pixels that are ``scale`` times as fine."""
    box, marks = one.box, one.landmarks
    larger = Box(box.left * scale, box.top * scale, box.width * scale, box.height * scale)
    return replace(one, box=larger, landmarks=marks and tuple((x * scale, y * scale) for x, y in marks))


def match(whole: tuple[Detection, ...], reduced: tuple[Detection, ...]) -> list[Pair]:
    """Return the faces that both ways detect."""
    pairs = [(one, max(reduced, key=lambda two: overlap(one.box, two.box), default=None)) for one in whole]
    return [Pair(one, two) for one, two in pairs if two is not None and overlap(one.box, two.box) >= 0.4]


def corners(box: Box) -> NDArray[np.float64]:
    """Return left, top, right and bottom."""
    return np.array([box.left, box.top, box.left + box.width, box.top + box.height])


def crops(pairs: list[Pair], whole: Pixels, reduced: Pixels, scale: int, least: float) -> tuple[list[Pixels], int]:
    """Return the crops of reduced detections, and how many are from the whole photo."""
    from mien.recognition.detection.detect import YUNET_CROP

    taken, large = [], 0
    for pair in pairs:
        small = moved(pair.reduced, 1)
        box = Box(*(value / scale for value in (small.box.left, small.box.top, small.box.width, small.box.height)))
        side = YUNET_CROP.scale * (box.width * box.height) ** 0.5
        if side >= least:
            marks = small.landmarks and tuple((x / scale, y / scale) for x, y in small.landmarks)
            taken.append(cut(reduced, box, marks, YUNET_CROP))
        else:
            taken.append(cut(whole, small.box, small.landmarks, YUNET_CROP))
            large += 1
    return taken, large


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=50)
    parser.add_argument("--every", type=int, default=5, help="only every n-th person (default: 5)")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    draw = np.random.default_rng(0)
    people, background = faces(options.data, options.every), clutter(WIDTH, HEIGHT, draw)
    models = {name: mien.load(name, threads=1) for name in MODELS}
    detector = next(iter(models.values())).detector
    counts, offsets, seconds = defaultdict(int), [], defaultdict(float)
    rows: dict[tuple[str, str], list[tuple[NDArray[np.float64], NDArray[np.float64], float]]] = defaultdict(list)
    for number in range(options.scenes):
        content = scene(people, background, draw, blurred=number % 2 == 1)
        begun = time.process_time()
        whole, _ = decode(content, None)
        first = turned.detect(detector, whole)
        middle = time.process_time()
        reduced, scale = decode(content, LEAST)
        second = tuple(moved(one, scale) for one in turned.detect(detector, reduced))
        seconds["whole"] += middle - begun
        seconds["reduced"] += time.process_time() - middle
        pairs = match(first, second)
        counts["whole"] += len(first)
        counts["reduced"] += len(second)
        counts["both"] += len(pairs)
        offsets += [np.abs(corners(one.whole.box) - corners(one.reduced.box)).max() for one in pairs]
        originals = [cut(whole, one.whole.box, one.whole.landmarks, detector.crop) for one in pairs]
        for name, model in models.items():
            size, sure = model.bundle.preprocess.size, model.bundle.uncertain_below
            before = model.classify(originals)
            for way in ("search", *map(str, FACTORS)):
                least = np.inf if way == "search" else float(way) * size
                chosen, large = crops(pairs, whole, reduced, scale, least)
                counts[name, way] += large
                counts[name, way, "photos"] += large > 0
                after = model.classify(chosen)
                rows[name, way] += [(one, two, sure) for one, two in zip(before, after, strict=True)]
    print(
        f"{options.scenes} scenes, faces: {counts['whole']} whole, {counts['reduced']} reduced, {counts['both']} both"
    )
    print(f"corners move by (median, 95 %, most): {np.percentile(offsets, (50, 95, 100)).round(2)} pixels")
    print(f"decoding and search, CPU time of the reduced way: {seconds['reduced'] / seconds['whole']:.2f} of the whole")
    print("| model | crops | from whole photos | labels of certain faces that change | mean abs. difference |")
    print("|---|---|---|---|---|")
    for (name, way), cells in rows.items():
        certain = [(one, two) for one, two, sure in cells if one.max() >= sure]
        changed = sum(one.argmax() != two.argmax() for one, two in certain)
        difference = np.mean([np.abs(one - two).mean() for one, two, _ in cells])
        cut_whole = f"{counts[name, way]} of {len(cells)} ({counts[name, way, 'photos']} photos)"
        print(f"| {name} | {way} | {cut_whole} | {changed} of {len(certain)} | {difference:.4f} |")


if __name__ == "__main__":
    main()
