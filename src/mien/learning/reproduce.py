"""``mien reproduce``: a published system's recipes run on real corpora, and its page: claimed, measured, and why.

Everything is kept under the folder ``out`` (crops, run folders, figures), so that a second call goes on where the
first one stopped and only writes the page anew if all is there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.datasets import faces as loading
from mien.datasets import index, manifest, readers
from mien.datasets.faces import FaceSet, Watch
from mien.datasets.prepare import prepare
from mien.datasets.rows import Options
from mien.errors import DataError, RecipeError
from mien.learning import parts, recipe, runs
from mien.learning.claims import Claim, published
from mien.learning.contradictions import findings
from mien.learning.finding import Evidence
from mien.learning.fit import Watcher, read_history
from mien.learning.recipe import AnyRecipe, Plan, Recipe
from mien.learning.systems_page import Row, page
from mien.recognition.detect import get_detector

CORPORA: Mapping[str, tuple[str, ...]] = {
    "A": ("ckplus48", "kdef"),
    "B": ("fer2013",),
    "C": ("fer2013",),
    "D": ("fer2013",),
    "E": ("fer2013",),
}
"""Which corpora a system's recipes train on, by the first word of their reader's name."""

SEEDS = {("A", "CNN"): 3}
"""System and model whose claim is the mean of several seeds."""

FACE_SIDE = 48


@dataclass(frozen=True)
class Outcome:
    """One recipe of a system, run with one or several seeds.

    model: as the claims name it.  test: the test part's figures, one entry a seed.  folder: of the first seed's run.
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

    corpora: in any order; the readers say which is which.  budget: the recipes' variant, such as ``2core``.
    train:   False writes the page of what has been run, and trains nothing.
    watch:   given a recipe that is about to be trained, returns what its epochs are told to.
    reading: wraps the iterables of images, for a progress bar.
    Raises ``OptionError`` for an unknown system, ``DataError`` naming the corpora that are missing or given twice,
    ``RecipeError`` for an unknown budget and for runs of another version of a recipe.
    """
    about = published(system)
    found = _identified(system, corpora)
    bench = _Bench(system, out / "runs", watch, reading)
    # First, because a wrong budget must be told before an hour of cropping.
    plans = [(model, plan) for model, names in about.recipes.items() for plan in bench.planned(model, names, budget)]
    sources = [_faces_of(each, path, out / "data", reading) for each, path in found.items()]
    outcomes = [bench.outcome(model, plan, sources) for model, plan in plans if train or bench.finished(model, plan)]
    rows = [row for outcome in outcomes for row in claimed(system, outcome)]
    reasons = {outcome.recipe.name: outcome.recipe.about for outcome in outcomes}
    text = page(system, rows, reasons, findings(system, _evidence(system, found, sources, outcomes, reading)))
    out.mkdir(parents=True, exist_ok=True)
    written = out / f"{system}.md"
    written.write_text(text, encoding="utf-8")
    return written


def _identified(system: str, corpora: Sequence[Path]) -> dict[str, Path]:
    """Return the system's corpora by name."""
    known = [(path, readers.detect(path)[0]) for path in corpora]
    fitting = {each: [path for path, reader in known if reader.startswith(each)] for each in CORPORA[system]}
    missing = [each for each, paths in fitting.items() if not paths]
    told = ", ".join(f"{path.name} ({reader})" for path, reader in known) or "nothing"
    if missing:
        raise DataError(f"System {system} needs {' and '.join(missing)}; given: {told}. Pass each with --data.")
    twice = [each for each, paths in fitting.items() if len(paths) > 1]
    if twice:
        raise DataError(f"System {system} needs one {' and one '.join(twice)}; given: {told}. Leave the others out.")
    return {each: paths[0] for each, paths in fitting.items()}


