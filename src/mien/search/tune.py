"""Hyper-parameter search over a recipe's keys: TPE sampling (Bergstra et al. 2011) with median pruning.

Trials are scored on the validation set (FER2013: PublicTest); the test set is dropped before the first trial. The study
is an SQLite file in its folder, so that an interrupted search can be resumed and several processes can share it.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from mien import run_files
from mien.datasets.faces import FaceSet
from mien.errors import OptionError, TrainingError
from mien.files import appearing
from mien.recipes.recipe import Recipe
from mien.reporting import figures
from mien.search import charts
from mien.search.space import Dimension, defaults
from mien.search.study import INSTEAD, lock, open_study
from mien.training import parts
from mien.training.fit import Epoch, fit

TENTHS = 10
"""A trial is compared at each tenth of its own epochs."""

ENOUGH = 4
"""Minimum number of complete trials for the importance of keys."""

_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.RUNNING: "running"}


@dataclass(frozen=True)
class Trial:
    """One trial of a search.

    Attributes:
        state: complete, pruned, failed (for ``reason``), running, or cut off, which does not count.
        values: of the searched keys; None for a network's own default.
        defaults: these are the recipe's own values.
        accuracy: on the validation set, in [0, 1], of the epoch that would be selected; None before the first.
        epochs: number of finished epochs.
        minutes: wall time.
    """

    number: int
    state: str
    values: Mapping[str, Any]
    defaults: bool
    accuracy: float | None
    epochs: int
    minutes: float
    reason: str

    @property
    def counts(self) -> bool:
        """Whether it counts towards the requested number of trials."""
        return self.state in ("complete", "pruned", "failed", "running")


Watcher = Callable[[int, float, Epoch], None]
"""Called after each epoch with the trial's number, the trials done so far (this one as a fraction), and the epoch."""

Ended = Callable[[Trial], None]
"""Called after each trial of this process, in whatever state it ended."""


@dataclass(frozen=True)
class Job:
    """What all trials of a search share: ``faces`` without the test set, ``recipe`` before the search."""

    recipe: Recipe
    faces: FaceSet
    folder: Path
    space: tuple[Dimension, ...]
    watch: Watcher | None = None
    ended: Ended | None = None

    def trials(self, study: optuna.Study) -> tuple[Trial, ...]:
        """Return the trials that have started, by number."""
        own = defaults(self.space, self.recipe)
        started = [frozen for frozen in study.get_trials(deepcopy=False) if frozen.state != TrialState.WAITING]
        return tuple(_trial(frozen, own) for frozen in started)


def search(
    recipe: Recipe,
    faces: FaceSet,
    folder: Path,
    space: Sequence[Dimension],
    *,
    trials: int = 20,
    seed: int = 0,
    watch: Watcher | None = None,
    ended: Ended | None = None,
) -> tuple[Trial, ...]:
    """Search ``space`` (from ``space.read``) until the study in ``folder`` has ``trials`` trials, and return them all.

    The first trial has the recipe's own values. Each trial is trained by ``fit.fit`` into ``folder/trial-N``; one that
    ends in a ``TrainingError`` or ``OptionError`` has failed, and the search continues. An interrupted trial is
    repeated with its values; because sampling only depends on ``seed``, a trial's position and the trials before it,
    the later trials are those of an uninterrupted search.
    Writes ``trials.csv`` and ``best.toml`` after each trial, ``history.png`` and ``importance.png`` (from four complete
    trials on) at the end; only the best trial keeps its checkpoints.

    Raises:
        OptionError: a folder with anything but a study of this recipe, data and space.
        TrainingError: no trial was completed.
        DataError: as ``parts.arrange``.
    """
    job = Job(recipe, select_faces(recipe, faces), folder, tuple(space), watch, ended)
    with open_study(folder, _facts(job), seed) as study:
        while _run_next(job, study, trials):
            pass
        done = job.trials(study)
        if best(done) is None:
            reasons = [trial.reason for trial in done if trial.reason] or ["none has ended yet"]
            raise TrainingError(f"No trial was completed; reason of the first failure: {reasons[0]}")
        _plot(job, study, done)
    return done


def best(trials: Sequence[Trial]) -> Trial | None:
    """Return the complete trial with the highest accuracy, the earliest of several; None if none is complete."""
    complete = [trial for trial in trials if trial.state == "complete"]
    return max(complete, key=lambda trial: trial.accuracy or 0.0, default=None)


def select_faces(recipe: Recipe, faces: FaceSet) -> FaceSet:
    """Select the recipe's training and validation set only, so that no trial can see a test face."""
    arranged = parts.arrange(faces, recipe.data)
    kept = [arranged.split_named(part) for part in (parts.TRAIN, parts.VALIDATION)]
    return arranged.where(np.isin(arranged.splits, kept))


