"""The client's address and scheme as reported by trusted proxies."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from mien.web.settings import read_proxies

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_SCHEMES = {"http": "ws", "https": "wss"}


class Forwarded:
    """Pure ASGI middleware in front of all others.

    Each proxy appends the address of its peer to ``X-Forwarded-For``. Entries to the left of those of the proxies come
    from the client, which may claim anything. So the client's address is the first one from the right that is not a
    trusted proxy's; if every peer is trusted (``*``), it is the entry of the outermost of ``hops`` proxies. A peer on a
    UNIX socket is a proxy on this computer and always trusted.

    ``root`` is the path at which a proxy serves the application. It is prepended to the path of requests if the proxy
    stripped it, so that redirects lead back to the URL that the client used.
    """

    def __init__(self, app: ASGIApp, proxies: str, hops: int, root: str = "") -> None:
        self.app, self.hops, self.root = app, hops, root
        self.networks = read_proxies(proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the client's address and scheme."""
        if scope["type"] in ("http", "websocket"):
            self._rewrite(scope)
        await self.app(scope, receive, send)

    def _rewrite(self, scope: Scope) -> None:
        peer = scope["client"][0] if scope.get("client") else None
        if peer is None or self._trusts(peer):
            headers = Headers(scope=scope)
            address = self._find_client(", ".join(headers.getlist("x-forwarded-for")))
            scheme = headers.get("x-forwarded-proto", "").strip()
            if address is not None:
                scope["client"] = (address, 0)
            if scheme in _SCHEMES:
                scope["scheme"] = _SCHEMES[scheme] if scope["type"] == "websocket" else scheme
        if self.root:
            scope["root_path"] = self.root
            if not f"{scope['path']}/".startswith(f"{self.root}/"):
                scope["path"] = self.root + scope["path"]

    def _trusts(self, host: str) -> bool:
        if self.networks is None:
            return True
        address = read_address(host)
        return address is not None and any(address in network for network in self.networks)

    def _find_client(self, forwarded: str) -> str | None:
        hosts = [_strip_port(entry.strip()) for entry in forwarded.split(",")]
        if self.networks is None:
            chosen = hosts[-self.hops] if self.hops <= len(hosts) else hosts[0]
        else:
            chosen = next((host for host in reversed(hosts) if not self._trusts(host)), hosts[0])
        return chosen if read_address(chosen) is not None else None


def _strip_port(entry: str) -> str:
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def read_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse an address, unmapping IPv4 from IPv6; None if it is invalid."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if address.version == 6 else None
    return mapped or address
