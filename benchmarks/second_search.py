"""Which faces YuNet would lose if close-ups were not searched a second time at 1600 pixels, and what that would save.

    python benchmarks/second_search.py --data "$MIEN_DATA" [--scenes 20]

Faces of KDEF frontal and CK+ are pasted into cluttered pictures, every other one out of focus: close-ups (one face of
40 to 80 % of the height), close-ups with 1 to 4 faces of 20 to 400 pixels beside it, and groups of 1 to 8 such faces.
The rule on trial leaves the second search out where the first one, at 640 pixels, has found a face and gives no box
narrower than 64 of its pixels a score of ``hint`` or more. Lost is a face that both searches find together and the
first alone does not. The share of the time is processor time, of all scenes of the kind, of that of both searches.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data as pictures

from mien import images
from mien.datasets.formats import photos
from mien.recognition.detection import detect, yunet
from mien.results import Box

CORPORA = ("kdef_frontal350.zip", "ckplus350.zip")
SIZES = ((1126, 661), (2000, 1428), (4000, 3000))
KINDS = ("close-up", "close-up and others", "group")
HINTS = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02)
NARROW = 64
"""Pixels of the first search's view."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Face:
    """A photo of one person, and the width of the face in it, in pixels."""

    pixels: Pixels
    width: float


@dataclass(frozen=True)
class Outcome:
    """What the searches of one scene say.

    lowest: the highest score of a narrow box of the first search.  lost: faces of the second search alone.
    """

    found: int
    lost: int
    any_face: bool
    lowest: float
    first_seconds: float
    both_seconds: float


def faces(data: Path, every: int) -> list[Face]:
    """Return every n-th person whose face YuNet detects."""
    detector, kept = detect.get_detector("yunet"), []
    for photo in [photo for corpus in CORPORA for photo in photos.read(data / corpus)][::every]:
        pixels = images.load(photo.content)
        boxes = [one.box.width for one in detector.detect(pixels)]
        if len(boxes) == 1:
            kept.append(Face(pixels, boxes[0]))
    return kept


def clutter(width: int, height: int, rng: np.random.Generator) -> Pixels:
    """Return pieces of photographs without people, in any size and place, with lines and ellipses over them."""
    sources = [pictures.coffee(), pictures.chelsea(), pictures.rocket(), pictures.stereo_motorcycle()[0]]
    canvas = np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
    for _ in range(60):
        piece = sources[rng.integers(len(sources))]
        side = int(rng.integers(40, 300))
        top, left = rng.integers(0, piece.shape[0] - side), rng.integers(0, piece.shape[1] - side)
        size = int(rng.integers(height // 20, height // 3))
        shown = cv2.resize(piece[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA)
        paste(canvas, np.asarray(shown, np.uint8), rng)
    for _ in range(40):
        first, second = (tuple(int(value) for value in rng.integers(0, (width, height))) for _ in range(2))
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        cv2.line(canvas, first, second, colour, int(rng.integers(1, 9)))
        cv2.ellipse(canvas, first, (height // 30, height // 50), float(rng.integers(180)), 0, 360, colour, 3)
    return canvas


def paste(canvas: Pixels, piece: Pixels, rng: np.random.Generator) -> None:
    """Put the piece anywhere into the canvas, which it fits into."""
    height, width = piece.shape[:2]
    top = int(rng.integers(0, canvas.shape[0] - height + 1))
    left = int(rng.integers(0, canvas.shape[1] - width + 1))
    canvas[top : top + height, left : left + width] = piece


def scene(kind: str, size: tuple[int, int], people: list[Face], rng: np.random.Generator, *, blurred: bool) -> Pixels:
    """Return one scene of a kind, blurred: in front of an unsharp background."""
    canvas, height = clutter(*size, rng), size[1]
    if blurred:
        small = cv2.resize(canvas, None, fx=1 / 32, fy=1 / 32, interpolation=cv2.INTER_AREA)
        canvas = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    widths = []
    if kind != "group":
        widths.append(rng.uniform(0.3, 0.6) * height)  # a face is some 1.3 times as high as wide
    if kind != "close-up":
        most = int(rng.integers(1, 5 if widths else 9))
        widths += np.exp(rng.uniform(np.log(20), np.log(400), most)).tolist()
    for width in widths:
        face = people[rng.integers(len(people))]
        factor = min(width / face.width, min(size) / max(face.pixels.shape[:2]))
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        paste(canvas, np.asarray(cv2.resize(face.pixels, None, fx=factor, fy=factor, interpolation=method)), rng)
    return canvas


def overlap(one: Box, two: Box) -> float:
    """Return intersection over union."""
    width = min(one.left + one.width, two.left + two.width) - max(one.left, two.left)
    height = min(one.top + one.height, two.top + two.height) - max(one.top, two.top)
    shared = max(width, 0) * max(height, 0)
    return shared / (one.width * one.height + two.width * two.height - shared)


def search(pixels: Pixels, detector: detect.Detector, first: detect.Detector) -> Outcome:
    """Search a scene once and twice."""
    begun = time.process_time()
    alone = first.detect(pixels)
    middle = time.process_time()
    both = detector.detect(pixels)
    ended = time.process_time()
    view = detect._view(pixels, 640, 0).pixels
    rows = yunet.search(yunet.Engine(yunet.model_file()), view, min(HINTS))
    narrow = rows[rows[:, 2:4].min(axis=1) < NARROW, 14]
    lost = [one for one in both if not any(overlap(one.box, two.box) >= 0.4 for two in alone)]
    return Outcome(len(both), len(lost), bool(alone), narrow.max(initial=0.0), middle - begun, ended - middle)


class First(detect.YuNet):
    """YuNet that never searches a second time."""

    sides = (640,)


def outcomes(data: Path, count: int, every: int) -> Iterator[tuple[str, Outcome]]:
    """Yield kind and outcome of each scene."""
    people, rng = faces(data, every), np.random.default_rng(0)
    detector, first = detect.get_detector("yunet"), First()
    for number in range(count):
        for kind in KINDS:
            size, blurred = SIZES[number // 2 % len(SIZES)], number % 2 == 1
            yield kind, search(scene(kind, size, people, rng, blurred=blurred), detector, first)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=20, help="of each kind (default: 20)")
    parser.add_argument("--every", type=int, default=20, help="only every n-th person (default: 20)")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rows = list(outcomes(options.data, options.scenes, options.every))
    detected = Counter[str]()
    for kind, row in rows:
        detected[kind] += row.found
    print("| hint | kind | second search left out | faces lost | time |\n|---|---|---|---|---|")
    for hint in HINTS:
        for kind in KINDS:
            own = [row for name, row in rows if name == kind]
            left_out = [row for row in own if row.any_face and row.lowest < hint]
            lost = sum(row.lost for row in left_out)
            saved = sum(row.both_seconds - row.first_seconds for row in left_out)
            share = 1 - saved / sum(row.both_seconds for row in own)
            print(f"| {hint} | {kind} | {len(left_out)} of {len(own)} | {lost} of {detected[kind]} | {share:.2f} |")


if __name__ == "__main__":
    main()
