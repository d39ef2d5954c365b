"""``reproduce`` on small corpora: its page has the figures of the runs, and nothing is trained twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from corpora import bars, pack_zip, peaks, photographs, write_zip

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # pictures this small gain nothing from a second thread

from mien.datasets import manifest  # noqa: E402
from mien.errors import DataError, FileMissingError, OptionError, RecipeError  # noqa: E402
from mien.recipes.recipe import SMOKE_FACES, Recipe, load_any  # noqa: E402
from mien.reproduction import reproduce as module  # noqa: E402
from mien.reproduction.finding import Speed  # noqa: E402
from mien.reproduction.reproduce import reproduce, write_page  # noqa: E402
from mien.runs import runs  # noqa: E402
from mien.training.fit import Epoch, Watcher, read_history  # noqa: E402

PEOPLE = 15
"""In each of system A's corpora: the fewest whose split by image has all ten classes in its 8 % of validation."""

SPEED = Speed(2.0, 1.0, threads=1, rounds=3)
"""Stands for a time that would be another one with each call."""

BASELINES = {"hog-svm-smoke", "pca-svm-smoke", "pca-knn-smoke"}


class Watch:
    """Remembers which recipes were trained, and which of their epochs."""

    def __init__(self, cut: int | None = None) -> None:
        self.recipes: list[str] = []
        self.epochs: list[int] = []
        self.cut = cut

    def __call__(self, recipe: Recipe) -> Watcher:
        self.recipes.append(recipe.name)
        return self.epoch

    def epoch(self, row: Epoch) -> None:
        self.epochs.append(row.epoch)
        if row.epoch == self.cut:
            raise PowerCutError


class PowerCutError(Exception):
    """Stands for the plug being pulled."""


def measured(page: str) -> list[dict[str, str]]:
    """The table of claimed and measured, a dictionary a row."""
    lines = page.partition("## Claimed and measured")[2].partition("##")[0].strip().splitlines()
    cells = [[cell.strip(" `") for cell in line.strip("|").split(" | ")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def rows(page: str, what: str, recipe: str) -> list[tuple[str, str, str]]:
    """Claimed, measured and interval of one quantity of one recipe, a row for each claim."""
    found = [row for row in measured(page) if (row["what"], row["recipe"]) == (what, recipe)]
    return [(row["claimed"], row["measured"], row["95 % interval"]) for row in found]


def figures(run: Path, part: str = "private_test") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))[part]
    return found


def interval(test: dict[str, Any]) -> str:
    low, high = test["interval"]
    return f"{low * 100:.1f} – {high * 100:.1f} %"


def percent(share: float) -> str:
    return f"{share * 100:.2f} %"


def no_work(*_: object, **__: object) -> NoReturn:
    raise AssertionError("nothing may be trained or cropped again")


@pytest.fixture(scope="module")
def fer2013(tmp_path_factory: pytest.TempPathFactory) -> Path:
    faces = bars({"Training": 16, "PublicTest": 3, "PrivateTest": 3})
    pixels = np.asarray(faces.pixels)
    pixels[-1] = pixels[15 + 16 * 6]  # a test face that is pixel for pixel a training face too
    return write_zip(faces, tmp_path_factory.mktemp("data") / "fer2013.zip")


@pytest.fixture(scope="module")
def corpora_of_a(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("data")
    kdef = pack_zip(folder / "kdef.zip", photographs(PEOPLE, ("S", "HL")))
    return [kdef, pack_zip(folder / "ckplus48.zip", peaks(PEOPLE))]


@pytest.fixture(scope="module", autouse=True)
def one_seed() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "SEEDS", {})
        patched.setattr("mien.reproduction.speed.measure", lambda: SPEED)
        yield


def run_whole(system: str, corpora: list[Path], out: Path) -> tuple[Path, list[str]]:
    watch = Watch()
    page = reproduce(system, corpora, out, budget="smoke", watch=watch)
    assert page == out / f"{system}.md"
    return out, watch.recipes


