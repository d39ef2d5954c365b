"""Augmentation changes each face by its own draw, within its bounds, and nothing when it is off."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.train
pytest.importorskip("torch")

import torch  # noqa: E402

from mien.recipes.tables import AugmentTable  # noqa: E402
from mien.training.augment import Augment, Mix  # noqa: E402


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


def test_erased_rectangles_are_as_large_as_asked() -> None:
    torch.manual_seed(0)
    blank = (Augment(AugmentTable(flip=0, erase=1, erase_area=0.25))(torch.ones(256, 1, 48, 48)) == 0).float()
    assert 0.2 < blank.mean((1, 2, 3)).max() <= 0.26


def test_vertical_flip_mirrors_up_and_down_only(dot: torch.Tensor) -> None:
    assert torch.equal(Augment(AugmentTable(flip=0, vertical_flip=1))(dot), dot.flip(2))


def test_brightness_is_a_factor_of_its_own_for_each_face() -> None:
    torch.manual_seed(0)
    faces = torch.randn(1000, 1, 4, 4)
    changed = Augment(AugmentTable(flip=0, brightness=0.2))(faces)
    factors = (changed / faces).flatten(1)
    assert factors.std(1).max() < 1e-5
    assert 0.8 <= factors.min() < 0.81
    assert 1.19 < factors.max() <= 1.2001
    assert factors.mean().item() == pytest.approx(1, abs=0.015)  # 4 standard errors of a uniform draw of 1000
    assert changed.min() < 0  # standardised faces keep their negative half


def mixed(seed: int, **table: float) -> tuple[torch.Tensor, torch.Tensor]:
    """64 faces of one pixel value each, which is 1 for class 1 and 0 for class 0, mixed."""
    labels = torch.arange(64) % 2
    faces = labels.float()[:, None, None, None].expand(-1, 1, 16, 16).contiguous()
    torch.manual_seed(seed)
    mixed: tuple[Any, Any] = Mix(AugmentTable(**table))(faces, torch.nn.functional.one_hot(labels, 2).float())
    return mixed


@pytest.mark.parametrize("table", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_mixed_targets_are_the_share_of_the_pixels(table: dict[str, float]) -> None:
    between = 0
    for seed in range(8):
        faces, targets = mixed(seed, **table)
        torch.testing.assert_close(targets.sum(1), torch.ones(64))
        torch.testing.assert_close(faces.mean((1, 2, 3)), targets[:, 1], atol=1e-5, rtol=0)
        between += int(((targets[:, 1] > 0.01) & (targets[:, 1] < 0.99)).any())
    assert between >= 4


def test_mixup_blends_and_cutmix_pastes() -> None:
    assert not ((mixed(0, mixup=1.0)[0] % 1) == 0).all()
    assert ((mixed(0, cutmix=1.0)[0] % 1) == 0).all()
    ways = {bool(((mixed(seed, mixup=1.0, cutmix=1.0)[0] % 1) == 0).all()) for seed in range(12)}
    assert ways == {True, False}


def test_nothing_is_mixed_unless_asked_for() -> None:
    faces, targets = torch.rand(4, 1, 8, 8), torch.rand(4, 3)
    assert Mix(AugmentTable())(faces, targets) == (faces, targets)


def test_the_seed_decides_every_draw() -> None:
    table = AugmentTable(flip=0.5, rotate=10, shift=0.1, zoom=0.1, brightness=0.1, erase=0.5, mixup=0.3, cutmix=0.3)
    faces, targets = torch.rand(16, 1, 24, 24), torch.eye(16)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(Mix(table)(Augment(table)(faces), targets))
    assert all(torch.equal(*pair) for pair in zip(found[0], found[1], strict=True))
    assert not torch.equal(found[0][0], found[2][0])
