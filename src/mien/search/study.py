"""The Optuna study of a search: its SQLite file, locking between processes, and reproducible sampling."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from mien.errors import OptionError

WARM_UP, UNPRUNED = 3, 5
"""A trial may be pruned from the third tenth of its epochs on, once five trials are complete."""

HEARTBEAT, SILENCE = 15, 60
"""Seconds between a trial's heartbeats, and after the last one until its process counts as dead."""

WAIT = 60
"""Seconds that a process waits for another one's lock or transaction; both last milliseconds."""

INSTEAD = "instead"
"""Attribute of a trial that repeats an interrupted one: the number of the interrupted trial."""

_NAME, _TURN, _FILE = "tune", ".turn", "study.db"


@contextmanager
def open_study(folder: Path, facts: Mapping[str, str], seed: int) -> Iterator[optuna.Study]:
    """Open the study in ``folder`` or create one; ``facts`` are what its trials must have in common.

    Raises:
        OptionError: a negative seed, and for a folder with anything but a study of these facts.
    """
    if seed < 0:
        raise OptionError(f"Seed {seed}: expected 0 or more.")
    path = folder / _FILE
    # In this order: another process that starts the same study creates its file before anything else but the lock.
    foreign = folder.exists() and any(not path.name.startswith((_TURN, _FILE)) for path in folder.iterdir())
    if foreign and not path.exists():
        raise OptionError(f"The folder {folder} is not empty and has no study.db. Give an empty or a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    with _mute():
        with lock(folder):
            # Without the lock, two processes could both try to create the tables, and one would fail.
            storage = _storage(path)
        try:
            with lock(folder):
                study = _study(storage, seed)
                _check_facts(folder, facts, study)
            yield study
        finally:
            storage.remove_session()
            storage.engine.dispose()


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Lock the study's folder for this process; the system releases the lock of a process that dies.

    Raises:
        OptionError: the folder cannot be written or the lock is not released in time.
    """
    try:
        turn = sqlite3.connect(folder / _TURN, timeout=WAIT, isolation_level=None)
    except sqlite3.Error as error:
        raise OptionError(f"{folder} cannot be written ({error}). Give another folder.") from error
    with closing(turn):
        try:
            turn.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            raise OptionError(f"{folder} cannot be locked ({error}). Give a folder on a local disk.") from error
        yield


def _storage(path: Path) -> RDBStorage:
    if path.exists() and path.stat().st_size:
        _check_file(path)
    try:
        # SQLite makes a process wait while another writes, by default for 5 s only.
        return RDBStorage(
            f"sqlite:///{path}",
            engine_kwargs={"connect_args": {"timeout": WAIT}},
            heartbeat_interval=HEARTBEAT,
            grace_period=SILENCE,
        )
    except RuntimeError as error:  # raised by Optuna for a file with another version's schema
        raise OptionError(f"{path} cannot be used: {error}") from error


def _check_file(path: Path) -> None:
    """Raise ``OptionError`` unless the file is a study of ``mien tune``, before Optuna writes its tables into it."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=WAIT)) as file:
            names = [name for (name,) in file.execute("SELECT study_name FROM studies")]
    except sqlite3.DatabaseError as error:
        raise OptionError(f"{path} is not a study of mien tune ({error}). Give an empty or a new folder.") from error
    if names not in ([], [_NAME]):
        raise OptionError(f"{path} contains other studies ({', '.join(names)}). Give an empty or a new folder.")


def _study(storage: RDBStorage, seed: int) -> optuna.Study:
    return optuna.create_study(
        study_name=_NAME,
        storage=storage,
        sampler=Numbered(seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED, n_warmup_steps=WARM_UP),
        direction="maximize",
        load_if_exists=True,
    )


def _check_facts(folder: Path, facts: Mapping[str, str], study: optuna.Study) -> None:
    """Raise ``OptionError`` if the study has other facts; record the facts of a new study."""
    for name, value in facts.items():
        before = study.user_attrs.get(name, value)
        if before != value:
            shown = f": {before}" if name == "space" else ""
            raise OptionError(f"{folder} has a search with another {name}{shown}. Give the same, or another folder.")
        study.set_user_attr(name, value)


@contextmanager
def _mute() -> Iterator[None]:
    """Silence Optuna's log and the warning that its heartbeat is experimental (it has been since 2.9)."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


class Numbered(optuna.samplers.BaseSampler):
    """TPE sampler, seeded for each trial by seed and position: no two processes or sessions draw the same trial.

    A trial's position is its number minus the repeated trials before it, so that an interrupted trial does not change
    the draws of later ones.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.sampler = optuna.samplers.TPESampler(seed=seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Seed the sampler for the trial."""
        earlier = [other for other in study.get_trials(deepcopy=False) if other.number < trial.number]
        position = trial.number - sum(INSTEAD in other.user_attrs for other in earlier)
        drawn = np.random.default_rng((self.seed, position)).integers(2**31)
        self.sampler = optuna.samplers.TPESampler(seed=int(drawn))
        self.sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> Any:
        """Delegate to TPE."""
        return self.sampler.infer_relative_search_space(study, trial)

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: Any) -> dict[str, Any]:
        """Delegate to TPE."""
        return self.sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        """Delegate to TPE."""
        return self.sampler.sample_independent(study, trial, param_name, param_distribution)
