"""YuNet in ONNX Runtime beside the same file in OpenCV's FaceDetectorYN: how long ``detect`` takes of a photo.

    python benchmarks/detector_speed.py [--rounds 9] [--threads 1] [--size 2000x1428]

The example photo is resized to each size and searched as ``mien predict`` searches it: at 640 pixels, above 960 pixels
at up to 1600 too. Both have their turn in every round. Prints medians in milliseconds and the median of the rounds'
ratios, of wall time and of processor time, which depends less on what else the machine does. The faces are compared.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien import images
from mien.recognition.detection import detect, yunet
from mien.results import Box

EXAMPLE = Path(__file__).parents[1] / "examples" / "astronaut.jpg"
SIZES = ("512x512", "1126x661", "2000x1428", "4000x3000")


class ByOpenCV(detect.YuNet):
    """The detector as it was before it ran in ONNX Runtime."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        model = np.frombuffer(yunet.model_file().read_bytes(), np.uint8)
        empty = np.empty(0, np.uint8)
        self._engine = cv2.FaceDetectorYN.create("onnx", model, empty, (320, 320), self.limits.threshold, 0.3, 5000)

    def _search(self, pixels: NDArray[np.uint8]) -> Iterator[detect.Detection]:
        self._engine.setInputSize((pixels.shape[1], pixels.shape[0]))
        rows = self._engine.detect(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1]
        for row in () if rows is None else rows.astype(float).tolist():
            marks = tuple((row[at], row[at + 1]) for at in range(4, 14, 2))
            yield detect.Detection(Box(*row[:4]), min(1.0, row[14]), marks)


def taken(detector: detect.Detector, pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Return the milliseconds of wall and of processor time of one search."""
    wall, worked = time.perf_counter(), time.process_time()
    detector.detect(pixels)
    return (time.perf_counter() - wall) * 1e3, (time.process_time() - worked) * 1e3


def same(one: tuple[detect.Detection, ...], two: tuple[detect.Detection, ...]) -> bool:
    """Tell whether the same faces were detected, within a pixel."""
    boxes = [[(face.box.left, face.box.top, face.box.width, face.box.height) for face in faces] for faces in (one, two)]
    return len(one) == len(two) and np.allclose(*boxes, rtol=0, atol=1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, help="of both (default: OpenCV's own, one a core)")
    parser.add_argument("--size", action="append", metavar="WxH", help=f"default: {', '.join(SIZES)}")
    options = parser.parse_args()
    if options.threads:
        cv2.setNumThreads(options.threads)
    opencv, here = ByOpenCV(), detect.get_detector("yunet")
    print(f"OpenCV {cv2.__version__}, {cv2.getNumThreads()} threads, {options.rounds} rounds\n")
    print("| photo | OpenCV, ms | ONNX Runtime, ms | ratio | ratio of processor time | same faces |")
    print("|---|---|---|---|---|---|")
    for size in options.size or SIZES:
        width, height = map(int, size.split("x"))
        pixels = np.asarray(cv2.resize(images.load(EXAMPLE), (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
        equal = same(opencv.detect(pixels), here.detect(pixels))  # warms both up, too
        rounds = np.array([(taken(opencv, pixels), taken(here, pixels)) for _ in range(options.rounds)])
        (wall, worked), medians = np.median(rounds[:, 1] / rounds[:, 0], axis=0), np.median(rounds[:, :, 0], axis=0)
        cells = (f"{medians[0]:.1f}", f"{medians[1]:.1f}", f"{wall:.2f}", f"{worked:.2f}", "yes" if equal else "NO")
        print(f"| {width}×{height} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
