"""``mien reproduce``: run a published system's recipes on real corpora and write a page of claims and measurements.

Everything is kept under the folder ``out`` (crops, run folders, metrics), so that a second call resumes where the
first one stopped; if everything is there, it only rewrites the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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
from mien.reproduction.claims import Claim, published
from mien.reproduction.contradictions import findings
from mien.reproduction.finding import Evidence
from mien.reproduction.systems_page import Row, page
from mien.runs import runs
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


@dataclass(frozen=True)
class Outcome:
    """One recipe of a system, run with one or several seeds.

    model: as named in the claims.  test: metrics on the test set, one entry per seed.  folder: the first seed's run.
    """

    model: str
    recipe: AnyRecipe
    test: tuple[dict[str, Any], ...]
    folder: Path


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

    corpora: in any order; the readers identify them.  budget: the recipes' variant, such as ``2core``.
    train:   False trains nothing and writes the page from the finished runs.
    watch:   called with a recipe before it is trained; returns the callback for its epochs.
    reading: wraps the iterables of images, for a progress bar.
    Raises ``OptionError`` for an unknown system, ``DataError`` naming the corpora that are missing or given twice,
    ``RecipeError`` for an unknown budget and for runs of another version of a recipe.
    """
    about = published(system)
    paths = _identify(system, corpora)
    bench = _Bench(system, out / "runs", watch, reading)
    # First, because a wrong budget must be reported before an hour of cropping.
    plans = [(model, plan) for model, names in about.recipes.items() for plan in bench.plan_runs(model, names, budget)]
    sources = [_prepare_corpus(corpus, path, out / "data", reading) for corpus, path in paths.items()]
    outcomes = [bench.run(model, plan, sources) for model, plan in plans if train or bench.is_finished(model, plan)]
    rows = [row for outcome in outcomes for row in compare_claims(system, outcome)]
    reasons = {outcome.recipe.name: outcome.recipe.about for outcome in outcomes}
    text = page(system, rows, reasons, findings(system, _evidence(system, paths, sources, outcomes, reading)))
    out.mkdir(parents=True, exist_ok=True)
    written = out / f"{system}.md"
    files.write(written, text)
    return written


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


