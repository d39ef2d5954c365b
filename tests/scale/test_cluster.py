"""Two real workers of Ray: the same rows as one process, and nothing lost when they die or the disk fails."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blocks import COUNT, POISON, rows_of

pytest.importorskip("ray")

from mien.errors import ModelError, OptionError
from mien.recognition.folder import Picture
from mien.scale import cluster
from mien.scale.job import Job, Watcher, predict
from mien.scale.plan import plan
from mien.scale.shards import Block, Photos
from mien.scale.storage import Store
from mien.scale.worker import Done, Work

pytestmark = [
    pytest.mark.usefixtures("local_ray"),
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills workers as only Unix can"),
]

Rows = list[dict[str, Any]]


def small(photos: Path, out: Path, model: Path) -> Job:
    # One worker, as each costs seconds to start; two are in the test that kills one of them.
    return Job(str(photos), str(out), block=16, model=str(model), options={"detector": "whole"}, workers=1)


def test_a_cut_off_run_is_gone_on_with_to_the_rows_of_one_process(
    photos: Path, model: Path, alone: Rows, tmp_path: Path
) -> None:
    work, out = small(photos, tmp_path / "out", model), tmp_path / "out"

    def interrupt(_: Done) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(work, watch=Watcher(done=interrupt))
    (part, *_) = sorted(out.glob("part-*.parquet"))
    begun, written = list[int](), part.stat().st_mtime_ns
    outcome = predict(work, resume=True, watch=Watcher(begun=begun.append))
    assert part.stat().st_mtime_ns == written
    assert begun == [2]
    assert (outcome.blocks, outcome.kept, outcome.repeated) == (3, 1, 0)
    assert outcome.set_aside == len(POISON)
    assert rows_of(out) == alone
    again = predict(work, resume=True)
    assert (again.kept, again.photos, again.workers) == (3, 0, 0)
    assert sorted(path.name for path in out.iterdir()) == ["_run.json", "_unreadable", *(f"part-0000000{n}.parquet" for n in range(3))]  # fmt: skip # noqa: E501


def slow(block: Block, number: int, log: Path) -> Any:
    """Return a block that takes its time and notes who began it."""

    class Slow:  # of this function, so that Ray takes the code along: its workers do not know this file
        def pictures(self) -> Iterator[Any]:
            (log / f"{number}-{os.getpid()}-{time.monotonic_ns()}").touch()
            for picture in block.pictures():
                time.sleep(0.02)
                yield picture

    return Slow()


def test_a_killed_worker_loses_nothing_and_repeats_one_block(
    photos: Path, model: Path, alone: Rows, tmp_path: Path
) -> None:
    log, out = tmp_path / "log", tmp_path / "out"
    log.mkdir()
    blocks = {number: slow(block, number, log) for number, block in enumerate(plan(str(photos), size=16))}
    pool = cluster.Pool(Work(Store.at(str(out)), str(model), None, {"detector": "whole", "threads": 1}), 2)
    killed: list[int] = []
    for _ in pool.run(blocks):
        if not killed:
            begun = [path.name.split("-") for path in log.iterdir()]
            unfinished = [int(pid) for number, pid, _ in begun if not (out / f"part-0000000{number}.parquet").exists()]
            killed = unfinished[:1]
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
    pool.close()
    assert killed
    assert pool.repeated == 1
    starts = Counter(path.name.split("-")[0] for path in log.iterdir())
    assert sorted(starts.values()) == [1, 1, 2]
    assert rows_of(out) == alone


def test_photos_that_nobody_survives_and_a_disk_that_fails_once(
    photos: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = tmp_path / "failed"
    healthy = plan(str(photos), size=48)[0]

    class Bomb(os.PathLike[str]):
        def __fspath__(self) -> str:
            os.kill(os.getpid(), signal.SIGKILL)
            return ""

    class Deadly:
        def pictures(self) -> Iterator[Any]:
            yield from list(healthy.pictures())[:3]
            yield Picture("bomb.jpg", Bomb())  # type: ignore[arg-type]
            yield from list(healthy.pictures())[3:5]

    class Flaky:
        def pictures(self) -> Iterator[Any]:
            if not failed.exists():
                failed.touch()
                raise OSError(errno.EIO, "Input/output error")
            return healthy.pictures()

    monkeypatch.setattr(cluster, "_CAREFUL_FROM", 1)
    out = Store.at(str(tmp_path / "out"))
    work = Work(out, str(model), None, {"detector": "whole", "threads": 1})
    pool = cluster.Pool(work, 1, pause=0.01)
    blocks: Any = {0: Deadly(), 1: Flaky()}
    done = {one.number: one for one in pool.run(blocks)}
    assert (done[0].photos, done[0].faces, done[0].unreadable) == (6, 5, 1)
    assert (done[1].photos, done[1].unreadable) == (COUNT, len(POISON))
    assert pool.repeated == 3
    rows = rows_of(tmp_path / "out")
    assert next(row["source"] for row in rows if row["error"]) == "bomb.jpg"
    assert out.names() == [
        "_unreadable/part-00000000.jsonl", "_unreadable/part-00000001.jsonl",
        "part-00000000.parquet", "part-00000001.parquet",
    ]  # fmt: skip


def test_what_a_worker_cannot_load_ends_the_run(model: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(model.read_bytes()[:-10])
    pool = cluster.Pool(Work(Store.at(str(tmp_path / "out")), str(tmp_path / "bad.onnx")), 1)
    with pytest.raises(ModelError):
        list(pool.run({0: Photos("", ())}))
    pool.close()


def test_gpus_that_are_not_there_are_refused(photos: Path, model: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    with pytest.raises(OptionError, match=r"Ray sees 0 GPUs"):
        predict(replace(small(photos, tmp_path / "out", model), gpus=1))
