"""Faces cut out of their photo."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import mien
from mien.errors import OptionError
from mien.recognition.crop import CropSpec, cut
from mien.recognition.portrait import Portraits
from mien.results import Box, Face


def face_at(box: Box, *, degrees: float = 0.0) -> Face:
    x, y = box.left + box.width / 2, box.top + box.height / 2
    across = box.width / 5 * math.cos(math.radians(degrees)), box.width / 5 * math.sin(math.radians(degrees))
    eyes = ((x - across[0], y - across[1]), (x + across[0], y + across[1]))
    return Face(box, 1.0, eyes, ("a",), (1.0,), False)


def test_a_crop_is_what_the_network_sees() -> None:
    yy, xx = np.mgrid[:200, :300]
    pixels = np.stack([xx / 300, yy / 200, (xx + yy) / 500], axis=2)
    pixels = (255 * pixels).astype(np.uint8)
    for degrees in (0, 20):
        face, spec = face_at(Box(100, 60, 80, 80), degrees=degrees), CropSpec(1.2, 0.05, True)
        seen = cut(pixels, face.box, face.landmarks, spec)
        shown = Portraits(pixels, spec).crop(face, None, 0.0)
        assert shown.shape == seen.shape
        assert np.abs(shown.astype(int) - seen.astype(int)).max() <= 2


@pytest.mark.parametrize("size", [1, 24, 96, 700])
def test_any_size(size: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    shown = Portraits(pixels, CropSpec(1.0, 0.0, True)).crop(face_at(Box(100, 60, 80, 80)), size, 0.0)
    assert (shown.shape, shown.dtype.name) == ((size, size, 3), "uint8")


def test_a_small_crop_averages() -> None:
    """Fine stripes become grey, not stripes of another width."""
    pixels = np.zeros((400, 400, 3), np.uint8)
    pixels[:, ::2] = 255
    shown = Portraits(pixels, CropSpec(1.0, 0.0, True)).crop(face_at(Box(40, 40, 320, 320)), 32, 0.0)
    assert np.ptp(shown[2:-2, 2:-2].astype(int)) < 40


def test_margin_shows_more() -> None:
    pixels = np.zeros((200, 200, 3), np.uint8)
    pixels[50:150, 50:150] = 255
    portraits, face = Portraits(pixels, CropSpec(1.0, 0.0, False)), face_at(Box(50, 50, 100, 100))
    assert portraits.crop(face, None, 0.0).min() == 255
    wide = portraits.crop(face, None, 0.5)
    assert wide.shape == (150, 150, 3)
    assert (wide > 127).mean() == pytest.approx(1 / 1.5**2, abs=0.02)


def test_a_face_of_a_photo(model: Path, examples: Path) -> None:
    recognizer = mien.load(model, threads=1)
    face = recognizer.predict(examples / "astronaut.jpg")[0]
    assert face.crop(112).shape == (112, 112, 3)
    bare = recognizer.predict(examples / "astronaut.jpg", keep_pixels=False)[0]
    assert bare == face
    with pytest.raises(OptionError, match="keep_pixels=True"):
        bare.crop()
    with pytest.raises(OptionError, match="size = 0"):
        face.crop(0)
    with pytest.raises(OptionError, match="margin = -1"):
        face.crop(margin=-1)
