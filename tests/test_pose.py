"""Head pose: angles of a turned model are given back, those of frontal photos are small."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import mien
from mien.pose import _HEAD, Pose, estimate


def seen(yaw: float, pitch: float, roll: float) -> list[tuple[float, float]]:
    """Return the landmarks of the model head, turned, in a picture of 300 pixels."""
    a, b, c = (math.radians(angle) for angle in (-yaw, -pitch, roll))
    about_y = np.array([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]])
    about_z = np.array([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    points = np.array(_HEAD) @ (about_z @ about_y @ about_x).T
    return [(150 + 40 * x, 150 + 40 * y) for x, y, _ in points.tolist()]


@pytest.mark.parametrize(("yaw", "pitch", "roll"), list(product((-60, -20, 0, 35), (-30, 0, 25), (-170, -15, 0, 90))))
def test_a_turned_head_is_given_back(yaw: float, pitch: float, roll: float) -> None:
    pose = estimate(seen(yaw, pitch, roll))
    assert pose is not None
    assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx((yaw, pitch, roll), abs=1e-6)


def test_signs() -> None:
    """The nose goes where the face looks."""
    straight, right, up = (seen(*angles)[2] for angles in ((0, 0, 0), (20, 0, 0), (0, 20, 0)))
    assert right[0] > straight[0]
    assert up[1] < straight[1]


def test_no_pose_without_landmarks_that_tell() -> None:
    assert estimate([(3.0, 4.0)] * 5) is None
    assert estimate([(float(x), 2.0 * x) for x in range(5)]) is None
    assert estimate([(0.0, 0.0), (1.0, 0.0)]) is None
    assert Pose(1, 2, 3).to_dict() == {"yaw": 1, "pitch": 2, "roll": 3}


def test_a_photo_has_the_pose_that_people_see(model: Path, examples: Path) -> None:
    """The astronaut looks into the camera with her head tilted a little."""
    (face,) = mien.load(model, threads=1).predict(examples / "astronaut.jpg").faces
    assert face.pose is not None
    assert abs(face.pose.yaw) < 25
    assert abs(face.pose.pitch) < 20
    assert abs(face.pose.roll) < 20
    assert mien.load(model, detector="haar", threads=1).predict(examples / "astronaut.jpg")[0].pose is None
