"""The process around the application: Uvicorn by itself (``mien serve``), or below Gunicorn (deploy/)."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

from mien.web import logs
from mien.web.app import create_app
from mien.web.patience import patient
from mien.web.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

_GRACE = 5  # seconds beyond a request's own limit until a stopping server cuts what is left


def run(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP, then finish what was taken.

    ``announce`` gets the address once the server is warm and takes requests. Raises ``OSError`` where it cannot listen
    there, and what loading a model raises.
    """
    logs.configure(settings.log_level)
    logging.captureWarnings(True)  # Pillow warns of odd metadata; the log is JSON lines and nothing else
    one_thread_each()
    app = create_app(settings)
    app.state.service.load()  # before the port opens, so that a wrong model is one plain line and no traceback
    with listen(settings.host, settings.port) as listener:
        config = uvicorn.Config(app, **uvicorn_options(settings))
        server = _Server(config, lambda: announce(_address(listener)))
        with _hang_up(server):
            server.run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """Open the port; ``::`` listens to IPv4 as well, where the system has both. Raises ``OSError``."""
    both = host == "::" and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=both)


@contextmanager
def _hang_up(server: uvicorn.Server) -> Iterator[None]:
    """Stop on SIGHUP, which a closed terminal sends, as on SIGTERM: what was taken is finished."""
    if not hasattr(signal, "SIGHUP") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGHUP, lambda *_: setattr(server, "should_exit", True))
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def application() -> FastAPI:
    """Build the application from ``MIEN_*`` variables: ``gunicorn "mien.web.server:application()"``."""
    settings = Settings.from_environment(os.environ)
    logging.captureWarnings(True)
    one_thread_each()
    return create_app(settings)


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """Return what Uvicorn is told, in ``mien serve`` and below Gunicorn alike."""
    return {
        "loop": "asyncio",
        "http": patient(settings.header_timeout, settings.body_timeout),
        "ws": "websockets-sansio",
        "ws_max_size": settings.max_body,
        "ws_per_message_deflate": False,  # JPEG does not shrink, and inflating is a way to fill memory
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # web/forwarded.py reads them
        "timeout_graceful_shutdown": round(settings.timeout) + _GRACE,
    }


def one_thread_each() -> None:
    """Keep OpenCV from starting threads of its own in this process: the pool's threads keep the cores busy."""
    import cv2

    cv2.setNumThreads(1)


class _Server(uvicorn.Server):
    """Uvicorn's server, which says when it takes requests."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        if self.started:
            self._tell()


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
