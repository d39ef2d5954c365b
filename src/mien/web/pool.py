"""A bounded queue of photos, processed by a few threads, one photo at a time each.

Batching across requests was measured and rejected (benchmarks/serve_batching.py, 640×480 photos with one face, 2 cores,
photos per second, with YuNet still in OpenCV, one search at a time a detector): sequential calls with 2 threads inside
the engines 87, batches of 4 with the same 96, of 16 93, and two threads that each process whole photos 111. Most of the
time is face detection, which batching does not speed up, and a batch would make the first photo wait for the last. In
ONNX Runtime YuNet holds no state, so that the threads now search at once through one network.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from mien.web.problems import overloaded

T = TypeVar("T")


class Pool:
    """A thread pool with a bounded queue.

    Attributes:
        threads: number of photos processed at once.
        queue: number of photos that may wait; more are refused at once, so that accepted ones finish in time.
        watch: called with the number of photos held whenever it changes, from any thread.
    """

    def __init__(self, threads: int, queue: int, watch: Callable[[int], None] = lambda held: None) -> None:
        self.threads, self.queue, self._watch = threads, queue, watch
        self._executor = ThreadPoolExecutor(threads, "mien-photo")
        self._lock = threading.Lock()
        self._held = 0
        self._typical = 0.05  # seconds per job; an initial guess that the first jobs correct

    @property
    def held(self) -> int:
        """Number of photos being processed or waiting."""
        return self._held

    def has_room(self) -> bool:
        """Check whether one more photo would be accepted."""
        return self._held < self.threads + self.queue

    def estimate_wait(self) -> int:
        """Estimate the seconds, at least 1, until the photos held now are done."""
        return max(1, math.ceil(self._held * self._typical / self.threads))

    async def run(self, jobs: Sequence[Callable[[], T]], timeout: float) -> list[T]:
        """Run all jobs or none, and return their results in order.

        Raises:
            ProblemError: 503 if there is no room, or after ``timeout`` seconds; jobs that still wait are then dropped,
                and running ones finish unused, as threads cannot be stopped.
        """
        self._reserve(len(jobs))
        futures = [self._submit(job) for job in jobs]
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.gather(*map(asyncio.wrap_future, futures))
        except TimeoutError:
            raise overloaded(f"Processing took longer than {timeout:g} s.", self.estimate_wait()) from None
        finally:
            for future in futures:
                future.cancel()

    def close(self) -> None:
        """Finish accepted jobs, then stop the threads."""
        self._executor.shutdown(wait=True)

    def _reserve(self, count: int) -> None:
        with self._lock:
            room = self.threads + self.queue - self._held
            if count <= room:
                self._held += count
                self._watch(self._held)
                return
        raise overloaded(f"{count} photos were sent, but there is room for {room}.", self.estimate_wait())

    def _submit(self, job: Callable[[], T]) -> Future[T]:
        future = self._executor.submit(self._run_timed, job)
        future.add_done_callback(self._release)
        return future

    def _run_timed(self, job: Callable[[], T]) -> T:
        begun = time.perf_counter()
        try:
            return job()
        finally:
            self._typical += 0.05 * (time.perf_counter() - begun - self._typical)

    def _release(self, _: Future[T]) -> None:
        with self._lock:
            self._held -= 1
            self._watch(self._held)
