"""Who asks: the client's address and scheme as a trusted proxy gives them, counted from the right."""

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

    Each proxy appends to ``X-Forwarded-For`` the address that it was asked from. What stands left of the proxies' own
    entries is the client's claim, and any client may claim anything. So the address is the first one from the right
    that is no trusted proxy's; where every peer is trusted (``*``), the entry of the outermost of ``hops`` proxies.
    A peer on a UNIX socket is a proxy on this computer and always trusted.

    root: the path below which a proxy shows the application. Requests get it in front of theirs where the proxy took it
    off, so that redirects lead back to where the client asked.
    """

    def __init__(self, app: ASGIApp, proxies: str, hops: int, root: str = "") -> None:
        self.app, self.hops, self.root = app, hops, root
        self.networks = read_proxies(proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the client's address and scheme."""
        if scope["type"] in ("http", "websocket"):
            self._correct(scope)
        await self.app(scope, receive, send)

    def _correct(self, scope: Scope) -> None:
        peer = scope["client"][0] if scope.get("client") else None
        if peer is None or self._trusts(peer):
            headers = Headers(scope=scope)
            address = self._client(", ".join(headers.getlist("x-forwarded-for")))
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

    def _client(self, forwarded: str) -> str | None:
        hosts = [_without_port(entry.strip()) for entry in forwarded.split(",")]
        if self.networks is None:
            chosen = hosts[-self.hops] if self.hops <= len(hosts) else hosts[0]
        else:
            chosen = next((host for host in reversed(hosts) if not self._trusts(host)), hosts[0])
        return chosen if read_address(chosen) is not None else None


def _without_port(entry: str) -> str:
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def read_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address, an IPv4 one as such where it comes mapped into IPv6; None for what is none."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if address.version == 6 else None
    return mapped or address
