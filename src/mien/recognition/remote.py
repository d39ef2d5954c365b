"""Pictures at addresses: fetched only where the caller allows it, from public hosts, within limits of size and time.

An address from a stranger could name a machine of the caller's own network. So each host is looked up here, only public
addresses are connected to, and each redirect is checked like the first address.
"""

from __future__ import annotations

import socket
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ipaddress import IPv6Address, ip_address
from urllib.parse import SplitResult, urljoin, urlsplit

from mien.errors import ImageError, OptionError

MAX_BYTES = 64_000_000
"""Bytes of a picture."""

SECONDS = 30.0
"""For which a picture may be on its way."""

_REDIRECTS = 4
_BLOCK = 1 << 16


def fetch(url: str, *, allowed: bool) -> bytes:
    """Return what lies at an address, at most ``MAX_BYTES``.

    Raises ``OptionError`` where addresses are not allowed; ``ImageError`` for one that is not public, does not answer,
    or holds too much.
    """
    if not allowed:
        raise OptionError(
            f"{url!r} is an address, and only files are read. Download it, or allow addresses: "
            "mien.load(allow_urls=True), on the command line --allow-urls."
        )
    end = time.monotonic() + SECONDS
    address = url
    try:
        for _ in range(_REDIRECTS + 1):
            content, following = _get(urlsplit(address), end)
            if following is None:
                return content
            address = urljoin(address, following)
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{url!r} cannot be fetched: {error}. Check the address, or download the file.") from None
    raise ImageError(f"{url!r} redirects more than {_REDIRECTS} times. Give the address of the file itself.")


def _get(parts: SplitResult, end: float) -> tuple[bytes, str | None]:
    """Return the content of an address, or the address to which it redirects."""
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ImageError(f"{parts.geturl()!r}: expected http:// or https:// and a host, without a password.")
    kind = _Secure if parts.scheme == "https" else _Plain
    connection = kind(parts.hostname, parts.port, timeout=max(end - time.monotonic(), 0.1))
    try:
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        connection.request("GET", path, headers={"User-Agent": "mien", "Accept": "image/*"})
        response = connection.getresponse()
        if response.status in (301, 302, 303, 307, 308) and response.headers["Location"]:
            return b"", response.headers["Location"]
        if response.status != 200:
            raise ImageError(f"{parts.geturl()!r} answers {response.status} {response.reason}. Check the address.")
        return _content(response, parts.geturl(), end), None
    finally:
        connection.close()


def _content(response: HTTPResponse, url: str, end: float) -> bytes:
    content = bytearray()
    while block := response.read(_BLOCK):
        content += block
        if len(content) > MAX_BYTES:
            raise ImageError(f"{url!r} holds more than {MAX_BYTES} bytes. Download it and shrink it.")
        if time.monotonic() > end:
            raise ImageError(f"{url!r} takes more than {SECONDS:g} seconds. Download it first.")
    return bytes(content)


class _Plain(HTTPConnection):
    def connect(self) -> None:
        self.sock = _connect(self.host, self.port, self.timeout)


class _Secure(HTTPSConnection):
    def connect(self) -> None:
        plain = _connect(self.host, self.port, self.timeout)
        self.sock = self._context.wrap_socket(plain, server_hostname=self.host)  # type: ignore[attr-defined]


def _connect(host: str, port: int, timeout: float | None) -> socket.socket:
    """Connect to the very address that was checked: a second look-up could give another one."""
    addresses = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if not addresses or not all(map(is_public, addresses)):
        raise ImageError(f"{host!r} is no public host, and its pictures are not fetched. Download the file.")
    return socket.create_connection((addresses[0], port), timeout)


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to the public internet."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return ip.is_global and not ip.is_multicast
