"""Outermost middleware: gives every request an ID, logs it and counts it."""

from __future__ import annotations

import re
import time
import uuid
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders

from mien.web.middleware.logs import log

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from mien.web.middleware.metrics import Metrics

_GIVEN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET = ("/healthz", "/readyz", "/metrics", "/static")


class Access:
    """Pure ASGI middleware. ``routes`` are the paths that are counted by name; all others count as ``other``.

    Unknown paths are neither counted by name nor logged, as clients can send any number of them with any content.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: Collection[str]) -> None:
        self.app, self.metrics, self.routes = app, metrics, frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, then log and count it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"], state["log_fields"] = _request_id(Headers(scope=scope)), {}
        begun, status = time.perf_counter(), 500
        route = self._route(own_path(scope))  # read now, because a mounted application changes the scope

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = state["request_id"]
            elif message["type"] == "websocket.accept":
                status = 101
            elif message["type"] == "websocket.close" and status == 500:
                status = 403  # closed before it was accepted, which the server answers with 403
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            self._record(scope, route, status, time.perf_counter() - begun)

    def _record(self, scope: Scope, route: str, status: int, seconds: float) -> None:
        state: dict[str, Any] = scope["state"]
        self.metrics.requests.labels(route, str(status)).inc()
        if status != 101:  # a stream's duration is not a response time
            self.metrics.seconds.labels(route).observe(seconds)
        fields = {
            "request_id": state["request_id"],
            "route": route,
            "method": scope.get("method", "WS"),
            "status": status,
        }
        level = 40 if status == 500 else 10 if route in _QUIET else 20
        log.log(level, "request", extra={**fields, "ms": round(seconds * 1000, 1), **state["log_fields"]})

    def _route(self, path: str) -> str:
        if path.startswith("/static/"):
            return "/static"
        if path.startswith("/v1/video/"):
            return "/v1/video/{job}"
        return path if path in self.routes else "other"


def own_path(scope: Scope) -> str:
    """Return the path relative to the one at which the application is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


def _request_id(headers: Headers) -> str:
    """Return the proxy's ID of the request if it is well-formed, else a new one."""
    request_id = headers.get("x-request-id", "")
    return request_id if _GIVEN.fullmatch(request_id) else uuid.uuid4().hex
