"""What Uvicorn's HTTP protocol lacks: a limit on the time of a head (slow loris), and an end to lost connections."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


def patient(seconds: float) -> type[H11Protocol]:
    """Return Uvicorn's HTTP protocol, closing a connection whose next head is not whole ``seconds`` after its start.

    For a new connection the time runs from the moment it is made, so that a silent one is closed too. A connection that
    ends with an error is let go at once: Uvicorn's timer for idle ones, 75 s below Gunicorn, would keep it with what
    came of its body and was not read, 25 MB in 20 s of overload (docs/deploy.md).
    """

    class Patient(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._arm()

        def data_received(self, data: bytes) -> None:
            self._arm()
            super().data_received(data)
            if self._answering():
                self._disarm()

        def connection_lost(self, exc: Exception | None) -> None:
            self._disarm()
            super().connection_lost(exc)
            if self.timeout_keep_alive_task is not None:
                self.timeout_keep_alive_task.cancel()
                self.timeout_keep_alive_task = None

        def _answering(self) -> bool:
            """Tell whether a whole head has come and its answer has not gone yet."""
            return self.cycle is not None and not self.cycle.response_complete

        def _arm(self) -> None:
            if self._deadline is None and not self._answering():
                self._deadline = self.loop.call_later(seconds, self._give_up)

        def _disarm(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _give_up(self) -> None:
            self._deadline = None
            if not self._answering() and not self.transport.is_closing():
                self.transport.close()

    return Patient
