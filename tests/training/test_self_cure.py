"""Importance, ranks and relabelling are those of pencil and paper; labels survive an interruption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import bars

pytestmark = pytest.mark.train
pytest.importorskip("lightning")

import torch  # noqa: E402

torch.set_num_threads(1)

from mien.datasets.faces import FaceSet  # noqa: E402
from mien.errors import OptionError  # noqa: E402
from mien.export import export  # noqa: E402
from mien.recipes.recipe import Recipe, parse  # noqa: E402
from mien.recipes.tables import SelfCureTable  # noqa: E402
from mien.training.fit import Epoch, fit, read_history  # noqa: E402
from mien.training.losses import Loss  # noqa: E402
from mien.training.module import LightningClassifier  # noqa: E402
from mien.training.self_cure import SelfCure  # noqa: E402


def cure(labels: tuple[int, ...] = (0, 1, 2), **table: Any) -> SelfCure:
    torch.manual_seed(0)
    return SelfCure(SelfCureTable(weight=1.0, **table), 4, np.array(labels, np.int64))


def column(*importances: float) -> torch.Tensor:
    return torch.tensor(importances)[:, None]


@pytest.mark.parametrize(
    ("importances", "loss"),
    [
        ((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), 0.0),  # seven of mean 0.7, three of mean 0.2
        ((0.5,) * 10, 0.15),
        ((0.5, 0.6, 0.6, 0.5, 0.6, 0.6, 0.5, 0.6, 0.6, 0.6), 0.05),  # in any order
        ((0.9, 0.8), 0.05),  # one face in each group, though 0.7 of two are 1.4
    ],
)
def test_the_rank_loss_of_pencil_and_paper(importances: tuple[float, ...], loss: float) -> None:
    assert cure().rank_loss(column(*importances)).item() == pytest.approx(loss, abs=1e-6)


@pytest.mark.parametrize("high", [0.01, 0.99])
def test_no_group_is_empty(high: float) -> None:
    assert cure(high=high).rank_loss(column(0.5, 0.5, 0.5)).item() == pytest.approx(0.15)


def test_the_rank_loss_raises_the_high_group_and_lowers_the_low_one() -> None:
    importances = column(0.5, 0.52, 0.54).requires_grad_()
    (gradient,) = torch.autograd.grad(cure().rank_loss(importances), importances)
    assert gradient.flatten().tolist() == pytest.approx([1.0, -0.5, -0.5])  # 0.7 of three faces are two


def test_importances_are_a_sigmoid_of_the_features() -> None:
    method = cure()
    torch.nn.init.constant_(method.importance.weight, 0.5)
    torch.nn.init.zeros_(method.importance.bias)
    features = torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    assert method(features).flatten().tolist() == pytest.approx([0.5, 1 / (1 + np.exp(-2))])


def relabel(method: SelfCure, rows: tuple[int, ...], changed: torch.Tensor | None = None) -> None:
    """Relabel four faces, of which the network takes three for class 1; two of those are in the low group."""
    probabilities = torch.tensor([[0.1, 0.8, 0.1], [0.5, 0.3, 0.2], [0.2, 0.7, 0.1], [0.35, 0.5, 0.15]])
    targets = torch.eye(3)[method.labels[torch.tensor(rows)]]
    given = probabilities if changed is None else changed
    method.relabel(given.log(), column(0.9, 0.8, 0.2, 0.1), targets, torch.tensor(rows))


def test_sure_faces_of_the_low_group_are_relabelled() -> None:
    """Row 0 is sure but important; row 3 surpasses its label by 0.15 only; row 1 agrees with its label."""
    method = cure((0,) * 6)
    relabel(method, (5, 0, 3, 1))
    assert method.labels.tolist() == [0, 0, 0, 1, 0, 0]
    assert method.relabelled == 1


def test_a_smaller_margin_relabels_more() -> None:
    method = cure((0,) * 6, relabel_margin=0.1)
    relabel(method, (5, 0, 3, 1))
    assert method.labels.tolist() == [0, 1, 0, 1, 0, 0]


def test_a_face_that_gets_its_label_back_is_not_counted() -> None:
    method = cure((0,) * 6)
    relabel(method, (5, 0, 3, 1))
    back = torch.tensor([[0.8, 0.1, 0.1]] * 4)
    relabel(method, (5, 0, 3, 1), back)
    assert method.labels.tolist() == [0] * 6
    assert method.relabelled == 0


def test_targets_of_relabelled_faces_are_replaced_and_others_stay() -> None:
    method = cure((0,) * 6)
    relabel(method, (5, 0, 3, 1))
    soft = torch.tensor([[0.6, 0.2, 0.2], [1.0, 0.0, 0.0]])
    found = method.current_targets(soft, torch.tensor([2, 3]))
    assert found.tolist() == [soft[0].tolist(), [0.0, 1.0, 0.0]]


def recipe(**cured: Any) -> Recipe:
    return parse(
        {
            "name": "cured",
            "preprocess": {"size": 16},
            "network": {"name": "residual", "widths": [8, 16], "blocks": 1, "dropout": 0.0},
            "augment": {"flip": 0.0},
            "self_cure": {"weight": 1.0, **cured},
            "train": {"epochs": 4, "batch_size": 16, "rate": 0.003, "ema": 0.5, "choose": "last"},
        }
    )


def test_logits_are_weighted_and_the_rank_loss_is_added() -> None:
    torch.manual_seed(0)
    module = LightningClassifier(recipe(), [4, 4, 4], labels=np.repeat(np.arange(3), 4))
    assert module.cure is not None
    crops = torch.randn(12, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    targets = torch.eye(3).repeat_interleave(4, 0)
    logits, loss = module.compute_loss(crops, targets, [torch.arange(12)])
    maps = module.network.maps(crops)  # type: ignore[operator]
    importances = module.cure(maps.mean((2, 3)))
    torch.testing.assert_close(logits, importances * module.network(crops))
    ranked = module.cure.rank_loss(importances)
    torch.testing.assert_close(loss, Loss(recipe().loss, [4, 4, 4])(logits, targets) + ranked)
    assert module.cure.relabelled == 0  # not before the tenth epoch
    weights = (module.cure.importance.weight, next(module.network.parameters()))
    assert all(bool(gradient.abs().sum() > 0) for gradient in torch.autograd.grad(loss, weights))


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    return bars({"Training": 24, "PublicTest": 6, "PrivateTest": 6})


EAGER = {"relabel_from": 1, "relabel_margin": 0.0}
"""Relabels whatever of the low group is predicted otherwise, so that an early epoch surely relabels."""


@pytest.fixture(scope="module")
def run(faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "cured"
    fit(recipe(**EAGER), faces, folder)
    return folder


def labels_of(run: Path) -> torch.Tensor:
    labels: torch.Tensor = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["self_cure_labels"]
    return labels


def test_the_history_counts_relabelled_faces(run: Path, faces: FaceSet) -> None:
    counts = [row.relabelled for row in read_history(run)]
    given = torch.from_numpy(faces.part("Training").labels)
    assert counts[0] == 0
    assert counts[1] is not None
    assert counts[1] > 0
    assert counts[-1] == int((labels_of(run) != given).sum())


def test_a_training_without_it_has_no_such_column(faces: FaceSet, tmp_path: Path) -> None:
    fit(recipe().with_values({"self_cure.weight": 0.0, "train.epochs": 1}), faces, tmp_path / "run")
    assert "relabelled" not in (tmp_path / "run" / "history.csv").read_text()
    assert read_history(tmp_path / "run")[0].relabelled is None


class PowerCutError(Exception):
    """Stands for the plug being pulled."""


def test_a_resumed_run_goes_on_with_its_own_labels(run: Path, faces: FaceSet, tmp_path: Path) -> None:
    def cut(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise PowerCutError

    with pytest.raises(PowerCutError):
        fit(recipe(**EAGER), faces, tmp_path / "run", watch=cut)
    fit(recipe(**EAGER), faces, tmp_path / "run", resume=True)
    assert torch.equal(labels_of(tmp_path / "run"), labels_of(run))
    states = [torch.load(one / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
              for one in (run, tmp_path / "run")]  # fmt: skip
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_the_finished_network_has_no_importance(run: Path, faces: FaceSet) -> None:
    written = export.export(run, faces)
    assert written.labels.labels == faces.label_set.labels
    assert not any("importance" in name for name in export.load_network(run, recipe(**EAGER), 7).state_dict())


def test_several_processes_are_refused(faces: FaceSet, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"self_cure relabels faces.*Train with one process"):
        fit(recipe(), faces, tmp_path / "run", processes=2)
