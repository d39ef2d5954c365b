"""A search draws, judges, prunes and goes on as it says; mostly with a stand-in for training that takes no time."""

from __future__ import annotations

import csv
import io
import multiprocessing
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import bars
from PIL import Image

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
torch.set_num_threads(1)
optuna = pytest.importorskip("optuna")

from mien.datasets.faces import FaceSet  # noqa: E402
from mien.errors import DataError, OptionError, TrainingError  # noqa: E402
from mien.recipes.recipe import Recipe, load, parse  # noqa: E402
from mien.search import study as studies  # noqa: E402
from mien.search import tune  # noqa: E402
from mien.search.space import Dimension, read  # noqa: E402
from mien.search.tune import Trial, best, best_accuracy, search, select_faces  # noqa: E402
from mien.training import parts  # noqa: E402
from mien.training.fit import Epoch, fit, read_history  # noqa: E402


def small(**train: Any) -> Recipe:
    table = {"epochs": 2, "batch_size": 16, "rate": 0.003, **train}
    network = {"name": "conv_pool", "spatial_dropout": 0.0, "dropout": 0.0}
    return parse({"name": "small", "preprocess": {"size": 16}, "network": network, "train": table})


SPACE = ("train.rate=1e-4:1e-1:log", "train.batch_size=8,16,32")


def space(*texts: str, recipe: Recipe | None = None) -> tuple[Dimension, ...]:
    return read(texts or SPACE, recipe or small())


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    return bars({"Training": 8, "PublicTest": 4, "PrivateTest": 4})


# ---- with real training


@pytest.fixture(scope="module")
def seen() -> list[FaceSet]:
    """The faces of each trial of ``searched``."""
    return []


@pytest.fixture(scope="module")
def searched(
    faces: FaceSet, seen: list[FaceSet], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, tuple[Trial, ...]]:
    """A search of five trials in two sessions."""

    def noted(recipe: Recipe, given: FaceSet, run: Path, **named: Any) -> Path:
        seen.append(given)
        return fit(recipe, given, run, **named)

    folder = tmp_path_factory.mktemp("searched") / "study"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune, "fit", noted)
        search(small(), faces, folder, space(), trials=3)
        assert not (folder / "importance.png").exists()
        found = search(small(), faces, folder, space(), trials=5)
    return folder, found


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_first_trial_has_the_recipes_own_values(searched: tuple[Path, tuple[Trial, ...]]) -> None:
    _, found = searched
    assert found[0].values == {"train.rate": 0.003, "train.batch_size": 16}
    assert [trial.defaults for trial in found] == [True, False, False, False, False]
    assert [trial.number for trial in found] == [0, 1, 2, 3, 4]
    assert len({tuple(trial.values.values()) for trial in found}) == 5


def test_a_trial_is_judged_by_the_epoch_that_would_ship(searched: tuple[Path, tuple[Trial, ...]]) -> None:
    folder, found = searched
    for trial in found:
        rows = read_history(folder / f"trial-{trial.number}")
        assert (trial.state, trial.epochs) == ("complete", 2)
        assert trial.accuracy == max(row.validation_accuracy for row in rows)


def test_no_trial_sees_a_test_face(searched: tuple[Path, tuple[Trial, ...]], seen: list[FaceSet]) -> None:
    assert len(seen) == 5
    for given in seen:
        assert set(given.splits.tolist()) == {"Training", "PublicTest"}
        assert len(given) == 7 * 12
        assert not any(name.startswith("PrivateTest") for name in given.ids)


def test_the_folder(searched: tuple[Path, tuple[Trial, ...]]) -> None:
    folder, found = searched
    written = {"study.db", "trials.csv", "best.toml", ".turn"}
    written |= {f"{name}.{kind}" for name in ("history", "importance") for kind in ("png", "svg", "pdf")}
    assert {path.name for path in folder.iterdir()} == written | {f"trial-{number}" for number in range(5)}
    kept = [path.parent.name for path in folder.glob("trial-*/checkpoints")]
    top = best(found)
    assert top is not None
    assert kept == [f"trial-{top.number}"]


