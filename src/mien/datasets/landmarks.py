"""Five landmarks of a face in its crop: from a manifest, from a detector, or the average positions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets.faces import FaceSet
from mien.errors import DataError
from mien.preprocess import rgb

if TYPE_CHECKING:
    from mien.recognition.detection.detect import Detector

    Watch = Callable[[Iterable[Any]], Iterable[Any]]

POINTS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
"""In the order of the detectors; right is the person's right, the image's left."""

COLUMNS = tuple(f"{point}_{axis}" for point in POINTS for axis in "xy")
"""The manifest's columns of landmarks, in pixels of the crop; ``mien data prepare`` writes them."""

AVERAGE = np.array([(0.316, 0.391), (0.682, 0.391), (0.494, 0.598), (0.355, 0.767), (0.652, 0.766)])
"""Average landmarks in FER2013's framing, as shares of the crop's side: medians of YuNet's detections in 600 random
Training faces (98 % detected); individual faces deviate by 0.06 to 0.11 (one standard deviation)."""


def from_columns(faces: FaceSet) -> NDArray[np.float64] | None:
    """Read landmarks from the columns of a face set.

    Returns:
        float64 (N, 5, 2), x and y in pixels of the crop, NaN where unknown; None if no landmark is known.

    Raises:
        DataError: a column holds something other than numbers.
    """
    known = [name for name in COLUMNS if name in faces.columns]
    if not known:
        return None
    coordinates = np.full((len(faces), len(COLUMNS)), np.nan)
    for name in known:
        try:
            coordinates[:, COLUMNS.index(name)] = [np.nan if value is None else value for value in faces.columns[name]]
        except (TypeError, ValueError) as error:
            raise DataError(f"The column {name!r} holds landmarks: expected numbers, pixels. {error}") from error
    points = coordinates.reshape(len(faces), len(POINTS), 2)
    points[np.isnan(points).any(2)] = np.nan
    return None if np.isnan(points).all() else points


def detect(faces: FaceSet, detector: Detector, watch: Watch | None = None) -> NDArray[np.float64]:
    """Detect landmarks in the crops: float64 (N, 5, 2) as ``from_columns``, NaN for faces without a detection."""
    points = np.full((len(faces), len(POINTS), 2), np.nan)
    rows: Iterable[int] = range(len(faces))
    for row in watch(rows) if watch else rows:
        detections = detector.detect(rgb(faces.pixels[row]))
        largest = max(detections, key=lambda detection: detection.box.width * detection.box.height, default=None)
        if largest is not None and largest.landmarks is not None:
            points[row] = largest.landmarks
    return points


def complete(points: NDArray[np.float64] | None, count: int, side: int) -> NDArray[np.float64]:
    """Fill gaps with ``AVERAGE`` and return float64 (count, 5, 2).

    A face that lacks any point gets all five from the average, as points of two sources do not fit together.
    """
    average = np.broadcast_to(AVERAGE * side, (count, *AVERAGE.shape))
    if points is None:
        return average.copy()
    whole = np.asarray(~np.isnan(points).any((1, 2)), bool)
    return np.where(whole[:, None, None], points, average)


def tilt(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure the tilt of the line through the eyes: float64 (N,), degrees from 0 to 180; NaN without both eyes."""
    across = points[:, 1] - points[:, 0]
    degrees: NDArray[np.float64] = np.abs(np.degrees(np.arctan2(across[:, 1], across[:, 0])))
    return degrees
