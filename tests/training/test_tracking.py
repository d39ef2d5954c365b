"""Trackers are used only when asked for, and get the recipe and the curves."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path

import pytest
from corpora import bars

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from mien.cli import main  # noqa: E402
from mien.errors import MissingExtraError, OptionError  # noqa: E402
from mien.recipes.recipe import Recipe, parse  # noqa: E402
from mien.training import tracking  # noqa: E402
from mien.training.fit import fit  # noqa: E402


@pytest.fixture
def recipe() -> Recipe:
    values = {
        "name": "tracked",
        "preprocess": {"size": 16},
        "network": {"name": "conv_pool"},
        "train": {"epochs": 1, "batch_size": 7, "rate": 0.25},
    }
    return parse(values, "tracked")


class Kept:
    """Stands for a tracker's logger."""

    def __init__(self) -> None:
        self.parameters: dict[str, object] = {}

    def log_hyperparams(self, values: dict[str, object]) -> None:
        self.parameters |= values


def test_nothing_but_tensorboard_unless_asked(recipe: Recipe, tmp_path: Path) -> None:
    assert [type(logger).__name__ for logger in tracking.open_loggers(recipe, tmp_path)] == ["TensorBoardLogger"]


def test_a_tracker_gets_the_recipe_once(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept()
    monkeypatch.setattr(tracking, "TRACKERS", {"json": lambda *_: kept})
    monkeypatch.setattr(tracking, "find_spec", lambda _: True)
    loggers = tracking.open_loggers(recipe, tmp_path, ["json", "json"])
    assert loggers[1:] == [kept]  # type: ignore[comparison-overlap]
    assert kept.parameters == {}
    tracking.log_recipe(loggers, recipe)
    assert kept.parameters["digest"] == recipe.digest()
    assert kept.parameters["train.rate"] == 0.25
    assert kept.parameters["network.name"] == "conv_pool"


def test_unknown_and_missing_trackers_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match=r"No tracker 'wandbb'; there are wandb, mlflow\. Did you mean 'wandb'"):
        tracking.check(["wandbb"])
    monkeypatch.setattr(tracking, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"The tracker wandb needs .*mien\[track\]"):
        tracking.check(["wandb"])


def test_the_option_is_checked_before_the_data_is_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for recipe, tracker, says in (("system-b", "tensorbord", "No tracker"), ("hog-svm", "wandb", "")):
        assert main(["train", recipe, "--data", str(tmp_path / "none.zip"), "--track", tracker]) == 2
        assert says in capsys.readouterr().err


def test_baselines_have_nothing_to_track(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda _: True)
    assert main(["train", "hog-svm", "--data", "none.zip", "--track", "wandb"]) == 2
    assert "hog-svm has no epochs" in capsys.readouterr().err


if find_spec("mlflow"):  # not in the extra for tests: it brings many packages that nothing else uses

    @pytest.mark.filterwarnings("ignore")  # MLflow's own, about SQLAlchemy
    def test_mlflow_keeps_a_run_beside_the_run_folder(
        recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mlflow = importlib.import_module("mlflow")
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        torch.set_num_threads(1)
        fit(
            recipe,
            bars({"Training": 2, "PublicTest": 1, "PrivateTest": 1}),
            tmp_path / "runs" / "first",
            track=["mlflow"],
        )
        client = mlflow.MlflowClient(f"sqlite:///{(tmp_path / 'runs' / 'mlflow.db').as_posix()}")
        (run,) = client.search_runs([client.get_experiment_by_name(tracking.PROJECT).experiment_id])
        assert run.data.params["train.rate"] == "0.25"
        assert any("loss" in name for name in run.data.metrics)
