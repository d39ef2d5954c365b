"""The recipes of noisy-label baselines train, export and score, on generated faces in a minute."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from corpora import bars

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("kornia")

from mien.datasets.faces import FaceSet  # noqa: E402
from mien.recipes import recipe  # noqa: E402
from mien.runs import runs  # noqa: E402
from mien.training.fit import read_history  # noqa: E402

NAMES = ("rafdb-base", "rafdb-eac", "rafdb-scn")


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    grey = bars({"Training": 20, "PublicTest": 3})
    return replace(grey, pixels=np.repeat(np.asarray(grey.pixels)[..., None], 3, axis=3))


@pytest.mark.parametrize("name", NAMES)
def test_a_smoke_run_is_trained_and_scored(name: str, faces: FaceSet, tmp_path: Path) -> None:
    small = recipe.load(name, "smoke")
    metrics = runs.train(small, faces, tmp_path / "run")
    assert metrics is not None
    assert metrics["test"]["faces"] == 21  # the corpus's own validation set, which selects nothing
    rows = read_history(tmp_path / "run")
    assert [row.epoch for row in rows] == [0, 1]
    assert all(np.isfinite(row.loss) for row in rows)
    assert all((row.relabelled is None) == (name != "rafdb-scn") for row in rows)
    best = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["epoch"] == 1  # the last one, whatever its accuracy


@pytest.mark.parametrize("budget", ["", "2core"])
def test_the_three_recipes_differ_by_their_method_alone(budget: str) -> None:
    base, eac, scn = (recipe.load(name, budget) for name in NAMES)
    assert (base.consistency.weight, base.self_cure.weight) == (0, 0)
    assert (eac.consistency.weight, eac.self_cure.weight, eac.augment.flip) == (5, 0, 0)
    assert (scn.consistency.weight, scn.self_cure.weight) == (0, 1)
    assert (scn.self_cure.high, scn.self_cure.margin, scn.self_cure.relabel_margin) == (0.7, 0.15, 0.2)
    for other in (eac, scn):
        assert other.data == base.data
        assert other.preprocess == base.preprocess
        assert other.network == base.network
        assert other.augment.model_copy(update={"flip": base.augment.flip}) == base.augment
        assert other.loss == base.loss
    if budget:
        assert eac.train == scn.train == base.train
