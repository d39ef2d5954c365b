"""Choose how a detector's box becomes the network's crop, by measuring on photos that were never trained on.

    python benchmarks/crop_geometry.py --data "$MIEN_DATA" --detector yunet

Detects once per photo, then cuts and classifies at every geometry of the grid. Prints one row per geometry with
the accuracy on KDEF frontal and CK+ (350-pixel images, classes the model has) and their mean, best first.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mien import images
from mien.datasets.formats import photos
from mien.recognition.crop import CropSpec, cut
from mien.recognition.detection.detect import Detection, get_detector
from mien.recognition.recognizer import Recognizer, load

CORPORA = ("kdef_frontal350.zip", "ckplus350.zip")
Seen = list[tuple[np.ndarray, Detection, int]]


def detect_all(recognizer: Recognizer, path: Path) -> tuple[Seen, int]:
    """Return (pixels, largest detection, class index) of each photo with a face, and the number of photos."""
    seen: Seen = []
    count = 0
    for photo in photos.read(path):
        if photo.label not in recognizer.labels:
            continue
        count += 1
        pixels = images.load(photo.content)
        found = recognizer.detector.detect(pixels)
        if found:
            face = max(found, key=lambda detection: detection.box.width * detection.box.height)
            seen.append((pixels, face, recognizer.bundle.labels.index(photo.label)))
    return seen, count


def accuracy(recognizer: Recognizer, seen: Seen, count: int, spec: CropSpec) -> float:
    """Return the share of all photos classified rightly when cut by ``spec``."""
    crops = [cut(pixels, face.box, face.landmarks, spec) for pixels, face, _ in seen]
    predicted = recognizer.classify(crops).argmax(1)
    return float((predicted == np.array([label for *_, label in seen])).sum() / count)


def grid(scales: Sequence[float], shifts: Sequence[float], aligns: Sequence[bool]) -> list[CropSpec]:
    """Return every combination."""
    return [CropSpec(*values) for values in itertools.product(scales, shifts, aligns)]


def main() -> None:
    """Measure one detector and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--detector", default="yunet")
    parser.add_argument("--model", default="default")
    parser.add_argument("--scales", type=float, nargs="+", default=[0.8, 0.9, 1.0, 1.1, 1.2, 1.3])
    parser.add_argument("--shifts", type=float, nargs="+", default=[-0.05, 0.0, 0.05, 0.1])
    options = parser.parse_args()
    recognizer = load(options.model, detector=get_detector(options.detector), classes="fer2013")
    corpora = [detect_all(recognizer, options.data / name) for name in CORPORA]
    print(
        "found",
        *(f"{name} {len(seen)}/{count}" for name, (seen, count) in zip(CORPORA, corpora, strict=True)),
    )
    aligns = (False, True) if any(face.landmarks for _, face, _ in corpora[0][0]) else (False,)
    rows = []
    for spec in grid(options.scales, options.shifts, aligns):
        shares = [accuracy(recognizer, seen, count, spec) for seen, count in corpora]
        rows.append((float(np.mean(shares)), shares, spec))
    for mean, shares, spec in sorted(rows, key=lambda row: -row[0]):
        figures = "  ".join(f"{share:6.1%}" for share in shares)
        print(f"scale {spec.scale:.2f}  shift {spec.shift:+.2f}  align {spec.align!s:5}  {figures}  mean {mean:6.1%}")


if __name__ == "__main__":
    main()
