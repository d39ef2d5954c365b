"""Access control before a body is read: origin, token and rate limit."""

from __future__ import annotations

import hmac
import ipaddress
import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import limits
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.datastructures import Headers
from starlette.websockets import WebSocket

from mien.errors import OptionError
from mien.web.middleware.access import own_path
from mien.web.middleware.forwarded import read_address
from mien.web.problems import ProblemError, overloaded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from mien.web.settings import Settings

PROTOCOL = "mien.v1"
"""The WebSocket's subprotocol. Pages cannot set headers on WebSockets, so they also offer ``bearer.TOKEN``."""


_WRONG_TOKENS = limits.parse("30/minute")


class Guard:
    """Pure ASGI middleware in front of ``/v1`` and ``/metrics``; the page and the health checks stay open."""

    def __init__(self, app: ASGIApp, settings: Settings, rate: limits.RateLimitItem | None) -> None:
        self.app, self.settings, self._rate = app, settings, rate
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or respond with a problem document."""
        if scope["type"] not in ("http", "websocket") or not self._is_guarded(own_path(scope)):
            await self.app(scope, receive, send)
            return
        try:
            self._check(scope)
        except ProblemError as problem:
            response = problem.response(scope["state"]["request_id"])
            scope["state"]["log_fields"]["kind"] = problem.kind
            if scope["type"] == "websocket":
                await WebSocket(scope, receive, send).send_denial_response(response)
            else:
                await response(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_guarded(self, path: str) -> bool:
        return (path.startswith("/v1/") and path != "/v1/openapi.json") or path == "/metrics"

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if scope["type"] == "websocket" or scope["method"] in ("POST", "DELETE"):
            check_origin(headers, self.settings.origins)
        address = client_address(scope)
        if self._rate is not None and own_path(scope) != "/metrics":
            self._check_rate(self._rate, address, self.settings.rate)
        if self.settings.token:
            self._check_token(headers, scope.get("subprotocols") or [], address)

    def _check_token(self, headers: Headers, protocols: list[str], address: str) -> None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            given = next((word[7:] for word in protocols if word.startswith("bearer.")), "")
        if not hmac.compare_digest(given.strip().encode(), self.settings.token.encode()):
            self._check_rate(_WRONG_TOKENS, f"token {address}", "30 wrong tokens a minute")
            raise ProblemError(
                "no-token",
                "The token is missing or wrong: expected the header Authorization: Bearer TOKEN.",
                {"WWW-Authenticate": "Bearer"},
            )

    def _check_rate(self, rate: limits.RateLimitItem, key: str, most: str) -> None:
        if self._limiter.hit(rate, key):
            return
        wait = max(1, math.ceil(self._limiter.get_window_stats(rate, key).reset_time - time.time()))
        raise ProblemError(
            "too-many-requests",
            f"More than {most} from your address. Try again in {wait} s.",
            {"Retry-After": str(wait)},
        )


class Gate:
    """Limits the number of concurrent holders."""

    def __init__(self, most: int, what: str) -> None:
        self.most, self.what, self.inside = most, what, 0

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold one slot.

        Raises:
            ProblemError: 503 if none is free.
        """
        if self.inside >= self.most:
            raise overloaded(f"{self.most} {self.what} are open already.", 1)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


def check_origin(headers: Headers, allowed: tuple[str, ...]) -> None:
    """Raise ``ProblemError`` (403) for a request by a page of another site; programs send no Origin.

    CORS alone would only prevent that page from reading the response, and does not apply to WebSockets. Hosts are
    compared but not schemes, because behind a TLS-terminating proxy the server does not know its own.
    """
    origin = headers.get("origin")
    if origin is None or origin in allowed or urlsplit(origin).netloc.lower() == headers.get("host", "").lower():
        return
    raise ProblemError(
        "foreign-origin", f"Origin {origin[:80]!r}: expected this server's own page, or an origin in MIEN_ORIGINS."
    )


def read_rate(text: str) -> limits.RateLimitItem | None:
    """Parse a rate such as ``60/minute``; None for no limit. Raises ``OptionError``."""
    if not text:
        return None
    try:
        return limits.parse(text)
    except ValueError:
        raise OptionError(f"rate = {text!r}: expected a rate such as 60/minute or 1000/hour.") from None


def client_address(scope: Scope) -> str:
    """Return the key of a client: its IPv4 address, or its IPv6 /64 network, which one subscriber owns."""
    host = str(scope["client"][0]) if scope.get("client") else "unknown"
    address = read_address(host)
    if address is None or address.version == 4:
        return host if address is None else str(address)
    return str(ipaddress.ip_network(f"{address}/64", strict=False))
