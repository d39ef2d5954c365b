"""Boxes as whole pixels and as slices."""

from __future__ import annotations

import numpy as np

from mien.box import Box


def test_whole_pixels() -> None:
    box = Box(8.4, 6.6, 20.2, 24.0)
    assert (box.right, box.bottom) == (8.4 + 20.2, 6.6 + 24.0)
    assert box.xyxy == (8, 7, 29, 31)
    assert (box.xyxy.left, box.xyxy.top, box.xyxy.right, box.xyxy.bottom) == box.xyxy
    assert box.xywh == (8, 7, 21, 24)
    assert (box.xywh.x, box.xywh.width) == (8, 21)
    assert all(type(value) is int for value in (*box.xyxy, *box.xywh))


def test_a_box_is_a_slice_of_an_array() -> None:
    pixels = np.arange(48 * 64).reshape(48, 64)
    assert np.array_equal(pixels[Box(8, 6, 20, 24).slices], pixels[6:30, 8:28])
    assert np.array_equal(pixels[Box(-5, -4, 20, 24).slices], pixels[:20, :15])
    assert pixels[Box(-50, -40, 20, 24).slices].size == 0
    assert pixels[Box(60, 40, 20, 24).slices].shape == (8, 4)
