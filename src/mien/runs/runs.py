"""Complete runs, from recipe and faces to a trained, exported and scored model, for one seed or several."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mien import run_files
from mien.classical import classical
from mien.classical.trunk import check_preprocess, read_trunk
from mien.datasets.faces import FaceSet, Watch
from mien.errors import OptionError
from mien.evaluation.evaluate import summarise
from mien.export import export as networks
from mien.export.export import graph_recipe_of, record, score
from mien.files import appearing
from mien.preprocess import apply
from mien.recipes.recipe import AnyRecipe, ClassicalRecipe, HeadRecipe, Recipe
from mien.recognition.model_files.bundle import Bundle
from mien.runs import head, scorings
from mien.training import parts
from mien.training.fit import Watcher, find_overfitting, fit, prepare, rank, read_history


def train(
    recipe: AnyRecipe,
    faces: FaceSet,
    run: Path,
    *,
    resume: bool = False,
    watch: Watcher | None = None,
    working: Watch | None = None,
    processes: int = 1,
    track: Sequence[str] = (),
) -> dict[str, Any] | None:
    """Train ``recipe`` into the folder ``run``, export and score it; return the summary of its metrics.

    Args:
        working: wraps the iterables of a classical baseline's or a head's work, for a progress bar; other arguments and
            errors as in ``fit.fit``, ``head.train`` and ``export.export``, and ``DataError`` before any work if there
            are no test faces. Returns None in all processes but the first.
    """
    parts.check_test(parts.arrange(faces, recipe.data))
    if isinstance(recipe, ClassicalRecipe):
        metrics: dict[str, Any] | None = _baseline(recipe, faces, run, resume, working)
    elif isinstance(recipe, HeadRecipe):
        metrics = head.train(recipe, faces, run, resume=resume, watch=working)
    else:
        fit(recipe, faces, run, resume=resume, watch=watch, processes=processes, track=track)
        metrics = None if rank() else networks.export(run, faces).metrics
    if metrics is not None:
        _mark_smoke(run, recipe)
        scorings.note_earlier(run, recipe.name)
    return metrics


def export(run: Path, faces: FaceSet, head_of: str = "") -> Bundle:
    """Export a network's or a head's run again; arguments and errors as in ``export.export``.

    Args:
        head_of: name of the head to export, for a network of several corpora; "" is the consensus.
    """
    recipe = graph_recipe_of(run)
    written = (
        head.export(run, recipe, faces) if isinstance(recipe, HeadRecipe) else networks.export(run, faces, head_of)
    )
    _mark_smoke(run, recipe)
    return written


def _mark_smoke(run: Path, recipe: AnyRecipe) -> None:
    """Mark every ``metrics.json`` of a smoke run, so that its scores are not mistaken for the recipe's."""
    for path in run.glob("metrics*.json") if recipe.is_smoke else ():
        metrics = json.loads(path.read_text(encoding="utf-8"))
        with appearing(path) as draft:
            draft.write_text(json.dumps({"smoke": recipe.about, **metrics}, indent=1), encoding="utf-8")


def _baseline(
    recipe: ClassicalRecipe, faces: FaceSet, run: Path, resume: bool, working: Watch | None
) -> dict[str, Any]:
    """Fit a classical baseline into ``run/model.npz``; an interrupted run starts again."""
    if recipe.classical.trunk:
        check_preprocess(read_trunk(recipe.classical.trunk), recipe, "classical")
    faces = parts.arrange(faces, recipe.data)
    part = faces.part(parts.TRAIN)
    crops = apply(part.pixels, recipe.preprocess)
    classical.check_faces(recipe.classical, crops, part.labels, len(faces.label_set))  # a refused run leaves no folder
    prepare(recipe, parts.describe(faces), run, resume)
    model = classical.train(recipe.classical, crops, part.labels, len(faces.label_set), working)
    classical.save(model, run / run_files.CLASSICAL)
    scores = score(model, recipe, faces)
    temperature = scores.predictions.about.temperature
    metrics = {"temperature": temperature, "uncertain": asdict(scores.threshold), **scores.metrics}
    record(run / run_files.METRICS, metrics)
    scores.write(run, hashlib.sha256((run / run_files.CLASSICAL).read_bytes()).hexdigest())
    return summarise(metrics)


def vary_seed(recipe: Recipe, count: int) -> Iterator[Recipe]:
    """Yield the recipe with ``count`` consecutive seeds, from its own on; the split of the data does not change."""
    for seed in range(recipe.train.seed, recipe.train.seed + count):
        yield recipe.with_values({"train.seed": seed})


def vary_fold(recipe: AnyRecipe, faces: FaceSet, count: int) -> Iterator[AnyRecipe]:
    """Yield the recipe for each fold of a cross-validation, by person where every face names one, else by image.

    Raises:
        OptionError: fewer than two folds.
    """
    if count < 2:
        raise OptionError(f"{count} folds: expected at least 2.")
    by_person = faces.subjects is not None and bool((faces.subjects != "").all())
    for fold in range(1, count + 1):
        yield recipe.with_values(
            {"data.split": "subject" if by_person else "image", "data.folds": count, "data.fold": fold}
        )


def advise(run: Path) -> str | None:
    """Return a line of advice if the run's curves show overfitting, else None (system B)."""
    if not (run / run_files.HISTORY).exists():
        return None
    since = find_overfitting(read_history(run))
    if since is None:
        return None
    return (
        f"Training and validation loss diverge since epoch {since + 1}: the network is overfitting. "
        "Stop earlier (train.patience), augment more, or raise dropout or decay."
    )
