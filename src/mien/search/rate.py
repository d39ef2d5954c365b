"""Learning-rate range test (Smith 2017, Cyclical Learning Rates; system B): record the loss while the rate rises.

Lightning 2.6 has such a finder (``Tuner.lr_find``), which works with ``LightningClassifier``, but we do not use it. It
takes the slope over the rate instead of over its logarithm, which divides it by the rate: noise at the smallest rates
looks like the steepest fall (with SGD on generated faces it suggests 1.2e-4, where the curve falls most steeply at
5e-3). It only keeps a running mean that lags 50 steps behind, and loses all results when ``LightningClassifier`` stops
at a non-finite loss. So a callback sets the rate here; the training step is that of ``fit``.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, Literal, cast

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler

from mien import files
from mien.datasets.faces import FaceSet
from mien.errors import OptionError, TrainingError
from mien.recipes.recipe import Recipe
from mien.reporting import figures
from mien.search import charts
from mien.training import arithmetic, memory, parts, threads
from mien.training.batches import ShuffledBatches
from mien.training.fit import build_classifier, explain_errors, quiet
from mien.training.loaders import training_loader

TOO_HIGH = 4.0
"""The test stops where the running mean of the loss exceeds its lowest value by this factor."""

FEWEST = 20
"""Minimum number of steps; with fewer, a slope is indistinguishable from noise."""

LEAST_FALL = 0.01
"""Relative decrease of the smoothed loss that is required; less is the rounding of a constant loss."""

NOISE = 6.0
"""Standard errors of the smoothed loss that its fall, or the rise after the valley, must exceed.

Maximum and minimum of the twenty independent values of a constant curve are 3.7 apart.
"""

SMOOTHING = 1 / 20
"""Standard deviation of the smoothing, as a share of all steps: a third of a decade of the usual six.

Half of it left so much noise that the suggestion depended on the seed and the number of threads.
"""

LEAST_WIDTH = 5.0
"""Fewest steps of that standard deviation, unless they are more than an eighth of all.

Of 60 steps a twentieth is 3. So smoothed, the half of the fall of three seeds on generated faces lay within a factor of
2.02, and one of them fell by less than its noise; with 5 steps within a factor of 1.26, all by more than their noise.
"""

_KEEP = 0.9
"""Decay of the running mean: a memory of ten steps, so that divergence is noticed quickly."""

Stop = Literal["", "rose", "not finite"]
Watcher = Callable[[int, float, float], None]
"""Called after each step with the steps done, the rate and the loss."""


@dataclass(frozen=True)
class Curve:
    """The result of a range test: rate and loss (nats) of each step, float64 (N,); rates rise.

    Attributes:
        smoothed: the loss averaged with Gaussian weights around each step; unlike a running mean it does not lag.
        width: standard deviation of these weights, in steps.
        stopped: why the test ended before its highest rate; empty if it did not.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    stopped: Stop = ""
    width: float = 5.0

    @property
    def lowest(self) -> int:
        """The step of the lowest smoothed loss."""
        return int(self.smoothed.argmin())

    @property
    def noise(self) -> float:
        """The standard error of the smoothed loss, from the differences of neighbouring losses before its minimum."""
        steps = np.diff(self.losses[: max(self.lowest + 1, 2)])
        # The variance is half of the mean squared difference; Gaussian weights average 2 √π · width values.
        return float(np.sqrt((steps**2).mean() / 2 / max(2 * math.sqrt(math.pi) * self.width, 1)))

    @property
    def suggestion(self) -> float:
        """The rate at which the smoothed loss has fallen halfway to its minimum.

        On a curve of the usual shape this is where it is steepest over log(rate). The slope itself is noisy, and the
        minimum may be anywhere on a long fall; the halfway point is stable.

        Raises:
            TrainingError: the loss never falls by more than its noise.
        """
        before = self.smoothed[: self.lowest + 1]
        fall = before.max() - before[-1]
        if fall <= max(LEAST_FALL * before.max(), NOISE * self.noise):
            raise TrainingError(
                f"The loss never falls between the rates {self.rates[0]:.1e} and {self.rates[-1]:.1e} by more than its "
                "noise, so the curve has no valley and there is no rate to suggest. Start lower, use more --steps, or "
                "inspect the data with mien data preview."
            )
        above = np.flatnonzero(before >= before[-1] + fall / 2)
        return float(self.rates[above[-1]])

    @property
    def has_valley(self) -> bool:
        """Whether the loss rises again after its minimum; otherwise higher rates may be even better."""
        return bool(self.stopped) or float(self.smoothed[self.lowest :].max() - self.smoothed[self.lowest]) > (
            NOISE * self.noise
        )

    @property
    def tenth(self) -> float:
        """A tenth of the rate with the lowest smoothed loss: the other common rule, usually a higher rate."""
        return float(self.rates[self.lowest]) / 10


