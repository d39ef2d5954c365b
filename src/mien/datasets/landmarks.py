"""Five points of a face in its crop, where a manifest or a detector says them, and where they are on average."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets.faces import FaceSet
from mien.errors import DataError
from mien.preprocess import rgb

if TYPE_CHECKING:
    from mien.recognition.detect import Detector

    Watch = Callable[[Iterable[Any]], Iterable[Any]]

POINTS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
"""In the order of the detectors; right is the person's right, the picture's left."""

COLUMNS = tuple(f"{point}_{axis}" for point in POINTS for axis in "xy")
"""The columns of a manifest that hold them, numbers in pixels of the crop; ``mien data prepare`` writes them."""

AVERAGE = np.array([(0.316, 0.391), (0.682, 0.391), (0.494, 0.598), (0.355, 0.767), (0.652, 0.766)])
"""Where the points are in FER2013's framing, in sides of the crop: medians of what YuNet finds in 600 Training faces
drawn at random (it finds 98 %); a face's own points are off by 0.06 to 0.11 (one standard deviation)."""


def of_columns(faces: FaceSet) -> NDArray[np.float64] | None:
    """Return float64 (N, 5, 2), x and y in pixels of the crop, NaN where unknown; None if no column says any.

    Raises ``DataError`` for a column that holds no numbers.
    """
    known = [name for name in COLUMNS if name in faces.columns]
    if not known:
        return None
    found = np.full((len(faces), len(COLUMNS)), np.nan)
    for name in known:
        try:
            found[:, COLUMNS.index(name)] = [np.nan if value is None else value for value in faces.columns[name]]
        except (TypeError, ValueError) as error:
            raise DataError(f"The column {name!r} holds landmarks: expected numbers, pixels. {error}") from error
    points = found.reshape(len(faces), len(POINTS), 2)
    points[np.isnan(points).any(2)] = np.nan
    return None if np.isnan(points).all() else points


def detected(faces: FaceSet, detector: Detector, watch: Watch | None = None) -> NDArray[np.float64]:
    """Look for landmarks in the crops themselves: as ``of_columns``, NaN for faces that the detector does not find."""
    found = np.full((len(faces), len(POINTS), 2), np.nan)
    places: Iterable[int] = range(len(faces))
    for place in watch(places) if watch else places:
        seen = detector.detect(rgb(faces.pixels[place]))
        largest = max(seen, key=lambda one: one.box.width * one.box.height, default=None)
        if largest is not None and largest.landmarks is not None:
            found[place] = largest.landmarks
    return found


def complete(points: NDArray[np.float64] | None, count: int, side: int) -> NDArray[np.float64]:
    """Return float64 (count, 5, 2) without gaps: the points that are known, and ``AVERAGE`` for the faces without.

    A face that lacks one of its points gets all five from the average, as points of two sources fit no one face.
    """
    average = np.broadcast_to(AVERAGE * side, (count, *AVERAGE.shape))
    if points is None:
        return average.copy()
    whole = np.asarray(~np.isnan(points).any((1, 2)), bool)
    return np.where(whole[:, None, None], points, average)


def tilt(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return float64 (N,): by how many degrees the line through the eyes is off level, 0 to 180, either way; NaN
    where an eye is unknown."""
    across = points[:, 1] - points[:, 0]
    degrees: NDArray[np.float64] = np.abs(np.degrees(np.arctan2(across[:, 1], across[:, 0])))
    return degrees
