"""``mien reproduce``: run a published system's recipes on real corpora and write a page of claims and measurements.

Everything is kept under the folder ``out`` (crops, run folders, metrics), so that a second call resumes where the
first one stopped; if everything is there, it only rewrites the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mien import files, run_files
from mien.datasets import faces as loading
from mien.datasets import index, manifest
from mien.datasets.faces import FaceSet, Watch
from mien.datasets.formats import readers
from mien.datasets.prepare import prepare
from mien.datasets.rows import Options
from mien.errors import DataError, RecipeError
from mien.recipes import recipe
from mien.recipes.recipe import AnyRecipe, Plan, Recipe
from mien.recognition.detection.detect import get_detector
from mien.reproduction import measured, speed
from mien.reproduction.claims import published
from mien.reproduction.contradictions import findings
from mien.reproduction.finding import Evidence
from mien.reproduction.measured import Outcome
from mien.reproduction.systems_page import page
from mien.runs import runs, scorings
from mien.training import parts
from mien.training.fit import Watcher, read_history

CORPORA: Mapping[str, tuple[str, ...]] = {
    "A": ("ckplus48", "kdef"),
    "B": ("fer2013",),
    "C": ("fer2013",),
    "D": ("fer2013",),
    "E": ("fer2013",),
}
"""The corpora that a system's recipes train on, as prefixes of their readers' names."""

SEEDS = {("A", "CNN"): 3}
"""Number of seeds by system and model, where the claim is a mean over several."""

FACE_SIDE = 48

ALGORITHM_1 = "algorithm1"
"""The budget of system A's recipes that reads crops made in the order of its Algorithm 1."""

ORDER = (
    "Other order than Algorithm 1, which equalises the photograph before the face is detected: here the face is "
    "detected in the plain photograph and its crop is equalised."
)
"""What a page says of a recipe of system A that equalises crops."""

DETECTORS = {"kdef": "haar", "ckplus48": "whole"}
"""System A's corpora → what finds the faces in them."""


def reproduce(
    system: str,
    corpora: Sequence[Path],
    out: Path,
    *,
    budget: str = "",
    train: bool = True,
    watch: Callable[[Recipe], Watcher] | None = None,
    reading: Watch | None = None,
) -> Path:
    """Run a system's recipes on ``corpora`` and write ``out/SYSTEM.md``; return its path.

    Args:
        corpora: in any order; the readers identify them.
        budget: the recipes' variant, such as ``2core``.
        train: False trains nothing and writes the page from the finished runs.
        watch: called with a recipe before it is trained; returns the callback for its epochs.
        reading: wraps the iterables of images, for a progress bar. Beside the page, ``out/SYSTEM.json`` holds what was
            counted and timed, for ``write_page``.

    Raises:
        OptionError: an unknown system.
        DataError: naming the corpora that are missing or given twice.
        RecipeError: an unknown budget, or runs of another version of a recipe.
    """
    about = published(system)
    paths = _identify(system, corpora)
    bench = _Bench(system, out / "runs", watch, reading)
    # First, because a wrong budget must be reported before an hour of cropping.
    plans = [(model, plan) for model, names in about.recipes.items() for plan in bench.plan_runs(model, names, budget)]
    equalised = budget == ALGORITHM_1
    sources = [_prepare_corpus(corpus, path, out / "data", reading, equalised) for corpus, path in paths.items()]
    outcomes = [bench.run(model, plan, sources) for model, plan in plans if train or bench.is_finished(model, plan)]
    counted = _count(system, paths, sources, reading)
    out.mkdir(parents=True, exist_ok=True)
    counted.write(out / f"{system}.json")
    return _write(system, outcomes, counted, out)


def write_page(system: str, finished: Path, evidence: Path, out: Path) -> Path:
    """Write ``out/SYSTEM.md`` from finished runs and counted evidence alone, without any corpus; return its path.

    Args:
        finished: folder of runs, RECIPE or RECIPE/seed-N, of which recipe, metrics and history are enough.
        evidence: the JSON file that ``reproduce`` wrote beside its page.

    Raises:
        OptionError: runs of another version.
        FileMissingError: runs of another version.
        DataError: runs of another version.
        RecipeError: runs of another version.
    """
    bench = _Bench(system, finished, None, None)
    plans = [
        (model, plan)
        for model, names in published(system).recipes.items()
        for name in names
        for budget, plan in recipe.variants(name).items()
        if budget != recipe.SMOKE and bench.is_finished(model, plan)
    ]
    return _write(system, [bench.read(model, plan) for model, plan in plans], Evidence.read(evidence), out)


