"""Augmentation changes each face by its own draw, within its bounds, and nothing when it is off."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")

from mien.learning.augment import Augment  # noqa: E402
from mien.learning.recipe import AugmentTable  # noqa: E402


@pytest.fixture
def dot() -> torch.Tensor:
    """64 equal faces with one bright spot off the centre: 24 right, 34 down of 48."""
    faces = torch.zeros(64, 1, 48, 48)
    faces[:, :, 33:36, 33:36] = 1
    return faces


def centres(faces: torch.Tensor) -> torch.Tensor:
    grid = torch.arange(48.0)
    mass = faces.sum((1, 2, 3))
    return torch.stack([(faces.sum((1, 2)) * grid).sum(1) / mass, (faces.sum((1, 3)) * grid).sum(1) / mass], 1)


def test_nothing_changes_when_all_is_off(dot: torch.Tensor) -> None:
    assert torch.equal(Augment(AugmentTable(flip=0))(dot), dot)


def test_flip_mirrors_left_and_right_only(dot: torch.Tensor) -> None:
    assert torch.equal(Augment(AugmentTable(flip=1))(dot), dot.flip(3))


def test_shift_stays_in_bounds_and_differs_by_face(dot: torch.Tensor) -> None:
    torch.manual_seed(0)
    moved = centres(Augment(AugmentTable(flip=0, shift=0.1))(dot)) - centres(dot)
    assert moved.abs().max() <= 4.8 + 0.1
    assert moved.abs().max() > 3
    assert moved.std(0).min() > 1


def test_rotation_keeps_the_distance_from_the_centre(dot: torch.Tensor) -> None:
    torch.manual_seed(0)
    turned = centres(Augment(AugmentTable(flip=0, rotate=20))(dot)) - 23.5
    angle = torch.rad2deg(torch.atan2(turned[:, 1], turned[:, 0])) - 45
    assert turned.norm(dim=1).sub((centres(dot) - 23.5).norm(dim=1)).abs().max() < 0.3
    assert angle.abs().max() <= 20.5
    assert angle.abs().max() > 15


def test_zoom_scales_the_distance_from_the_centre(dot: torch.Tensor) -> None:
    torch.manual_seed(0)
    ratio = (centres(Augment(AugmentTable(flip=0, zoom=0.2))(dot)) - 23.5).norm(dim=1) / (10.5 * 2**0.5)
    assert 0.78 < ratio.min() < 0.88
    assert 1.12 < ratio.max() < 1.22


def test_erasing_blanks_a_part_of_some_faces() -> None:
    torch.manual_seed(0)
    faces = torch.ones(256, 1, 48, 48)
    blank = (Augment(AugmentTable(flip=0, erase=0.5))(faces) == 0).float().mean((1, 2, 3))
    assert 0.4 < (blank > 0).float().mean() < 0.6
    assert blank.max() <= 0.16
