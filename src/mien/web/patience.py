"""What Uvicorn lacks: a limit on the time of a head, answers that reach who still sends, an end to lost connections."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


DRAIN = 1.0
"""Seconds for which a stopping server waits for the next request of an idle connection."""

_CLOSE = (b"connection", b"close")


class _Line:
    """A connection's transport, whose ``close`` is another's decision."""

    def __init__(self, transport: Any, close: Callable[[], None]) -> None:
        self.raw, self.close = transport, close

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


def patient(head: float, body: float) -> type[H11Protocol]:
    """Return Uvicorn's HTTP protocol, closing a connection whose next head takes more than ``head`` seconds.

    For a new connection the time runs from the moment it is made, so that a silent one is closed too. A connection that
    ends with an error is let go at once: Uvicorn's timer for idle ones, 75 s below Gunicorn, would keep it with what
    came of its body and was not read, 25 MB in 20 s of overload (docs/deploy.md).

    A client may be answered before its body is whole. What it still sends is then read and thrown away until it ends,
    for ``body`` seconds at most: closed at once, its system would be told of a reset, and most lose the answer by it
    (RFC 9112, section 9.6).

    A server that stops, as each worker does that is recycled, says ``Connection: close`` with every answer, and closes
    idle connections only after ``DRAIN`` seconds: closed at once, a request that is on its way would be lost.
    """

    class Patient(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None
        _lingering = False

        def connection_made(self, transport: Any) -> None:
            self._line = _Line(transport, self._leave)
            super().connection_made(self._line)  # type: ignore[arg-type]
            self._arm()
            if _CLOSE in self.server_state.default_headers:  # accepted while the server stops
                self._drain()

        def shutdown(self) -> None:
            if _CLOSE not in self.server_state.default_headers:
                self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]
            if self.cycle is None or self.cycle.response_complete:
                self._drain()
            else:
                self.cycle.default_headers, self.cycle.keep_alive = self.server_state.default_headers, False

        def data_received(self, data: bytes) -> None:
            if self._lingering:
                self._unset_keepalive_if_required()
                return
            self._arm()
            super().data_received(data)
            if self._answering():
                self._disarm()

        def handle_websocket_upgrade(self, event: h11.Request) -> None:
            self._let_go()  # the connection is another protocol's from here on
            super().handle_websocket_upgrade(event)

        def connection_lost(self, exc: Exception | None) -> None:
            self._let_go()
            super().connection_lost(exc)
            if self.timeout_keep_alive_task is not None:
                self.timeout_keep_alive_task.cancel()
                self.timeout_keep_alive_task = None

        def _answering(self) -> bool:
            """Tell whether a whole head has come and its answer has not gone yet."""
            return self.cycle is not None and not self.cycle.response_complete

        def _sending(self) -> bool:
            """Tell whether the client has more to send of what was answered; of a broken head nobody knows the end."""
            return self.conn.their_state in (h11.SEND_BODY, h11.ERROR)

        def _let_go(self) -> None:
            self._line.close = self._line.raw.close  # a circle would keep what came until the garbage collector's turn
            self._disarm()

        def _drain(self) -> None:
            self.loop.call_later(DRAIN, self._end)

        def _end(self) -> None:
            if not self._answering():
                self._line.raw.close()

        def _leave(self) -> None:
            if self._lingering or self._answering() or self._line.is_closing() or not self._sending():
                self._line.raw.close()
                return
            self._lingering = True
            self.flow.resume_reading()
            if self._line.can_write_eof():
                self._line.write_eof()
            self._arm()

        def _arm(self) -> None:
            if self._deadline is None and not self._answering():
                self._deadline = self.loop.call_later(body if self._sending() else head, self._give_up)

        def _disarm(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _give_up(self) -> None:
            self._deadline = None
            if not self._answering():
                self._line.raw.close()

    return Patient
