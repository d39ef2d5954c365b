"""Search over a recipe's keys: trials drawn by TPE (Bergstra et al. 2011), hopeless ones cut off by the median rule.

The validation part judges (FER2013: PublicTest); the test part is dropped before the first trial. A study lives in one
folder with its SQLite file, so that a search goes on where it was cut off and several processes share it.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from mien.datasets.faces import FaceSet
from mien.errors import OptionError, TrainingError
from mien.learning import charts, parts
from mien.learning.fit import Epoch, fit
from mien.learning.recipe import Recipe
from mien.learning.space import Dimension, defaults

TENTHS, WARM_UP, UNPRUNED = 10, 3, 5
"""A trial is compared at each tenth of its own epochs, from the third on, once five trials are complete."""

HEARTBEAT, SILENCE = 15, 60
"""Seconds between a trial's signs of life, and without one after which its process counts as dead."""

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
    in a ``TrainingError`` or ``OptionError`` has failed, and the search goes on. Trial N of a study depends on
    ``seed``, N and the trials before it alone, so that a search that was cut off draws what it would have drawn.
    Writes ``trials.csv`` and ``best.toml`` after each trial, ``history.png`` and ``importance.png`` (from four complete
    trials on) at the end; only the best trial keeps its checkpoints.
    Raises ``OptionError`` for a folder with anything but a study of this recipe, data and space, ``TrainingError`` if
    no trial was completed, ``DataError`` as ``parts.arrange``.
    """
    job = Job(recipe, judged_faces(recipe, faces), folder, tuple(space), watch, ended)
    with _muted(), _study(job, seed) as study:
        while _wanted(job, study, trials):
            _next(job, study)
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


class Numbered(optuna.samplers.BaseSampler):
    """TPE seeded anew for each trial by seed and trial number: no two processes or sessions draw the same trial."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.sampler = optuna.samplers.TPESampler(seed=seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Seed for the trial."""
        drawn = np.random.default_rng((self.seed, trial.number)).integers(2**31)
        self.sampler = optuna.samplers.TPESampler(seed=int(drawn))
        self.sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> Any:
        """As TPE."""
        return self.sampler.infer_relative_search_space(study, trial)

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: Any) -> dict[str, Any]:
        """As TPE."""
        return self.sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        """As TPE."""
        return self.sampler.sample_independent(study, trial, param_name, param_distribution)


@contextmanager
def _muted() -> Iterator[None]:
    """Keep Optuna's log from the terminal, and the news that its heartbeat is experimental (it has been since 2.9)."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


@contextmanager
def _study(job: Job, seed: int) -> Iterator[optuna.Study]:
    path = job.folder / "study.db"
    if not path.exists() and job.folder.exists() and any(job.folder.iterdir()):
        raise OptionError(f"The folder {job.folder} is not empty and holds no study.db. Give an empty or a new folder.")
    job.folder.mkdir(parents=True, exist_ok=True)
    # Several processes write; SQLite makes one wait for the other, which by default it does for 5 s only.
    storage = RDBStorage(
        f"sqlite:///{path}",
        engine_kwargs={"connect_args": {"timeout": 60}},
        heartbeat_interval=HEARTBEAT,
        grace_period=SILENCE,
    )
    try:
        study = optuna.create_study(
            study_name="tune",
            storage=storage,
            sampler=Numbered(seed),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED, n_warmup_steps=WARM_UP),
            direction="maximize",
            load_if_exists=True,
        )
        _same(job, study)
        yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _same(job: Job, study: optuna.Study) -> None:
    """Raise ``OptionError`` if the folder's study is another one; note what it is about if it is new."""
    facts = {
        "recipe": job.recipe.digest(),
        "data": str(parts.described(job.faces)["digest"]),
        "space": "; ".join(sorted(str(dimension) for dimension in job.space)),
    }
    for name, value in facts.items():
        before = study.user_attrs.get(name, value)
        if before != value:
            told = f": {before}" if name == "space" else ""
            raise OptionError(
                f"{job.folder} holds a search with another {name}{told}. Give the same, or another folder."
            )
        study.set_user_attr(name, value)