def _write(system: str, outcomes: Sequence[Outcome], counted: Evidence, out: Path) -> Path:
    """Write the page of what was run and counted."""
    evidence = replace(
        counted,
        curves=_curves(outcomes) if system == "B" else None,
        measured=tuple(measured.summarise(system, outcome) for outcome in outcomes),
    )
    rows = [row for outcome in outcomes for row in measured.compare_claims(system, outcome)]
    reasons = {outcome.recipe.name: _explain(system, outcome) for outcome in outcomes}
    written = out / f"{system}.md"
    files.write(written, page(system, rows, reasons, findings(system, evidence)))
    return written


def _explain(system: str, outcome: Outcome) -> str:
    """Return how a run differs from its document, and how often its test faces were scored before."""
    other_order = system == "A" and outcome.recipe.preprocess.clahe
    return " ".join(filter(None, (outcome.recipe.about, ORDER * other_order, scorings.describe(outcome.folder))))


def _identify(system: str, corpora: Sequence[Path]) -> dict[str, Path]:
    """Return the paths of the system's corpora by name."""
    known = [(path, readers.detect(path)[0]) for path in corpora]
    matches = {name: [path for path, reader in known if reader.startswith(name)] for name in CORPORA[system]}
    missing = [name for name, paths in matches.items() if not paths]
    given = ", ".join(f"{path.name} ({reader})" for path, reader in known) or "nothing"
    if missing:
        raise DataError(f"System {system} needs {' and '.join(missing)}; given: {given}. Pass each with --data.")
    twice = [name for name, paths in matches.items() if len(paths) > 1]
    if twice:
        raise DataError(f"System {system} needs one {' and one '.join(twice)}; given: {given}. Leave the others out.")
    return {name: paths[0] for name, paths in matches.items()}


