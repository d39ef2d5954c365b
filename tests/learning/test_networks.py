"""Networks have the published shape and respond to their input."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")

from mien.errors import RecipeError  # noqa: E402
from mien.learning.networks import NETWORKS, FourBlock, build, parameter_count  # noqa: E402


def test_system_a_has_the_published_parameters() -> None:
    assert parameter_count(FourBlock(10)) == 1_439_082


@pytest.mark.parametrize("name", list(NETWORKS))
@pytest.mark.parametrize("size", [16, 32, 48])
def test_any_size_gives_one_row_of_logits_a_face(name: str, size: int) -> None:
    network = build(name, 7, 1).eval()
    crops = torch.randn(3, 1, size, size)
    logits = network(crops)
    assert logits.shape == (3, 7)
    torch.testing.assert_close(network(crops[1:2])[0], logits[1], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(logits[0], logits[1])


def test_every_parameter_learns() -> None:
    network = FourBlock(7).train()
    network(torch.randn(8, 1, 48, 48)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_unknown_network_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="Did you mean 'four_block'"):
        build("fourblock", 7, 1)
