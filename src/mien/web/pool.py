"""A bounded queue of photos in front of a few threads, each of which reads one photo at a time.

Not batches across requests: they were measured (benchmarks/serve_batching.py, 640×480 photos with one face, 2 cores,
photos a second): one call after the other with 2 threads inside the engines 87, batches of 4 with the same 96, of 16
93, and two threads that each read whole photos with a detector of their own 111. Nine tenths of a photo's time is its
search for faces, which no batch makes cheaper, and a batch would make the first photo wait for the last.
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
    """Threads that work and places to wait; full is full.

    threads: photos worked on at once.
    queue:   photos that may wait; what does not fit is refused at once, so that whoever is let in is served in time.
    watch:   told how many photos are held whenever that changes, from any thread.
    """

    def __init__(self, threads: int, queue: int, watch: Callable[[int], None] = lambda held: None) -> None:
        self.threads, self.queue, self._watch = threads, queue, watch
        self._executor = ThreadPoolExecutor(threads, "mien-photo")
        self._lock = threading.Lock()
        self._held = 0
        self._typical = 0.05  # seconds a job; the first jobs correct it

    @property
    def held(self) -> int:
        """How many photos are worked on or wait."""
        return self._held

    def has_room(self) -> bool:
        """Tell whether one more photo would be let in."""
        return self._held < self.threads + self.queue

    def wait(self) -> int:
        """Return in how many seconds, at least 1, what is held now will be done."""
        return max(1, math.ceil(self._held * self._typical / self.threads))

    async def run(self, jobs: Sequence[Callable[[], T]], timeout: float) -> list[T]:
        """Run all jobs or none, and return their answers in order.

        Raises ``ProblemError`` (503) without room, or if the answers take longer than ``timeout`` seconds; jobs that
        still wait are then dropped, and one that a thread works on is finished for nothing, as no thread can be ended.
        """
        self._take(len(jobs))
        futures = [self._submit(job) for job in jobs]
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.gather(*map(asyncio.wrap_future, futures))
        except TimeoutError:
            raise overloaded(f"The answer took longer than {timeout:g} s.", self.wait()) from None
        finally:
            for future in futures:
                future.cancel()

    def close(self) -> None:
        """Finish what was taken, then end the threads."""
        self._executor.shutdown(wait=True)

    def _take(self, count: int) -> None:
        with self._lock:
            room = self.threads + self.queue - self._held
            if count <= room:
                self._held += count
                self._watch(self._held)
                return
        raise overloaded(f"{count} photos were sent and there is room for {room}.", self.wait())

    def _submit(self, job: Callable[[], T]) -> Future[T]:
        future = self._executor.submit(self._timed, job)
        future.add_done_callback(self._release)
        return future

    def _timed(self, job: Callable[[], T]) -> T:
        begun = time.perf_counter()
        try:
            return job()
        finally:
            self._typical += 0.05 * (time.perf_counter() - begun - self._typical)

    def _release(self, _: Future[T]) -> None:
        with self._lock:
            self._held -= 1
            self._watch(self._held)
