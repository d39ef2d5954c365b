"""Recipe + faces → finished run: trained, exported, scored; the same for one seed and for several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.datasets.faces import FaceSet
from mien.learning.export import export
from mien.learning.fit import Watcher, diverged, fit, rank, read_history
from mien.learning.recipe import Recipe


def train(
    recipe: Recipe,
    faces: FaceSet,
    run: Path,
    *,
    resume: bool = False,
    watch: Watcher | None = None,
    processes: int = 1,
) -> dict[str, Any] | None:
    """Train ``recipe`` into the folder ``run``, export and score it; return its headline figures.

    Arguments and errors as in ``fit.fit`` and ``export.export``. None in all processes but the first of several.
    """
    fit(recipe, faces, run, resume=resume, watch=watch, processes=processes)
    return None if rank() else export(run, faces).metrics


def seeded(recipe: Recipe, count: int) -> Iterator[Recipe]:
    """Yield the recipe with ``count`` seeds from its own on; the split of the data stays as it is."""
    for seed in range(recipe.train.seed, recipe.train.seed + count):
        yield recipe.with_values({"train.seed": seed})


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (n − 1; 0 for one run) of a figure over runs."""

    mean: float
    deviation: float

    def __str__(self) -> str:
        return f"{self.mean:.2%} ± {self.deviation:.2%}"


def spread(runs: Sequence[Mapping[str, Any]], part: str, figure: str = "accuracy") -> Spread:
    """Return the spread of one figure of one part over the headline figures of several runs."""
    values = [run[part][figure] for run in runs]
    return Spread(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0)


def advice(run: Path) -> str | None:
    """Return a line on overfitting if the run's curves diverge, else None (system B)."""
    since = diverged(read_history(run))
    if since is None:
        return None
    return (
        f"Training and validation loss diverge since epoch {since + 1}: the network learns its training faces "
        "by heart. Stop earlier (train.patience), augment more, or raise dropout or decay."
    )