def _prepare_corpus(corpus: str, path: Path, folder: Path, watch: Watch | None) -> Path:
    """Return the path to load a corpus from: its own, or for photographs the manifest of their crops.

    System A's Algorithm 1 equalises, then detects and crops. Here Haar crops the plain photograph, and the recipe's
    ``preprocess.clahe`` equalises the crop, so that training and serving see the same pixels.
    """
    if corpus != "kdef":
        return path
    crops = folder / "kdef48"
    if not (crops / "manifest.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        frontal = Options(angles=("S",))  # system A only uses KDEF's frontal photographs
        listed = index.index([path], folder / "kdef.parquet", options=frontal, watch=watch).path
        prepare(
            manifest.read(listed), crops, get_detector("haar"), clahe=False, size=FACE_SIDE, keep_undetected=True,
            watch=watch,
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
        scores: list[dict[str, Any]] = []
        faces: FaceSet | None = None
        folders = self._runs(model, plan)
        for folder, seeded in folders.items():
            if not (folder / run_files.METRICS).exists():
                faces = faces or _load(plan, sources, self.reading)
                watch = self.watch(seeded) if self.watch and isinstance(seeded, Recipe) else None
                runs.train(seeded, faces, folder, resume=folder.exists(), watch=watch, working=self.reading)
            scores.append(read_test_metrics(folder, seeded))
        return Outcome(model, plan, tuple(scores), next(iter(folders)))

    def _runs(self, model: str, plan: AnyRecipe) -> dict[Path, AnyRecipe]:
        folder = self.folder / plan.name
        if not isinstance(plan, Recipe):
            return {folder: plan}
        seeds = SEEDS.get((self.system, model), 1)
        return {folder / f"seed-{seeded.train.seed}": seeded for seeded in runs.vary_seed(plan, seeds)}


def read_test_metrics(run: Path, plan: Plan) -> dict[str, Any]:
    """Read the metrics of a finished run on its test set. Raises ``RecipeError`` if the run has another recipe."""
    recorded = json.loads((run / run_files.RECIPE).read_text(encoding="utf-8"))["digest"]
    if recorded != plan.digest():
        raise RecipeError(
            f"{run} has an earlier version of the recipe {plan.name} ({recorded[:12]}, now "
            f"{plan.digest()[:12]}). Move the folder away to train again."
        )
    metrics = json.loads((run / run_files.METRICS).read_text(encoding="utf-8"))
    test: dict[str, Any] = metrics["private_test" if "private_test" in metrics else "test"]
    return test


def compare_claims(system: str, outcome: Outcome) -> Iterable[Row]:
    """Yield a row for each claim with a measurement; always one for the accuracy, also without training copies."""
    name = outcome.recipe.name
    claims = [claim for claim in published(system).claims if claim.model == outcome.model]
    for claim in claims:
        measured = _measure(claim, outcome)
        if measured:
            interval = _interval(outcome.test) if claim.what == "accuracy" else ""
            yield Row(f"{claim.model}: {claim.what}", claim.text(), measured, interval, name, claim.where)
    if not any(claim.what == "accuracy" for claim in claims):
        interval = _interval(outcome.test)
        yield Row(f"{outcome.model}: accuracy", "", _spread(outcome.test, "accuracy"), interval, name, "")
    clean = tuple(metrics["without_training_copies"] for metrics in outcome.test)
    copies = outcome.test[0]["faces"] - clean[0]["faces"]
    if copies:
        what = f"{outcome.model}: accuracy without test faces that are training faces too ({copies})"
        yield Row(what, "", _spread(clean, "accuracy"), _interval(clean), name, "")


def _measure(claim: Claim, outcome: Outcome) -> str:
    keys = {"accuracy": "accuracy", "macro F1": "macro_f1", "F1": "macro_f1", "loss": "log_loss"}
    if claim.what in keys:
        return _spread(outcome.test, keys[claim.what], claim.unit or "%")
    if claim.what in ("precision", "recall"):
        return _mean([_over_classes(metrics, claim.what) for metrics in outcome.test])
    if claim.what == "weighted F1":
        return _mean([_over_classes(metrics, "f1", weighted=True) for metrics in outcome.test])
    if claim.what.startswith("recall of "):
        label = claim.what.removeprefix("recall of ")
        recalls = [metrics["per_class"][label]["recall"] for metrics in outcome.test]
        return "" if None in recalls else _mean(recalls)
    if claim.what in ("epochs", "best epoch") and isinstance(outcome.recipe, Recipe):
        history = read_history(outcome.folder)
        best = int(np.argmin([row.validation_loss for row in history])) + 1
        return f"{best if claim.what == 'best epoch' else len(history)} epochs"
    return ""


def _spread(test: Sequence[Mapping[str, Any]], metric: str, unit: str = "%") -> str:
    return _mean([metrics[metric] for metrics in test], unit)


def _mean(seeds: Sequence[float], unit: str = "%") -> str:
    """Format the mean over seeds, with ± standard deviation for several; in percent, or in ``unit``."""
    values = np.array(seeds)
    scale, digits = (100, 2) if unit == "%" else (1, 3)
    text = f"{values.mean() * scale:.{digits}f}"
    text += f" ± {values.std(ddof=1) * scale:.{digits}f}" if len(values) > 1 else ""
    return f"{text} {unit}"


def _interval(test: Sequence[Mapping[str, Any]]) -> str:
    lows, highs = zip(*(metrics["interval"] for metrics in test), strict=True)
    return f"{np.mean(lows) * 100:.1f} – {np.mean(highs) * 100:.1f} %"


def _over_classes(metrics: Mapping[str, Any], name: str, *, weighted: bool = False) -> float:
    rows = [row for row in metrics["per_class"].values() if row["support"]]  # a class without faces has no metrics
    weights = [row["support"] for row in rows] if weighted else None
    return float(np.average([row[name] for row in rows], weights=weights))


def _evidence(
    system: str,
    paths: Mapping[str, Path],
    sources: Sequence[Path],
    outcomes: Sequence[Outcome],
    watch: Watch | None,
) -> Evidence:
    if system == "A":
        ckplus, kdef = (loading.load(path, watch=watch).counts() for path in sources)
        return Evidence(ckplus=ckplus, kdef=kdef, sides=_sides(sources, watch))
    whole = loading.load(paths["fer2013"], watch=watch)
    curves = None
    networks = [outcome for outcome in outcomes if isinstance(outcome.recipe, Recipe)]
    if system == "B" and networks:
        history = read_history(networks[0].folder)
        curves = ([row.accuracy for row in history], [row.validation_accuracy for row in history])
    return Evidence(fer2013=whole.counts(), fer2013_train=whole.part(parts.TRAIN).counts(), curves=curves)


def _sides(sources: Sequence[Path], watch: Watch | None) -> tuple[list[str], list[str]]:
    """Return training and test subjects of system A's split by image; it is drawn even if nothing is trained."""
    plan = recipe.load(published("A").recipes["CNN"][0])
    arranged = parts.arrange(_load(plan, sources, watch), plan.data)
    sides = [arranged.part(part).subjects for part in (parts.TRAIN, parts.TEST)]
    first, second = ([] if side is None else side.tolist() for side in sides)
    return first, second
