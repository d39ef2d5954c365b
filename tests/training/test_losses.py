"""Losses are the published ones: PyTorch's own cross-entropy, and the focal loss of pencil and paper."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.train
pytest.importorskip("torch")

import torch  # noqa: E402
from torch.nn import functional  # noqa: E402

from mien.errors import RecipeError  # noqa: E402
from mien.recipes.tables import LossTable  # noqa: E402
from mien.training.losses import Loss, class_weights  # noqa: E402

COUNTS = (5, 20, 75)


def loss(counts: tuple[int, ...] = COUNTS, **table: Any) -> Loss:
    return Loss(LossTable(**table), counts)


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(0)) * 2


LABELS = torch.tensor([0, 1, 2, 2, 1, 2])
HARD = functional.one_hot(LABELS, 3).float()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_hard_targets_are_pytorchs_cross_entropy(logits: torch.Tensor, smoothing: float) -> None:
    expected = functional.cross_entropy(logits, LABELS, label_smoothing=smoothing)
    torch.testing.assert_close(loss(label_smoothing=smoothing)(logits, HARD), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_soft_targets_are_pytorchs_cross_entropy(logits: torch.Tensor, smoothing: float) -> None:
    soft = torch.tensor([[0.5, 0.3, 0.2]]).repeat(6, 1)
    expected = functional.cross_entropy(logits, soft, label_smoothing=smoothing)
    torch.testing.assert_close(loss(label_smoothing=smoothing)(logits, soft), expected)


@pytest.mark.parametrize(
    ("chance", "gamma", "alpha", "value"),
    [
        (0.9, 2.0, 0.25, 0.25 * 0.01 * 0.105361),  # well classified: a hundredth of what it weighs in cross-entropy
        (0.1, 2.0, 0.25, 0.25 * 0.81 * 2.302585),
        (0.5, 1.0, 1.0, 0.5 * 0.693147),
        (0.5, 0.0, 1.0, 0.693147),
    ],
)
def test_focal_loss_of_pencil_and_paper(chance: float, gamma: float, alpha: float, value: float) -> None:
    """−α (1 − p)^γ log p of the true class."""
    sure = torch.tensor([[math.log(chance), math.log(1 - chance)]])
    found = loss((1, 1), name="focal", gamma=gamma, alpha=alpha)(sure, torch.tensor([[1.0, 0.0]]))
    assert found.item() == pytest.approx(value, rel=1e-5)


def test_alpha_of_each_class_weighs_its_faces() -> None:
    even = torch.zeros(1, 3)
    focal = loss((1, 1, 1), name="focal", gamma=2.0, alpha=(0.25, 0.5, 1.0))
    found = [focal(even, functional.one_hot(torch.tensor([label]), 3).float()).item() for label in range(3)]
    assert found == pytest.approx([alpha * (2 / 3) ** 2 * math.log(3) for alpha in (0.25, 0.5, 1.0)])


def test_gamma_and_alpha_are_the_focal_losss_only(logits: torch.Tensor) -> None:
    assert loss(gamma=5.0, alpha=0.1)(logits, HARD) == loss()(logits, HARD)


def test_another_number_of_alphas_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"loss\.alpha has 2 values for 3 classes"):
        loss(name="focal", alpha=(0.25, 0.75))


def test_power_one_is_scikit_learns_balanced() -> None:
    sklearn = pytest.importorskip("sklearn.utils.class_weight")
    labels = np.repeat(np.arange(3), COUNTS)
    balanced = sklearn.compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(class_weights(COUNTS, 1.0), balanced)


@pytest.mark.parametrize("power", [0.0, 0.25, 1.0])
def test_the_mean_weight_over_faces_is_one(power: float) -> None:
    weights = class_weights(COUNTS, power)
    assert np.average(weights, weights=COUNTS) == pytest.approx(1)
    assert weights[0] / weights[2] == pytest.approx(15**power)


def test_class_weights_weigh_the_faces_of_a_class(logits: torch.Tensor) -> None:
    weights = torch.tensor(class_weights(COUNTS, 1.0), dtype=torch.float32)
    each = functional.cross_entropy(logits, LABELS, reduction="none")
    torch.testing.assert_close(loss(class_weights=1.0)(logits, HARD), (each * weights[LABELS]).mean())
