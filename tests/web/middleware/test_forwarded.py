"""The client's address as trusted proxies give it, counted from the right."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mien.web.middleware.forwarded import Forwarded
from mien.web.middleware.limits import client_address


def seen(proxies: str, peer: str | None, *entries: str, hops: int = 1, proto: str = "", kind: str = "http") -> Any:
    """Return the scope that the application gets."""
    headers = [(b"x-forwarded-for", entry.encode("latin1")) for entry in entries]
    headers += [(b"x-forwarded-proto", proto.encode())] if proto else []
    scope = {"type": kind, "client": (peer, 1) if peer else None, "headers": headers, "scheme": "http"}
    found: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        found.append(scope)

    asyncio.run(Forwarded(app, proxies, hops)(scope, None, None))  # type: ignore[arg-type]
    return found[0]


@pytest.mark.parametrize(
    ("proxies", "peer", "entries", "hops", "client"),
    [
        ("127.0.0.1", "127.0.0.1", ["203.0.113.9"], 1, "203.0.113.9"),
        ("127.0.0.1", "127.0.0.1", ["1.1.1.1, 203.0.113.9"], 1, "203.0.113.9"),
        ("127.0.0.1", "127.0.0.1", ["1.1.1.1", "203.0.113.9"], 1, "203.0.113.9"),
        ("127.0.0.1", "203.0.113.5", ["1.1.1.1"], 1, "203.0.113.5"),
        ("10.0.0.0/8", "10.1.1.1", ["1.1.1.1, 203.0.113.9, 10.2.2.2"], 1, "203.0.113.9"),
        ("10.0.0.0/8", "10.1.1.1", ["10.3.3.3, 10.2.2.2"], 1, "10.3.3.3"),
        ("", "127.0.0.1", ["1.1.1.1"], 1, "127.0.0.1"),
        ("*", "10.1.1.1", ["1.1.1.1, 203.0.113.9"], 1, "203.0.113.9"),
        ("*", "10.1.1.1", ["1.1.1.1, 203.0.113.9, 10.2.2.2"], 2, "203.0.113.9"),
        ("*", "10.1.1.1", ["203.0.113.9"], 2, "203.0.113.9"),
        ("*", "10.1.1.1", [], 1, "10.1.1.1"),
        ("*", "10.1.1.1", ["not an address"], 1, "10.1.1.1"),
        ("127.0.0.1", None, ["1.1.1.1, 203.0.113.9"], 1, "203.0.113.9"),
        ("127.0.0.1", "::ffff:127.0.0.1", ["203.0.113.9:4711"], 1, "203.0.113.9"),
        ("::1", "::1", ["[2001:db8::1]:4711"], 1, "2001:db8::1"),
    ],
)
def test_the_address_is_counted_from_the_right(
    proxies: str, peer: str | None, entries: list[str], hops: int, client: str
) -> None:
    assert seen(proxies, peer, *entries, hops=hops)["client"][0] == client


def test_the_scheme_comes_from_trusted_proxies_alone() -> None:
    assert seen("*", "10.1.1.1", proto="https")["scheme"] == "https"
    assert seen("*", "10.1.1.1", proto="https", kind="websocket")["scheme"] == "wss"
    assert seen("*", "10.1.1.1", proto="gopher")["scheme"] == "http"
    assert seen("127.0.0.1", "10.1.1.1", proto="https")["scheme"] == "http"


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("unix", "unix"),
    ],
)
def test_what_counts_as_one_client(peer: str, client: str) -> None:
    assert client_address({"client": (peer, 1)}) == client
    assert client_address({"client": None}) == "unknown"


@pytest.mark.parametrize(
    ("path", "whole"),
    [
        ("/v1/models", "/mien/v1/models"),
        ("/mien/v1/models", "/mien/v1/models"),
        ("/mien", "/mien"),
        ("/mienv1", "/mien/mienv1"),
    ],
)
def test_the_path_below_which_a_proxy_shows_the_server(path: str, whole: str) -> None:
    scope: dict[str, Any] = {
        "type": "http",
        "client": None,
        "headers": [],
        "scheme": "http",
        "path": path,
        "root_path": "",
    }

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        pass

    asyncio.run(Forwarded(app, "", 1, "/mien")(scope, None, None))  # type: ignore[arg-type]
    assert (scope["path"], scope["root_path"]) == (whole, "/mien")
