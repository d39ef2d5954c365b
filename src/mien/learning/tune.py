"""Search over a recipe's keys: trials drawn by TPE (Bergstra et al. 2011), hopeless ones cut off by the median rule.

The validation part judges (FER2013: PublicTest); the test part is dropped before the first trial. A study lives in one
folder with its SQLite file, so that a search goes on where it was cut off and several processes share it.
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

from mien.datasets.faces import FaceSet
from mien.errors import OptionError, TrainingError
from mien.files import appearing
from mien.learning import charts, parts
from mien.learning.fit import Epoch, fit
from mien.learning.recipe import Recipe
from mien.learning.space import Dimension, defaults
from mien.learning.study import INSTEAD, alone, opened

TENTHS = 10
"""A trial is compared at each tenth of its own epochs."""

ENOUGH = 4
"""Complete trials below which the importance of keys is not computed."""

_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.RUNNING: "running"}


@dataclass(frozen=True)
class Trial:
    """One trial of a search.

    state:    complete, pruned, failed (``reason`` says why), running, or cut off, which does not count.
    values:   the searched keys; None where a network's own default holds.  defaults: these are the recipe's own.
    accuracy: on the validation part, in [0, 1], of the epoch that would ship; None before there is one.
    epochs:   finished epochs; minutes: wall time.
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
        """Whether it is one of the trials asked for."""
        return self.state in ("complete", "pruned", "failed", "running")


Watcher = Callable[[int, float, Epoch], None]
"""Called after each epoch with the trial's number, the trials done by now (a fraction for this one), and the epoch."""

Ended = Callable[[Trial], None]
"""Called after each trial of this process, whatever became of it."""


@dataclass(frozen=True)
class Job:
    """What all trials of a search share; ``faces`` without the test part, ``recipe`` as it stands before the search."""

    recipe: Recipe
    faces: FaceSet
    folder: Path
    space: tuple[Dimension, ...]
    watch: Watcher | None = None
    ended: Ended | None = None

    def trials(self, study: optuna.Study) -> tuple[Trial, ...]:
        """Return the trials that have begun, by number."""
        own = defaults(self.space, self.recipe)
        begun = [each for each in study.get_trials(deepcopy=False) if each.state != TrialState.WAITING]
        return tuple(_trial(each, own) for each in begun)


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

    The first trial has the recipe's own values. Each is trained by ``fit.fit`` into ``folder/trial-N``; one that ends
    in a ``TrainingError`` or ``OptionError`` has failed, and the search goes on. One that was cut off begins again,
    with its values; as the draws depend on ``seed``, a trial's place and the trials before it alone, the search then
    draws what it would have drawn.
    Writes ``trials.csv`` and ``best.toml`` after each trial, ``history.png`` and ``importance.png`` (from four complete
    trials on) at the end; only the best trial keeps its checkpoints.
    Raises ``OptionError`` for a folder with anything but a study of this recipe, data and space, ``TrainingError`` if
    no trial was completed, ``DataError`` as ``parts.arrange``.
    """
    job = Job(recipe, judged_faces(recipe, faces), folder, tuple(space), watch, ended)
    with opened(folder, _facts(job), seed) as study:
        while _next(job, study, trials):
            pass
        found = job.trials(study)
        if best(found) is None:
            reasons = [trial.reason for trial in found if trial.reason] or ["none has ended yet"]
            raise TrainingError(f"No trial was completed; the first says: {reasons[0]}")
        _draw(job, study, found)
    return found


def best(trials: Sequence[Trial]) -> Trial | None:
    """Return the complete trial with the highest accuracy, the earliest of several; None if none is complete."""
    complete = [trial for trial in trials if trial.state == "complete"]
    return max(complete, key=lambda trial: trial.accuracy or 0.0, default=None)


def judged_faces(recipe: Recipe, faces: FaceSet) -> FaceSet:
    """Return the recipe's training and validation part only, so that no trial can see a test face."""
    arranged = parts.arrange(faces, recipe.data)
    kept = [arranged.split_named(part) for part in (parts.TRAIN, parts.VALIDATION)]
    return arranged.where(np.isin(arranged.splits, kept))