def _prepare_corpus(corpus: str, path: Path, folder: Path, watch: Watch | None, equalised: bool) -> Path:
    """Return the path to load a corpus from: its own, or for photographs the manifest of their crops.

    System A's Algorithm 1 equalises the photograph, then detects and crops. With ``equalised`` so does this, and the
    recipe leaves the crop alone. Otherwise Haar crops the plain photograph, and the recipe's ``preprocess.clahe``
    equalises the crop, so that training and serving see the same pixels. CK+48 comes cropped: there is only its crop to
    equalise.
    """
    if corpus not in DETECTORS or (corpus != "kdef" and not equalised):
        return path
    crops = folder / (f"{corpus}-equalised" if equalised else "kdef48")
    if not (crops / "manifest.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        frontal = Options(angles=("S",))  # system A only uses KDEF's frontal photographs
        listed = index.index([path], folder / f"{corpus}.parquet", options=frontal, watch=watch).path
        prepare(
            manifest.read(listed), crops, get_detector(DETECTORS[corpus]), clahe=equalised, size=FACE_SIDE,
            keep_undetected=True, watch=watch,
        )  # fmt: skip
    return crops / "manifest.parquet"


def _load(plan: Plan, sources: Sequence[Path], watch: Watch | None) -> FaceSet:
    table = plan.data
    return loading.load(sources, table.label_scheme(), watch=watch, limit=table.reading_limit, seed=table.seed)


@dataclass(frozen=True)
class _Bench:
    """Runs a system's recipes; ``watch`` and ``reading`` as in ``reproduce``."""

    system: str
    folder: Path
    watch: Callable[[Recipe], Watcher] | None
    reading: Watch | None

    def plan_runs(self, model: str, names: Sequence[str], budget: str) -> Iterable[AnyRecipe]:
        """Yield each recipe in the given budget, and in other budgets with finished runs; baselines only have one."""
        for name in names:
            budgets = recipe.variants(name)
            chosen = budget if budget == recipe.SMOKE or isinstance(budgets[""], Recipe) else ""
            yield recipe.load_any(name, chosen)
            others = (plan for other, plan in budgets.items() if other not in (chosen, recipe.SMOKE))
            yield from (plan for plan in others if self.is_finished(model, plan))

    def is_finished(self, model: str, plan: AnyRecipe) -> bool:
        """Check whether all runs of a recipe have been scored."""
        return all((run / run_files.METRICS).exists() for run in self._runs(model, plan))

    def run(self, model: str, plan: AnyRecipe, sources: Sequence[Path]) -> Outcome:
        """Run a recipe with each of its seeds, except for finished runs."""
        faces: FaceSet | None = None
        for folder, seeded in self._runs(model, plan).items():
            if not (folder / run_files.METRICS).exists():
                faces = faces or _load(plan, sources, self.reading)
                watch = self.watch(seeded) if self.watch and isinstance(seeded, Recipe) else None
                runs.train(seeded, faces, folder, resume=folder.exists(), watch=watch, working=self.reading)
        return self.read(model, plan)

    def read(self, model: str, plan: AnyRecipe) -> Outcome:
        """Read the metrics of a recipe's finished runs."""
        folders = self._runs(model, plan)
        scores = tuple(read_test_metrics(folder, seeded) for folder, seeded in folders.items())
        return Outcome(model, plan, scores, next(iter(folders)))

    def _runs(self, model: str, plan: AnyRecipe) -> dict[Path, AnyRecipe]:
        folder = self.folder / plan.name
        if not isinstance(plan, Recipe) or (folder / run_files.METRICS).exists():
            return {folder: plan}
        seeds = SEEDS.get((self.system, model), 1)
        return {folder / f"seed-{seeded.train.seed}": seeded for seeded in runs.vary_seed(plan, seeds)}


def read_test_metrics(run: Path, plan: Plan) -> dict[str, Any]:
    """Read the metrics of a finished run on its test set.

    Raises:
        RecipeError: the run has another recipe.
    """
    recorded = json.loads((run / run_files.RECIPE).read_text(encoding="utf-8"))["digest"]
    if recorded != plan.digest():
        raise RecipeError(
            f"{run} has an earlier version of the recipe {plan.name} ({recorded[:12]}, now "
            f"{plan.digest()[:12]}). Move the folder away to train again."
        )
    metrics = json.loads((run / run_files.METRICS).read_text(encoding="utf-8"))
    test: dict[str, Any] = metrics["private_test" if "private_test" in metrics else "test"]
    return test


def _count(system: str, paths: Mapping[str, Path], sources: Sequence[Path], watch: Watch | None) -> Evidence:
    """Count the system's corpora; for system A also time its networks."""
    if system == "A":
        ckplus, kdef = (loading.load(path, watch=watch).counts() for path in sources)
        return Evidence(ckplus=ckplus, kdef=kdef, people=_people(sources, watch), speed=speed.measure())
    whole = loading.load(paths["fer2013"], watch=watch)
    return Evidence(fer2013=whole.counts(), fer2013_train=whole.part(parts.TRAIN).counts())


def _curves(outcomes: Sequence[Outcome]) -> tuple[list[float], list[float]] | None:
    """Return accuracy per epoch on training and validation faces of the first network; None without one."""
    networks = [outcome for outcome in outcomes if isinstance(outcome.recipe, Recipe)]
    if not networks:
        return None
    history = read_history(networks[0].folder)
    return [row.accuracy for row in history], [row.validation_accuracy for row in history]


def _people(sources: Sequence[Path], watch: Watch | None) -> tuple[int, int]:
    """Count people on both sides of system A's split by image, and all; it is drawn even if nothing is trained."""
    plan = recipe.load(published("A").recipes["CNN"][0])
    arranged = parts.arrange(_load(plan, sources, watch), plan.data)
    sides = [arranged.part(part).subjects for part in (parts.TRAIN, parts.TEST)]
    first, second = (set() if side is None else set(side.tolist()) for side in sides)
    return len(first & second), len(first | second)
