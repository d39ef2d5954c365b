"""Summarise a run: recipe, curves, cost, and the claims of the published system that it reproduces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mien import run_files
from mien.errors import DataError, FileMissingError
from mien.evaluation.evaluate import report
from mien.evaluation.evaluated import TESTS, Evaluated, read_json
from mien.evaluation.reports.plots import Curves
from mien.evaluation.reports.report import Background
from mien.recipes import recipe as recipes
from mien.recipes.recipe import AnyRecipe, ClassicalRecipe, HeadRecipe, Recipe
from mien.reproduction.claims import CLAIMS, System

if TYPE_CHECKING:
    from pathlib import Path

    from mien.reproduction.analysis import Analysis
    from mien.reproduction.systems_page import Row


def background(evaluated: Evaluated) -> Background:
    """Summarise a run for its report, apart from the predictions; empty for a folder of ``mien evaluate``.

    Raises:
        FileMissingError: a run without recipe.json.
        DataError: damaged files.
        RecipeError: damaged files.
    """
    plan = plan_of(evaluated)
    if plan is None:
        return Background()
    summary = _background(evaluated, plan)
    return replace(summary, notes=(plan.about, *summary.notes)) if plan.is_smoke else summary


def _background(evaluated: Evaluated, plan: AnyRecipe) -> Background:
    system, claimed = _claims(evaluated, plan)
    if isinstance(plan, ClassicalRecipe):
        baseline = {"baseline": f"{plan.classical.features}, {plan.classical.classifier}"}
        return Background(_facts(plan) | baseline, claimed=claimed, claims=system)
    if isinstance(plan, HeadRecipe):
        return Background(_facts(plan) | _head(plan, evaluated.folder), claimed=claimed, claims=system)
    curves = curves_of(evaluated)
    analysis = _analyse(plan, len(evaluated.predictions.label_set))
    return Background(
        _facts(plan) | _network(plan, analysis),
        curves=curves,
        claimed=claimed,
        claims=system,
        blocks=_blocks(analysis),
        notes=tuple(_training_notes(plan, curves)) if curves else (_no_history(evaluated.folder),),
    )


def plan_of(evaluated: Evaluated) -> AnyRecipe | None:
    """Read a run's recipe, None for a folder of ``mien evaluate``. Raises ``FileMissingError``, ``RecipeError``."""
    if not evaluated.trained:
        return None
    path = evaluated.folder / run_files.RECIPE
    if not path.exists():
        raise FileMissingError(
            f"{evaluated.folder} has no recipe.json, which `mien train` writes; put it back, or run `mien evaluate` on "
            "its model with --out FOLDER and give FOLDER instead."
        )
    content = read_json(path)
    content.pop("digest", None)
    return recipes.parse_any(content, str(path))


def _no_history(run: Path) -> str:
    return f"{run.name} has no history.csv, so its training curves are not shown; put it back beside recipe.json."


def curves_of(evaluated: Evaluated) -> Curves | None:
    """Read a run's training curves, None if there are none.

    Raises:
        DataError: a damaged history.
    """
    plan = plan_of(evaluated)
    path = evaluated.folder / run_files.HISTORY
    if not isinstance(plan, Recipe) or not path.exists():
        return None
    from mien.training.fit import find_overfitting, read_history

    try:
        rows = read_history(evaluated.folder)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not a history that `mien train` wrote ({error}); restore the original.") from error
    if not rows:
        raise DataError(f"{path} has no epochs; train first, or remove the file.")
    since = find_overfitting(rows)
    columns = {
        name: np.array([getattr(row, name) for row in rows], np.float64)
        for name in ("accuracy", "loss", "validation_accuracy", "validation_loss", "rate")
    }
    return Curves(**columns, chosen=_best_epoch(plan, rows) + 1, diverged=None if since is None else since + 1)


def _best_epoch(plan: Recipe, rows: list[Any]) -> int:
    """Return the index of the epoch that ``fit`` kept: the best with full-size images, the first among equals."""
    if plan.train.choose == "last":
        return len(rows) - 1
    by_loss = plan.train.choose == "loss"
    scores = [-row.validation_loss if by_loss else row.validation_accuracy for row in rows]
    full = [index for index, row in enumerate(rows) if row.size == plan.preprocess.size]
    return max(full or range(len(rows)), key=lambda index: scores[index])


def _training_notes(plan: Recipe, curves: Curves) -> Iterator[str]:
    if curves.diverged:
        yield (
            f"Training and validation loss diverge since epoch {curves.diverged}: the network is overfitting. "
            "Stop earlier (train.patience), augment more, or raise dropout or decay."
        )
    if curves.chosen == len(curves.loss) > 1 and plan.train.choose != "last":
        yield f"The last of {len(curves.loss)} epochs was the best: more epochs may help."