def best_accuracy(recipe: Recipe, epochs: Sequence[Epoch]) -> float | None:
    """Return the validation accuracy of the epoch that would be selected, among full-size epochs; None without any."""
    rows = [row for row in epochs if row.size == recipe.preprocess.size]
    if not rows:
        return None
    if recipe.train.choose == "loss":
        return min(rows, key=lambda row: row.validation_loss).validation_accuracy
    if recipe.train.choose == "last":
        return rows[-1].validation_accuracy
    return max(row.validation_accuracy for row in rows)


def _facts(job: Job) -> dict[str, str]:
    """Return what all trials of a study have in common."""
    return {
        "recipe": job.recipe.digest(),
        "data": str(parts.describe(job.faces)["digest"]),
        "space": "; ".join(sorted(str(dimension) for dimension in job.space)),
    }


def _run_next(job: Job, study: optuna.Study, trials: int) -> bool:
    """Run the next trial and clean up after it; return False if the study needs none."""
    numbers: list[int] = []
    with ExitStack() as held:
        held.enter_context(lock(job.folder))
        if not _enqueue(job, study, trials):
            return False

        def objective(trial: optuna.Trial) -> float:
            # Release the lock once the trial is counted; otherwise two processes could both start the last one.
            held.close()
            numbers.append(trial.number)
            return _run(job, trial)

        study.optimize(objective, n_trials=1, catch=(TrainingError, OptionError))
    with lock(job.folder):
        done = job.trials(study)
        _clear(job.folder, done)
        _write(job, done)
    if job.ended:
        job.ended(next(trial for trial in done if trial.number == numbers[0]))
    return True


def _enqueue(job: Job, study: optuna.Study, trials: int) -> bool:
    """Queue the recipe's own values or interrupted trials; return whether the study needs another trial."""
    optuna.storages.fail_stale_trials(study)
    if sum(trial.counts for trial in job.trials(study)) >= trials:
        return False
    every = study.get_trials(deepcopy=False)
    if not every:
        study.enqueue_trial(_own_values(job), user_attrs={"defaults": True})
    repeated = {frozen.user_attrs[INSTEAD] for frozen in every if INSTEAD in frozen.user_attrs}
    for frozen in every:
        if frozen.state == TrialState.FAIL and frozen.number not in repeated and _is_repeatable(frozen):
            own = frozen.user_attrs.get("defaults", False)
            attributes = {INSTEAD: frozen.number, "defaults": own}
            study.enqueue_trial(_own_values(job) if own else frozen.params, user_attrs=attributes)
    return True


def _own_values(job: Job) -> dict[str, Any]:
    """Return the recipe's own values of all keys whose range or choices contain them."""
    own = defaults(job.space, job.recipe)
    return {dimension.key: own[dimension.key] for dimension in job.space if dimension.holds(own[dimension.key])}


def _is_repeatable(frozen: FrozenTrial) -> bool:
    """Check whether a trial without a result is repeated: always after Ctrl-C, once if its process died.

    Values that kill the process, such as a batch that exceeds the memory, would otherwise be repeated forever.
    """
    if "reason" in frozen.user_attrs:
        return False
    return "interrupted" in frozen.user_attrs or INSTEAD not in frozen.user_attrs


def _run(job: Job, trial: optuna.Trial) -> float:
    """Train one trial and return its accuracy."""
    # The recipe's own value may be outside the space; such a key is not sampled and keeps that value.
    keys = {dimension.key for dimension in job.space}
    keys = set(_own_values(job)) if trial.user_attrs.get("defaults", False) else keys
    # Sorted by name, because sampling depends on the order and the same space may be written in another one.
    space = sorted(job.space, key=lambda dimension: dimension.key)
    values = {dimension.key: dimension.suggest(trial) for dimension in space if dimension.key in keys}
    try:
        # The faces are already split; splitting again would validate on training faces.
        recipe = job.recipe.with_values({**values, "data.split": "own", "data.hold_out": 0.0})
        judge = Judge(job, trial, recipe)
        fit(recipe, job.faces, job.folder / f"trial-{trial.number}", watch=judge)
    except (TrainingError, OptionError) as error:
        trial.set_user_attr("reason", str(error))
        raise
    except KeyboardInterrupt:
        trial.set_user_attr("interrupted", True)
        raise
    return best_accuracy(recipe, judge.rows) or 0.0