def test_the_table(searched: tuple[Path, tuple[Trial, ...]]) -> None:
    folder, found = searched
    rows = table(folder)
    names = ["trial", "state", "accuracy", "train.rate", "train.batch_size", "defaults", "epochs", "minutes", "reason"]
    assert list(rows[0]) == names
    for row, trial in zip(rows, found, strict=True):
        assert (int(row["trial"]), row["state"], row["defaults"]) == (trial.number, trial.state, str(trial.defaults))
        assert float(row["accuracy"]) == trial.accuracy
        assert float(row["train.rate"]) == trial.values["train.rate"]
        assert int(row["train.batch_size"]) == trial.values["train.batch_size"]
        assert (int(row["epochs"]), row["reason"]) == (2, "")
        assert 0 <= float(row["minutes"]) < 10


def test_the_best_recipe_loads_and_trains_to_what_it_won(
    searched: tuple[Path, tuple[Trial, ...]], faces: FaceSet, tmp_path: Path
) -> None:
    folder, found = searched
    top = best(found)
    assert top is not None
    recipe = load(folder / "best.toml")
    assert recipe.name == "small-tuned"
    assert recipe.with_values({"name": "small", "about": ""}).digest() == small().with_values(top.values).digest()
    text = (folder / "best.toml").read_text()
    assert f"# Score:    {top.accuracy:.2%} on the validation set" in text
    assert f"the recipe's own values: {found[0].accuracy:.2%}" in text
    fit(recipe, faces, tmp_path / "run")
    assert max(row.validation_accuracy for row in read_history(tmp_path / "run")) == top.accuracy


@pytest.mark.parametrize(("name", "size"), [("history.png", (2160, 1440)), ("importance.png", (2160, 642))])
def test_the_pictures(name: str, size: tuple[int, int], searched: tuple[Path, tuple[Trial, ...]]) -> None:
    folder, _ = searched
    check_picture((folder / name).read_bytes(), size)


def check_picture(content: bytes, size: tuple[int, int]) -> None:
    """A PNG of that size, give or take a pixel of rounding, with something drawn on white."""
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "PNG"
        assert image.size == pytest.approx(size, abs=1)
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    assert 0.5 < (pixels == 255).all(1).mean() < 0.99
    assert len(np.unique(pixels, axis=0)) > 20


# ---- with a stand-in for training


class Stand:
    """Stands for ``fit``: tells epochs whose validation accuracy ``height`` says, by recipe and trial number."""

    def __init__(self, height: Callable[[Recipe, int], float]) -> None:
        self.height = height
        self.begun: list[int] = []
        self.faces: list[FaceSet] = []

    def __call__(self, recipe: Recipe, faces: FaceSet, run: Path, *, watch: Callable[[Epoch], None]) -> Path:
        number = int(run.name.removeprefix("trial-"))
        self.begun.append(number)
        self.faces.append(faces)
        (run / "checkpoints").mkdir(parents=True)
        for epoch in range(recipe.train.epochs):
            watch(row(epoch, self.height(recipe, number), size=recipe.preprocess.size))
        return run / "checkpoints" / "best.ckpt"


def row(epoch: int, accuracy: float, loss: float = 1.0, size: int = 16) -> Epoch:
    return Epoch(epoch, size, 0.1, 1.0, 0.5, loss, accuracy, 0.1)


def near(recipe: Recipe, number: int = 0) -> float:
    """The best rate is 0.01; the batch hardly matters."""
    return float(0.9 - 0.1 * abs(np.log10(recipe.train.rate) + 2) + 1e-4 * recipe.train.batch_size)


Standing = Callable[[Callable[[Recipe, int], float]], Stand]


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Standing:
    def put(height: Callable[[Recipe, int], float]) -> Stand:
        found = Stand(height)
        monkeypatch.setattr(tune, "fit", found)
        return found

    return put


def drawn(found: tuple[Trial, ...]) -> list[tuple[Any, ...]]:
    return [(*trial.values.values(), trial.accuracy, trial.state) for trial in found if trial.counts]


