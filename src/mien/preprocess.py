"""Face crop → network input: the only pixel path, called by training, evaluation and serving alike.

The spec that a network was trained with travels in its model file, so that no caller has to know it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np

from mien.errors import ImageError, ModelError, OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Interpolation = Literal["area", "bicubic", "bilinear"]
Standardise = Literal["none", "image", "fixed"]


@dataclass(frozen=True)
class PreprocessSpec:
    """What happens to a face crop before the network sees it, in the order of the fields.

    Attributes:
        grey: luminance 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601; system A).
        clahe: contrast-limited adaptive histogram equalisation at the crop's own size, before resizing (system A's
            Algorithm 1), with ``clahe_clip`` and ``clahe_tiles`` × ``clahe_tiles`` tiles.
        size: side of the square input in pixels.
        interpolation: ``area`` averages when it shrinks (no aliasing) and is bicubic when it enlarges; ``bicubic`` and
            ``bilinear`` sample without averaging, as the published systems do.
        scale: factor on the 0–255 values; 1/255 maps to [0, 1].
        standardise: ``image`` gives each crop zero mean and unit variance, so that exposure and contrast of the photo
            do not matter (a blank crop becomes zeros); ``fixed`` subtracts ``mean`` and divides by ``std`` (in units
            after ``scale``); ``none`` leaves the values.
        channels: 1, or 3 for networks that expect RGB; a grey picture is then repeated (pseudo-RGB).
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}

    grey: bool = True
    clahe: bool = False
    clahe_clip: float = 2.0
    clahe_tiles: int = 8
    size: int = 48
    interpolation: Interpolation = "area"
    scale: float = 1 / 255
    standardise: Standardise = "image"
    mean: float = 0.0
    std: float = 1.0
    channels: int = 1

    def __post_init__(self) -> None:
        self._check_numbers()
        if self.channels not in (1, 3) or (self.channels == 1 and not self.grey):
            raise OptionError(
                f"channels = {self.channels} with grey = {self.grey}: expected channels 1 with grey = true, "
                "or channels 3."
            )
        if not 8 <= self.size <= 1024:
            raise OptionError(f"size = {self.size}: expected 8 to 1024 pixels.")
        if self.std <= 0 or self.clahe_tiles < 1 or self.clahe_clip <= 0:
            raise OptionError("std, clahe_tiles and clahe_clip must be positive.")
        for name, allowed in (
            ("interpolation", ("area", "bicubic", "bilinear")),
            ("standardise", ("none", "image", "fixed")),
        ):
            if getattr(self, name) not in allowed:
                raise OptionError(f"{name} = {getattr(self, name)!r}: expected one of {', '.join(allowed)}.")

    def _check_numbers(self) -> None:
        """Check types, which a description in a file may have wrong. Raises ``OptionError``."""
        for name in ("clahe_clip", "scale", "mean", "std", "clahe_tiles", "size", "channels"):
            value, whole = getattr(self, name), name in ("clahe_tiles", "size", "channels")
            kind = Integral if whole else Real
            if not isinstance(value, kind) or isinstance(value, bool) or not math.isfinite(value):
                raise OptionError(f"{name} = {value!r}: expected a {'whole' if whole else 'finite'} number.")
        if self.scale <= 0:
            raise OptionError(f"scale = {self.scale}: expected a factor above 0, such as 1/255.")

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PreprocessSpec:
        """Rebuild a spec from ``to_dict``.

        Raises:
            ModelError: a field is missing or unknown.
        """
        expected = {field.name for field in fields(cls)}
        if set(values) != expected:
            odd = ", ".join(sorted(set(values) ^ expected))
            raise ModelError(f"Preprocess block with missing or unknown fields: {odd}. Export the model again.")
        return cls(**values)


class Crops(Protocol):
    """Face crops, uint8 arrays: a sequence, an array, or images that are read one after the other."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[NDArray[np.uint8]]: ...


def apply(crops: Crops, spec: PreprocessSpec) -> NDArray[np.float32]:
    """Turn N face crops into the network's input.

    Args:
        crops: uint8 arrays, each (H, W, 3) RGB or (H, W) grey, of any and of different sizes. Returns float32 (N,
            channels, size, size), C-contiguous.

    Raises:
        ImageError: another dtype or shape.
    """
    batch = np.empty((len(crops), spec.channels, spec.size, spec.size), np.float32)
    for index, crop in enumerate(crops):
        batch[index] = _one(crop, spec)
    return batch


def _one(crop: NDArray[np.uint8], spec: PreprocessSpec) -> NDArray[np.float32]:
    _check(crop)
    pixels = _resize(equalise(grey(crop) if spec.grey else rgb(crop), spec), spec)
    planes = pixels.astype(np.float32) * np.float32(spec.scale)
    planes = planes[None] if planes.ndim == 2 else planes.transpose(2, 0, 1)
    planes = _standardise(planes, spec)
    return np.repeat(planes, spec.channels, axis=0) if len(planes) < spec.channels else planes


def _check(crop: NDArray[np.uint8]) -> None:
    shape = getattr(crop, "shape", None)
    good = shape is not None and (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3))
    if not good or crop.dtype != np.uint8 or 0 in crop.shape:
        dtype = getattr(crop, "dtype", type(crop).__name__)
        raise ImageError(
            f"Face crop of shape {shape} and dtype {dtype}: expected uint8 (H, W, 3) RGB or (H, W) grey, not empty."
        )


def grey(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the luminance, uint8 (H, W), of (H, W, 3) RGB (ITU-R BT.601); a grey crop as it is."""
    import cv2

    return crop if crop.ndim == 2 else cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]


def rgb(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8 (H, W, 3): a grey crop's values three times; a colour crop as it is."""
    return np.repeat(crop[:, :, None], 3, axis=2) if crop.ndim == 2 else crop


def equalise(pixels: NDArray[np.uint8], spec: PreprocessSpec) -> NDArray[np.uint8]:
    """Return uint8 (H, W) or (H, W, 3) after the spec's CLAHE; of a colour crop the lightness (CIELAB) is equalised."""
    if not spec.clahe:
        return pixels
    import cv2

    clahe = cv2.createCLAHE(spec.clahe_clip, (spec.clahe_tiles, spec.clahe_tiles))
    if pixels.ndim == 2:
        return clahe.apply(pixels)  # type: ignore[return-value]
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
    lab[:, :, 0] = clahe.apply(lab[:, :, 0])
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)  # type: ignore[return-value]


def _resize(pixels: NDArray[np.uint8], spec: PreprocessSpec) -> NDArray[np.uint8]:
    import cv2

    if pixels.shape[:2] == (spec.size, spec.size):
        return pixels
    modes = {"bicubic": cv2.INTER_CUBIC, "bilinear": cv2.INTER_LINEAR}
    shrinks = min(pixels.shape[:2]) >= spec.size
    mode = modes.get(spec.interpolation, cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return cv2.resize(pixels, (spec.size, spec.size), interpolation=mode)  # type: ignore[return-value]


def _standardise(planes: NDArray[np.float32], spec: PreprocessSpec) -> NDArray[np.float32]:
    if spec.standardise == "fixed":
        return (planes - np.float32(spec.mean)) / np.float32(spec.std)
    if spec.standardise == "image":
        centred = planes - planes.mean()
        deviation = float(centred.std())
        # Below one grey level the crop holds noise only; dividing by it would blow that noise up to a face.
        return centred / np.float32(deviation) if deviation > spec.scale else np.zeros_like(centred)
    return planes
