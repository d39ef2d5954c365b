"""Bodies under way: how many may be sent at once, how much memory all take, and who has to make room."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mien.web.problems import overloaded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 1.0
"""Seconds after which a sender counts as slow if nothing comes, or less than ``PACE`` came each second."""

PACE = 20_000
"""Bytes a second; a telephone in a poor network sends five times as many."""


@dataclass(eq=False)
class Body:
    """One request's body, from its head to its answer.

    weight: bytes of memory that each of its bytes takes until the answer.
    """

    address: str
    weight: int
    begun: float = field(default_factory=time.monotonic)
    latest: float = field(default_factory=time.monotonic)
    size: int = 0
    sending: bool = True
    deadline: asyncio.Timeout | None = None

    def is_slow(self) -> bool:
        """Tell whether its sender holds a place for nothing."""
        now = time.monotonic()
        late, age = now - self.latest > PATIENCE, now - self.begun
        return self.sending and (late or (age > PATIENCE and self.size < PACE * age))

    def give_up(self) -> None:
        """Have its sender answered with 408 at once."""
        self.sending = False
        if self.deadline is not None and not self.deadline.expired():
            self.deadline.reschedule(asyncio.get_running_loop().time())


class Bodies:
    """All bodies under way. Of the event loop's thread only.

    senders: bodies that may be on their way at once. Where all places are taken, a newcomer gets that of a slow sender,
             of the address that has most of them; so nobody keeps others out by sending drop by drop.
    memory:  bytes of memory for all bodies until they are answered; one alone is always let in.
    watch:   told how many bodies are held whenever that changes.
    """

    def __init__(self, senders: int, memory: int, watch: Callable[[int], None] = lambda held: None) -> None:
        self.senders, self.memory, self._watch = senders, memory, watch
        self._all: set[Body] = set()

    @contextmanager
    def entered(self, address: str, weight: int) -> Iterator[Body]:
        """Hold a sender's place, until ``arrived``, and its memory. Raises ``ProblemError`` (503) without a place."""
        if sum(body.sending for body in self._all) >= self.senders:
            self._make_room()
        body = Body(address, weight)
        self._all.add(body)
        self._watch(len(self._all))
        try:
            yield body
        finally:
            self._all.discard(body)
            self._watch(len(self._all))

    def take(self, body: Body, count: int) -> None:
        """Count bytes that came. Raises ``ProblemError`` (503) where they do not fit beside the other bodies."""
        body.size, body.latest = body.size + count, time.monotonic()
        others = sum(other.size * other.weight for other in self._all if other is not body)
        if others and others + body.size * body.weight > self.memory:
            raise overloaded(f"Other bodies take {others} bytes of {self.memory} already.", 1)

    def arrived(self, body: Body) -> None:
        """Give the sender's place back."""
        body.sending = False

    def _make_room(self) -> None:
        places = Counter(body.address for body in self._all if body.sending)
        slow = [body for body in self._all if body.is_slow()]
        if not slow:
            raise overloaded(f"{self.senders} requests are under way already.", 1)
        max(slow, key=lambda body: (places[body.address], -body.size)).give_up()
