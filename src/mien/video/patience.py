"""Back-off between attempts to reconnect to a live source."""

from __future__ import annotations

import time
from threading import Event

_FIRST, _LONGEST = 0.5, 10.0  # seconds: a camera takes a moment to restart, and a missing one must not be flooded


class Patience:
    """Waits between attempts, with increasing pauses, for up to ``seconds`` after the last frame; 0 for never."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._stopped = Event()
        self._since: float | None = None
        self._pause = _FIRST

    def reset(self) -> None:
        """Record that a frame arrived."""
        self._since, self._pause = None, _FIRST

    def stop(self) -> None:
        """Cancel a wait in another thread, and all later ones."""
        self._stopped.set()

    def wait(self) -> bool:
        """Wait for the next attempt; return False if time is up."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        left = self._since + self.seconds - now
        if left <= 0 or self._stopped.wait(min(self._pause, left)):
            return False
        self._pause = min(2 * self._pause, _LONGEST)
        return True