@pytest.fixture(scope="module")
def system_b(fer2013: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    return run_whole("B", [fer2013], tmp_path_factory.mktemp("b") / "out")


@pytest.fixture(scope="module")
def system_e(fer2013: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    return run_whole("E", [fer2013], tmp_path_factory.mktemp("e") / "out")


@pytest.fixture(scope="module")
def system_a(corpora_of_a: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    return run_whole("A", corpora_of_a, tmp_path_factory.mktemp("a") / "out")


@pytest.fixture
def copy_of_b(system_b: tuple[Path, list[str]], tmp_path: Path) -> Path:
    return shutil.copytree(system_b[0], tmp_path / "out")


def page_only(system: str, corpora: list[Path], out: Path, budget: str = "smoke") -> str:
    watch = Watch()
    found = reproduce(system, corpora, out, budget=budget, train=False, watch=watch)
    assert watch.recipes == []
    return found.read_text(encoding="utf-8")


def test_system_b(system_b: tuple[Path, list[str]]) -> None:
    out, trained = system_b
    page, run = (out / "B.md").read_text(encoding="utf-8"), out / "runs" / "system-b-smoke" / "seed-0"
    assert trained == ["system-b-smoke", "system-b-tuned-smoke"]
    assert {path.name for path in (out / "runs").iterdir()} == {*trained, *BASELINES}
    history = read_history(run)
    best = min(history, key=lambda row: row.validation_loss).epoch + 1
    assert rows(page, "CNN: epochs", "system-b-smoke") == [("20 epochs", "2 epochs", "–")]
    assert rows(page, "CNN: best epoch", "system-b-smoke") == [("8 epochs", f"{best} epochs", "–")]
    for model, folder in (("CNN", run), ("PCA + KNN", out / "runs" / "pca-knn-smoke")):
        test = figures(folder)
        name = folder.name if model != "CNN" else "system-b-smoke"
        assert rows(page, f"{model}: accuracy", name) == [("–", percent(test["accuracy"]), interval(test))]
        clean = test["without_training_copies"]
        assert (test["faces"], clean["faces"]) == (21, 20)
        expected = [("–", percent(clean["accuracy"]), interval(clean))]
        what = f"{model}: accuracy without test faces that are training faces too (1)"
        assert rows(page, what, name) == expected
    assert "**Smoke run.** The recipes that end in `-smoke`" in page
    assert "- `system-b-smoke`: Smoke run of system-b: two epochs" in page
    assert json.loads((run / "metrics.json").read_text())["smoke"].startswith("Smoke run of system-b: ")
    above = sum(row.validation_accuracy > row.accuracy for row in history)
    verdict = "yes" if above == 2 else "**no**"
    assert f"| in every epoch | measured: above in {above} of 2 epochs | {verdict} |" in page
    assert {row["schedule"] for row in measured(page)} == {"Mien's"}  # of a smoke run


def test_system_e(system_e: tuple[Path, list[str]]) -> None:
    out, trained = system_e
    page = (out / "E.md").read_text(encoding="utf-8")
    assert trained == ["system-e-smoke", "system-e-tuned-smoke"]
    for name in trained:
        test = figures(out / "runs" / name / "seed-0")
        assert rows(page, "CNN: accuracy", name) == [("70.13 %", percent(test["accuracy"]), interval(test))]
        for noun, claimed in (("fear", "80.00 %"), ("surprise", "100.00 %")):
            recall = percent(test["per_class"][noun]["recall"])
            assert [row[:2] for row in rows(page, f"CNN: recall of {noun}", name)] == [(claimed, recall)]
    test = figures(out / "runs" / "hog-svm-smoke")
    expected = [("45.95 %", percent(test["accuracy"]), interval(test))]
    assert rows(page, "SVM, cited: accuracy", "hog-svm-smoke") == expected
    assert "happiness 22, neutral 22" in page  # counted in the corpus given


def test_system_a(system_a: tuple[Path, list[str]]) -> None:
    out, trained = system_a
    page = (out / "A.md").read_text(encoding="utf-8")
    assert trained == ["system-a-cnn-smoke", "system-a-cnn-by-subject-smoke", "system-a-mobilenet-smoke"]
    test = figures(out / "runs" / "system-a-cnn-smoke" / "seed-0", "test")
    accuracy = (percent(test["accuracy"]), interval(test))
    claims = [(claim, *accuracy) for claim in ("90.51 %", "89.90 %", "94.00 %")]
    assert rows(page, "CNN: accuracy", "system-a-cnn-smoke") == claims
    (macro,) = rows(page, "CNN: macro F1", "system-a-cnn-smoke")
    assert macro[:2] == ("92.00 %", percent(test["macro_f1"]))
    assert rows(page, "CNN: loss", "system-a-cnn-smoke") == [("0.3084 nats", f"{test['log_loss']:.3f} nats", "–")]
    weighted = sum(row["f1"] * row["support"] for row in test["per_class"].values()) / test["faces"]
    assert [row[:2] for row in rows(page, "CNN: weighted F1", "system-a-cnn-smoke")] == [("94.00 %", percent(weighted))]
    test = figures(out / "runs" / "system-a-mobilenet-smoke" / "seed-0", "test")
    expected = [("88.06 %", percent(test["accuracy"]), interval(test))]
    assert rows(page, "MobileNetV2: accuracy", "system-a-mobilenet-smoke") == expected


def test_system_a_is_made_of_peak_frames_and_frontal_crops(system_a: tuple[Path, list[str]]) -> None:
    out, _ = system_a
    crops = manifest.read(out / "data" / "kdef48" / "manifest.parquet")
    assert set(crops.column("pose")) == {"S"}
    assert set(crops.column("width")) == {48}
    assert len(crops) == 7 * PEOPLE
    page = (out / "A.md").read_text(encoding="utf-8")
    assert f"| 6,530 | {14 * PEOPLE} |" in page
    assert f"of {2 * PEOPLE} people on both sides" in page
    assert "| 2.0 times slower: 2.00 against 1.00 ms a face on 1 thread | **no** |" in page
    parts = json.loads((out / "runs" / "system-a-cnn-smoke" / "seed-0" / "data.json").read_text())["parts"]
    assert parts["test"] == round(0.2 * 14 * PEOPLE)
    assert parts["train"] == 14 * (SMOKE_FACES // 14) - 1  # a class of one corpus has a face too few


def test_algorithm_1_equalises_the_photograph_before_it_is_cropped(
    corpora_of_a: list[Path], system_a: tuple[Path, list[str]], tmp_path: Path
) -> None:
    page = reproduce("A", corpora_of_a, tmp_path, budget="algorithm1", train=False)
    for name in ("kdef-equalised", "ckplus48-equalised"):
        crops = manifest.read(tmp_path / "data" / name / "manifest.parquet")
        assert crops.info["prepared"]["clahe"] is True
        assert set(crops.column("width")) == {48}
    assert "Nothing was measured." in page.read_text(encoding="utf-8")
    plain = manifest.read(system_a[0] / "data" / "kdef48" / "manifest.parquet")
    assert plain.info["prepared"]["clahe"] is False
    shown = (system_a[0] / "A.md").read_text(encoding="utf-8")
    assert shown.count("Other order than Algorithm 1") == 3  # of each recipe that equalises crops
    assert not load_any("system-a-cnn", "algorithm1").preprocess.clahe


@pytest.mark.parametrize("system", ["A", "B", "E"])
def test_a_second_call_trains_nothing_and_writes_the_same_page(
    system: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = request.getfixturevalue(f"system_{system.lower()}")
    corpora = request.getfixturevalue("corpora_of_a") if system == "A" else [request.getfixturevalue("fer2013")]
    page = out / f"{system}.md"
    before = page.read_bytes()
    page.unlink()
    monkeypatch.setattr(runs, "train", no_work)
    monkeypatch.setattr(module, "prepare", no_work)
    assert reproduce(system, corpora, out, budget="smoke", watch=no_work) == page
    assert page.read_bytes() == before


def test_the_page_follows_from_the_runs_and_what_was_counted(copy_of_b: Path, fer2013: Path, tmp_path: Path) -> None:
    smoke = load_any("system-b", "smoke")
    run = copy_of_b / "runs" / "system-b-2core"
    shutil.move(copy_of_b / "runs" / "system-b-smoke" / "seed-0", run)
    made_by(run, "system-b", "2core")
    page = write_page("B", copy_of_b / "runs", copy_of_b / "B.json", tmp_path).read_text(encoding="utf-8")
    assert page == page_only("B", [fer2013], copy_of_b, budget="2core")
    assert {row["schedule"] for row in measured(page)} == {"published"}  # the 2-core budget changes nothing
    assert smoke.name not in page


def test_a_run_that_was_cut_off_goes_on(system_b: tuple[Path, list[str]], fer2013: Path, tmp_path: Path) -> None:
    cut, rest = Watch(cut=1), Watch()
    with pytest.raises(PowerCutError):
        reproduce("B", [fer2013], tmp_path, budget="smoke", watch=cut)
    assert not (tmp_path / "B.md").exists()
    for name in ("system-b-tuned-smoke", "pca-svm-smoke", "hog-svm-smoke"):  # finished runs are kept as they are
        shutil.copytree(system_b[0] / "runs" / name, tmp_path / "runs" / name)
    page = reproduce("B", [fer2013], tmp_path, budget="smoke", watch=rest)
    assert (cut.epochs, rest.epochs) == ([0, 1], [1])
    assert page.read_bytes() == (system_b[0] / "B.md").read_bytes()


def test_page_only_writes_what_has_been_run(copy_of_b: Path, fer2013: Path) -> None:
    (copy_of_b / "runs" / "system-b-smoke" / "seed-0" / "metrics.json").unlink()
    for name in ("system-b-tuned-smoke", "hog-svm-smoke"):
        shutil.rmtree(copy_of_b / "runs" / name)
    page = page_only("B", [fer2013], copy_of_b)
    assert {row["recipe"] for row in measured(page)} == {"pca-svm-smoke", "pca-knn-smoke"}
    assert "both cannot be" in page  # no curve of a network that has not been run


def test_page_only_of_nothing(
    fer2013: Path, corpora_of_a: list[Path], system_a: tuple[Path, list[str]], tmp_path: Path
) -> None:
    shutil.copytree(system_a[0], tmp_path / "A", ignore=shutil.ignore_patterns("runs", "*.md"))  # its crops
    for system, corpora in (("A", corpora_of_a), ("E", [fer2013])):
        page = page_only(system, corpora, tmp_path / system)
        assert "Nothing was measured." in page
        assert ("Counted in the split given" in page) == (system == "A")
        assert not (tmp_path / system / "runs").exists()


def made_by(run: Path, recipe: str, budget: str, **changes: float) -> None:
    """Give a finished run another budget's recipe, and other figures."""
    plan = load_any(recipe, budget)
    values = {"digest": plan.digest(), **plan.model_dump(mode="json")}
    (run / "recipe.json").write_text(json.dumps(values), encoding="utf-8")
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    metrics["private_test"] |= changes
    (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")


def test_other_budgets_that_have_been_run_are_listed(copy_of_b: Path, fer2013: Path) -> None:
    folder = copy_of_b / "runs"
    shutil.copytree(folder / "system-b-smoke", folder / "system-b-2core")
    made_by(folder / "system-b-2core" / "seed-0", "system-b", "2core", accuracy=0.625)
    page = page_only("B", [fer2013], copy_of_b)
    assert [row["recipe"] for row in measured(page) if row["what"] == "CNN: epochs"] == [
        "system-b-smoke", "system-b-2core", "system-b-tuned-smoke",
    ]  # fmt: skip
    assert rows(page, "CNN: accuracy", "system-b-2core")[0][1] == "62.50 %"
    page = page_only("B", [fer2013], copy_of_b, budget="2core")
    assert {row["recipe"] for row in measured(page)} == {"system-b-2core"}  # nobody asks for the smoke of others


def test_several_seeds_are_stated_as_mean_and_deviation(
    copy_of_b: Path, fer2013: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEEDS", {("B", "CNN"): 2})
    seeds = copy_of_b / "runs" / "system-b-smoke"
    assert "system-b-smoke" not in page_only("B", [fer2013], copy_of_b)  # the second seed has not been run
    shutil.copytree(seeds / "seed-0", seeds / "seed-1")
    for seed, accuracy in ((0, 0.5), (1, 0.6)):
        made_by(seeds / f"seed-{seed}", "system-b", "smoke", accuracy=accuracy)
    second = load_any("system-b", "smoke").with_values({"train.seed": 1})
    (seeds / "seed-1" / "recipe.json").write_text(json.dumps({"digest": second.digest()}), encoding="utf-8")
    page = page_only("B", [fer2013], copy_of_b)
    assert rows(page, "CNN: accuracy", "system-b-smoke")[0][1] == "55.00 ± 7.07 %"


def test_a_run_of_another_version_of_its_recipe_is_refused(copy_of_b: Path, fer2013: Path) -> None:
    run = copy_of_b / "runs" / "pca-knn-smoke"
    made_by(run, "pca-svm", "smoke")
    with pytest.raises(RecipeError) as caught:
        reproduce("B", [fer2013], copy_of_b, budget="smoke", watch=no_work)
    assert str(caught.value).startswith(f"{run} has an earlier version of the recipe pca-knn-smoke (")
    assert str(caught.value).endswith("Move the folder away to train again.")
    assert "\n" not in str(caught.value)


def test_missing_and_double_corpora_are_named(fer2013: Path, corpora_of_a: list[Path], tmp_path: Path) -> None:
    kdef, _ = corpora_of_a
    given = r"given: fer2013\.zip \(fer2013-folders\)\. Pass each with --data"
    with pytest.raises(DataError, match=f"System A needs ckplus48 and kdef; {given}"):
        reproduce("A", [fer2013], tmp_path)
    with pytest.raises(DataError, match=r"System A needs ckplus48; given: .*, kdef\.zip \(kdef\)\."):
        reproduce("A", [fer2013, kdef], tmp_path)
    with pytest.raises(DataError, match="System E needs fer2013; given: nothing"):
        reproduce("E", [], tmp_path)
    with pytest.raises(DataError, match=r"System E needs one fer2013; given: .*Leave the others out"):
        reproduce("E", [fer2013, fer2013], tmp_path)
    with pytest.raises(FileMissingError, match=r"none\.zip does not exist"):
        reproduce("E", [tmp_path / "none.zip"], tmp_path)
    assert not list(tmp_path.iterdir())


def test_unknown_systems_and_budgets_are_told_before_any_work(corpora_of_a: list[Path], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="No system 'F'; there are A, B, C, D, E"):
        reproduce("F", corpora_of_a, tmp_path)
    with pytest.raises(RecipeError, match=r"no budget '2kore'; it has 2core, .*smoke\. Did you mean '2core'"):
        reproduce("A", corpora_of_a, tmp_path, budget="2kore")
    assert not list(tmp_path.iterdir())