def test_a_search_that_was_cut_off_draws_what_it_would_have_drawn(
    faces: FaceSet, tmp_path: Path, stand: Standing
) -> None:
    """Cut off among the random trials, twice in one trial, and among those that follow TPE's model."""
    stand(near)
    whole = search(small(), faces, tmp_path / "whole", space(), trials=12)
    left = [3, 4, 13]  # 4 is the repeat of 3; 13 is the last one, with two repeats before it

    def cut(number: int, done: float, epoch: Epoch) -> None:
        if left and number == left[0] and epoch.epoch == 1:
            left.pop(0)
            raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            search(small(), faces, tmp_path / "cut", space(), trials=12, watch=cut)
    # The same space in another order is the same search.
    found = search(small(), faces, tmp_path / "cut", space(*SPACE[::-1]), trials=12, watch=cut)
    again = [{**trial.values} for trial in found if trial.counts]
    assert again == [{**trial.values} for trial in whole]
    assert [trial.accuracy for trial in found if trial.counts] == [trial.accuracy for trial in whole]
    assert [trial.number for trial in found if trial.state == "cut off"] == [3, 4, 13]
    assert [line["state"] for line in table(tmp_path / "cut")].count("cut off") == 3


def test_draws_depend_on_the_seed_alone(faces: FaceSet, tmp_path: Path, stand: Standing) -> None:
    stand(near)
    found = [search(small(), faces, tmp_path / name, space(), trials=3, seed=seed)
             for name, seed in (("a", 0), ("b", 0), ("c", 1))]  # fmt: skip
    assert drawn(found[0]) == drawn(found[1])
    assert drawn(found[0])[0] == drawn(found[2])[0]  # the recipe's own
    assert drawn(found[0])[1:] != drawn(found[2])[1:]
    with pytest.raises(OptionError, match="Seed -1: expected 0 or more"):
        search(small(), faces, tmp_path / "d", space(), seed=-1)


def test_what_is_done_is_not_done_again(faces: FaceSet, tmp_path: Path, stand: Standing) -> None:
    trained = stand(near)
    first = search(small(), faces, tmp_path, space(), trials=3)
    assert search(small(), faces, tmp_path, space(), trials=3) == first
    assert search(small(), faces, tmp_path, space(), trials=2) == first
    assert trained.begun == [0, 1, 2]


def test_the_search_finds_the_better_values(faces: FaceSet, tmp_path: Path, stand: Standing) -> None:
    stand(near)
    found = search(small(rate=1e-4), faces, tmp_path, space(), trials=15)
    top = best(found)
    assert top is not None
    assert abs(np.log10(top.values["train.rate"]) + 2) < 0.3


def test_the_watchers_are_told(faces: FaceSet, tmp_path: Path, stand: Standing) -> None:
    stand(near)
    told: list[tuple[int, float, int]] = []
    ended: list[Trial] = []
    found = search(
        small(),
        faces,
        tmp_path,
        space(),
        trials=2,
        watch=lambda number, done, epoch: told.append((number, done, epoch.epoch)),
        ended=ended.append,
    )
    assert told == [(0, 0.5, 0), (0, 1.0, 1), (1, 1.5, 0), (1, 2.0, 1)]
    assert tuple(ended) == found


def test_the_median_rule(faces: FaceSet, tmp_path: Path, stand: Standing) -> None:
    """Number 3 is as bad as those from 6 on, but five complete trials come first; 5 is good."""
    stand(lambda recipe, number: 0.2 if number == 3 or number > 5 else 0.6)
    recipe = small(epochs=10)
    found = search(recipe, faces, tmp_path, space("train.epochs=10,20,4", recipe=recipe), trials=14, seed=1)
    assert [trial.state for trial in found[:6]] == ["complete"] * 6
    assert {trial.state for trial in found[6:]} == {"pruned"}
    # At three tenths of its own epochs each; of four epochs the second is the first past that.
    lasted = {(trial.values["train.epochs"], trial.epochs) for trial in found[6:]}
    assert lasted == {(10, 3), (20, 6), (4, 2)}
    assert all(trial.accuracy == 0.2 for trial in found[6:])
    assert [line["epochs"] for line in table(tmp_path)] == [str(trial.epochs) for trial in found]


