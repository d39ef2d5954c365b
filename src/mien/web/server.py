"""Run the application: Uvicorn alone (``mien serve``), or under Gunicorn (deploy/)."""

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

from mien.web.app import create_app
from mien.web.middleware import logs
from mien.web.middleware.patience import build_protocol
from mien.web.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

_GRACE = 5  # seconds beyond a request's timeout until a stopping server closes what is left


def run(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP, then finish accepted requests.

    Args:
        settings: of the server.
        announce: called with the URL once the server is warm and accepts requests.

    Raises:
        OSError: the server cannot listen on this address.
        MienError: a model cannot be loaded.
    """
    logs.configure(settings.log_level)
    logging.captureWarnings(True)  # Pillow warns of odd metadata; the log must be JSON Lines only
    limit_opencv_threads()
    app = create_app(settings)
    app.state.service.load()  # before the port opens, so that a wrong model gives one line and no traceback
    with listen(settings.host, settings.port) as listener:
        config = uvicorn.Config(app, **uvicorn_options(settings))
        server = _Server(config, lambda: announce(_format_url(listener)))
        with _stop_on_hangup(server):
            server.run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """Open the port; ``::`` also listens on IPv4 if the system supports it. Raises ``OSError``."""
    both = host == "::" and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=both)


@contextmanager
def _stop_on_hangup(server: uvicorn.Server) -> Iterator[None]:
    """Treat SIGHUP, which a closed terminal sends, like SIGTERM: finish accepted requests, then stop."""
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
    limit_opencv_threads()
    return create_app(settings)


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """Return Uvicorn's options, for ``mien serve`` and Gunicorn alike."""
    return {
        "loop": "asyncio",
        "http": build_protocol(settings.header_timeout, settings.body_timeout),
        "ws": "websockets-sansio",
        "ws_max_size": settings.max_body,
        "ws_per_message_deflate": False,  # JPEG does not compress, and decompression could exhaust memory
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # web/forwarded.py reads them
        "timeout_graceful_shutdown": round(settings.timeout) + _GRACE,
    }


def limit_opencv_threads() -> None:
    """Limit OpenCV to one thread in this process: the pool's threads keep the cores busy."""
    import cv2

    cv2.setNumThreads(1)


class _Server(uvicorn.Server):
    """A Uvicorn server that calls back once it accepts requests."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then call back."""
        await super().startup(sockets)
        if self.started:
            self._on_start()


def _format_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
