"""Request bodies and frames in transit: limits on number and memory, and which slow sender is evicted."""

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
"""Seconds without data, or below ``PACE`` on average, after which a sender counts as slow."""

PACE = 20_000
"""Minimum bytes per second; a phone on a poor network sends five times as many."""


@dataclass(eq=False)
class Body:
    """One request's body, from the request's head to the response.

    Attributes:
        address: the client.
        weight: bytes of memory that each byte of the body takes until the response.
        begun, latest: ``time.monotonic`` of the head and of the latest data.
        received: bytes received.
        size: bytes held, fewer where bytes of a refused photo were dropped.
        sending: whether more is expected.
        deadline: the timeout of receiving it.
    """

    address: str
    weight: int
    begun: float = field(default_factory=time.monotonic)
    latest: float = field(default_factory=time.monotonic)
    received: int = 0
    size: int = 0
    sending: bool = True
    deadline: asyncio.Timeout | None = None

    def is_slow(self) -> bool:
        """Check whether its sender occupies a slot without sending fast enough."""
        now = time.monotonic()
        late, age = now - self.latest > PATIENCE, now - self.begun
        return self.sending and (late or (age > PATIENCE and self.received < PACE * age))

    def give_up(self) -> None:
        """Respond to its sender with 408 at once."""
        self.sending = False
        if self.deadline is not None and not self.deadline.expired():
            self.deadline.reschedule(asyncio.get_running_loop().time())


class Bodies:
    """All request bodies in transit, and the frames of live streams; used in the event loop's thread only.

    Attributes:
        senders: maximum number of bodies in transit. When it is reached, a new one replaces a slow sender, of the
            address with the most bodies, so that nobody can block others by sending slowly.
        memory: maximum bytes of memory of all bodies until their responses; a single body is always accepted, and an
            address that has one here cannot use the last quarter.
        watch: called with the number of bodies held whenever it changes.
    """

    def __init__(self, senders: int, memory: int, watch: Callable[[int], None] = lambda held: None) -> None:
        self.senders, self.memory, self._watch = senders, memory, watch
        self._all: set[Body] = set()
        self._frames: set[Body] = set()

    @contextmanager
    def hold_frames(self, address: str) -> Iterator[Body]:
        """Let a live stream, which has a slot of its own kind, hold memory until the end; see ``replace``."""
        # Twice, as the protocol copies a frame into one piece.
        body = Body(address, 2, sending=False)
        self._frames.add(body)
        try:
            yield body
        finally:
            self._frames.discard(body)

    @contextmanager
    def hold(self, address: str, weight: int) -> Iterator[Body]:
        """Occupy a slot until ``finish``, and memory until the end.

        Raises:
            ProblemError: 503 if none is free.
        """
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

    def count(self, body: Body, size: int, held: int | None = None) -> None:
        """Count received bytes.

        Args:
            body: that they are of.
            size: bytes received.
            held: bytes of the body in memory now; None for all that were received.

        Raises:
            ProblemError: 503 if they do not fit in memory beside other bodies.
        """
        body.received += size
        self.replace(body, body.received if held is None else held)

    def replace(self, body: Body, size: int) -> None:
        """Set the bytes that a body holds now, of which it may let go. Raises as ``count``, leaving it as it was."""
        rest = [other for other in self._all | self._frames if other is not body]
        others = sum(other.size * other.weight for other in rest)
        # The last quarter is kept for those who hold nothing yet, so that nobody can fill the memory alone.
        kept = self.memory // 4 if any(other.size and other.address == body.address for other in rest) else 0
        if size > body.size and others and others + size * body.weight > self.memory - kept:
            raise overloaded(f"Other requests use {others} of {self.memory - kept} bytes already.", 1)
        body.size, body.latest = size, time.monotonic()

    def finish(self, body: Body) -> None:
        """Free the sender's slot."""
        body.sending = False

    def _make_room(self) -> None:
        senders = Counter(body.address for body in self._all if body.sending)
        slow = [body for body in self._all if body.is_slow()]
        if not slow:
            raise overloaded(f"{self.senders} requests are being received already.", 1)
        max(slow, key=lambda body: (senders[body.address], -body.received)).give_up()