def test_a_late_riser_is_judged_by_its_best_epoch_so_far(faces: FaceSet, tmp_path: Path, stand: Standing) -> None:
    """Median of the others 0.6: a trial that has been at 0.7 once stays, one that was at 0.5 goes."""
    peaks = {6: 0.7, 7: 0.5}

    def height(recipe: Recipe, number: int) -> float:
        calls[number] = calls.get(number, 0) + 1
        return peaks[number] if number in peaks and calls[number] == 2 else 0.1 if number in peaks else 0.6

    calls: dict[int, int] = {}
    stand(height)
    recipe = small(epochs=10)
    found = search(recipe, faces, tmp_path, space(recipe=recipe), trials=8)
    assert [(trial.state, trial.epochs) for trial in found[6:]] == [("complete", 10), ("pruned", 3)]


@pytest.mark.parametrize("error", [TrainingError, OptionError])
def test_a_failed_trial_does_not_end_the_search(
    error: type[Exception], faces: FaceSet, tmp_path: Path, stand: Standing
) -> None:
    def height(recipe: Recipe, number: int) -> float:
        if number in (0, 2):
            raise error(f"trial {number} cannot be")
        return near(recipe)

    stand(height)
    found = search(small(), faces, tmp_path, space(), trials=4)
    assert [trial.state for trial in found] == ["failed", "complete", "failed", "complete"]
    assert (found[2].reason, found[2].accuracy, found[2].epochs) == ("trial 2 cannot be", None, 0)
    assert table(tmp_path)[2]["reason"] == "trial 2 cannot be"
    check_picture((tmp_path / "history.png").read_bytes(), (2160, 1440))
    assert "own values" not in (tmp_path / "best.toml").read_text()


def test_values_that_do_not_go_together_fail_their_trial_only(faces: FaceSet, tmp_path: Path, stand: Standing) -> None:
    """Each value suits the recipe by itself, so that only the trial can tell."""
    stand(near)
    recipe = parse(
        {
            "name": "head",
            "preprocess": {"size": 32},
            "network": {"name": "torchvision:shufflenet_v2_x0_5"},
            "train": {"epochs": 4, "batch_size": 16, "frozen": 1, "thaw_rate": 0.1},
        }
    )
    texts = ("train.frozen=0,1,3", "train.thaw_rate=0.0,0.1")
    with pytest.raises(OptionError, match="thaw_rate is required"):
        space(*texts, recipe=recipe)
    texts = ("train.frozen=1,3", "train.epochs=2,4")
    found = search(recipe, faces, tmp_path, space(*texts, recipe=recipe), trials=12)
    states = {(trial.values["train.frozen"], trial.values["train.epochs"]): trial.state for trial in found}
    assert states.pop((3, 2)) == "failed"
    assert set(states.values()) == {"complete"}
    reasons = {trial.reason for trial in found if trial.state == "failed"}
    assert all("train.frozen = 3 is more than train.epochs = 2" in reason for reason in reasons)


def test_nothing_but_failures_is_an_error_that_says_the_first_reason(
    faces: FaceSet, tmp_path: Path, stand: Standing
) -> None:
    def height(recipe: Recipe, number: int) -> float:
        raise TrainingError(f"reason {number}")

    stand(height)
    with pytest.raises(TrainingError, match=r"No trial was completed.*: reason 0"):
        search(small(), faces, tmp_path, space(), trials=3)
    assert [line["reason"] for line in table(tmp_path)] == ["reason 0", "reason 1", "reason 2"]
    assert not (tmp_path / "best.toml").exists()


def test_an_accuracy_of_nothing_is_one(faces: FaceSet, tmp_path: Path, stand: Standing) -> None:
    stand(lambda recipe, number: 0.0)
    (only,) = search(small(), faces, tmp_path, space(), trials=1)
    assert (only.state, only.accuracy) == ("complete", 0.0)
    check_picture((tmp_path / "history.png").read_bytes(), (2160, 1440))


