"""A bounded queue of photos, processed by a few threads, one photo at a time each.

Batching across requests was measured and rejected (benchmarks/serve_batching.py, 640×480 photos with one face, 2 cores,
photos per second, with YuNet still in OpenCV, one search at a time a detector): sequential calls with 2 threads inside
the engines 87, batches of 4 with the same 96, of 16 93, and two threads that each process whole photos 111. Most of the
time is face detection, which batching does not speed up, and a batch would make the first photo wait for the last. In
ONNX Runtime YuNet holds no state, so that the threads now search at once through one network.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, TypeVar

from mien.web.problems import overloaded

T = TypeVar("T")


@dataclass(order=True)
class _Waiting:
    """A job that waits; the smallest is the next.

    Attributes:
        turn: how many jobs of the same client are ahead of it, counted from the turn that was being served when it
            came: clients take turns, however many jobs each of them has.
        number: of the job, in the order of arrival.
    """

    turn: int
    number: int
    job: Callable[[], Any] = field(compare=False)
    future: Future[Any] = field(compare=False)


class Pool:
    """A thread pool with a bounded queue.

    Clients take turns, and none of them can fill the queue alone. Costly jobs have a queue of their own, served one at
    a time and only while no other job waits: a thread cannot be stopped, so with such jobs in all threads everybody
    would wait for them.

    Attributes:
        threads: number of photos processed at once.
        queue: number of photos that may wait; more are refused at once, so that accepted ones finish in time.
        watch: called with the number of photos held whenever it changes, from any thread.
    """

    def __init__(self, threads: int, queue: int, watch: Callable[[int], None] = lambda held: None) -> None:
        self.threads, self.queue, self._watch = threads, queue, watch
        self._executor = ThreadPoolExecutor(threads, "mien-photo")
        self._lock = threading.Lock()
        self._ordinary: list[_Waiting] = []
        self._costly: list[_Waiting] = []
        self._costly_runs = False
        self._numbers = count()
        self._turn = 0  # of the latest job that was begun
        self._turns: dict[str, int] = {}  # each waiting client's latest turn
        self._held = 0
        self._of: Counter[str] = Counter()  # photos held of each client
        self._typical = 0.05  # seconds per job; an initial guess that the first jobs correct

    @property
    def held(self) -> int:
        """Number of photos being processed or waiting."""
        return self._held

    def has_room(self, client: str | None = None) -> bool:
        """Check whether one more photo would be accepted, of this client or of one that has none here."""
        return self._room(client) > 0

    def _room(self, client: str | None) -> int:
        """Return how many photos would be accepted: a quarter of the queue is kept for those who have none here."""
        kept = self.queue // 4 if client is not None and self._of[client] else 0
        return self.threads + self.queue - self._held - kept

    def estimate_wait(self) -> int:
        """Estimate the seconds, at least 1, until the photos held now are done."""
        return max(1, math.ceil(self._held * self._typical / self.threads))

    async def run(
        self, jobs: Sequence[Callable[[], T]], timeout: float, client: str = "", costly: Collection[int] = ()
    ) -> list[T]:
        """Run all jobs or none, and return their results in order.

        Args:
            jobs: to run.
            timeout: in seconds, for all of them.
            client: whose jobs they are.
            costly: indices of the jobs that wait for all others.

        Raises:
            ProblemError: 503 if there is no room, or after ``timeout`` seconds; jobs that still wait are then dropped,
                and running ones finish unused, as threads cannot be stopped.
        """
        self._reserve(len(jobs), client)
        futures = [self._submit(job, client, costly=index in costly) for index, job in enumerate(jobs)]
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

    def _reserve(self, count: int, client: str) -> None:
        with self._lock:
            room = max(0, self._room(client))
            if count <= room:
                self._held += count
                self._of[client] += count
                self._watch(self._held)
                return
        raise overloaded(f"{count} photos were sent, but there is room for {room}.", self.estimate_wait())

    def _submit(self, job: Callable[[], T], client: str, *, costly: bool) -> Future[T]:
        future: Future[T] = Future()
        future.add_done_callback(partial(self._release, client))
        with self._lock:
            turn = self._turns[client] = max(self._turn, self._turns.get(client, 0) + 1)
            heapq.heappush(self._costly if costly else self._ordinary, _Waiting(turn, next(self._numbers), job, future))
        self._executor.submit(self._work)
        return future

    def _work(self) -> None:
        """Run jobs until none may be begun; each job that is submitted calls this once in some thread."""
        while (chosen := self._choose()) is not None:
            waiting, costly = chosen
            if waiting.future.set_running_or_notify_cancel():
                self._run_timed(waiting)
            if costly:
                with self._lock:
                    self._costly_runs = False

    def _choose(self) -> tuple[_Waiting, bool] | None:
        with self._lock:
            if self._ordinary:
                chosen, costly = heapq.heappop(self._ordinary), False
            elif self._costly and not self._costly_runs:
                chosen, costly, self._costly_runs = heapq.heappop(self._costly), True, True
            else:
                return None
            self._turn = max(self._turn, chosen.turn)
            if len(self._turns) > self.threads + self.queue:
                self._turns = {client: turn for client, turn in self._turns.items() if turn >= self._turn}
            return chosen, costly

    def _run_timed(self, waiting: _Waiting) -> None:
        begun = time.perf_counter()
        try:
            result = waiting.job()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the future gets it, as from an executor
            waiting.future.set_exception(error)
        else:
            waiting.future.set_result(result)
        finally:
            self._typical += 0.05 * (time.perf_counter() - begun - self._typical)

    def _release(self, client: str, done: Future[T]) -> None:
        with self._lock:
            if done.cancelled():  # its photo must not stay in memory until its turn comes
                self._ordinary = _without(self._ordinary, done)
                self._costly = _without(self._costly, done)
            self._held -= 1
            self._of[client] -= 1
            if not self._of[client]:
                del self._of[client]
            self._watch(self._held)


def _without(heap: list[_Waiting], done: Future[Any]) -> list[_Waiting]:
    kept = [waiting for waiting in heap if waiting.future is not done]
    heapq.heapify(kept)
    return kept
