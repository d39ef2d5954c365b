"""Pixels reduced: the right size, and close to the means of what they cover."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien.recognition.detection.shrink import shrink


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """Soft colours with grain."""
    draw = np.random.default_rng(0)
    soft = cv2.resize(draw.integers(0, 256, (9, 12, 3), np.uint8), (1200, 900), interpolation=cv2.INTER_CUBIC)
    grained: np.ndarray = np.clip(soft + draw.normal(0, 5, soft.shape), 0, 255).astype(np.uint8)
    return grained


@pytest.mark.parametrize(
    "size", [(1199, 899), (800, 600), (600, 450), (640, 480), (299, 224), (160, 120), (1, 1), (1200, 9)]
)
def test_the_values_are_means(photo: np.ndarray, size: tuple[int, int]) -> None:
    small = shrink(photo, size)
    assert small.shape == (size[1], size[0], 3)
    assert small.dtype == np.dtype(np.uint8)
    direct = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    difference = np.abs(small.astype(int) - direct)
    assert difference.mean() < 1
    assert difference.max() <= 16


@pytest.mark.parametrize(("size", "how"), [((1000, 750), cv2.INTER_LINEAR), ((700, 525), cv2.INTER_AREA)])
def test_what_is_left_is_interpolated_only_where_it_is_little(
    photo: np.ndarray, size: tuple[int, int], how: int
) -> None:
    """Of 1200×900: 1.2 times the size is interpolated, 1.7 times it is averaged."""
    np.testing.assert_array_equal(shrink(photo, size), cv2.resize(photo, size, interpolation=how))


def test_odd_sides_are_not_halved() -> None:
    """A halved odd side would move everything by up to half a pixel."""
    ramp = np.repeat(np.arange(0, 201, dtype=np.uint8)[None], 101, axis=0)
    np.testing.assert_array_equal(shrink(ramp, (50, 25)), cv2.resize(ramp, (50, 25), interpolation=cv2.INTER_AREA))


def test_its_own_size_is_the_photo_itself(photo: np.ndarray) -> None:
    assert shrink(photo, (1200, 900)) is photo
