"""Landmarks come from columns or a detector; what is not known is NaN, and only then the average."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from corpora import bars

from mien.datasets import landmarks
from mien.datasets.faces import FaceSet
from mien.errors import DataError
from mien.recognition.crop import CropSpec
from mien.recognition.detection.detect import Detection
from mien.results import Box

FACES = bars({"test": 1})


def told(**columns: Any) -> FaceSet:
    return replace(FACES, columns={name: np.array(values, object) for name, values in columns.items()})


def level(tilt: float) -> np.ndarray:
    """Eyes 20 pixels apart, turned by ``tilt`` degrees."""
    turn = np.radians(tilt)
    eye = np.array([10 * np.cos(turn), 10 * np.sin(turn)])
    return np.stack([24 - eye, 24 + eye, [24, 30], [18, 36], [30, 36]])


def test_columns_are_points_and_none_is_unknown() -> None:
    columns = {name: [float(place)] * 6 + [None] for place, name in enumerate(landmarks.COLUMNS)}
    found = landmarks.from_columns(told(**columns))
    assert found is not None
    np.testing.assert_array_equal(found[0], np.arange(10).reshape(5, 2))
    assert np.isnan(found[6]).all()
    assert landmarks.from_columns(FACES) is None
    assert landmarks.from_columns(told(nose_x=[1.0] * 7)) is None  # half a point is none


def test_eyes_alone_give_a_tilt() -> None:
    columns = {name: [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0] for name in landmarks.COLUMNS[:3]}
    found = landmarks.from_columns(told(left_eye_y=[1.0] * 7, **columns))
    assert found is not None
    assert np.isfinite(landmarks.tilt(found)[1:]).all()
    np.testing.assert_array_equal(landmarks.complete(found, 7, 48), landmarks.complete(None, 7, 48))


def test_a_column_of_words_is_refused() -> None:
    with pytest.raises(DataError, match="'nose_x' holds landmarks: expected numbers"):
        landmarks.from_columns(told(nose_x=["left"] * 7))


@pytest.mark.parametrize("degrees", [0, 7.5, -20, 44])
def test_tilt_is_the_angle_of_the_eyes_either_way(degrees: float) -> None:
    assert landmarks.tilt(level(degrees)[None])[0] == pytest.approx(abs(degrees))
    assert np.isnan(landmarks.tilt(np.full((1, 5, 2), np.nan))[0])


def test_gaps_are_filled_face_by_face() -> None:
    points = np.stack([level(3), level(4)])
    points[1, 2] = np.nan
    found = landmarks.complete(points, 2, 96)
    np.testing.assert_array_equal(found[0], points[0])
    np.testing.assert_allclose(found[1], landmarks.AVERAGE * 96)


class Sure:
    """Finds two faces in bright pictures, the smaller one first, and none in dark ones."""

    name, crop = "sure", CropSpec(1, 0, False)

    def detect(self, pixels: np.ndarray) -> tuple[Detection, ...]:
        assert pixels.shape == (48, 48, 3)
        near = [Detection(Box(0, 0, side, side), 0.9, tuple(map(tuple, level(side)))) for side in (9, 30)]
        return tuple(near) if pixels.mean() > 100 else ()


def test_a_detector_looks_at_the_crops() -> None:
    bright = np.where(np.arange(7)[:, None, None] < 4, np.uint8(200), np.asarray(FACES.pixels) // 4)
    found = landmarks.detect(replace(FACES, pixels=bright), Sure())
    np.testing.assert_allclose(landmarks.tilt(found)[:4], 30)
    assert np.isnan(found[4:]).all()
