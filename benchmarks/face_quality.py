"""Set the limits of face quality: what small, blurred and cut-off faces cost, on photos that were never trained on.

    python benchmarks/face_quality.py --data "$MIEN_DATA"

Takes KDEF frontal and CK+ (350 pixels, the classes the model has), shrinks, blurs or cuts each photo, then detects and
reads it. Prints for each strength how many of the faces are found, how many of those are read rightly, and what the
measure says of them: its 5th, 50th and 95th percentile, and the shares that today's limits mark.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien import images
from mien.datasets.formats import photos
from mien.recognition.crop import cut
from mien.recognition.quality import LARGEST_TURN, LEAST_INSIDE, LEAST_SHARPNESS, LEAST_SIZE, measure
from mien.recognition.recognizer import Recognizer, load
from mien.results import Quality

CORPORA = ("kdef_frontal350.zip", "ckplus350.zip")
FACE = 305
"""Pixels of a face in these photos, the root of its box's area: the median."""

Photo = NDArray[np.uint8]
Change = Callable[[Photo, float], Photo]


def shrunk(photo: Photo, face: float) -> Photo:
    """Return the photo in which a face has ``face`` pixels, in a grey surround of the old size."""
    small = cv2.resize(photo, None, fx=face / FACE, fy=face / FACE, interpolation=cv2.INTER_AREA)
    found = np.full_like(photo, int(photo.mean()))
    top, left = (found.shape[0] - small.shape[0]) // 2, (found.shape[1] - small.shape[1]) // 2
    found[top : top + small.shape[0], left : left + small.shape[1]] = small
    return found


def blurred(photo: Photo, sigma: float) -> Photo:
    """Return the photo blurred by ``sigma`` pixels of a face of 48."""
    return np.asarray(cv2.GaussianBlur(photo, (0, 0), sigma * FACE / 48)) if sigma else photo


def without_left(photo: Photo, share: float) -> Photo:
    """Return the photo without ``share`` of the face's width, on the left; the face, 270 pixels, is in the middle."""
    return np.ascontiguousarray(photo[:, round(40 + 270 * share) :]) if share else photo


def without_chin(photo: Photo, share: float) -> Photo:
    """Return the photo without ``share`` of the face's height, below; the face ends at the photo's edge."""
    return np.ascontiguousarray(photo[: round(350 * (1 - share))])


TABLES: dict[str, tuple[Change, tuple[float, ...], str]] = {
    "plain": (lambda photo, _: photo, (0,), "turn"),
    "size, pixels": (shrunk, (20, 24, 28, 32, 40, 48, 64, 96), "size"),
    "blur, pixels of 48": (blurred, (0.5, 0.8, 1, 1.25, 1.5, 2, 3), "sharpness"),
    "cut off at the left, share": (without_left, (0, 0.1, 0.2, 0.3, 0.4), "inside"),
    "cut off below, share": (without_chin, (0, 0.1, 0.2, 0.3, 0.4), "inside"),
}


def read(
    recognizer: Recognizer, change: Change, strength: float, faces: list[tuple[Photo, int]]
) -> Iterator[tuple[Quality, bool]]:
    """Yield the quality of each face found and whether it was read rightly."""
    for photo, label in faces:
        pixels = change(photo, strength)
        found = recognizer.detector.detect(pixels)
        if found:
            crop = cut(pixels, found[0].box, found[0].landmarks, recognizer.detector.crop)
            yield (
                measure(pixels.shape[:2], found[0], crop),
                bool(recognizer.classify([crop]).argmax() == label),
            )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--detector", default="yunet")
    parser.add_argument("--every", type=int, default=1, help="only every n-th photo")
    options = parser.parse_args()
    recognizer = load(detector=options.detector, classes="fer2013")
    labels = recognizer.bundle.labels
    kept = [each for name in CORPORA for each in photos.read(options.data / name) if each.label in recognizer.labels]
    faces = [(images.load(each.content), labels.index(each.label)) for each in kept[:: options.every]]
    print(f"limits: size {LEAST_SIZE}, sharpness {LEAST_SHARPNESS}, turn {LARGEST_TURN}, inside {LEAST_INSIDE}")
    for name, (change, strengths, field) in TABLES.items():
        print(f"\n| {name} | found | right of found | {field} 5 / 50 / 95 % | marked |\n|---|---|---|---|---|")
        for strength in strengths:
            rows = list(read(recognizer, change, strength, faces))
            print(f"| {strength} | {len(rows) / len(faces):.0%} | {summary(rows, field)} |", flush=True)


def summary(rows: list[tuple[Quality, bool]], field: str) -> str:
    """Return the cells that say how the faces found were read and measured."""
    if not rows:
        return "– | – | –"
    low, middle, high = np.percentile([getattr(quality, field) for quality, _ in rows], (5, 50, 95))
    reasons = [reason for quality, _ in rows for reason in quality.reasons]
    told = ", ".join(f"{reason} {reasons.count(reason) / len(rows):.0%}" for reason in sorted(set(reasons)))
    right = np.mean([right for _, right in rows])
    return f"{right:.1%} | {low:.2f} / {middle:.2f} / {high:.2f} | {told or 'none'}"


if __name__ == "__main__":
    main()
