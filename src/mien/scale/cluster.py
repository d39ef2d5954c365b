"""Distribute blocks to workers: Ray actors that process one block at a time.

Ray Data could read these sources and write Parquet itself. It is not used because the contents of its output files
depend on sizes and timing, so it is unknown which photos a file covers. A run could not be resumed file by file, a dead
worker would cost more than one block, and batches, which may affect the last digits of a probability, would differ from
run to run. Its own checkpoints, in beta as of 2.60, load the ids of all finished rows into memory.
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
from mien.scale.worker import Done, Reader, Work, read_note, remove_note

_DEATHS = (
    exceptions.RayActorError,
    exceptions.WorkerCrashedError,
    exceptions.NodeDiedError,
    exceptions.OutOfMemoryError,
)
_CAREFUL_FROM = 2
"""After this many workers have died on a block, the next one records which photo it reads, which is slow."""

_REFUSALS = 3
"""After this many failures of disk or network on one block the run stops; it can be resumed."""

_PAUSE = 5.0
_STORE = 100_000_000  # bytes: Ray transfers only the model and lists of names
_PATIENCE = 30.0


@dataclass(frozen=True)
class Task:
    """A block and its failures so far: dead workers, I/O errors, and photos that crash a worker."""

    number: int
    block: Block
    deaths: int = 0
    refusals: int = 0
    fatal: frozenset[str] = frozenset()


@dataclass
class Pool:
    """Runs tasks on ``workers`` actors with ``cpus`` and ``gpus`` each, or fewer if the cluster has no room for all.

    Attributes:
        waiting: called once if no worker is ready after half a minute.
        repeated: number of blocks that were restarted.
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
        """Yield each block as it finishes, in any order. Raises ``ClusterError``, and what a worker raises."""
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
                ray.kill(actor)  # another job may be waiting for its CPU

    def close(self) -> None:
        """Stop all workers."""
        for actor, _ in self._busy.values():
            ray.kill(actor)
        self._busy.clear()

    def _hire(self, shared: Any) -> None:
        # Ray could restart a dead actor and repeat its call itself, but then nobody counts the restarts.
        actor = ray.remote(Reader).options(num_cpus=self.cpus, num_gpus=self.gpus, max_restarts=0).remote(shared)
        self._busy[actor.ready.remote()] = (actor, None)

    def _give(self, actor: Any, task: Task) -> None:
        wait = self.pause * task.refusals
        careful = task.deaths >= _CAREFUL_FROM
        call = actor.read.remote(task.number, task.block, wait=wait, careful=careful, fatal=task.fatal)
        self._busy[call] = (actor, task)

    def _next(self) -> tuple[Any, Done | Task | None]:
        """Wait for a worker; return it, or None if it died, with a result, a task to repeat, or None."""
        call = self._awaited()
        actor, task = self._busy.pop(call)
        try:
            done = ray.get(call)
        except _DEATHS as error:
            ray.kill(actor)  # a worker that is merely unreachable would keep writing
            return None, self._after_death(task, error)
        except exceptions.RayTaskError as error:
            return actor, self._after_refusal(task, error)
        if task is not None and task.deaths:
            remove_note(self.work.out, task.number)
        self._stillborn = 0
        return actor, done

    def _awaited(self) -> Any:
        ready, _ = ray.wait(list(self._busy), timeout=_PATIENCE)
        if not ready:
            if all(task is None for _, task in self._busy.values()):
                self.waiting()
            ready, _ = ray.wait(list(self._busy))
        return ready[0]

    def _after_death(self, task: Task | None, error: Exception) -> Task | None:
        if task is None:
            self._stillborn += 1
            if self._stillborn > 2 * self.workers:
                raise ClusterError(f"Workers crash on start: {_first_line(error)} See Ray's logs.") from error
            return None
        task = replace(task, deaths=task.deaths + 1)
        if task.deaths <= _CAREFUL_FROM:
            return task
        photo = read_note(self.work.out, task.number)
        if photo is None or photo in task.fatal:
            raise ClusterError(
                f"Block {task.number} has crashed {task.deaths} workers, and none of its photos is the cause: "
                f"{_first_line(error)} Finished blocks are kept: fix the cause and resume."
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
    """Connect to the Ray cluster at ``address``, or start Ray on this machine, and shut it down at the end.

    Args:
        cpus: number of CPUs that a local Ray gives to workers. Does nothing if the program is connected already. Raises
            ``ClusterError``.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # or Ray sends usage statistics
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address is None:
            ray.init("local", num_cpus=cpus, include_dashboard=False, object_store_memory=_STORE, **quiet)
        else:
            ray.init(address, **quiet)
    except Exception as error:  # Ray raises anything here, a bare Exception among it
        where = "on this machine" if address is None else f"at {address!r}"
        advice = (
            "Try again when the machine is less busy"
            if address is None
            else "Start one with `ray start --head`, or give it its token"
        )
        raise ClusterError(f"Cannot use Ray {where}: {_first_line(error)} {advice}; see docs/scale.md.") from error
    try:
        yield
    finally:
        ray.shutdown()


def count_workers(cpus: int, gpus: float) -> int:
    """Return how many workers with ``cpus`` and ``gpus`` each the cluster has room for now; at least 1."""
    resources = ray.cluster_resources()
    fitting = resources.get("CPU", 0) // cpus
    return max(1, int(min(fitting, resources.get("GPU", 0) // gpus) if gpus else fitting))


def check_gpus(gpus: float) -> None:
    """Raise ``OptionError`` if this machine, where Ray was started, has too few GPUs for one worker."""
    available = ray.cluster_resources().get("GPU", 0)
    if gpus > available:
        raise OptionError(
            f"gpus = {gpus}: Ray sees {available:g} GPUs on this machine. Remove the option, or give an address."
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
