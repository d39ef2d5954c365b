"""The whole job: source → blocks → workers → a folder of Parquet files, which can be gone on with."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mien import __version__
from mien.cores import usable_cores
from mien.errors import OptionError
from mien.recognition import names
from mien.recognition.recognizer import load
from mien.scale import cluster
from mien.scale.plan import PHOTOS_A_BLOCK, digest, plan
from mien.scale.shards import Block
from mien.scale.storage import Store
from mien.scale.worker import Done, Work, is_unreadable_name, part_name

_SETTINGS = "_run.json"


@dataclass(frozen=True)
class Job:
    """What is to be read, how, and on what.

    source, kind, block, column, naming: see ``plan.plan``.  out: a folder that all machines see, or a store's address.
    model, options: of ``mien.load``; the model file need not lie on the other machines.
    address: of a Ray cluster; None starts Ray on this machine.
    workers: None takes as many as there is room for.  threads, gpus: CPUs and GPUs of each; a GPU may be shared (0.5).
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
    """Blocks in all, and those that were there already; photos, faces and unreadable photos of this run.

    set_aside: unreadable photos of all blocks.  repeated: blocks begun again after a worker died or the disk failed.
    seconds: from the first worker's start.
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
    """Whom to tell: ``begun`` of the blocks to do, ``done`` of each, ``waiting`` if no worker starts for a while."""

    begun: Callable[[int], None] = lambda blocks: None
    done: Callable[[Done], None] = lambda done: None
    waiting: Callable[[], None] = lambda: None


def predict(job: Job, *, resume: bool = False, watch: Watcher | None = None) -> Outcome:
    """Read all photos and write their results; return what was done.

    Each block becomes one file, with the columns of ``mien predict --format parquet``; it is whole or not there.
    ``resume`` does only the blocks that have none.

    Raises ``OptionError`` (also for an ``out`` in use, or with ``resume`` of another run), ``FileMissingError``,
    ``ModelError``, ``MissingExtraError``, ``ClusterError``, ``OSError``; what was written stays.
    """
    watch = watch or Watcher()
    out = Store.at(job.out)
    _check(job, out)
    blocks = plan(job.source, kind=job.kind, size=job.block, column=job.column, naming=job.naming)
    settings = _settings(job, blocks)
    kept = _kept(out, settings, resume)
    todo = {number: block for number, block in enumerate(blocks) if part_name(number) not in kept}
    out.write(_SETTINGS, (json.dumps(settings, indent=1) + "\n").encode())
    workers, seconds, repeated, done = _done(job, out, todo, watch)
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


def _done(job: Job, out: Store, todo: Mapping[int, Block], watch: Watcher) -> tuple[int, float, int, list[Done]]:
    """Return workers, seconds, repeated blocks and what was done."""
    if not todo:
        return 0, 0.0, 0, []
    here = job.workers or max(1, usable_cores() // job.threads)
    with cluster.session(job.address, here * job.threads):
        if job.address is None:
            cluster.check_gpus(job.gpus)
        workers = min(job.workers or cluster.room(job.threads, job.gpus), len(todo))
        pool = cluster.Pool(_work(job, out), workers, job.threads, job.gpus, watch.waiting)
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


def _work(job: Job, out: Store) -> Work:
    content = None if names.public(job.model) else names.locate(job.model).read_bytes()
    return Work(out, job.model, content, {**job.options, "threads": job.threads}, job.gpus)


def _check(job: Job, out: Store) -> None:
    if job.gpus < 0:
        raise OptionError(f"gpus = {job.gpus}: expected 0 or more for each worker.")
    if (out.root + "/").startswith(Store.at(job.source).root + "/"):
        raise OptionError(f"{job.out!r} lies in the source {job.source!r}, and would be read with it; choose another.")


def _settings(job: Job, blocks: list[Block]) -> dict[str, Any]:
    """Return what decides the contents of the output; loading the model here also finds mistakes before Ray starts."""
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


def _kept(out: Store, settings: dict[str, Any], resume: bool) -> set[str]:
    """Return the names of the files that earlier runs wrote."""
    names = set(out.names())
    if not names:
        return set()
    if not resume:
        raise OptionError(f"{out.address!r} is not empty. Go on with it by resume, or choose another folder.")
    try:
        before = json.loads(out.read(_SETTINGS))
    except (FileNotFoundError, ValueError):
        raise OptionError(f"{out.address!r} holds no {_SETTINGS} of an earlier run; choose another folder.") from None
    other = [key for key in {**before, **settings} if before.get(key) != settings.get(key)]
    if other:
        raise OptionError(
            f"{out.address!r} was made with another {', '.join(other)}. Repeat the options and the source of that run, "
            "or choose another folder."
        )
    return names
