"""Pictures at addresses: fetched only where the caller allows it, from public hosts, within limits of size and time.

An address from a stranger could name a machine of the caller's own network. So each host is looked up here, only public
addresses are connected to, and each redirect is checked like the first address.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ipaddress import IPv6Address, ip_address
from threading import Timer
from urllib.parse import SplitResult, urljoin, urlsplit

from mien.addresses import hide_passwords
from mien.errors import ImageError, OptionError

MAX_BYTES = 64_000_000
"""Bytes of a picture."""

SECONDS = 30.0
"""For which a picture may be on its way."""

_REDIRECTS = 4
_BLOCK = 1 << 16


def fetch(url: str, *, allowed: bool) -> bytes:
    """Return what lies at an address, at most ``MAX_BYTES``.

    Raises:
        OptionError: addresses are not allowed.
        ImageError: one that is not public, does not answer, or holds too much.
    """
    shown = hide_passwords(url)
    if not allowed:
        raise OptionError(
            f"{shown!r} is an address, and only files are read. Download it, or allow addresses: "
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
        if time.monotonic() > end:
            raise ImageError(f"{shown!r} takes more than {SECONDS:g} seconds. Download it first.") from None
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{shown!r} cannot be fetched: {error}. Check the address, or download the file.") from None
    raise ImageError(f"{shown!r} redirects more than {_REDIRECTS} times. Give the address of the file itself.")


def _get(parts: SplitResult, end: float) -> tuple[bytes, str | None]:
    """Return the content of an address, or the address to which it redirects."""
    shown = hide_passwords(parts.geturl())
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ImageError(f"{shown!r}: expected http:// or https:// and a host, without a name or password before it.")
    kind = _Secure if parts.scheme == "https" else _Plain
    connection = kind(parts.hostname, parts.port, timeout=max(end - time.monotonic(), 0.1))
    with _closing_at(connection, end):
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        connection.request("GET", path, headers={"User-Agent": "mien", "Accept": "image/*"})
        response = connection.getresponse()
        if response.status in (301, 302, 303, 307, 308) and response.headers["Location"]:
            return b"", response.headers["Location"]
        if response.status != 200:
            raise ImageError(f"{shown!r} answers {response.status} {response.reason}. Check the address.")
        content = _content(response, shown)
    if time.monotonic() > end:
        raise TimeoutError("too slow")
    return content, None


@contextmanager
def _closing_at(connection: _Plain | _Secure, end: float) -> Iterator[None]:
    """Cut the connection off at ``end``: a socket's own timeout starts anew with each byte that a slow host sends."""

    def cut_off() -> None:
        if connection.wire is not None:
            with suppress(OSError):  # it may be closed already
                connection.wire.shutdown(socket.SHUT_RDWR)

    timer = Timer(max(end - time.monotonic(), 0), cut_off)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        connection.close()


def _content(response: HTTPResponse, shown: str) -> bytes:
    content = bytearray()
    while block := response.read1(_BLOCK):
        content += block
        if len(content) > MAX_BYTES:
            raise ImageError(f"{shown!r} holds more than {MAX_BYTES} bytes. Download it and shrink it.")
    if response.length:
        raise ImageError(f"{shown!r} broke off {response.length} bytes before its end. Try again.")
    return bytes(content)


class _Plain(HTTPConnection):
    wire: socket.socket | None = None
    """Also while a response is read, when ``sock`` may be None."""

    def connect(self) -> None:
        self.sock = self.wire = _connect(self.host, self.port, self.timeout)


class _Secure(HTTPSConnection):
    wire: socket.socket | None = None

    def connect(self) -> None:
        plain = _connect(self.host, self.port, self.timeout)
        context = self._context  # type: ignore[attr-defined]
        secure = context.wrap_socket(plain, server_hostname=self.host, do_handshake_on_connect=False)
        self.sock = self.wire = secure
        secure.do_handshake()


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
