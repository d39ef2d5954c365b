"""What a run folder tells besides its answers: recipe, curves, cost, and claims of the system that it reproduces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.errors import DataError, FileMissingError
from mien.evaluation.evaluate import report
from mien.evaluation.evaluated import TESTS, Evaluated, read_json
from mien.evaluation.plots import Curves
from mien.evaluation.report import Background
from mien.learning import recipe as recipes
from mien.learning.claims import CLAIMS, System
from mien.learning.recipe import AnyRecipe, ClassicalRecipe, HeadRecipe, Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from mien.learning.analysis import Analysis
    from mien.learning.systems_page import Row


def background(found: Evaluated) -> Background:
    """Return what the report tells of a run besides its answers; nothing for a folder of ``mien evaluate``.

    Raises ``FileMissingError`` for a run without recipe.json, ``DataError`` and ``RecipeError`` for damaged files.
    """
    plan = plan_of(found)
    if plan is None:
        return Background()
    told = _background(found, plan)
    return replace(told, notes=(plan.about, *told.notes)) if plan.is_smoke else told


def _background(found: Evaluated, plan: AnyRecipe) -> Background:
    system, claimed = _claims(found, plan)
    if isinstance(plan, ClassicalRecipe):
        baseline = {"baseline": f"{plan.classical.features}, {plan.classical.classifier}"}
        return Background(_facts(plan) | baseline, claimed=claimed, claims=system)
    if isinstance(plan, HeadRecipe):
        return Background(_facts(plan) | _head(plan, found.folder), claimed=claimed, claims=system)
    curves = curves_of(found)
    analysis = _analysed(plan, len(found.predictions.label_set))
    return Background(
        _facts(plan) | _network(plan, analysis),
        curves=curves,
        claimed=claimed,
        claims=system,
        blocks=_blocks(analysis),
        notes=tuple(_training_notes(curves)) if curves else (_no_history(found.folder),),
    )


def plan_of(found: Evaluated) -> AnyRecipe | None:
    """Return a run's recipe, None for a folder of ``mien evaluate``. Raises ``FileMissingError``, ``RecipeError``."""
    if not found.trained:
        return None
    path = found.folder / "recipe.json"
    if not path.exists():
        raise FileMissingError(
            f"{found.folder} holds no recipe.json, which `mien train` writes; put it back, or run `mien evaluate` on "
            "its model with --out FOLDER and name FOLDER instead."
        )
    given = read_json(path)
    given.pop("digest", None)
    return recipes.parse_any(given, str(path))


def _no_history(run: Path) -> str:
    return f"{run.name} holds no history.csv, so no curves of its training are shown; put it back beside recipe.json."


def curves_of(found: Evaluated) -> Curves | None:
    """Return the curves of a run's training, None where there are none. Raises ``DataError`` for a damaged history."""
    plan = plan_of(found)
    path = found.folder / "history.csv"
    if not isinstance(plan, Recipe) or not path.exists():
        return None
    from mien.learning.fit import diverged, read_history

    try:
        rows = read_history(found.folder)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no history that `mien train` wrote ({error}); put the right one back.") from error
    if not rows:
        raise DataError(f"{path} has no epochs; train first, or remove the file.")
    since = diverged(rows)
    columns = {
        name: np.array([getattr(row, name) for row in rows], np.float64)
        for name in ("accuracy", "loss", "validation_accuracy", "validation_loss", "rate")
    }
    return Curves(**columns, chosen=_kept(plan, rows) + 1, diverged=None if since is None else since + 1)


def _kept(plan: Recipe, rows: list[Any]) -> int:
    """Return the place of the epoch that ``fit`` kept: the best one of full-size images, of equal ones the first."""
    by_loss = plan.train.choose == "loss"
    worth = [-row.validation_loss if by_loss else row.validation_accuracy for row in rows]
    full = [place for place, row in enumerate(rows) if row.size == plan.preprocess.size]
    return max(full or range(len(rows)), key=lambda place: worth[place])