def outcome(recipe: Recipe, epochs: Sequence[Epoch]) -> float | None:
    """Return the validation accuracy of the epoch that would ship: the best on images of full size; None before one."""
    rows = [row for row in epochs if row.size == recipe.preprocess.size]
    if not rows:
        return None
    if recipe.train.choose == "loss":
        return min(rows, key=lambda row: row.validation_loss).validation_accuracy
    return max(row.validation_accuracy for row in rows)


def _facts(job: Job) -> dict[str, str]:
    """Return what all trials of a study have in common."""
    return {
        "recipe": job.recipe.digest(),
        "data": str(parts.described(job.faces)["digest"]),
        "space": "; ".join(sorted(str(dimension) for dimension in job.space)),
    }


def _next(job: Job, study: optuna.Study, trials: int) -> bool:
    """Run the next trial and clear up after it; return False if the study needs none."""
    numbers: list[int] = []
    with ExitStack() as turn:
        turn.enter_context(alone(job.folder))
        if not _wanted(job, study, trials):
            return False

        def objective(trial: optuna.Trial) -> float:
            # The turn ends when the trial is counted: two processes would otherwise both begin the last one.
            turn.close()
            numbers.append(trial.number)
            return _run(job, trial)

        study.optimize(objective, n_trials=1, catch=(TrainingError, OptionError))
    with alone(job.folder):
        found = job.trials(study)
        _clear(job.folder, found)
        _write(job, found)
    if job.ended:
        job.ended(next(trial for trial in found if trial.number == numbers[0]))
    return True


def _wanted(job: Job, study: optuna.Study, trials: int) -> bool:
    """Say whether the study needs another trial; queue the recipe's own values, or a trial that was cut off."""
    optuna.storages.fail_stale_trials(study)
    found = job.trials(study)
    if sum(trial.counts for trial in found) >= trials:
        return False
    every = study.get_trials(deepcopy=False)
    if not every:
        study.enqueue_trial(_own_values(job), user_attrs={"defaults": True})
    repeated = {each.user_attrs[INSTEAD] for each in every if INSTEAD in each.user_attrs}
    for each in every:
        if each.state == TrialState.FAIL and each.number not in repeated and _repeatable(each):
            own = each.user_attrs.get("defaults", False)
            attributes = {INSTEAD: each.number, "defaults": own}
            study.enqueue_trial(_own_values(job) if own else each.params, user_attrs=attributes)
    return True


def _own_values(job: Job) -> dict[str, Any]:
    """Return the recipe's own values of all keys whose range or choices hold them."""
    own = defaults(job.space, job.recipe)
    return {each.key: own[each.key] for each in job.space if each.holds(own[each.key])}


def _repeatable(frozen: FrozenTrial) -> bool:
    """Say whether a trial without an outcome gets another try: always after Ctrl-C, once if its process died.

    Values that take the process with them, such as a batch for which the system kills it, would come back for ever.
    """
    if "reason" in frozen.user_attrs:
        return False
    return "interrupted" in frozen.user_attrs or INSTEAD not in frozen.user_attrs


def _run(job: Job, trial: optuna.Trial) -> float:
    """Train one trial and return its accuracy."""
    # A value of the recipe's own that lies outside the space cannot be drawn; the trial has it all the same.
    keys = set(_own_values(job)) if trial.user_attrs.get("defaults", False) else {each.key for each in job.space}
    # In order of their names, as the draws depend on it and the same space may be written in another one.
    space = sorted(job.space, key=lambda each: each.key)
    values = {each.key: each.suggest(trial) for each in space if each.key in keys}
    try:
        # The faces are in their parts already; drawing again would judge by training faces.
        recipe = job.recipe.with_values({**values, "data.split": "own", "data.hold_out": 0.0})
        judge = Judge(job, trial, recipe)
        fit(recipe, job.faces, job.folder / f"trial-{trial.number}", watch=judge)
    except (TrainingError, OptionError) as error:
        trial.set_user_attr("reason", str(error))
        raise
    except KeyboardInterrupt:
        trial.set_user_attr("interrupted", True)
        raise
    return outcome(recipe, judge.rows) or 0.0


