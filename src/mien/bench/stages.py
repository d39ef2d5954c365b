"""The stages to time: each step from photo to emotion separately, the whole pipeline, and whole processes."""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mien import images, preprocess
from mien.errors import ImageError
from mien.recognition.crop import cut
from mien.recognition.detection.detect import WHOLE_CROP, get_detector
from mien.recognition.recognizer import load
from mien.recognition.session import OnnxSession
from mien.results import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from mien.recognition.model_files.bundle import Bundle

BATCHES = (1, 8, 64)

_MOST = 1000
_IMPORTS = "import numpy, cv2, onnxruntime, PIL.Image"
_SIXTY_FOUR = """
import sys, numpy, mien
recognizer = mien.load(sys.argv[1], detector="whole", threads=int(sys.argv[2]), device=sys.argv[3])
recognizer.classify(numpy.zeros((64, 48, 48), numpy.uint8))
"""


@dataclass(frozen=True)
class Stage:
    """A stage to time. batch: number of faces or photos at once.  answer: the function to time."""

    name: str
    batch: int
    threads: int
    answer: Callable[[], object]
    flops: int = 0

    def seconds(self, budget: float) -> float:
        """Return the median time of one run, over as many runs as fit into ``budget`` seconds, at least one."""
        import cv2

        before = cv2.getNumThreads()
        cv2.setNumThreads(self.threads)
        try:
            taken: list[float] = []
            while not taken or (sum(taken) < budget and len(taken) < _MOST):
                begun = time.perf_counter()
                self.answer()
                taken.append(time.perf_counter() - begun)
        finally:
            cv2.setNumThreads(before)
        return statistics.median(taken)


def make_photo_stages(photo: Path, model: str, threads: int, device: str = "auto") -> Iterable[Stage]:
    """Yield decoding, detection and the whole pipeline.

    Raises:
        ImageError: no face is detected.
    """
    pixels, detector, recognizer = (
        images.load(photo),
        get_detector("yunet", device=device),
        load(model, threads=threads, device=device),
    )
    faces = len(recognizer.predict(photo).faces)
    if not faces:
        raise ImageError(f"{str(photo)!r}: no face detected. Give a photo with a face, or none to use a drawn face.")
    yield Stage("decode", 1, threads, lambda: images.load(photo))
    yield Stage("detector", 1, threads, lambda: detector.detect(pixels))
    yield Stage("end to end", 1, threads, lambda: recognizer.predict(photo))


def make_network_stages(
    bundle: Bundle, crop: NDArray[np.uint8], threads: int, flops: int, device: str = "auto"
) -> Iterable[Stage]:
    """Yield preprocessing and network in batches of 1, 8 and 64. flops: for one face."""
    spec = bundle.preprocess
    session = OnnxSession(bundle.graph, threads, device=device)
    for batch in BATCHES:
        crops = [crop] * batch
        ready = preprocess.apply(crops, spec)
        yield Stage("preprocessing", batch, threads, lambda crops=crops: preprocess.apply(crops, spec))  # type: ignore[misc]
        yield Stage("classifier", batch, threads, lambda ready=ready: session.logits(ready), flops * batch)  # type: ignore[misc]


def crop_first_face(photo: Path) -> NDArray[np.uint8]:
    """Return the crop of the best face of a photo, or of the whole photo if none is detected."""
    pixels, detector = images.load(photo), get_detector("yunet")
    detections = detector.detect(pixels)
    if detections:
        return cut(pixels, detections[0].box, detections[0].landmarks, detector.crop)
    return cut(pixels, Box(0, 0, float(pixels.shape[1]), float(pixels.shape[0])), None, WHOLE_CROP)


def list_commands(photo: Path, model: str, threads: int, device: str = "auto") -> dict[str, Sequence[str]]:
    """Return the commands of whole processes by name: imports alone, one photo, 64 faces."""
    one = ["-m", "mien", "predict", str(photo), "--model", model, "--threads", str(threads), "--device", device]
    started = {
        "imports alone": ["-c", _IMPORTS],
        "one photo": one,
        "64 faces": ["-c", _SIXTY_FOUR, model, str(threads), device],
    }
    return {name: [sys.executable, *command] for name, command in started.items()}
