"""Corrupt face crops at five severities: noise, blur, compression, lighting and occlusion.

Follows ImageNet-C (Hendrycks and Dietterich 2019) in most corruptions, the five severities and the mean over them. Its
strengths are meant for photos of 224 pixels; at 48 pixels many of them would make faces unrecognisable. So lengths are
given for 48 pixels and scale with the side of the crop, and noise levels lie between those of ImageNet-C and of
CIFAR-10-C (32 pixels). Added are darkening, and bars that occlude what glasses and masks cover. The tuples below hold
all strengths, severity 1 to 5.

Noise is added to each pixel whatever the size of the crop. A network that downscales larger crops averages much of it
out, so accuracies under noise and JPEG are comparable only between crops of one size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from mien.datasets import landmarks
from mien.errors import DataError, OptionError, nearest

SEVERITIES = (1, 2, 3, 4, 5)

SIDE = 48
"""Side of the crops that lengths in pixels are given for; they are scaled for other sizes."""

GLASSES_GREY, MASK_GREY = 20, 225
"""Grey levels of the bars: dark sunglasses and a light surgical mask."""

_CHUNK = 256  # faces converted to float at a time, which bounds memory

Faces = NDArray[np.uint8]
Strength = Any
Apply = Callable[[Faces, Strength, np.random.Generator, NDArray[np.float64]], NDArray[Any]]


@dataclass(frozen=True)
class Corruption:
    """A corruption.

    Attributes:
        name: as ``--corruptions`` has it.
        family: the panel of the plot that shows it.
        unit: unit of ``strengths``.
        strengths: one for each severity, 1 to 5.
        apply: takes faces, strength, generator and landmarks; returns values 0 to 255 that are not yet rounded.
    """

    name: str
    family: str
    unit: str
    strengths: tuple[Strength, ...]
    apply: Apply


def _add_noise(faces: Faces, strength: float, draw: np.random.Generator, _: Any) -> NDArray[Any]:
    return faces + draw.standard_normal(faces.shape, np.float32) * (255 * strength)


def _add_shot_noise(faces: Faces, photons: float, draw: np.random.Generator, _: Any) -> NDArray[Any]:
    return draw.poisson(faces / 255 * photons) * (255 / photons)


def _blur(faces: Faces, sigma: float, _draw: Any, _: Any) -> NDArray[Any]:
    import cv2

    wide = sigma * faces.shape[1] / SIDE
    return np.stack([cv2.GaussianBlur(face, (0, 0), wide, borderType=cv2.BORDER_REPLICATE) for face in faces])


def _smear(faces: Faces, length: float, draw: np.random.Generator, _: Any) -> NDArray[Any]:
    import cv2

    angles = draw.uniform(0, 180, len(faces))
    kernels = [streak(length * faces.shape[1] / SIDE, angle) for angle in angles]
    return np.stack(
        [
            cv2.filter2D(face, -1, kernel, borderType=cv2.BORDER_REPLICATE)
            for face, kernel in zip(faces, kernels, strict=True)
        ]
    )


def streak(length: float, angle: float) -> NDArray[np.float32]:
    """Return a motion-blur kernel of ``length`` pixels that sums to 1; its ends weigh by the part they cover."""
    import cv2

    half = int(np.ceil(length / 2))
    line = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    line[half] = np.clip(length / 2 + 0.5 - np.abs(np.arange(-half, half + 1)), 0, 1)
    turned = np.asarray(cv2.warpAffine(line, cv2.getRotationMatrix2D((half, half), angle, 1), line.shape), np.float32)
    kernel: NDArray[np.float32] = turned / turned.sum()
    return kernel


def _compress(faces: Faces, quality: int, _draw: Any, _: Any) -> NDArray[Any]:
    import cv2

    turned = faces if faces.ndim == 3 else faces[..., ::-1]  # OpenCV codes BGR
    coded = [cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for face in turned]
    decoded = np.stack([np.asarray(cv2.imdecode(file, cv2.IMREAD_UNCHANGED)) for file in coded])
    return decoded if faces.ndim == 3 else decoded[..., ::-1]


def _brighten(faces: Faces, shift: float, _draw: Any, _: Any) -> NDArray[Any]:
    return faces + np.float32(255 * shift)


def _flatten(faces: Faces, share: float, _draw: Any, _: Any) -> NDArray[Any]:
    means = faces.mean((1, 2), keepdims=True, dtype=np.float32)
    flattened: NDArray[Any] = means + (faces - means) * np.float32(share)
    return flattened


def _downscale(faces: Faces, side: float, _draw: Any, _: Any) -> NDArray[Any]:
    import cv2

    height, width = faces.shape[1:3]
    small = [max(2, round(side * length / SIDE)) for length in (width, height)]
    shrunk = (cv2.resize(face, small, interpolation=cv2.INTER_AREA) for face in faces)
    return np.stack([cv2.resize(face, (width, height), interpolation=cv2.INTER_CUBIC) for face in shrunk])


def _cover_eyes(faces: Faces, size: tuple[float, float], _draw: Any, points: NDArray[np.float64]) -> NDArray[Any]:
    height, width = size
    middles = points[:, :2].mean(1)
    return _paint_bars(faces, points, middles, (-height / 2, height / 2, width), GLASSES_GREY)


def _cover_mouth(
    faces: Faces, size: tuple[float, float, float], _draw: Any, points: NDArray[np.float64]
) -> NDArray[Any]:
    return _paint_bars(faces, points, points[:, 3:].mean(1), size, MASK_GREY)


def _paint_bars(
    faces: Faces, points: NDArray[np.float64], middles: NDArray[np.float64], size: tuple[float, float, float], grey: int
) -> NDArray[Any]:
    """Paint a bar parallel to the line between the eyes.

    Args:
        size: upper and lower edge relative to the middle, and width, in units of the distance between the eyes.
    """
    import cv2

    painted = faces.copy()
    top, bottom, width = size
    for face, (right, left), middle in zip(painted, points[:, :2], middles, strict=True):
        across = left - right
        down = np.array([-across[1], across[0]])
        corners = [
            middle + x * width / 2 * across + y * down for x, y in ((-1, top), (1, top), (1, bottom), (-1, bottom))
        ]
        cv2.fillConvexPoly(face, np.round(corners).astype(np.int32), (grey, grey, grey))
    return painted


_NOISE, _BLUR, _LIGHT, _HIDDEN = "noise and compression", "blur", "light", "hidden"

_ALL = (
    Corruption(
        "noise", _NOISE, "standard deviation, share of the grey range", (0.04, 0.08, 0.12, 0.18, 0.26), _add_noise
    ),
    Corruption("shot-noise", _NOISE, "photons of a white pixel", (250, 100, 50, 25, 12), _add_shot_noise),
    Corruption("blur", _BLUR, "standard deviation, pixels of 48", (0.5, 0.8, 1.2, 1.8, 2.5), _blur),
    Corruption("motion-blur", _BLUR, "length, pixels of 48", (3, 5, 7, 9, 13), _smear),
    Corruption("jpeg", _NOISE, "quality of libjpeg, 100 is best", (60, 40, 25, 15, 8), _compress),
    Corruption("brighter", _LIGHT, "added, share of the grey range", (0.1, 0.2, 0.3, 0.4, 0.5), _brighten),
    Corruption("darker", _LIGHT, "added, share of the grey range", (-0.1, -0.2, -0.3, -0.4, -0.5), _brighten),
    Corruption("contrast", _LIGHT, "share of the contrast that is left", (0.75, 0.5, 0.3, 0.15, 0.05), _flatten),
    Corruption("low-resolution", _BLUR, "side it was shrunk to, pixels of 48", (36, 28, 20, 16, 12), _downscale),
    Corruption(
        "glasses",
        _HIDDEN,
        "height and width of the bar over the eyes, in distances between the eyes",
        ((0.2, 1.4), (0.35, 1.6), (0.5, 1.8), (0.7, 2.0), (0.9, 2.4)),
        _cover_eyes,
    ),
    Corruption(
        "mask",
        _HIDDEN,
        "upper and lower edge from the mouth, and width of the bar, in distances between the eyes",
        ((-0.15, 0.15, 0.9), (-0.3, 0.3, 1.2), (-0.5, 0.5, 1.6), (-0.65, 0.8, 2.0), (-0.8, 1.2, 2.6)),
        _cover_mouth,
    ),
)

CORRUPTIONS = {corruption.name: corruption for corruption in _ALL}
"""Name → corruption, in display order."""

FAMILIES = {
    family: tuple(one.name for one in _ALL if one.family == family)
    for family in dict.fromkeys(one.family for one in _ALL)
}
"""Family → names of its corruptions, in display order; each family is a panel of the plot."""


def parse_names(text: str) -> tuple[str, ...]:
    """Parse ``all``, ``none`` or a list such as ``noise,blur``.

    Raises:
        OptionError: an unknown name, with the closest match.
    """
    if text in ("all", "none"):
        return tuple(CORRUPTIONS) if text == "all" else ()
    names = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    for name in names:
        if name not in CORRUPTIONS:
            known = ["all", "none", *CORRUPTIONS]
            raise OptionError(f"No corruption {name!r}; there are {', '.join(known)}.{nearest(name, known)}")
    if not names:
        raise OptionError("--corruptions is empty; expected all, none, or names such as noise,blur.")
    return names


def corrupt(
    faces: Faces, name: str, severity: int, *, points: NDArray[np.float64] | None = None, seed: int = 0
) -> Faces:
    """Return corrupted copies of the crops, uint8 of the same shape.

    Args:
        faces: uint8 (N, S, S) grey or (N, S, S, 3) RGB, 0 to 255; noise and contrast affect each channel separately.
        name: one of ``CORRUPTIONS``.
        severity: 1 to 5.
        points: float64 (N, 5, 2), landmarks in pixels of the crop, NaN where unknown. They place the bars; faces
            without landmarks get the average ones of aligned crops (``landmarks.AVERAGE``).
        seed: seed of the noise and of the motion directions. All severities use the same draw, so they differ in
            strength alone.

    Raises:
        OptionError: an unknown name or severity.
        DataError: arrays of the wrong shape or dtype.
    """
    if name not in CORRUPTIONS or severity not in SEVERITIES:
        raise OptionError(
            f"Corruption {name!r} of severity {severity}: expected 1 to 5 of {', '.join(CORRUPTIONS)}."
            f"{nearest(name, list(CORRUPTIONS))}"
        )
    _check(faces, points)
    how, draw = CORRUPTIONS[name], np.random.default_rng([seed, crc32(name.encode())])
    completed = landmarks.complete(points, len(faces), faces.shape[2])
    strength, corrupted = how.strengths[severity - 1], np.empty_like(faces)
    for start in range(0, len(faces), _CHUNK):
        rows = slice(start, start + _CHUNK)
        worse = how.apply(faces[rows], strength, draw, completed[rows])
        corrupted[rows] = np.clip(np.rint(worse), 0, 255)
    return corrupted


def _check(faces: Faces, points: NDArray[np.float64] | None) -> None:
    coloured = faces.ndim == 4 and faces.shape[3] == 3
    if not (faces.ndim == 3 or coloured) or faces.dtype != np.uint8 or not faces.size:
        raise DataError(
            f"Faces of shape {faces.shape} and {faces.dtype}; expected uint8 (N, S, S) grey or (N, S, S, 3) RGB, N at "
            "least 1."
        )
    expected = (len(faces), len(landmarks.POINTS), 2)
    if points is not None and points.shape != expected:
        raise DataError(f"Landmarks of shape {points.shape} for {len(faces)} faces; expected {expected}.")


def describe(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return name, unit and the five strengths of corruptions as rows of a table."""
    return [(name, CORRUPTIONS[name].unit, _format_strengths(CORRUPTIONS[name].strengths)) for name in names]


def _format_strengths(values: Sequence[Strength]) -> str:
    texts = [" / ".join(map(str, value)) if isinstance(value, tuple) else str(value) for value in values]
    return "; ".join(texts)