def test_other_errors_end_the_search_and_their_trial_begins_again_once(
    faces: FaceSet, tmp_path: Path, stand: Standing
) -> None:
    """So does a process that the system kills: what killed it twice is not tried a third time."""
    left = [1, 2, 4]

    def height(recipe: Recipe, number: int) -> float:
        if left and number == left[0]:
            left.pop(0)
            raise DataError("the faces are gone")
        return near(recipe)

    trained = stand(height)
    for _ in range(3):
        with pytest.raises(DataError, match="the faces are gone"):
            search(small(), faces, tmp_path, space(), trials=4)
    found = search(small(), faces, tmp_path, space(), trials=4)
    assert trained.begun == [0, 1, 2, 3, 4, 5, 6]
    assert [trial.state for trial in found if not trial.counts] == ["cut off"] * 3
    assert [trial.number for trial in found if trial.counts] == [0, 3, 5, 6]
    values = [tuple(trial.values.values()) for trial in found]
    assert values[2] == values[1]
    assert values[5] == values[4]
    assert len(set(values)) == 5


def test_the_recipes_own_values_come_back_too(faces: FaceSet, tmp_path: Path, stand: Standing) -> None:
    stand(near)

    def cut(number: int, done: float, epoch: Epoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(small(), faces, tmp_path, space(), trials=2, watch=cut)
    found = search(small(), faces, tmp_path, space(), trials=2)
    assert [(trial.state, trial.defaults) for trial in found] == [
        ("cut off", True),
        ("complete", True),
        ("complete", False),
    ]
    assert found[1].values == {"train.rate": 0.003, "train.batch_size": 16}


def test_a_process_that_says_nothing_is_dead(
    faces: FaceSet, tmp_path: Path, stand: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def height(recipe: Recipe, number: int) -> float:
        if number == 1:
            raise SystemExit  # leaves the trial running, as kill -9 does
        return near(recipe)

    stand(height)
    with pytest.raises(SystemExit):
        search(small(), faces, tmp_path, space(), trials=3)
    found = search(small(), faces, tmp_path, space(), trials=2)
    assert [trial.state for trial in found] == ["complete", "running"]  # it could still be alive, and counts
    monkeypatch.setattr(studies, "SILENCE", 1)
    time.sleep(2.1)
    found = search(small(), faces, tmp_path, space(), trials=3)
    assert [trial.state for trial in found] == ["complete", "cut off", "complete", "complete"]
    assert found[2].values == found[1].values


def test_own_values_outside_the_space(faces: FaceSet, tmp_path: Path, stand: Standing) -> None:
    """A rate out of range, and a dropout that is the network's own: the first trial has both, and none is drawn."""
    trained: list[Recipe] = []

    def height(recipe: Recipe, number: int) -> float:
        trained.append(recipe)
        return near(recipe)

    stand(height)
    recipe = small(rate=0.5).with_values({"network": {"name": "conv_pool", "dropout": None}})
    texts = ("train.rate=1e-3:1e-1:log", "network.dropout=0.1:0.5", "train.batch_size=8,16")
    found = search(recipe, faces, tmp_path, space(*texts, recipe=recipe), trials=4)
    assert found[0].values == {"train.rate": 0.5, "network.dropout": None, "train.batch_size": 16}
    assert trained[0].digest() == recipe.digest()
    assert all(trial.values["train.rate"] <= 0.1 and trial.values["network.dropout"] for trial in found[1:])
    assert not (tmp_path / "importance.png").exists()  # three trials have drawn all keys
    search(recipe, faces, tmp_path, space(*texts, recipe=recipe), trials=5)
    check_picture((tmp_path / "importance.png").read_bytes(), (2160, 768))


def test_the_best_recipe_leaves_a_networks_own_default_out(faces: FaceSet, tmp_path: Path, stand: Standing) -> None:
    stand(lambda recipe, number: 0.9 if number == 0 else 0.5)
    recipe = small().with_values({"network": {"name": "conv_pool", "dropout": None}})
    search(recipe, faces, tmp_path, space("network.dropout=0.1:0.5", recipe=recipe), trials=2)
    assert load(tmp_path / "best.toml").with_values({"name": "small", "about": ""}).digest() == recipe.digest()


@pytest.mark.parametrize("values", [{"data.hold_out": 0.25}, {"data.split": "image", "data.seed": 3}])
def test_parts_that_the_recipe_draws_are_drawn_once(
    values: dict[str, Any], faces: FaceSet, tmp_path: Path, stand: Standing
) -> None:
    recipe = small().with_values(values)
    trained = stand(near)
    search(recipe, faces, tmp_path, space(recipe=recipe), trials=2)
    whole = parts.arrange(faces, recipe.data)
    for given in trained.faces:
        again = parts.arrange(given, small().data)  # what the trial's own recipe asks for
        assert again.part(parts.TRAIN).ids == whole.part(parts.TRAIN).ids
        assert again.part(parts.VALIDATION).ids == whole.part(parts.VALIDATION).ids
        assert not set(given.ids) & set(whole.part(parts.TEST).ids)
    assert select_faces(recipe, faces).ids == trained.faces[0].ids
    assert load(tmp_path / "best.toml").data == recipe.data


def test_the_outcome_is_that_of_the_epoch_that_ships() -> None:
    grown = small(epochs=4).with_values(
        {"preprocess.size": 24, "train.sizes": [{"epoch": 0, "size": 16}, {"epoch": 1, "size": 24}]}
    )
    rows = [row(0, 0.9, 0.1, 16), row(1, 0.5, 0.8, 24), row(2, 0.6, 0.9, 24), row(3, 0.4, 0.7, 24)]
    assert best_accuracy(grown, rows[:1]) is None
    assert best_accuracy(grown, rows) == 0.6
    assert best_accuracy(grown.with_values({"train.choose": "loss"}), rows) == 0.4
    assert best_accuracy(grown.with_values({"train.choose": "last"}), [*rows, rows[2], rows[1]]) == 0.5


def test_the_earliest_of_equals_is_best() -> None:
    trials = [Trial(number, state, {}, False, accuracy, 2, 0.1, "")
              for number, state, accuracy in
              ((0, "failed", None), (1, "complete", 0.5), (2, "pruned", 0.9), (3, "complete", 0.7),
               (4, "complete", 0.7), (5, "running", 0.8))]  # fmt: skip
    assert best(trials) is trials[3]
    assert best(trials[:1]) is None


# ---- importance


def judged(values: list[tuple[float, float, float]]) -> Any:
    """A study of complete trials (a, b, accuracy)."""
    study = optuna.create_study(direction="maximize")
    kinds = {"a": optuna.distributions.FloatDistribution(0, 1), "b": optuna.distributions.FloatDistribution(0, 1)}
    for a, b, accuracy in values:
        study.add_trial(
            optuna.trial.create_trial(params={"a": a, "b": b}, distributions=kinds, value=accuracy),
        )
    return study


def test_importance_is_a_share_of_the_variance() -> None:
    draw = np.random.default_rng(0).random((12, 2))
    shares, trials = tune.importance(judged([(a, b, a) for a, b in draw]), ["a", "b"])
    assert trials == 12
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["a"] > 0.9


def test_importance_takes_four_complete_trials_that_differ() -> None:
    values = [(0.1, 0.2, 0.5), (0.3, 0.1, 0.6), (0.7, 0.9, 0.7), (0.9, 0.8, 0.8)]
    assert tune.importance(judged(values[:3]), ["a", "b"]) == ({}, 3)
    assert set(tune.importance(judged(values), ["a", "b"])[0]) == {"a", "b"}
    assert tune.importance(judged([(a, b, 0.5) for a, b, _ in values]), ["a", "b"])[0] == {}
    without = judged(values[:3])
    without.add_trial(optuna.trial.create_trial(value=0.1))  # as the recipe's own values outside the space
    assert tune.importance(without, ["a", "b"]) == ({}, 3)


# ---- folders


@pytest.fixture
def study(faces: FaceSet, tmp_path: Path, stand: Standing) -> Path:
    stand(near)
    search(small(), faces, tmp_path / "study", space(), trials=1)
    return tmp_path / "study"


def test_another_search_is_refused(faces: FaceSet, study: Path) -> None:
    fewer = faces.where(np.arange(len(faces)) > 0)
    before = table(study)
    with pytest.raises(OptionError, match="another recipe"):
        search(small(seed=1), faces, study, space(), trials=2)
    with pytest.raises(OptionError, match="another data"):
        search(small(), fewer, study, space(), trials=2)
    with pytest.raises(OptionError, match=r"another space: train\.batch_size=8,16,32; train\.rate=0\.0001:0\.1:log"):
        search(small(), faces, study, space("train.rate=1e-4:1e-2:log"), trials=2)
    assert table(study) == before
    # The test part is no part of it.
    assert len(search(small(), faces.where(faces.splits != "PrivateTest"), study, space(), trials=1)) == 1


def written(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as file:
        for statement in statements:
            file.execute(statement)
    file.close()


def foreign_file(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")


def garbage(folder: Path) -> None:
    (folder / "study.db").write_bytes(b"no database at all, but a text of some length " * 40)


def other_database(folder: Path) -> None:
    written(folder / "study.db", "CREATE TABLE mine (a INTEGER)")


def other_study(folder: Path) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'study.db'}")
    optuna.create_study(study_name="somebody's", storage=storage)
    storage.remove_session()
    storage.engine.dispose()


@pytest.mark.parametrize(
    ("plant", "says"),
    [
        (foreign_file, "is not empty and has no study.db. Give an empty or a new folder."),
        (garbage, "is not a study of mien tune (file is not a database). Give an empty or a new folder."),
        (other_database, "is not a study of mien tune (no such table: studies). Give an empty or a new folder."),
        (other_study, "contains other studies (somebody's). Give an empty or a new folder."),
    ],
)
def test_what_is_no_study_is_refused_and_left_as_it_is(
    plant: Callable[[Path], None], says: str, faces: FaceSet, tmp_path: Path, stand: Standing
) -> None:
    trained = stand(near)
    plant(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OptionError) as caught:
        search(small(), faces, tmp_path, space(), trials=1)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name != ".turn"} == before
    assert not trained.begun


def test_a_study_of_another_layout_is_refused(faces: FaceSet, study: Path) -> None:
    written(study / "study.db", "UPDATE alembic_version SET version_num = 'v0.9.0.a'")
    with pytest.raises(OptionError, match=r"study\.db cannot be used: "):
        search(small(), faces, study, space(), trials=2)


def test_only_one_process_has_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "WAIT", 0.1)
    refused = pytest.raises(OptionError, match="cannot be locked")
    with studies.lock(tmp_path), refused, studies.lock(tmp_path):
        pass
    with studies.lock(tmp_path):  # free again
        pass
    with pytest.raises(OptionError, match="cannot be written"), studies.lock(tmp_path / "nowhere"):
        pass


# ---- two processes


def join(folder: Path, ready: Path, faces: FaceSet) -> None:
    """Take part in a search that another process begins at the same moment, and note which trials came here."""

    def height(recipe: Recipe, number: int) -> float:
        while not (folder / "trial-1").exists():  # so that both are at work
            time.sleep(0.005)
        return near(recipe)

    trained = Stand(height)
    tune.fit = trained  # type: ignore[assignment, attr-defined]
    searched = space()
    ready.touch()
    while len(list(ready.parent.glob("*.ready"))) < 2:
        time.sleep(0.001)
    search(small(), faces, folder, searched, trials=9)
    ready.with_suffix(".done").write_text(" ".join(str(number) for number in trained.begun))


def test_two_processes_share_a_search(faces: FaceSet, tmp_path: Path, stand: Standing) -> None:
    """They begin it at the same moment, when there is no database and no trial yet."""
    # Not forks of this process: one that has trained stands still. PyTorch is loaded once for both where it can be.
    forks = "forkserver" in multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if forks else "spawn")
    context.set_forkserver_preload(["mien.search.tune"])
    processes = [context.Process(target=join, args=(tmp_path / "study", tmp_path / f"{name}.ready", faces))
                 for name in "ab"]  # fmt: skip
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=240)
    for process in processes:
        process.kill()
    assert [process.exitcode for process in processes] == [0, 0]
    mine, theirs = ({int(word) for word in (tmp_path / f"{name}.done").read_text().split()} for name in "ab")
    assert mine | theirs == set(range(9))
    assert not mine & theirs
    assert mine
    assert theirs
    trained = stand(near)
    found = search(small(), faces, tmp_path / "study", space(), trials=9)
    assert not trained.begun
    assert [trial.defaults for trial in found] == [True] + [False] * 8
    assert {trial.state for trial in found} <= {"complete", "pruned"}  # who has come how far decides about a median
    assert len({tuple(trial.values.values()) for trial in found}) == 9
    assert len(table(tmp_path / "study")) == 9