def _training_notes(curves: Curves) -> Iterator[str]:
    if curves.diverged:
        yield (
            f"Training and validation loss diverge since epoch {curves.diverged}: the network learns its training "
            "faces by heart. Stop earlier (train.patience), augment more, or raise dropout or decay."
        )
    if curves.chosen == len(curves.loss) > 1:
        yield f"The last of {len(curves.loss)} epochs was the best: more epochs may pay."


def cost(found: Evaluated) -> dict[str, int]:
    """Return ``parameters`` and ``flops`` (2 × multiply-accumulates, of one face) of a run's network.

    Empty for a classical baseline, and where no recipe is known.
    """
    plan = plan_of(found)
    if not isinstance(plan, Recipe):
        return {}
    analysis = _analysed(plan, len(found.predictions.label_set))
    return {"parameters": analysis.parameters, "flops": analysis.flops}


def _analysed(plan: Recipe, classes: int) -> Analysis:
    from mien.learning.analysis import analyse
    from mien.learning.module import network_of

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
    chosen = read_json(run / "metrics.json")["head"]
    told = f"linear, on the {chosen['features']} features of {plan.head.trunk}; c = {chosen['c']:g}"
    return {"head": f"{told} of {', '.join(f'{each:g}' for each in plan.head.c)}"}


def _network(plan: Recipe, analysis: Analysis) -> dict[str, str]:
    size, channels = plan.preprocess.size, plan.preprocess.channels
    return {
        "network": plan.network.name,
        "parameters": f"{analysis.parameters:,}",
        "FLOPs a face": f"{analysis.flops / 1e6:,.1f} million",
        "input": f"{size} × {size} pixels, {channels} channel{'s' if channels > 1 else ''}",
    }


def _claims(found: Evaluated, plan: AnyRecipe) -> tuple[str, tuple[tuple[str, ...], ...]]:
    """Return which systems the recipe reproduces, in a sentence, and rows for ``report.CLAIMED``."""
    own = [(letter, model, name) for letter, system in CLAIMS.items() for model, name in _models(system, plan)]
    test = next((part for part in TESTS if part in found.parts), None)
    if not own or test is None:
        return "", ()
    told = " ".join(f"System {letter} ({CLAIMS[letter].title}) calls this model “{model}”." for letter, model, _ in own)
    if isinstance(plan, Recipe) and not (found.folder / "history.csv").exists():
        return f"{told} Its claims are of the training too, so without history.csv nothing is compared.", ()
    figures = report(found.predictions.part(test), copies=True)
    figures.setdefault("without_training_copies", figures)  # all are copies: there is nothing to tell apart
    fitting = [each for each in own if _nouns(CLAIMS[each[0]]) <= set(figures["per_class"])]
    if not fitting:
        return f"{told} The classes are others than the document's, so nothing is compared.", ()
    if not any(_alike(plan, recipes.load_any(name, budget)) for _, _, (name, budget) in own):
        told += " The run's recipe differs from the one of that name in this version of Mien."
    rows = [row for letter, model, _ in fitting for row in _rows(letter, model, plan, figures, found.folder)]
    cells = ((row.what, row.claimed, row.measured, row.interval, row.source) for row in rows)
    return f"{told} What was run: {plan.about}", tuple(cells)


def _alike(plan: AnyRecipe, shipped: AnyRecipe) -> bool:
    """Say whether two recipes are the same but for the seed."""
    if isinstance(plan, Recipe) and isinstance(shipped, Recipe):
        plan = plan.with_values({"train.seed": shipped.train.seed})
    return plan.digest() == shipped.digest()


def _models(system: System, plan: AnyRecipe) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the system's models that the recipe is one of, each with the shipped recipe's name and budget."""
    for model, names in system.recipes.items():
        for name in names:
            if not plan.name.startswith(name):
                continue
            budgets = [budget for budget, each in recipes.variants(name).items() if each.name == plan.name]
            yield from ((model, (name, budget)) for budget in budgets[:1])


def _nouns(system: System) -> set[str]:
    return {claim.what.removeprefix("recall of ") for claim in system.claims if claim.what.startswith("recall of ")}


def _rows(letter: str, model: str, plan: AnyRecipe, figures: dict[str, Any], run: Path) -> Iterator[Row]:
    from mien.learning.reproduce import Outcome, claimed

    yield from claimed(letter, Outcome(model, plan, (figures,), run))
