"""Run a whole job: source → blocks → workers → a folder of Parquet files; an interrupted job can be resumed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mien import __version__
from mien.cores import usable_cores
from mien.errors import OptionError
from mien.recognition.model_files import names
from mien.recognition.recognizer import load
from mien.scale import cluster
from mien.scale.plan import PHOTOS_A_BLOCK, digest, plan
from mien.scale.shards import Block
from mien.scale.storage import Store
from mien.scale.worker import Done, Work, is_unreadable_name, part_name

_SETTINGS = "_run.json"


@dataclass(frozen=True)
class Job:
    """Settings of a job.

    Attributes:
        source, kind, block, column, naming: see ``plan.plan``.
        out: a shared folder, or the address of an object store.
        model, options: as for ``mien.load``; the other machines need no copy of the model file.
        address: of a Ray cluster; None starts Ray on this machine.
        workers: None for as many as there is room for.
        threads, gpus: CPUs and GPUs for each; GPUs may be shared (0.5).
    """

    source: str
    out: str
    kind: str | None = None
    block: int = PHOTOS_A_BLOCK
    column: str | None = None
    naming: str | None = None
    model: str = "default"
    options: Mapping[str, Any] = field(default_factory=dict)
    address: str | None = None
    workers: int | None = None
    threads: int = 1
    gpus: float = 0


@dataclass(frozen=True)
class Outcome:
    """Statistics of a job: number of blocks, those kept from earlier runs, and this run's photos, faces and failures.

    Attributes:
        unreadable: photos that could not be read in this run.
        set_aside: the same over all blocks.
        repeated: blocks that were restarted after a worker died or the disk failed.
        seconds: since the first worker started.
    """

    blocks: int
    kept: int
    photos: int
    faces: int
    unreadable: int
    set_aside: int
    repeated: int
    workers: int
    seconds: float


@dataclass(frozen=True)
class Watcher:
    """Callbacks: ``begun`` with the number of blocks to do, ``done`` after each, ``waiting`` if no worker starts."""

    begun: Callable[[int], None] = lambda blocks: None
    done: Callable[[Done], None] = lambda done: None
    waiting: Callable[[], None] = lambda: None


def predict(job: Job, *, resume: bool = False, watch: Watcher | None = None) -> Outcome:
    """Predict all photos, write the results and return statistics.

    Each block becomes one file with the columns of ``mien predict --format parquet``, written atomically.
    ``resume`` processes only the blocks without a file.

    Raises ``OptionError`` (also for a non-empty ``out``, or with ``resume`` for that of another run),
    ``FileMissingError``, ``ModelError``, ``MissingExtraError``, ``ClusterError``, ``OSError``; finished files are kept.
    """
    watch = watch or Watcher()
    out = Store.at(job.out)
    _check(job, out)
    blocks = plan(job.source, kind=job.kind, size=job.block, column=job.column, naming=job.naming)
    settings = _collect_settings(job, blocks)
    kept = _find_kept(out, settings, resume)
    todo = {number: block for number, block in enumerate(blocks) if part_name(number) not in kept}
    out.write(_SETTINGS, (json.dumps(settings, indent=1) + "\n").encode())
    workers, seconds, repeated, done = _run_blocks(job, out, todo, watch)
    return Outcome(
        len(blocks),
        len(blocks) - len(todo),
        sum(one.photos for one in done),
        sum(one.faces for one in done),
        sum(one.unreadable for one in done),
        sum(out.read(name).count(b"\n") for name in out.names() if is_unreadable_name(name)),
        repeated,
        workers,
        seconds,
    )


def _run_blocks(job: Job, out: Store, todo: Mapping[int, Block], watch: Watcher) -> tuple[int, float, int, list[Done]]:
    """Process the blocks; return the number of workers, seconds, the number of repeated blocks, and the results."""
    if not todo:
        return 0, 0.0, 0, []
    here = job.workers or max(1, usable_cores() // job.threads)
    with cluster.session(job.address, here * job.threads):
        if job.address is None:
            cluster.check_gpus(job.gpus)
        workers = min(job.workers or cluster.count_workers(job.threads, job.gpus), len(todo))
        pool = cluster.Pool(_make_work(job, out), workers, job.threads, job.gpus, watch.waiting)
        begun, done = time.monotonic(), []
        watch.begun(len(todo))
        try:
            for one in pool.run(todo):
                done.append(one)
                watch.done(one)
        finally:
            pool.close()
            out.sweep()
        return workers, time.monotonic() - begun, pool.repeated, done


def _make_work(job: Job, out: Store) -> Work:
    content = None if names.public(job.model) else names.locate(job.model).read_bytes()
    return Work(out, job.model, content, {**job.options, "threads": job.threads}, job.gpus)


def _check(job: Job, out: Store) -> None:
    if job.gpus < 0:
        raise OptionError(f"gpus = {job.gpus}: expected 0 or more for each worker.")
    if (out.root + "/").startswith(Store.at(job.source).root + "/"):
        raise OptionError(f"out = {job.out!r} lies inside the source {job.source!r}; choose a folder outside it.")


def _collect_settings(job: Job, blocks: list[Block]) -> dict[str, Any]:
    """Return the settings that determine the output; loading the model here finds errors before Ray starts."""
    recognizer = load(job.model, **job.options, threads=job.threads)
    chosen = {name: value for name, value in job.options.items() if value is not None}
    return {
        "mien": __version__,
        "model": recognizer.bundle.digest,
        "labels": list(recognizer.labels),
        **chosen,
        "block": job.block,
        "blocks": len(blocks),
        "photos": digest(blocks),
    }


def _find_kept(out: Store, settings: dict[str, Any], resume: bool) -> set[str]:
    """Return the names of the files that an earlier run wrote."""
    names = set(out.names())
    if not names:
        return set()
    if not resume:
        raise OptionError(f"{out.address!r} is not empty. Resume that run, or choose another folder.")
    try:
        before = json.loads(out.read(_SETTINGS))
    except (FileNotFoundError, ValueError):
        raise OptionError(f"{out.address!r} has no {_SETTINGS} of an earlier run; choose another folder.") from None
    other = [key for key in {**before, **settings} if before.get(key) != settings.get(key)]
    if other:
        raise OptionError(
            f"{out.address!r} was written with different {', '.join(other)}. Use the options and the source of that "
            "run, or choose another folder."
        )
    return names
