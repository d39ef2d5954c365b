"""Cutting the face out: exact where nothing turns, level where eyes are known, and never a crash."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support import gradient, noise

from mien.errors import ImageError, OptionError
from mien.recognition.crop import CropSpec, corners, cut
from mien.results import Box

PLAIN = CropSpec(1.0, 0.0, False)
ALIGNED = CropSpec(1.0, 0.0, True)


def test_slices_exactly() -> None:
    picture = noise(100, 120)
    assert np.array_equal(cut(picture, Box(30, 20, 40, 40), None, PLAIN), picture[20:60, 30:70])
    assert np.array_equal(cut(picture[:, :, 0], Box(30, 20, 40, 40), None, PLAIN), picture[20:60, 30:70, 0])


def test_the_crop_is_its_own_memory() -> None:
    picture = noise(50, 50)
    cut(picture, Box(10, 10, 20, 20), None, PLAIN)[:] = 0
    assert np.array_equal(picture, noise(50, 50))


def test_scale_and_shift() -> None:
    picture = noise(200, 200)
    crop = cut(picture, Box(80, 60, 40, 90), None, CropSpec(1.5, 0.1, False))
    # side 1.5·√(40·90) = 90, centre (100, 105 + 9).
    assert np.array_equal(crop, picture[69:159, 55:145])


def test_border_is_repeated() -> None:
    picture = gradient(50, 50)
    crop = cut(picture, Box(-20, -10, 40, 40), None, PLAIN)
    assert crop.shape == (40, 40, 3)
    assert np.array_equal(crop[10:, 20:], picture[:30, :20])
    assert (crop[:10, :20] == picture[0, 0]).all()
    assert np.array_equal(crop[10:, 0], picture[:30, 0])


def test_whole_picture_is_handed_on_unchanged() -> None:
    picture = noise(30, 700)
    assert cut(picture, Box(0, 0, 700, 30), None, PLAIN) is picture


def test_large_faces_are_shrunk_by_averaging() -> None:
    picture = np.zeros((2000, 2000, 3), np.uint8)
    picture[::2] = 200
    for marks in (None, ((700.0, 800.0), (1300.0, 1010.0))):
        crop = cut(picture, Box(400, 400, 1200, 1200), marks, ALIGNED)
        assert crop.shape == (512, 512, 3)
        assert np.abs(crop.astype(int) - 100).max() < 40


@pytest.mark.parametrize("angle", [-40, -12, 3, 25, 44])
def test_eyes_become_level(angle: float) -> None:
    picture = np.zeros((240, 240), np.uint8)
    radians = math.radians(angle)
    across = np.array([math.cos(radians), math.sin(radians)])
    marks = [(float(120 + 30 * side * across[0]), float(100 + 30 * side * across[1])) for side in (-1, 1)]
    for x, y in marks:
        yy, xx = np.mgrid[0:240, 0:240]
        # A mark at (x, y) lies between pixels, whose centres are at + 0.5.
        picture = np.maximum(picture, (255 * np.exp(-((xx + 0.5 - x) ** 2 + (yy + 0.5 - y) ** 2) / 8)).astype(np.uint8))
    crop = cut(picture, Box(70, 70, 100, 100), marks, ALIGNED).astype(float)
    assert crop.shape == (100, 100)
    centres = []
    for half in (crop[:, :50], crop[:, 50:]):
        yy, xx = np.mgrid[0:100, 0:50]
        centres.append((float((half * xx).sum() / half.sum()), float((half * yy).sum() / half.sum())))
    (x0, y0), (x1, y1) = centres
    assert y0 == pytest.approx(y1, abs=0.3)
    assert x1 + 50 - x0 == pytest.approx(60, abs=0.3)


def test_turn_is_limited_and_small_tilts_are_left() -> None:
    picture = noise(100, 100)
    box = Box(30, 30, 40, 40)
    upright = picture[30:70, 30:70]
    assert np.array_equal(cut(picture, box, ((40.0, 45.0), (60.0, 45.2)), ALIGNED), upright)
    assert np.array_equal(cut(picture, box, ((40.0, 45.0), (40.0, 45.0)), ALIGNED), upright)
    steep = cut(picture, box, ((50.0, 40.0), (50.0, 60.0)), ALIGNED)
    limit = cut(picture, box, ((40.0, 40.0), (60.0, 60.0)), ALIGNED)
    assert np.array_equal(steep, limit)


@pytest.mark.parametrize("marks", [None, ((2.0, 1.0), (9.0, 4.0))])
@pytest.mark.parametrize("size", [(1, 1), (1, 80), (33, 20)])
@pytest.mark.parametrize(
    "box",
    [
        Box(5, 5, 0.2, 0.3), Box(5, 5, 0, 0), Box(5, 5, -3, 4), Box(-500, -500, 40, 40), Box(900, 3, 20, 20),
        Box(-1e9, 0, 2e9, 30), Box(1e300, -1e300, 1e200, 1e200), Box(0, 0, 500, 500),
    ],
)  # fmt: skip
def test_degenerate_boxes(box: Box, size: tuple[int, int], marks: tuple[tuple[float, float], ...] | None) -> None:
    crop = cut(noise(*size), box, marks, ALIGNED)
    assert crop.dtype == np.uint8
    assert crop.shape[0] == crop.shape[1]
    assert 1 <= crop.shape[0] <= 512


def test_not_finite() -> None:
    with pytest.raises(ImageError, match="not finite"):
        cut(noise(9, 9), Box(float("nan"), 0, 3, 3), None, PLAIN)
    with pytest.raises(ImageError, match="Landmarks"):
        cut(noise(9, 9), Box(1, 1, 3, 3), ((0.0, float("inf")), (1.0, 1.0)), ALIGNED)


@pytest.mark.parametrize("wrong", [(0.0, 0.0), (float("nan"), 0.0), (1.0, 5.0)])
def test_spec_limits(wrong: tuple[float, float]) -> None:
    with pytest.raises(OptionError, match="expected a scale"):
        CropSpec(*wrong, True)


@pytest.mark.parametrize("degrees", [0.0, -30.0, 12.0])
def test_corners_are_where_the_crop_was_cut(degrees: float) -> None:
    """Each pixel of a smooth picture tells its own place: the crop's corner pixels must tell those of the corners."""
    y, x = np.mgrid[0:200, 0:200].astype(np.uint8)
    picture = np.stack([x, y, np.zeros_like(x)], axis=2)
    turn = math.radians(degrees)
    eyes = ((80.0, 90.0), (80.0 + 30 * math.cos(turn), 90.0 + 30 * math.sin(turn)))
    box, spec = Box(60, 55, 80, 72), CropSpec(1.1, -0.05, True)
    crop = cut(picture, box, eyes, spec).astype(float)
    first, second, third = (np.array(point) for point in corners((200, 200), box, eyes, spec))
    for point, pixel in ((first, crop[0, 0]), (second, crop[0, -1]), (third, crop[-1, 0])):
        np.testing.assert_allclose(pixel[:2] + 0.5, point, atol=1.6)  # half a pixel each for middle and rounding
    assert np.hypot(*(second - first)) == pytest.approx(np.hypot(*(third - first)))


def test_corners_of_the_whole_picture() -> None:
    assert corners((30, 70), Box(0, 0, 70, 30), None, PLAIN) == ((0, 0), (70, 0), (0, 30))
    with pytest.raises(ImageError, match="not finite"):
        corners((30, 70), Box(math.nan, 0, 70, 30), None, PLAIN)
