"""Where a face looks, estimated from the five landmarks that detectors give.

The landmarks are taken for the picture, without perspective, of one rigid head (the first step of DeMenthon & Davis
1995, 10.1007/BF01450852). Faces differ from that head, so that angles are good to several degrees, no more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_HEAD = (
    (-0.5, 0.0, 0.0),
    (0.5, 0.0, 0.0),
    (0.0, 0.585, -0.5),
    (-0.43, 1.03, -0.1),
    (0.43, 1.03, -0.1),
)
"""Right eye, left eye, nose, right and left mouth corner in distances between the pupils: x to the picture's right, y
down, z away from the camera. Medians of YuNet's landmarks on 120 frontal photos of KDEF and CK+; the depths are
estimates, the nose's that of ``recognition.quality``."""


@dataclass(frozen=True)
class Pose:
    """Where a face looks, in degrees; 0, 0, 0 looks into the camera.

    Attributes:
        yaw: above 0 to the picture's right, -90 to 90.
        pitch: above 0 up, -90 to 90 for a face that is seen.
        roll: above 0 with the head tilted clockwise in the picture, -180 to 180.
    """

    yaw: float
    pitch: float
    roll: float

    def to_dict(self) -> dict[str, float]:
        """Return ``{"yaw", "pitch", "roll"}``."""
        return asdict(self)


def estimate(landmarks: Sequence[tuple[float, float]]) -> Pose | None:
    """Return the pose of a face with five landmarks in the order of ``Face.landmarks``.

    None where they are not five, or lie on one point or one line.
    """
    import numpy as np

    if len(landmarks) != len(_HEAD):
        return None
    points = np.asarray(landmarks, np.float64)
    projection = (points - points.mean(0)).T @ _solver()
    left, sizes, right = np.linalg.svd(projection, full_matrices=False)
    if not sizes[1] > 1e-6 * sizes[0]:
        return None
    across, down = left @ right  # the nearest pair of directions that are at right angles
    return _angles(across, down, np.cross(across, down))


def _angles(across: NDArray[np.float64], down: NDArray[np.float64], away: NDArray[np.float64]) -> Pose:
    """Return the angles of a rotation, given by its rows, that turns by pitch, then by yaw, then by roll."""
    yaw = math.asin(max(-1.0, min(1.0, float(away[0]))))
    pitch = -math.atan2(float(away[1]), float(away[2]))
    roll = math.atan2(float(down[0]), float(across[0]))
    return Pose(math.degrees(yaw), math.degrees(pitch), math.degrees(roll))


@cache
def _solver() -> NDArray[np.float64]:
    """Return float64 (5, 3): what turns centred landmarks into the projection of the head, by least squares."""
    import numpy as np

    head = np.array(_HEAD)
    return np.linalg.pinv(head - head.mean(0)).T
