"""Blocks to workers: Ray actors, of which each has one block at a time.

Ray Data could read these sources and write Parquet by itself. It is not used: bytes and timing decide what goes into
one of its files, so nobody could say which photos a file on the disk accounts for. A run could not be gone on with file
by file, a dead worker would cost more than a block, and the faces that share a batch, on which the last digits of a
probability may depend, would differ from run to run. Its own checkpoints, called beta in 2.60, load the ids of
all rows that are done into memory.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray import exceptions

from mien.errors import ClusterError, MienError, OptionError
from mien.scale.shards import Block
from mien.scale.worker import Done, Reader, Work, forget, reading

_DEATHS = (
    exceptions.RayActorError,
    exceptions.WorkerCrashedError,
    exceptions.NodeDiedError,
    exceptions.OutOfMemoryError,
)
_CAREFUL_FROM = 2
"""After so many workers have died on a block, the next one writes down what it reads, which is slow."""

_REFUSALS = 3
"""So often may the disk or the network fail on one block; then the run ends, to be gone on with."""

_PAUSE = 5.0
_STORE = 100_000_000  # bytes: only the model and lists of names go through Ray
_PATIENCE = 30.0


@dataclass(frozen=True)
class Task:
    """A block, and what it has cost so far: deaths of workers, refusals of the disk, photos that nobody survived."""

    number: int
    block: Block
    deaths: int = 0
    refusals: int = 0
    fatal: frozenset[str] = frozenset()


@dataclass
class Pool:
    """Runs tasks on ``workers`` actors of ``cpus`` and ``gpus`` each; fewer where the cluster has no room for all.

    waiting: called once if no worker is ready after half a minute.  repeated: blocks that were begun again.
    """

    work: Work
    workers: int
    cpus: int = 1
    gpus: float = 0
    waiting: Callable[[], None] = lambda: None
    pause: float = _PAUSE
    repeated: int = 0
    _busy: dict[Any, tuple[Any, Task | None]] = field(default_factory=dict)
    _stillborn: int = 0

    def run(self, blocks: Mapping[int, Block]) -> Iterator[Done]:
        """Yield each block as it is done, in whatever order. Raises ``ClusterError``, and what a worker raises."""
        todo = deque(Task(number, block) for number, block in blocks.items())
        shared = ray.put(self.work)
        for _ in range(min(self.workers, len(todo))):
            self._hire(shared)
        left = len(todo)
        while left:
            actor, done = self._next()
            if isinstance(done, Done):
                left -= 1
                yield done
            elif done is not None:
                todo.appendleft(done)
                self.repeated += 1
            if todo and actor is None:
                self._hire(shared)
            elif todo:
                self._give(actor, todo.popleft())
            elif actor is not None:
                ray.kill(actor)  # its CPU may be what another job waits for

    def close(self) -> None:
        """End all workers."""
        for actor, _ in self._busy.values():
            ray.kill(actor)
        self._busy.clear()

    def _hire(self, shared: Any) -> None:
        # Ray would start a dead actor anew and repeat its call by itself, but then nobody counts how often.
        actor = ray.remote(Reader).options(num_cpus=self.cpus, num_gpus=self.gpus, max_restarts=0).remote(shared)
        self._busy[actor.ready.remote()] = (actor, None)

    def _give(self, actor: Any, task: Task) -> None:
        wait = self.pause * task.refusals
        careful = task.deaths >= _CAREFUL_FROM
        call = actor.read.remote(task.number, task.block, wait=wait, careful=careful, fatal=task.fatal)
        self._busy[call] = (actor, task)

    def _next(self) -> tuple[Any, Done | Task | None]:
        """Wait for a worker; return it, or None if it is dead, and a result, a task to do again, or nothing."""
        call = self._awaited()
        actor, task = self._busy.pop(call)
        try:
            done = ray.get(call)
        except _DEATHS as error:
            ray.kill(actor)  # one that is only out of reach would go on writing
            return None, self._after_death(task, error)
        except exceptions.RayTaskError as error:
            return actor, self._after_refusal(task, error)
        if task is not None and task.deaths:
            forget(self.work.out, task.number)
        self._stillborn = 0
        return actor, done

    def _awaited(self) -> Any:
        found, _ = ray.wait(list(self._busy), timeout=_PATIENCE)
        if not found:
            if all(task is None for _, task in self._busy.values()):
                self.waiting()
            found, _ = ray.wait(list(self._busy))
        return found[0]

    def _after_death(self, task: Task | None, error: Exception) -> Task | None:
        if task is None:
            self._stillborn += 1
            if self._stillborn > 2 * self.workers:
                raise ClusterError(f"Workers end while they start: {_first_line(error)} See Ray's logs.") from error
            return None
        task = replace(task, deaths=task.deaths + 1)
        if task.deaths <= _CAREFUL_FROM:
            return task
        photo = reading(self.work.out, task.number)
        if photo is None or photo in task.fatal:
            raise ClusterError(
                f"Block {task.number} has ended {task.deaths} workers, and not by one of its photos: "
                f"{_first_line(error)} What is done is kept: mend the cause and go on with resume."
            ) from error
        return replace(task, fatal=task.fatal | {photo})

    def _after_refusal(self, task: Task | None, error: exceptions.RayTaskError) -> Task:
        cause = error.cause
        if task is not None and isinstance(cause, OSError) and not isinstance(cause, MienError):
            task = replace(task, refusals=task.refusals + 1)
            if task.refusals < _REFUSALS:
                return task
        raise cause if isinstance(cause, (MienError, OSError)) else error


@contextmanager
def session(address: str | None, cpus: int) -> Iterator[None]:
    """Connect to the Ray cluster at ``address``, or start Ray on this machine, and leave it at the end.

    cpus: how many CPUs Ray on this machine gives to workers.
    Does nothing where the program has connected already. Raises ``ClusterError``.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray reports to its makers
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address is None:
            ray.init("local", num_cpus=cpus, include_dashboard=False, object_store_memory=_STORE, **quiet)
        else:
            ray.init(address, **quiet)
    except Exception as error:  # Ray raises anything here, a bare Exception among it
        place = "on this machine" if address is None else f"at {address!r}"
        advice = (
            "Try again when the machine is less busy"
            if address is None
            else "Start one with `ray start --head`, or give it its token"
        )
        raise ClusterError(f"No Ray {place}: {_first_line(error)} {advice}; see docs/scale.md.") from error
    try:
        yield
    finally:
        ray.shutdown()


def room(cpus: int, gpus: float) -> int:
    """Return how many workers of ``cpus`` and ``gpus`` the cluster has room for now; at least 1."""
    there = ray.cluster_resources()
    fitting = there.get("CPU", 0) // cpus
    return max(1, int(min(fitting, there.get("GPU", 0) // gpus) if gpus else fitting))


def check_gpus(gpus: float) -> None:
    """Raise ``OptionError`` if this machine, on which Ray was started, has no room for one worker's GPUs."""
    there = ray.cluster_resources().get("GPU", 0)
    if gpus > there:
        raise OptionError(f"gpus = {gpus}: Ray sees {there:g} GPUs on this machine. Leave it out, or give an address.")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