def _faces_of(corpus: str, path: Path, folder: Path, watch: Watch | None) -> Path:
    """Return what a corpus is loaded from: itself, or for photographs the manifest of its crops.

    System A's Algorithm 1 equalises, then detects and crops. Here Haar crops the plain photograph, and the recipe's
    ``preprocess.clahe`` equalises the crop, so that training and serving see the same pixels.
    """
    if corpus != "kdef":
        return path
    crops = folder / "kdef48"
    if not (crops / "manifest.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        frontal = Options(angles=("S",))  # all that system A takes of a whole KDEF
        listed = index.index([path], folder / "kdef.parquet", options=frontal, watch=watch).path
        prepare(
            manifest.read(listed), crops, get_detector("haar"), clahe=False, size=FACE_SIDE, keep_undetected=True,
            watch=watch,
        )  # fmt: skip
    return crops / "manifest.parquet"


def _load(plan: Plan, sources: Sequence[Path], watch: Watch | None) -> FaceSet:
    scheme = plan.data.label_scheme()
    return loading.load(sources, scheme, watch=watch)


@dataclass(frozen=True)
class _Bench:
    """Where a system's recipes are run, and who watches."""

    system: str
    folder: Path
    watch: Callable[[Recipe], Watcher] | None
    reading: Watch | None

    def planned(self, model: str, names: Sequence[str], budget: str) -> Iterable[AnyRecipe]:
        """Yield each recipe in the budget asked for, and in others whose runs are there; baselines have one only."""
        for name in names:
            found = recipe.variants(name)
            wanted = budget if budget == recipe.SMOKE or isinstance(found[""], Recipe) else ""
            yield recipe.load_any(name, wanted)
            others = (plan for each, plan in found.items() if each not in (wanted, recipe.SMOKE))
            yield from (plan for plan in others if self.finished(model, plan))

    def finished(self, model: str, plan: AnyRecipe) -> bool:
        """Say whether all runs of a recipe have been scored."""
        return all((run / "metrics.json").exists() for run in self._runs(model, plan))

    def outcome(self, model: str, plan: AnyRecipe, sources: Sequence[Path]) -> Outcome:
        """Run a recipe with its seeds, but for those that have been run."""
        scores: list[dict[str, Any]] = []
        faces: FaceSet | None = None
        planned = self._runs(model, plan)
        for run, each in planned.items():
            if not (run / "metrics.json").exists():
                faces = faces or _load(plan, sources, self.reading)
                watch = self.watch(each) if self.watch and isinstance(each, Recipe) else None
                runs.train(each, faces, run, resume=run.exists(), watch=watch, working=self.reading)
            scores.append(test_figures(run, each))
        return Outcome(model, plan, tuple(scores), next(iter(planned)))

    def _runs(self, model: str, plan: AnyRecipe) -> dict[Path, AnyRecipe]:
        folder = self.folder / plan.name
        if not isinstance(plan, Recipe):
            return {folder: plan}
        seeds = SEEDS.get((self.system, model), 1)
        return {folder / f"seed-{each.train.seed}": each for each in runs.seeded(plan, seeds)}


def test_figures(run: Path, plan: Plan) -> dict[str, Any]:
    """Return the test part's figures of a finished run. Raises ``RecipeError`` if another recipe made the run."""
    recorded = json.loads((run / "recipe.json").read_text(encoding="utf-8"))["digest"]
    if recorded != plan.digest():
        raise RecipeError(
            f"{run} was made by an earlier version of the recipe {plan.name} ({recorded[:12]}, now "
            f"{plan.digest()[:12]}). Move it away to train again."
        )
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    test: dict[str, Any] = metrics["private_test" if "private_test" in metrics else "test"]
    return test


def claimed(system: str, outcome: Outcome) -> Iterable[Row]:
    """Yield a row for each claim that there is a figure for; the accuracy in any case, also without training copies."""
    name = outcome.recipe.name
    claims = [claim for claim in published(system).claims if claim.model == outcome.model]
    for claim in claims:
        measured = _measured(claim, outcome)
        if measured:
            interval = _interval(outcome.test) if claim.what == "accuracy" else ""
            yield Row(f"{claim.model}: {claim.what}", claim.text(), measured, interval, name, claim.where)
    if not any(claim.what == "accuracy" for claim in claims):
        interval = _interval(outcome.test)
        yield Row(f"{outcome.model}: accuracy", "", _spread(outcome.test, "accuracy"), interval, name, "")
    clean = tuple(figures["without_training_copies"] for figures in outcome.test)
    copies = outcome.test[0]["faces"] - clean[0]["faces"]
    if copies:
        what = f"{outcome.model}: accuracy without test faces that are training faces too ({copies})"
        yield Row(what, "", _spread(clean, "accuracy"), _interval(clean), name, "")


def _measured(claim: Claim, outcome: Outcome) -> str:
    figures = {"accuracy": "accuracy", "macro F1": "macro_f1", "F1": "macro_f1", "loss": "log_loss"}
    if claim.what in figures:
        name = figures[claim.what]
        return _spread(outcome.test, name, claim.unit or "%")
    if claim.what in ("precision", "recall"):
        return _mean([_over_classes(each, claim.what) for each in outcome.test])
    if claim.what == "weighted F1":
        return _mean([_over_classes(each, "f1", weighted=True) for each in outcome.test])
    if claim.what.startswith("recall of "):
        noun = claim.what.removeprefix("recall of ")
        recalls = [each["per_class"][noun]["recall"] for each in outcome.test]
        return "" if None in recalls else _mean(recalls)
    if claim.what in ("epochs", "best epoch") and isinstance(outcome.recipe, Recipe):
        history = read_history(outcome.folder)
        best = int(np.argmin([row.validation_loss for row in history])) + 1
        return f"{best if claim.what == 'best epoch' else len(history)} epochs"
    return ""


def _spread(test: Sequence[Mapping[str, Any]], figure: str, unit: str = "%") -> str:
    return _mean([figures[figure] for figures in test], unit)


def _mean(seeds: Sequence[float], unit: str = "%") -> str:
    """Return the mean over seeds, ± standard deviation where there are several; in percent, or in ``unit``."""
    values = np.array(seeds)
    scale, digits = (100, 2) if unit == "%" else (1, 3)
    text = f"{values.mean() * scale:.{digits}f}"
    text += f" ± {values.std(ddof=1) * scale:.{digits}f}" if len(values) > 1 else ""
    return f"{text} {unit}"


def _interval(test: Sequence[Mapping[str, Any]]) -> str:
    lows, highs = zip(*(figures["interval"] for figures in test), strict=True)
    return f"{np.mean(lows) * 100:.1f} – {np.mean(highs) * 100:.1f} %"


def _over_classes(figures: Mapping[str, Any], name: str, *, weighted: bool = False) -> float:
    rows = [row for row in figures["per_class"].values() if row["support"]]  # a class without faces has no figures
    weights = [row["support"] for row in rows] if weighted else None
    return float(np.average([row[name] for row in rows], weights=weights))


def _evidence(
    system: str,
    found: Mapping[str, Path],
    sources: Sequence[Path],
    outcomes: Sequence[Outcome],
    watch: Watch | None,
) -> Evidence:
    if system == "A":
        ckplus, kdef = (loading.load(path, watch=watch).counts() for path in sources)
        return Evidence(ckplus=ckplus, kdef=kdef, sides=_sides(sources, watch))
    whole = loading.load(found["fer2013"], watch=watch)
    curves = None
    networks = [outcome for outcome in outcomes if isinstance(outcome.recipe, Recipe)]
    if system == "B" and networks:
        history = read_history(networks[0].folder)
        curves = ([row.accuracy for row in history], [row.validation_accuracy for row in history])
    return Evidence(fer2013=whole.counts(), fer2013_train=whole.part(parts.TRAIN).counts(), curves=curves)


def _sides(sources: Sequence[Path], watch: Watch | None) -> tuple[list[str], list[str]]:
    """Return the people on both sides of system A's split by image, which is drawn whether it is trained on or not."""
    plan = recipe.load(published("A").recipes["CNN"][0])
    arranged = parts.arrange(_load(plan, sources, watch), plan.data)
    sides = [arranged.part(part).subjects for part in (parts.TRAIN, parts.TEST)]
    first, second = ([] if side is None else side.tolist() for side in sides)
    return first, second