class Judge:
    """Epoch callback of one trial: record its accuracy, call the watcher, prune it by the median rule."""

    def __init__(self, job: Job, trial: optuna.Trial, recipe: Recipe) -> None:
        self.job, self.trial, self.recipe = job, trial, recipe
        self.rows: list[Epoch] = []
        self.reported = 0

    def __call__(self, row: Epoch) -> None:
        """Handle a finished epoch. Raises ``optuna.TrialPruned``."""
        self.rows.append(row)
        self.trial.set_user_attr("epochs", len(self.rows))
        self.trial.set_user_attr("accuracy", best_accuracy(self.recipe, self.rows))
        share = (row.epoch + 1) / self.recipe.train.epochs
        if self.job.watch:
            done = sum(trial.counts and trial.state != "running" for trial in self.job.trials(self.trial.study))
            self.job.watch(self.trial.number, done + share, row)
        # By tenths instead of epochs: trials of 40 and of 10 epochs are compared at equal progress.
        for tenth in range(self.reported + 1, int(share * TENTHS + 1e-9) + 1):
            self.trial.report(row.validation_accuracy, tenth)
            self.reported = tenth
        if share < 1 and self.trial.should_prune():
            raise optuna.TrialPruned


def _trial(frozen: FrozenTrial, own: Mapping[str, Any]) -> Trial:
    facts = frozen.user_attrs
    stopped = "failed" if "reason" in facts else "cut off"
    return Trial(
        number=frozen.number,
        state=_STATES.get(frozen.state, stopped),
        values={**own, **frozen.params},
        defaults=facts.get("defaults", False),
        accuracy=facts.get("accuracy"),
        epochs=facts.get("epochs", 0),
        minutes=frozen.duration.total_seconds() / 60 if frozen.duration else 0.0,
        reason=facts.get("reason", ""),
    )


def _clear(folder: Path, trials: Sequence[Trial]) -> None:
    """Delete the checkpoints of all trials that have ended, except the best one's."""
    top = best(trials)
    for trial in trials:
        if trial.state != "running" and trial is not top:
            # Another process may already have deleted them.
            shutil.rmtree(folder / f"trial-{trial.number}" / run_files.CHECKPOINTS, ignore_errors=True)


def _write(job: Job, trials: Sequence[Trial]) -> None:
    """Write ``trials.csv`` and, once there is a best trial, ``best.toml``."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    keys = [dimension.key for dimension in job.space]
    writer.writerow(("trial", "state", "accuracy", *keys, "defaults", "epochs", "minutes", "reason"))
    for trial in trials:
        values = [trial.values[key] for key in keys]
        tail = (trial.defaults, trial.epochs, round(trial.minutes, 2), trial.reason)
        writer.writerow((trial.number, trial.state, trial.accuracy, *values, *tail))
    with appearing(job.folder / "trials.csv") as draft:  # several processes write these files
        draft.write_bytes(table.getvalue().encode())
    top = best(trials)
    if top is not None:
        with appearing(job.folder / "best.toml") as draft:
            draft.write_bytes(_toml(job, top, trials).encode())


def _toml(job: Job, top: Trial, trials: Sequence[Trial]) -> str:
    import tomli_w

    values = {key: value for key, value in top.values.items() if value is not None}
    about = (
        f"{job.recipe.name} with the values of trial {top.number}, the best of {sum(trial.counts for trial in trials)}."
    )
    recipe = job.recipe.with_values({**values, "name": f"{job.recipe.name}-tuned", "about": about})
    header = [f"# Command:  mien train {job.folder / 'best.toml'} --data DATA"]
    header += [
        f"# Score:    {top.accuracy:.2%} on the validation set, which selected it; the test set is not yet scored"
    ]
    header += [f"#           the recipe's own values: {trial.accuracy:.2%}" for trial in _own(trials)]
    return (
        "\n".join(header) + "\n" + tomli_w.dumps(recipe.model_dump(mode="json", exclude_unset=True, exclude_none=True))
    )


def _own(trials: Sequence[Trial]) -> list[Trial]:
    """Return the complete trial with the recipe's own values, if there is one."""
    return [trial for trial in trials if trial.defaults and trial.state == "complete"][:1]


def _plot(job: Job, study: optuna.Study, trials: Sequence[Trial]) -> None:
    scores = {
        state: {trial.number: trial.accuracy for trial in trials if trial.state == state and trial.accuracy is not None}
        for state in ("complete", "pruned")
    }
    failed = [trial.number for trial in trials if trial.state == "failed"]
    own = next((trial.accuracy for trial in _own(trials)), None)
    figures.save(charts.history(scores["complete"], scores["pruned"], failed, own), job.folder, "history")
    shares, count = importance(study, [dimension.key for dimension in job.space])
    if shares:
        figures.save(charts.importance(shares, count), job.folder, "importance")


def importance(study: optuna.Study, keys: Sequence[str]) -> tuple[dict[str, float], int]:
    """Return each key's share, summing to 1, of the accuracy's variance over complete trials, and the trials' number.

    fANOVA (Hutter et al. 2014). No shares for fewer than four complete trials that sampled all keys, or if all have
    the same accuracy.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    values = [trial.value for trial in complete if set(keys) <= set(trial.params)]
    if len(values) < ENOUGH or len(set(values)) < 2:
        return {}, len(values)
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator, params=list(keys)), len(values)
