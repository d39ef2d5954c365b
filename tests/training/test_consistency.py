"""Attention maps are those of pencil and paper, and agree with their mirror images only where they should."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.train
pytest.importorskip("lightning")

import torch  # noqa: E402

torch.set_num_threads(1)

from torch.nn import functional  # noqa: E402

from mien.networks.residual import Residual  # noqa: E402
from mien.recipes.recipe import parse  # noqa: E402
from mien.training.consistency import attention_maps, consistency_loss  # noqa: E402
from mien.training.module import LightningClassifier  # noqa: E402

WEIGHTS = torch.tensor([[1.0, 0.0], [1.0, -1.0]])
"""Of two classes on two feature maps."""

FACE = torch.tensor([[[[1.0, 2.0]], [[0.0, 1.0]]]])
"""Two feature maps of one row of two cells."""

MIRRORED = torch.tensor([[[[2.0, 1.0]], [[3.0, 0.0]]]])


def module(weight: float) -> LightningClassifier:
    torch.manual_seed(0)
    recipe = {
        "name": "x",
        "preprocess": {"size": 16},
        "network": {"name": "residual", "widths": [4, 8], "blocks": 1, "dropout": 0.0},
        "consistency": {"weight": weight},
        "train": {"epochs": 1, "bfloat16": False},
    }
    return LightningClassifier(parse(recipe), [4, 4, 4])


def test_attention_maps_weigh_feature_maps_by_the_class() -> None:
    expected = [[[[1.0, 2.0]], [[1.0, 1.0]]]]
    torch.testing.assert_close(attention_maps(FACE, WEIGHTS), torch.tensor(expected))


def test_the_consistency_of_pencil_and_paper() -> None:
    """Mirrored back, the maps are (1, 2) and (1, −1): of four cells one differs, by 2."""
    assert consistency_loss(FACE, MIRRORED, WEIGHTS).item() == pytest.approx(4 / 4)


def test_maps_that_are_mirror_images_cost_nothing() -> None:
    maps = torch.randn(3, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    assert consistency_loss(maps, maps.flip(3), WEIGHTS).item() == 0
    symmetric = maps + maps.flip(3)
    assert consistency_loss(symmetric, symmetric, WEIGHTS).item() == pytest.approx(0, abs=1e-10)
    assert consistency_loss(maps, maps, WEIGHTS).item() > 0.1


def test_gradients_flow_into_both_readings_and_not_into_the_weights() -> None:
    maps, mirrored, weights = (tensor.clone().requires_grad_() for tensor in (FACE, MIRRORED, WEIGHTS))
    loss = consistency_loss(maps, mirrored, weights)
    gradients = torch.autograd.grad(loss, (maps, mirrored, weights), allow_unused=True)
    # Only class 1 differs, by 2 in the right cell of the face, which is the left one of the mirror image: 2 · 2 / 4.
    assert gradients[0].flatten().tolist() == [0.0, 1.0, 0.0, -1.0]
    assert gradients[1].flatten().tolist() == [-1.0, 0.0, 1.0, 0.0]
    assert gradients[2] is None


def test_the_mean_of_an_attention_map_is_the_logit() -> None:
    network = Residual(3, 1, 16, widths=(4, 8), blocks=1).eval()
    crops = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    maps = attention_maps(network.maps(crops), network.output.weight)
    torch.testing.assert_close(maps.mean((2, 3)) + network.output.bias, network(crops))


def test_labels_are_learned_from_the_face_and_the_mirror_image_only_has_to_agree() -> None:
    crops = torch.randn(6, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(6) % 3
    network = module(0.0).network.train()
    faces, mirrored = network.maps(crops), network.maps(crops.flip(3))  # type: ignore[operator]
    labelled = functional.cross_entropy(network.classify(faces), labels)  # type: ignore[operator]
    agreed = consistency_loss(faces, mirrored, network.output.weight)  # type: ignore[union-attr, arg-type]
    _, loss = module(5.0).compute_loss(crops, functional.one_hot(labels, 3).float())
    assert agreed.item() > 1e-4
    torch.testing.assert_close(loss, labelled + 5 * agreed)


def test_every_weight_of_the_network_learns() -> None:
    crops = torch.randn(6, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    trained = module(5.0)
    _, loss = trained.compute_loss(crops, torch.eye(3).repeat(2, 1))
    gradients = torch.autograd.grad(loss, list(trained.network.parameters()))
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
    assert gradients[0].abs().sum() > 0  # of the stem