def _wanted(job: Job, study: optuna.Study, trials: int) -> bool:
    """Say whether the study needs another trial; see to it that the recipe's own values are among them."""
    optuna.storages.fail_stale_trials(study)
    if sum(trial.counts for trial in job.trials(study)) >= trials:
        return False
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    if not waiting and not any(trial.counts and trial.defaults for trial in job.trials(study)):
        own = defaults(job.space, job.recipe)
        fixed = {each.key: own[each.key] for each in job.space if each.holds(own[each.key])}
        study.enqueue_trial(fixed, user_attrs={"defaults": True})
    return True


def _next(job: Job, study: optuna.Study) -> None:
    """Run one trial, then clear up after it."""
    numbers: list[int] = []

    def objective(trial: optuna.Trial) -> float:
        numbers.append(trial.number)
        return _run(job, trial)

    try:
        study.optimize(objective, n_trials=1, catch=(TrainingError, OptionError))
    finally:
        # Ctrl-C, which Lightning turns into SystemExit, leaves a trial that would look alive for another minute.
        for frozen in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if frozen.number in numbers:
                study.tell(frozen.number, state=TrialState.FAIL)
    found = job.trials(study)
    _clear(job.folder, found)
    _write(job, found)
    if job.ended:
        job.ended(next(trial for trial in found if trial.number == numbers[0]))


def _run(job: Job, trial: optuna.Trial) -> float:
    """Train one trial and return its accuracy."""
    own = defaults(job.space, job.recipe)
    fixed = trial.user_attrs.get("defaults", False)
    # A value of the recipe's own that lies outside the space cannot be drawn; the trial has it all the same.
    values = {each.key: each.suggest(trial) for each in job.space if not fixed or each.holds(own[each.key])}
    try:
        # The faces are in their parts already; drawing again would judge by training faces.
        recipe = job.recipe.with_values({**values, "data.split": "own", "data.hold_out": 0.0})
        judge = Judge(job, trial, recipe)
        fit(recipe, job.faces, job.folder / f"trial-{trial.number}", watch=judge)
    except (TrainingError, OptionError) as error:
        trial.set_user_attr("reason", str(error))
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
    _put(job.folder / "trials.csv", table.getvalue().encode())
    top = best(found)
    if top is not None:
        _put(job.folder / "best.toml", _toml(job, top, found).encode())


def _toml(job: Job, top: Trial, found: Sequence[Trial]) -> str:
    import tomli_w

    values = {key: value for key, value in top.values.items() if value is not None}
    about = f"{job.recipe.name} with the values of trial {top.number}, the best of {len(found)}."
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
        state: {trial.number: trial.accuracy or 0.0 for trial in found if trial.state == state and trial.accuracy}
        for state in ("complete", "pruned")
    }
    failed = [trial.number for trial in found if trial.state == "failed"]
    own = next((trial.accuracy for trial in _own(found)), None)
    _put(job.folder / "history.png", charts.history(scores["complete"], scores["pruned"], failed, own))
    shares = importance(study, [dimension.key for dimension in job.space])
    if shares:
        _put(job.folder / "importance.png", charts.importance(shares, len(scores["complete"])))


def importance(study: optuna.Study, keys: Sequence[str]) -> dict[str, float]:
    """Return each key's share, summing to 1, of the accuracy's variance over complete trials.

    fANOVA (Hutter et al. 2014). Empty for fewer than four complete trials that have drawn all keys, or if all have the
    same accuracy.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    values = [trial.value for trial in complete if set(keys) <= set(trial.params)]
    if len(values) < ENOUGH or len(set(values)) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator, params=list(keys))


def _put(path: Path, content: bytes) -> None:
    """Write a file in one step, as several processes may do so at once."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_bytes(content)
    scratch.replace(path)
