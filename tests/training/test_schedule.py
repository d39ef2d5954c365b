"""Rates rise, fall and start anew where the recipe says so; decay falls on the layers it names."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from corpora import bars

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from torch import nn  # noqa: E402

from mien.networks.networks import FourBlock  # noqa: E402
from mien.recipes.recipe import parse  # noqa: E402
from mien.recipes.tables import TrainTable  # noqa: E402
from mien.training.fit import fit, read_history  # noqa: E402
from mien.training.schedule import END, START, factors, optimizer  # noqa: E402


def heights(steps: int, **table: Any) -> list[float]:
    factor = factors(TrainTable(**{"epochs": 4, **table}), steps)
    return [factor(step) for step in range(steps)]


def test_one_cycle_is_pytorchs() -> None:
    own = heights(100, rate=0.002, warmup=0.2)
    assert (own[0], own[19], own[99]) == pytest.approx((START, 1.0, END))
    assert own.index(max(own)) == 19
    sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(sgd, max_lr=1.0, total_steps=100, pct_start=0.2, cycle_momentum=False)
    for height in own:
        assert height == pytest.approx(sgd.param_groups[0]["lr"], abs=1e-9)
        sgd.step()
        if theirs.last_epoch < 99:
            theirs.step()


def test_cosine_falls_from_one_to_nothing() -> None:
    own = heights(100, schedule="cosine")
    assert (own[0], own[50]) == pytest.approx((1.0, 0.5))
    assert all(earlier > later for earlier, later in itertools.pairwise(own))
    assert 0 < own[99] < 0.001


def test_constant() -> None:
    assert heights(10, schedule="constant") == [1.0] * 10


def test_exponential_shrinks_after_each_epoch() -> None:
    own = heights(20, schedule="exponential", gamma=0.5)
    assert own == [1.0] * 5 + [0.5] * 5 + [0.25] * 5 + [0.125] * 5
    thawed = heights(20, schedule="exponential", gamma=0.5, rate=0.01, frozen=1, thaw_rate=0.001)
    assert thawed == pytest.approx([1.0] * 5 + [0.1] * 5 + [0.05] * 5 + [0.025] * 5)


def test_a_thawed_backbone_starts_a_cycle_of_its_own() -> None:
    own = heights(100, rate=0.01, frozen=1, thaw_rate=0.001)
    assert (own[0], own[4], own[24]) == pytest.approx((START, 1.0, END))
    assert own[25:] == pytest.approx([0.1 * height for height in heights(75, rate=0.01)])


def test_training_the_head_only_is_one_phase() -> None:
    assert heights(100, frozen=4) == heights(100)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant", "exponential"])
def test_very_short_runs_have_a_rate(schedule: str, steps: int) -> None:
    assert all(0 < height <= 1 for height in heights(steps, schedule=schedule, warmup=0.5))


def test_plateau_halves_the_rate_in_a_run_that_gets_no_better(tmp_path: Path) -> None:
    recipe = parse(
        {
            "name": "standstill",
            "preprocess": {"size": 16},
            "network": {"name": "conv_pool", "spatial_dropout": 0.0, "dropout": 0.0},  # no batch norm: nothing moves
            "train": {"epochs": 7, "batch_size": 8, "rate": 1e-7, "schedule": "plateau", "plateau": 2},
        }
    )
    fit(recipe, bars({"Training": 3, "PublicTest": 1}), tmp_path / "run")
    rates = [row.rate for row in read_history(tmp_path / "run")]
    # The first epoch sets the mark, two without a better one are waited for, the third halves.
    assert rates[:3] == [1e-7] * 3
    assert rates[-1] == 0.5e-7
    assert set(rates) == {1e-7, 0.5e-7}


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("where", ["weights", "dense"])
def test_decay_falls_on_the_layers_it_names(name: str, where: str) -> None:
    torch.manual_seed(0)
    network = FourBlock(7)
    before = {key: value.clone() for key, value in network.named_parameters()}
    values = {"epochs": 1, "optimizer": name, "decay": 0.1, "decay_on": where, "rate": 0.1}
    optimiser = optimizer(network, TrainTable.model_validate(values))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    kinds = nn.Linear if where == "dense" else nn.Linear | nn.Conv2d
    expected = {f"{key}.weight" for key, module in network.named_modules() if isinstance(module, kinds)}
    assert {key for key, value in network.named_parameters() if not torch.equal(value, before[key])} == expected
    assert len(expected) == (3 if where == "dense" else 11)
