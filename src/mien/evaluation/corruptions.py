"""Faces made worse on purpose, in five severities: noise, blur, compression, light, and what hides eyes or mouth.

After Hendrycks and Dietterich 2019 (ImageNet-C): most kinds, the five severities, the mean over them. Their strengths
are for photos of 224 pixels; at 48 pixels many of them would leave no face that anybody could read. So they are scaled:
lengths go with the side of the crop, and are written for 48 pixels; noise lies between ImageNet-C's and that of its
companion for 32 pixels, CIFAR-10-C. Added are the dark half of brightness, and bars that hide what glasses and masks
hide. The tuples below are all the constants there are, severity 1 to 5.

Noise is of each pixel of the crop, whatever its side: a network that shrinks larger crops averages much of it away, so
that accuracies under noise and JPEG compare between crops of one size only.
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
"""Side of the crops for which lengths in pixels are written; those of other crops are scaled."""

GLASSES_GREY, MASK_GREY = 20, 225
"""Grey levels of the bars: dark sunglasses and a pale surgical mask."""

_ONCE = 256  # faces that are held as float at a time

Faces = NDArray[np.uint8]
Strength = Any
Apply = Callable[[Faces, Strength, np.random.Generator, NDArray[np.float64]], NDArray[Any]]


@dataclass(frozen=True)
class Corruption:
    """One way to make faces worse. unit: of ``strengths``, severity 1 to 5."""

    name: str
    unit: str
    strengths: tuple[Strength, ...]
    apply: Apply


def _noise(faces: Faces, strength: float, draw: np.random.Generator, _: Any) -> NDArray[Any]:
    return faces + draw.standard_normal(faces.shape, np.float32) * (255 * strength)


def _shot(faces: Faces, photons: float, draw: np.random.Generator, _: Any) -> NDArray[Any]:
    return draw.poisson(faces / 255 * photons) * (255 / photons)


def _blur(faces: Faces, sigma: float, _draw: Any, _: Any) -> NDArray[Any]:
    import cv2

    wide = sigma * faces.shape[1] / SIDE
    return np.stack([cv2.GaussianBlur(face, (0, 0), wide, borderType=cv2.BORDER_REPLICATE) for face in faces])


def _motion(faces: Faces, length: float, draw: np.random.Generator, _: Any) -> NDArray[Any]:
    import cv2

    angles = draw.uniform(0, 180, len(faces))
    kernels = [streak(length * faces.shape[1] / SIDE, angle) for angle in angles]
    return np.stack(
        [
            cv2.filter2D(face, -1, each, borderType=cv2.BORDER_REPLICATE)
            for face, each in zip(faces, kernels, strict=True)
        ]
    )


def streak(length: float, angle: float) -> NDArray[np.float32]:
    """Return the kernel of a movement by ``length`` pixels, summing to 1; its ends count by the part they cover."""
    import cv2

    half = int(np.ceil(length / 2))
    line = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    line[half] = np.clip(length / 2 + 0.5 - np.abs(np.arange(-half, half + 1)), 0, 1)
    turned = np.asarray(cv2.warpAffine(line, cv2.getRotationMatrix2D((half, half), angle, 1), line.shape), np.float32)
    kernel: NDArray[np.float32] = turned / turned.sum()
    return kernel


def _jpeg(faces: Faces, quality: int, _draw: Any, _: Any) -> NDArray[Any]:
    import cv2

    turned = faces if faces.ndim == 3 else faces[..., ::-1]  # OpenCV codes BGR
    coded = [cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for face in turned]
    decoded = np.stack([np.asarray(cv2.imdecode(each, cv2.IMREAD_UNCHANGED)) for each in coded])
    return decoded if faces.ndim == 3 else decoded[..., ::-1]


def _light(faces: Faces, shift: float, _draw: Any, _: Any) -> NDArray[Any]:
    return faces + np.float32(255 * shift)


def _contrast(faces: Faces, share: float, _draw: Any, _: Any) -> NDArray[Any]:
    means = faces.mean((1, 2), keepdims=True, dtype=np.float32)
    found: NDArray[Any] = means + (faces - means) * np.float32(share)
    return found


def _resolution(faces: Faces, side: float, _draw: Any, _: Any) -> NDArray[Any]:
    import cv2

    height, width = faces.shape[1:3]
    small = [max(2, round(side * length / SIDE)) for length in (width, height)]
    shrunk = (cv2.resize(face, small, interpolation=cv2.INTER_AREA) for face in faces)
    return np.stack([cv2.resize(face, (width, height), interpolation=cv2.INTER_CUBIC) for face in shrunk])


def _glasses(faces: Faces, size: tuple[float, float], _draw: Any, points: NDArray[np.float64]) -> NDArray[Any]:
    height, width = size
    middles = points[:, :2].mean(1)
    return _bars(faces, points, middles, (-height / 2, height / 2, width), GLASSES_GREY)


def _mask(faces: Faces, size: tuple[float, float, float], _draw: Any, points: NDArray[np.float64]) -> NDArray[Any]:
    return _bars(faces, points, points[:, 3:].mean(1), size, MASK_GREY)


def _bars(
    faces: Faces, points: NDArray[np.float64], middles: NDArray[np.float64], size: tuple[float, float, float], grey: int
) -> NDArray[Any]:
    """Paint a bar along the line of the eyes. size: its upper and lower edge from the middle, and its width, in
    distances between the eyes."""
    import cv2

    found = faces.copy()
    top, bottom, width = size
    for face, (right, left), middle in zip(found, points[:, :2], middles, strict=True):
        across = left - right
        down = np.array([-across[1], across[0]])
        corners = [
            middle + x * width / 2 * across + y * down for x, y in ((-1, top), (1, top), (1, bottom), (-1, bottom))
        ]
        cv2.fillConvexPoly(face, np.round(corners).astype(np.int32), (grey, grey, grey))
    return found


_ALL = (
    Corruption("noise", "standard deviation, share of the grey range", (0.04, 0.08, 0.12, 0.18, 0.26), _noise),
    Corruption("shot-noise", "photons of a white pixel", (250, 100, 50, 25, 12), _shot),
    Corruption("blur", "standard deviation, pixels of 48", (0.5, 0.8, 1.2, 1.8, 2.5), _blur),
    Corruption("motion-blur", "length, pixels of 48", (3, 5, 7, 9, 13), _motion),
    Corruption("jpeg", "quality of libjpeg, 100 is best", (60, 40, 25, 15, 8), _jpeg),
    Corruption("brighter", "added, share of the grey range", (0.1, 0.2, 0.3, 0.4, 0.5), _light),
    Corruption("darker", "added, share of the grey range", (-0.1, -0.2, -0.3, -0.4, -0.5), _light),
    Corruption("contrast", "share of the contrast that is left", (0.75, 0.5, 0.3, 0.15, 0.05), _contrast),
    Corruption("low-resolution", "side it was shrunk to, pixels of 48", (36, 28, 20, 16, 12), _resolution),
    Corruption(
        "glasses",
        "height and width of the bar over the eyes, in distances between the eyes",
        ((0.2, 1.4), (0.35, 1.6), (0.5, 1.8), (0.7, 2.0), (0.9, 2.4)),
        _glasses,
    ),
    Corruption(
        "mask",
        "upper and lower edge from the mouth, and width of the bar, in distances between the eyes",
        ((-0.15, 0.15, 0.9), (-0.3, 0.3, 1.2), (-0.5, 0.5, 1.6), (-0.65, 0.8, 2.0), (-0.8, 1.2, 2.6)),
        _mask,
    ),
)

CORRUPTIONS = {each.name: each for each in _ALL}
"""Name → corruption, in the order of the tables."""


def chosen(text: str) -> tuple[str, ...]:
    """Read ``all``, ``none`` or ``noise,blur``. Raises ``OptionError`` naming the nearest corruption."""
    if text in ("all", "none"):
        return tuple(CORRUPTIONS) if text == "all" else ()
    names = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    for name in names:
        if name not in CORRUPTIONS:
            known = ["all", "none", *CORRUPTIONS]
            raise OptionError(f"No corruption {name!r}; there are {', '.join(known)}.{nearest(name, known)}")
    if not names:
        raise OptionError("--corruptions names none; expected all, none, or names such as noise,blur.")
    return names


def corrupt(
    faces: Faces, name: str, severity: int, *, points: NDArray[np.float64] | None = None, seed: int = 0
) -> Faces:
    """Return the crops made worse, uint8 of the shape given; those given stay as they are.

    faces:  uint8 (N, S, S) grey or (N, S, S, 3) RGB, 0 to 255; noise and contrast change each channel by itself.
    name:   one of ``CORRUPTIONS``.  severity: 1 to 5.
    points: float64 (N, 5, 2), landmarks in pixels of the crop, NaN where unknown. Bars go where they say, for faces
            without to where they are on average in aligned crops (``landmarks.AVERAGE``).
    seed:   of the noise and of the directions of movement. All severities start from the same draw, so that noise
            and movement differ in strength alone.
    Raises ``OptionError`` for an unknown name or severity, ``DataError`` for arrays of another kind.
    """
    if name not in CORRUPTIONS or severity not in SEVERITIES:
        raise OptionError(
            f"Corruption {name!r} of severity {severity}: expected 1 to 5 of {', '.join(CORRUPTIONS)}."
            f"{nearest(name, list(CORRUPTIONS))}"
        )
    _check(faces, points)
    how, draw = CORRUPTIONS[name], np.random.default_rng([seed, crc32(name.encode())])
    places = landmarks.complete(points, len(faces), faces.shape[2])
    strength, found = how.strengths[severity - 1], np.empty_like(faces)
    for start in range(0, len(faces), _ONCE):
        rows = slice(start, start + _ONCE)
        worse = how.apply(faces[rows], strength, draw, places[rows])
        found[rows] = np.clip(np.rint(worse), 0, 255)
    return found


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


def described(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return name, unit and the five strengths of corruptions, as a table says them."""
    return [(name, CORRUPTIONS[name].unit, _strengths(CORRUPTIONS[name].strengths)) for name in names]


def _strengths(values: Sequence[Strength]) -> str:
    texts = [" / ".join(map(str, each)) if isinstance(each, tuple) else str(each) for each in values]
    return "; ".join(texts)