def cost(evaluated: Evaluated) -> dict[str, int]:
    """Return ``parameters`` and ``flops`` (2 × multiply-accumulates, for one face) of a run's network.

    Empty for a classical baseline, and without a recipe.
    """
    plan = plan_of(evaluated)
    if not isinstance(plan, Recipe):
        return {}
    analysis = _analyse(plan, len(evaluated.predictions.label_set))
    return {"parameters": analysis.parameters, "flops": analysis.flops}


def _analyse(plan: Recipe, classes: int) -> Analysis:
    from mien.reproduction.analysis import analyse
    from mien.training.module import network_of

    network = network_of(plan, classes, trained=True)
    return analyse(network, plan.preprocess.size, plan.preprocess.channels)


def _blocks(analysis: Analysis) -> tuple[tuple[object, ...], ...]:
    """Return the rows of ``report.BLOCKS``."""
    return tuple(
        (
            block.name,
            f"{block.parameters:,}",
            f"{block.flops / 1e6:,.2f}",
            "–" if block.side is None else f"{block.side} × {block.side}",
            "–" if block.receptive_field is None else f"{block.receptive_field} pixels",
            f"{block.activation_bytes / 1024:,.0f} KiB",
        )
        for block in analysis.blocks
    )


def _facts(plan: AnyRecipe) -> dict[str, str]:
    return {"recipe": plan.name, "about": plan.about, "digest of the recipe": plan.digest()}


def _head(plan: HeadRecipe, run: Path) -> dict[str, str]:
    chosen = read_json(run / run_files.METRICS)["head"]
    layer = f"linear, on the {chosen['features']} features of {plan.head.trunk}"
    return {"head": f"{layer}; c = {chosen['c']:g} of {', '.join(f'{c:g}' for c in plan.head.c)}"}


def _network(plan: Recipe, analysis: Analysis) -> dict[str, str]:
    size, channels = plan.preprocess.size, plan.preprocess.channels
    return {
        "network": plan.network.name,
        "parameters": f"{analysis.parameters:,}",
        "FLOPs a face": f"{analysis.flops / 1e6:,.1f} million",
        "input": f"{size} × {size} pixels, {channels} channel{'s' if channels > 1 else ''}",
    }


def _claims(evaluated: Evaluated, plan: AnyRecipe) -> tuple[str, tuple[tuple[str, ...], ...]]:
    """Return a sentence on the systems that the recipe reproduces, and rows for ``report.CLAIMED``."""
    own = [(letter, model, name) for letter, system in CLAIMS.items() for model, name in _models(system, plan)]
    test = next((part for part in TESTS if part in evaluated.parts), None)
    if not own or test is None:
        return "", ()
    text = " ".join(f"System {letter} ({CLAIMS[letter].title}) calls this model “{model}”." for letter, model, _ in own)
    if isinstance(plan, Recipe) and not (evaluated.folder / run_files.HISTORY).exists():
        return f"{text} Its claims are also about the training, so without history.csv nothing is compared.", ()
    metrics = report(evaluated.predictions.part(test), copies=True)
    metrics.setdefault("without_training_copies", metrics)  # all faces are copies, so there is no second value
    matching = [entry for entry in own if _claimed_classes(CLAIMS[entry[0]]) <= set(metrics["per_class"])]
    if not matching:
        return f"{text} The classes differ from the document's, so nothing is compared.", ()
    if not any(_is_same(plan, recipes.load_any(name, budget)) for _, _, (name, budget) in own):
        text += " The run's recipe differs from the one of that name in this version of Mien."
    rows = [row for letter, model, _ in matching for row in _rows(letter, model, plan, metrics, evaluated.folder)]
    cells = ((row.what, row.claimed, row.measured, row.interval, row.source) for row in rows)
    return f"{text} What was run: {plan.about}", tuple(cells)


def _is_same(plan: AnyRecipe, shipped: AnyRecipe) -> bool:
    """Check whether two recipes are the same except for the seed."""
    if isinstance(plan, Recipe) and isinstance(shipped, Recipe):
        plan = plan.with_values({"train.seed": shipped.train.seed})
    return plan.digest() == shipped.digest()


def _models(system: System, plan: AnyRecipe) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the system's models that the recipe trains, each with the shipped recipe's name and budget."""
    for model, names in system.recipes.items():
        for name in names:
            if not plan.name.startswith(name):
                continue
            budgets = [budget for budget, variant in recipes.variants(name).items() if variant.name == plan.name]
            yield from ((model, (name, budget)) for budget in budgets[:1])


def _claimed_classes(system: System) -> set[str]:
    return {claim.what.removeprefix("recall of ") for claim in system.claims if claim.what.startswith("recall of ")}


def _rows(letter: str, model: str, plan: AnyRecipe, metrics: dict[str, Any], run: Path) -> Iterator[Row]:
    from mien.reproduction.measured import Outcome, compare_claims

    yield from compare_claims(letter, Outcome(model, plan, (metrics,), run))
