"""Crop the faces of a corpus as the network sees them, and cache the crops for the next model.

Decoding and detection cost more than the network. The crops depend on the images, the detector and its crop, so the
cache key is made of these. Crops are stored losslessly, so a model scores the same on cached crops.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien import images
from mien.datasets.protocol import Frame, Material, Sample
from mien.datasets.sources.streams import BROKEN
from mien.errors import DataError
from mien.files import appearing
from mien.recognition.crop import cut
from mien.recognition.detection.detect import Detector

Watch = Callable[[Iterable[Any]], Iterable[Any]]

FORMAT = 1
"""Version of the cache format; files of older versions are ignored."""


@dataclass(frozen=True)
class Crops:
    """The crops of N samples, in their order.

    Attributes:
        pixels: N arrays uint8 (H, W) grey or (H, W, 3) RGB, of different sizes. A picture whose three channels are
            equal is kept as one channel, from which every ``PreprocessSpec`` makes the same input.
        detected: bool (N,), whether the detector found a face; if not, the crop is the whole picture.
        cached: whether they were read from the cache.
    """

    pixels: tuple[NDArray[np.uint8], ...] = field(repr=False)
    detected: NDArray[np.bool_]
    cached: bool = False


def collect(
    material: Material, frame: Frame, detector: Detector, cache: Path | None, watch: Watch | None = None
) -> Crops:
    """Return the crops of all samples from the cache, or cut them out and cache them.

    Args:
        material: the samples.
        frame: ``detector`` cuts out the largest face, ``own`` uses every picture whole.
        detector: the face detector.
        cache: the cache folder; None disables the cache.
        watch: wraps the samples, for a progress bar.

    Raises:
        DataError: a damaged file in the cache.
        ImageError: a picture that cannot be decoded.
    """
    if frame == "own" or cache is None:  # decoding alone takes no longer than reading a crop
        return cut_out(material.samples, frame, detector, watch)
    path = cache / f"{material.entry.name}-{_compute_key(material, detector)}.npz"
    if path.exists():
        return _read(path, len(material.samples))
    crops = cut_out(material.samples, frame, detector, watch)
    _write(path, crops)
    return crops


def cut_out(samples: Sequence[Sample], frame: Frame, detector: Detector, watch: Watch | None = None) -> Crops:
    """Decode, detect and crop as ``mien predict`` does; of several faces the largest counts."""
    crops = [_cut_one(sample, frame, detector) for sample in (watch(samples) if watch else samples)]
    return Crops(tuple(pixels for pixels, _ in crops), np.array([detected for _, detected in crops], bool))


def _cut_one(sample: Sample, frame: Frame, detector: Detector) -> tuple[NDArray[np.uint8], bool]:
    pixels = images.load(sample.image)
    faces = detector.detect(pixels) if frame == "detector" else ()
    if not faces:
        return _drop_equal_channels(pixels), False
    face = max(faces, key=lambda one: one.box.width * one.box.height)
    return _drop_equal_channels(cut(pixels, face.box, face.landmarks, detector.crop)), True


def _drop_equal_channels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all()
    return np.ascontiguousarray(pixels[..., 0]) if grey else pixels


def _compute_key(material: Material, detector: Detector) -> str:
    import cv2

    # OpenCV runs the detector and rotates the crop; another version may give slightly different results.
    limits = getattr(detector, "limits", None)  # a custom detector need not have any
    made = {"format": FORMAT, "detector": detector.name, "limits": limits and asdict(limits),
            "crop": asdict(detector.crop), "opencv": cv2.__version__, "corpus": material.digest()}  # fmt: skip
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:32]


def _write(path: Path, crops: Crops) -> None:
    import cv2

    files = [
        cv2.imencode(".png", _swap_channels(crop), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].ravel() for crop in crops.pixels
    ]
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
        pixels = tuple(_decode(content[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True))
    except (*BROKEN, KeyError) as error:
        raise DataError(f"{path} is not a cache of crops: {error}. Delete it; it will be created again.") from error
    if len(pixels) != count or len(detected) != count:
        raise DataError(f"{path} holds {len(pixels)} crops; expected {count}. Delete it; it will be created again.")
    return Crops(pixels, detected.astype(bool), cached=True)


def _decode(file: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    pixels = cv2.imdecode(file, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("a crop is not a PNG")
    return _swap_channels(np.asarray(pixels, np.uint8))


def _swap_channels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Swap the red and blue channels of (H, W, 3); leave grey (H, W) as it is."""
    return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])
