"""The faces of a corpus as a network gets them, cut out once and kept for the next model.

Decoding and searching cost more than the network. What is kept depends on the pictures, the detector and its crop, so
these make up the file's name; a crop is stored without loss, and a model scored on stored crops gets the same numbers.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien import images
from mien.datasets.protocol import Frame, Material, Sample
from mien.errors import DataError
from mien.files import appearing
from mien.recognition.crop import cut
from mien.recognition.detect import Detector

Watch = Callable[[Iterable[Any]], Iterable[Any]]

FORMAT = 1
"""Counts changes of what a cached file holds; older files are then no longer looked for."""


@dataclass(frozen=True)
class Crops:
    """The crops of N samples, in their order.

    Attributes:
        pixels: N arrays uint8 (H, W) grey or (H, W, 3) RGB, of different sizes. A picture whose three channels are
            equal is kept as one, from which every ``PreprocessSpec`` makes the same input.
        detected: bool (N,), whether the detector found a face; where not, the crop is the whole picture.
        cached: whether they were read from the cache.
    """

    pixels: tuple[NDArray[np.uint8], ...] = field(repr=False)
    detected: NDArray[np.bool_]
    cached: bool = False


def collect(
    material: Material, frame: Frame, detector: Detector, cache: Path | None, watch: Watch | None = None
) -> Crops:
    """Return the crops of all samples, from the cache if they are there, else cut out and kept there.

    Args:
        material: the samples.
        frame: ``detector`` cuts out the largest face, ``own`` takes every picture whole.
        detector: what finds the faces.
        cache: the folder of kept crops; None keeps none.
        watch: wraps the samples, for a progress bar.

    Raises:
        DataError: a damaged file in the cache.
        ImageError: a picture that cannot be decoded.
    """
    if frame == "own" or cache is None:  # decoding alone takes no longer than reading a crop
        return cut_out(material.samples, frame, detector, watch)
    path = cache / f"{material.entry.name}-{_key(material, detector)}.npz"
    if path.exists():
        return _read(path, len(material.samples))
    crops = cut_out(material.samples, frame, detector, watch)
    _write(path, crops)
    return crops


def cut_out(samples: Sequence[Sample], frame: Frame, detector: Detector, watch: Watch | None = None) -> Crops:
    """Decode, detect and crop as ``mien predict`` does; of several faces the largest counts."""
    crops = [_one(sample, frame, detector) for sample in (watch(samples) if watch else samples)]
    return Crops(tuple(pixels for pixels, _ in crops), np.array([detected for _, detected in crops], bool))


def _one(sample: Sample, frame: Frame, detector: Detector) -> tuple[NDArray[np.uint8], bool]:
    pixels = images.load(sample.image)
    faces = detector.detect(pixels) if frame == "detector" else ()
    if not faces:
        return _lean(pixels), False
    face = max(faces, key=lambda one: one.box.width * one.box.height)
    return _lean(cut(pixels, face.box, face.landmarks, detector.crop)), True


def _lean(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all()
    return np.ascontiguousarray(pixels[..., 0]) if grey else pixels


def _key(material: Material, detector: Detector) -> str:
    import cv2

    # OpenCV runs the detector and turns the crop; another version may answer a little differently.
    limits = getattr(detector, "limits", None)  # a detector of the caller's own need not have any
    made = {"format": FORMAT, "detector": detector.name, "limits": limits and asdict(limits),
            "crop": asdict(detector.crop), "opencv": cv2.__version__, "corpus": material.digest()}  # fmt: skip
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:32]


def _write(path: Path, crops: Crops) -> None:
    import cv2

    files = [cv2.imencode(".png", _bgr(crop), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].ravel() for crop in crops.pixels]
    path.parent.mkdir(parents=True, exist_ok=True)
    with appearing(path) as draft, draft.open("wb") as stream:  # a stream, as NumPy would append .npz to a name
        np.savez(
            stream,
            content=np.concatenate(files),
            ends=np.cumsum([len(file) for file in files]),
            detected=crops.detected,
        )


def _read(path: Path, count: int) -> Crops:
    try:
        with np.load(path, allow_pickle=False) as stored:
            content, ends, detected = stored["content"], stored["ends"], stored["detected"]
        pixels = tuple(_decoded(content[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} holds no crops: {error}. Delete it; it is made again.") from error
    if len(pixels) != count or len(detected) != count:
        raise DataError(f"{path} holds {len(pixels)} crops; expected {count}. Delete it; it is made again.")
    return Crops(pixels, detected.astype(bool), cached=True)


def _decoded(file: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    pixels = cv2.imdecode(file, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("a crop is no PNG")
    return _bgr(np.asarray(pixels, np.uint8))


def _bgr(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Swap red and blue of (H, W, 3), in either direction; grey stays."""
    return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])