def find(
    recipe: Recipe,
    faces: FaceSet,
    *,
    low: float = 1e-6,
    high: float = 1.0,
    steps: int = 200,
    watch: Watcher | None = None,
) -> Curve:
    """Train a new network while the rate rises exponentially from ``low`` to ``high``, and return its losses.

    Network, loss, augmentation, batches and optimiser are those of the recipe's first epoch (its image size, its frozen
    layers), however many passes over the faces ``steps`` needs; the recipe's schedule is not used. The test set is not
    read. The network is discarded and the state of torch's random generator restored.

    Raises:
        OptionError: an impossible range.
        TrainingError: the loss is not finite before 20 steps are done, and as ``fit.fit`` for a recipe or data that
            cannot be trained.
    """
    _check(low, high, steps)
    memory.keep_freed()
    arranged = parts.arrange(faces, recipe.data)
    ramp = Ramp(np.geomspace(low, high, steps), watch)
    with torch.random.fork_rng(), quiet(), explain_errors(recipe), threads.limit(recipe):
        module, source = build_classifier(recipe, arranged), training_loader(recipe, arranged)
        batches = Repeated(cast("ShuffledBatches", source.sampler), steps)
        trainer = lightning.Trainer(
            **arithmetic.arguments(recipe),
            max_epochs=1,
            callbacks=[ramp],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            devices=1,
        )
        try:
            trainer.fit(module, DataLoader(source.dataset, sampler=batches, batch_size=None))
        except TrainingError:
            # A non-finite loss ends the test; it is expected at high rates.
            if len(ramp.losses) < FEWEST:
                raise
            ramp.stopped = "not finite"
    return ramp.curve()


def _check(low: float, high: float, steps: int) -> None:
    if not 0 < low < high < math.inf:
        raise OptionError(f"Rates from {low:g} to {high:g}: expected 0 < lowest < highest, such as 1e-6 and 1.")
    if steps < FEWEST:
        raise OptionError(f"{steps} steps: expected {FEWEST} or more; 200 is usual.")


class Ramp(Callback):
    """Set the next of ``rates`` before each step and record the step's loss."""

    def __init__(self, rates: NDArray[np.float64], watch: Watcher | None = None) -> None:
        self.rates, self.watch = rates, watch
        self.losses: list[float] = []
        self.stopped: Stop = ""
        self.mean, self.best = 0.0, math.inf
        self.medians: list[float] = []

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Remove the recipe's schedule, which would set its own rates."""
        trainer.strategy.lr_scheduler_configs = []

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the step's rate."""
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = float(self.rates[batch_idx])

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record the step's loss; stop if the running mean is too high."""
        loss = float(outputs["loss"])
        self.losses.append(loss)
        self.mean = _KEEP * self.mean + (1 - _KEEP) * loss
        mean = self.mean / (1 - _KEEP ** len(self.losses))
        self.best = min(self.best, mean)
        if self.watch:
            self.watch(len(self.losses), float(self.rates[batch_idx]), loss)
        if len(self.losses) >= FEWEST and (mean > TOO_HIGH * self.best or self._has_diverged()):
            self.stopped, trainer.should_stop = "rose", True

    def _has_diverged(self) -> bool:
        """Check whether the loss has risen by half of its fall.

        At too high a rate a network with batch norm returns to chance level and never reaches four times its loss:
        without this check the test continued and later noise was taken for a valley.
        """
        window = max(len(self.rates) // 10, FEWEST // 2)
        self.medians.append(float(np.median(self.losses[-window:])))
        # By the median, because divergence is not noise; 0.6745 is the median absolute value of a standard normal.
        noise = float(np.median(np.abs(np.diff(self.losses)))) / 0.6745 / math.sqrt(2)
        lowest = int(np.argmin(self.medians))
        fall = max(self.medians[: lowest + 1]) - self.medians[lowest]
        return fall > 2 * noise and self.medians[-1] > self.medians[lowest] + fall / 2

    def curve(self) -> Curve:
        """Return the recorded curve."""
        losses, steps = np.array(self.losses), len(self.rates)
        width = max(steps * SMOOTHING, min(LEAST_WIDTH, steps / 8))
        return Curve(self.rates[: len(losses)], losses, smooth(losses, width), self.stopped, width)


def smooth(values: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Smooth with Gaussian weights of standard deviation ``width`` steps, truncated at the ends; float64 (N,)."""
    reach = max(math.ceil(3 * width), 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    inside = slice(reach, reach + len(values))
    sums, weights = np.convolve(values, kernel), np.convolve(np.ones(len(values)), kernel)
    return np.asarray(sums[inside] / weights[inside])


class Repeated(Sampler[list[int]]):
    """The first ``steps`` batches, over as many passes through the faces as needed, within one epoch."""

    def __init__(self, batches: ShuffledBatches, steps: int) -> None:
        self.batches, self.steps = batches, steps

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        return islice(self._endless(), self.steps)

    def _endless(self) -> Iterator[list[int]]:
        for epoch in count():
            self.batches.set_epoch(epoch)
            yield from self.batches


def write(curve: Curve, folder: Path, title: str = "") -> tuple[Path, Path]:
    """Write ``rate.csv`` (step, rate, loss, smoothed) and ``rate.png``, .svg and .pdf; return the first two."""
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "rate.csv"
    with files.appearing(table) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("step", "rate", "loss", "smoothed"))
        rows = zip(curve.rates.tolist(), curve.losses.tolist(), curve.smoothed.tolist(), strict=True)
        writer.writerows((step, *row) for step, row in enumerate(rows))
    drawn = charts.rate(
        curve.rates, curve.losses, curve.smoothed, suggestion=curve.suggestion, tenth=curve.tenth, title=title
    )
    _, (plot, *_) = figures.save(drawn, folder, "rate")
    return table, plot
