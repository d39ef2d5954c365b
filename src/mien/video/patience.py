"""How long, and after which pauses, a live source that broke off is tried again."""

from __future__ import annotations

import time
from threading import Event

_FIRST, _LONGEST = 0.5, 10.0  # seconds: a camera that restarts takes some, and one that is gone is not to be flooded


class Patience:
    """Wait between attempts, ever longer, for ``seconds`` after the last picture; 0 for not at all."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._stopped = Event()
        self._since: float | None = None
        self._pause = _FIRST

    def reset(self) -> None:
        """Note that a picture came."""
        self._since, self._pause = None, _FIRST

    def stop(self) -> None:
        """End a wait in another thread, and all later ones."""
        self._stopped.set()

    def wait(self) -> bool:
        """Wait for the next attempt; False if the time is over."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        left = self._since + self.seconds - now
        if left <= 0 or self._stopped.wait(min(self._pause, left)):
            return False
        self._pause = min(2 * self._pause, _LONGEST)
        return True
