"""How differently YuNet, Haar and MTCNN frame the same faces: what training has to jitter its crops by.

    python benchmarks/crop_jitter.py --data "$MIEN_DATA" [--every 4]

On KDEF frontal and CK+ (350 pixels). Each detector's crop is the square that the network would see. Where the point
between the eyes lies in it, how far apart the eyes are, and how the line through them is tilted, is read off YuNet's
landmarks for all three, so that the detectors differ by their boxes alone. Prints medians and the deviation from face
to face, and over all faces and detectors together; shares are of the crop's side, degrees of tilt.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien import images
from mien.datasets.formats import photos
from mien.recognition.crop import corners
from mien.recognition.detection.detect import Detection, Detector, get_detector

CORPORA = ("kdef_frontal350.zip", "ckplus350.zip")
DETECTORS = ("yunet", "haar", "mtcnn")
COLUMNS = ("between the eyes, across", "between the eyes, down", "eyes apart", "tilt, degrees")


def framed(detector: Detector, pixels: NDArray[np.uint8], eyes: NDArray[np.float64]) -> list[float] | None:
    """Return the four columns of one face, or None if the detector does not find it. eyes: (2, 2) in the photo."""
    found = detector.detect(pixels)
    if not found:
        return None
    face = max(found, key=lambda one: one.box.width * one.box.height)
    first, second, third = (
        np.array(corner) for corner in corners(pixels.shape[:2], face.box, face.landmarks, detector.crop)
    )
    across, down = second - first, third - first
    side = float(np.hypot(*across))
    middle, apart = eyes.mean(0) - first, eyes[1] - eyes[0]
    tilt = math.degrees(math.atan2(apart @ down, apart @ across))
    return [float(middle @ across) / side**2, float(middle @ down) / side**2, float(np.hypot(*apart)) / side, tilt]


def landmarks(detector: Detector, pixels: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Return both eyes (2, 2) of the largest face."""
    found: tuple[Detection, ...] = detector.detect(pixels)
    if not found:
        return None
    return np.array(max(found, key=lambda one: one.box.width * one.box.height).landmarks, float)[:2]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, help="only every n-th photo")
    options = parser.parse_args()
    detectors = {name: get_detector(name) for name in DETECTORS}
    rows: dict[str, list[list[float]]] = {name: [] for name in DETECTORS}
    everything = [photo for corpus in CORPORA for photo in photos.read(options.data / corpus)][:: options.every]
    for photo in everything:
        pixels = images.load(photo.content)
        eyes = landmarks(detectors["yunet"], pixels)
        for name, detector in detectors.items():
            found = None if eyes is None else framed(detector, pixels, eyes)
            rows[name] += [found] if found else []
    print(f"{len(everything)} photos\n\n| detector | faces | {' | '.join(COLUMNS)} |\n|---|---|---|---|---|---|")
    for name, found in {**rows, "all": [row for each in rows.values() for row in each]}.items():
        values = np.array(found)
        cells = " | ".join(
            f"{m:.3f} ± {s:.3f}" for m, s in zip(np.median(values, axis=0), values.std(axis=0), strict=True)
        )
        print(f"| {name} | {len(values)} | {cells} |")


if __name__ == "__main__":
    main()
