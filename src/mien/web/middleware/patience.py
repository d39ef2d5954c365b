"""A Uvicorn protocol with a timeout for request heads, lingering close, and immediate cleanup of lost connections."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


DRAIN = 1.0
"""Seconds that a stopping server waits for another request on an idle connection."""

_CLOSE = (b"connection", b"close")


class _Line:
    """A connection's transport with ``close`` replaced."""

    def __init__(self, transport: Any, close: Callable[[], None]) -> None:
        self.raw, self.close = transport, close

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


def build_protocol(head: float, body: float) -> type[H11Protocol]:
    """Build a subclass of Uvicorn's HTTP protocol that closes connections whose next head takes over ``head`` seconds.

    For a new connection the timeout starts when it is made, so silent ones are closed too. A connection that ends with
    an error is released at once: Uvicorn's timer for idle ones, 75 s under Gunicorn, would keep it and the unread part
    of its body, 25 MB in 20 s of overload (docs/deploy.md).

    A response may be sent before the request's body is complete. The rest of the body is then read and discarded, for
    at most ``body`` seconds: an immediate close would cause a TCP reset, by which most clients lose the response
    (RFC 9112, section 9.6).

    A stopping server, such as a recycled worker, sends ``Connection: close`` with every response and closes idle
    connections only after ``DRAIN`` seconds, because an immediate close would lose requests in transit.
    """

    class Patient(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None
        _lingering = False

        def connection_made(self, transport: Any) -> None:
            self._line = _Line(transport, self._linger)
            super().connection_made(self._line)  # type: ignore[arg-type]
            self._arm()
            if _CLOSE in self.server_state.default_headers:  # accepted while the server is stopping
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
            if self._is_responding():
                self._disarm()

        def handle_websocket_upgrade(self, event: h11.Request) -> None:
            self._release()  # another protocol takes over the connection
            super().handle_websocket_upgrade(event)

        def connection_lost(self, exc: Exception | None) -> None:
            self._release()
            super().connection_lost(exc)
            if self.timeout_keep_alive_task is not None:
                self.timeout_keep_alive_task.cancel()
                self.timeout_keep_alive_task = None

        def _is_responding(self) -> bool:
            """Check whether a complete head has arrived whose response has not been sent."""
            return self.cycle is not None and not self.cycle.response_complete

        def _is_sending(self) -> bool:
            """Check whether the client is still sending the answered request; the end of a broken one is unknown."""
            return self.conn.their_state in (h11.SEND_BODY, h11.ERROR)

        def _release(self) -> None:
            self._line.close = self._line.raw.close  # a reference cycle would keep the data until garbage collection
            self._disarm()

        def _drain(self) -> None:
            self.loop.call_later(DRAIN, self._end)

        def _end(self) -> None:
            if not self._is_responding():
                self._line.raw.close()

        def _linger(self) -> None:
            if self._lingering or self._is_responding() or self._line.is_closing() or not self._is_sending():
                self._line.raw.close()
                return
            self._lingering = True
            self.flow.resume_reading()
            if self._line.can_write_eof():
                self._line.write_eof()
            self._arm()

        def _arm(self) -> None:
            if self._deadline is None and not self._is_responding():
                self._deadline = self.loop.call_later(body if self._is_sending() else head, self._give_up)

        def _disarm(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _give_up(self) -> None:
            self._deadline = None
            if not self._is_responding():
                self._line.raw.close()

    return Patient