class Judge:
    """Watch one trial's epochs: note its accuracy, tell the watcher, cut it off where the median rule says so."""

    def __init__(self, job: Job, trial: optuna.Trial, recipe: Recipe) -> None:
        self.job, self.trial, self.recipe = job, trial, recipe
        self.rows: list[Epoch] = []
        self.told = 0

    def __call__(self, row: Epoch) -> None:
        """Take a finished epoch. Raises ``optuna.TrialPruned``."""
        self.rows.append(row)
        self.trial.set_user_attr("epochs", len(self.rows))
        self.trial.set_user_attr("accuracy", outcome(self.recipe, self.rows))
        share = (row.epoch + 1) / self.recipe.train.epochs
        if self.job.watch:
            done = sum(each.counts and each.state != "running" for each in self.job.trials(self.trial.study))
            self.job.watch(self.trial.number, done + share, row)
        # By tenths and not by epochs, a trial of 40 epochs is compared at equal progress with one of 10.
        for tenth in range(self.told + 1, int(share * TENTHS + 1e-9) + 1):
            self.trial.report(row.validation_accuracy, tenth)
            self.told = tenth
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


def _clear(folder: Path, found: Sequence[Trial]) -> None:
    """Delete the checkpoints of all trials that have ended, but the best one's."""
    top = best(found)
    for trial in found:
        if trial.state != "running" and trial is not top:
            # Another process may have been first, which is as good.
            shutil.rmtree(folder / f"trial-{trial.number}" / "checkpoints", ignore_errors=True)


def _write(job: Job, found: Sequence[Trial]) -> None:
    """Write ``trials.csv`` and, once there is a best trial, ``best.toml``."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    keys = [dimension.key for dimension in job.space]
    writer.writerow(("trial", "state", "accuracy", *keys, "defaults", "epochs", "minutes", "reason"))
    for trial in found:
        values = [trial.values[key] for key in keys]
        tail = (trial.defaults, trial.epochs, round(trial.minutes, 2), trial.reason)
        writer.writerow((trial.number, trial.state, trial.accuracy, *values, *tail))
    with appearing(job.folder / "trials.csv") as draft:  # several processes write these files
        draft.write_bytes(table.getvalue().encode())
    top = best(found)
    if top is not None:
        with appearing(job.folder / "best.toml") as draft:
            draft.write_bytes(_toml(job, top, found).encode())


def _toml(job: Job, top: Trial, found: Sequence[Trial]) -> str:
    import tomli_w

    values = {key: value for key, value in top.values.items() if value is not None}
    about = (
        f"{job.recipe.name} with the values of trial {top.number}, the best of {sum(each.counts for each in found)}."
    )
    recipe = job.recipe.with_values({**values, "name": f"{job.recipe.name}-tuned", "about": about})
    told = [f"# Command:  mien train {job.folder / 'best.toml'} --data DATA"]
    told += [f"# Score:    validation part {top.accuracy:.2%}, which chose it; the test part is not yet scored"]
    told += [f"#           the recipe's own values: {each.accuracy:.2%}" for each in _own(found)]
    return "\n".join(told) + "\n" + tomli_w.dumps(recipe.model_dump(mode="json", exclude_unset=True, exclude_none=True))


def _own(found: Sequence[Trial]) -> list[Trial]:
    """Return the complete trial with the recipe's own values, if there is one."""
    return [trial for trial in found if trial.defaults and trial.state == "complete"][:1]


def _draw(job: Job, study: optuna.Study, found: Sequence[Trial]) -> None:
    scores = {
        state: {each.number: each.accuracy for each in found if each.state == state and each.accuracy is not None}
        for state in ("complete", "pruned")
    }
    failed = [trial.number for trial in found if trial.state == "failed"]
    own = next((trial.accuracy for trial in _own(found)), None)
    with appearing(job.folder / "history.png") as draft:
        draft.write_bytes(charts.history(scores["complete"], scores["pruned"], failed, own))
    shares, trials = importance(study, [dimension.key for dimension in job.space])
    if shares:
        with appearing(job.folder / "importance.png") as draft:
            draft.write_bytes(charts.importance(shares, trials))


def importance(study: optuna.Study, keys: Sequence[str]) -> tuple[dict[str, float], int]:
    """Return each key's share, summing to 1, of the accuracy's variance over complete trials, and how many these are.

    fANOVA (Hutter et al. 2014). No shares for fewer than four complete trials that have drawn all keys, or if all have
    the same accuracy.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    values = [trial.value for trial in complete if set(keys) <= set(trial.params)]
    if len(values) < ENOUGH or len(set(values)) < 2:
        return {}, len(values)
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator, params=list(keys)), len(values)
