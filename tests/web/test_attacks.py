"""What would break a server: silence, endless bodies, split headers; the real Uvicorn refuses and goes on serving."""

from __future__ import annotations

import gc
import socket
import struct
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from serving import serving, wait_until
from uvicorn.protocols.http.h11_impl import H11Protocol

from mien.web.middleware import patience
from mien.web.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mien.recognition.recognizer import Recognizer

    Serve = Callable[..., str]

HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"


def dial(address: str) -> socket.socket:
    host, _, port = address.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def rest(connection: socket.socket) -> bytes:
    """Read until the server closes."""
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


def until_alive(connection: socket.socket) -> bytes:
    """Read up to the whole answer of /healthz."""
    answer = b""
    while b"alive" not in answer:
        part = connection.recv(65536)
        assert part, f"closed after {answer!r}"
        answer += part
    return answer


def still_serves(address: str, photo: bytes) -> bool:
    """Ask in one piece: between a head and a body sent apart a busy machine may wait longer than some tests allow."""
    with dial(address) as connection:
        connection.sendall(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(photo) + photo)
        return rest(connection).startswith(b"HTTP/1.1 200 ")


def drip_until_cut(connections: list[socket.socket]) -> None:
    """Send each a byte now and then, until the server has closed them all."""
    limit = time.monotonic() + 30
    while connections:
        assert time.monotonic() < limit, "bytes bought time"
        time.sleep(0.05)
        connections = [each for each in connections if took_a_byte(each)]


def took_a_byte(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"a")
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def test_slow_heads_are_cut_off_and_cost_others_nothing(serve: Serve, photo: bytes) -> None:
    address = serve(header_timeout=1)
    with dial(address) as second:
        second.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        until_alive(second)
        with dial(address) as slow, dial(address) as silent:
            for connection in (slow, second):
                connection.sendall(b"GET /healthz HTTP/1.1\r\nX-A: ")
            assert still_serves(address, photo)
            drip_until_cut([slow, second])
            for connection in (silent, slow, second):
                assert rest(connection) == b""


def test_slow_bodies_are_cut_off(serve: Serve, photo: bytes) -> None:
    address = serve(body_timeout=0.5)
    with dial(address) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\nabc")
        assert still_serves(address, photo)
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"urn:mien:problem:body-too-slow" in answer


def test_reset_connections_are_let_go_at_once(address: str, photo: bytes) -> None:
    """Each would stay, with what was read of it, until Uvicorn's timer for idle connections: 75 s below Gunicorn."""
    before = connections_kept()
    for _ in range(20):
        with dial(address) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            until_alive(connection)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closes with a reset
    assert still_serves(address, photo)
    wait_until(lambda: connections_kept() <= before + 1)  # the last one's may still be idle


def connections_kept() -> int:
    # Not isinstance, which asks each object for its class: some of PyTorch's warn when asked anything.
    return sum(issubclass(type(each), H11Protocol) for each in gc.get_objects())


def test_ten_gigabytes_are_refused_before_they_come(address: str, photo: bytes) -> None:
    with dial(address) as connection:
        connection.sendall(HEAD + b"Content-Length: 10000000000\r\n\r\n")
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()
    assert still_serves(address, photo)


def test_chunks_without_end_are_refused_and_then_cut_off(serve: Serve, photo: bytes) -> None:
    address = serve(max_body=100_000, body_timeout=1)
    with dial(address) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            connection.sendall(b"2710\r\n" + photo.ljust(10_000, b"x") + b"\r\n")
        assert rest(connection).startswith(b"HTTP/1.1 413 ")
        drip_until_cut([connection])
    assert still_serves(address, photo)


TWENTY_MEGABYTES = b"Content-Length: 20000000\r\n\r\n" + b"x" * 20_000_000  # more than systems keep for a connection


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (b"413", HEAD + TWENTY_MEGABYTES),
        (b"404", b"POST /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + TWENTY_MEGABYTES),
        (b"405", b"POST /healthz HTTP/1.0\r\n" + TWENTY_MEGABYTES),
        (b"400", b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000_000),
    ],
    ids=["too large", "nowhere", "old protocol", "head without end"],
)
def test_who_sends_all_before_reading_gets_the_answer(serve: Serve, status: bytes, lines: bytes) -> None:
    """Closed while it sends, a client's system is told of a reset, and the answer is lost by it."""
    with dial(serve(max_body=100_000)) as connection:
        connection.sendall(lines)
        assert rest(connection).startswith(b"HTTP/1.1 " + status)


def test_who_was_answered_early_may_ask_again(serve: Serve) -> None:
    with dial(serve(token="a-token-of-some-length")) as connection:
        for _ in range(2):
            connection.sendall(HEAD + TWENTY_MEGABYTES)
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert until_alive(connection).startswith(b"HTTP/1.1 401 ")


def test_who_was_answered_early_cannot_send_for_ever(serve: Serve) -> None:
    with dial(serve(token="a-token-of-some-length", body_timeout=1)) as connection:
        connection.sendall(HEAD + b"Content-Length: 20000000\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
        drip_until_cut([connection])


@pytest.mark.parametrize(
    "lines",
    [
        b"X-Request-ID: a\rSet-Cookie: x=1\r\n",
        b"X-Request-ID: a\nSet-Cookie: x=1\r\n",
        b"X-Request-ID: a\x00b\r\n",
        b"Origin: http://x\r\n\tSet-Cookie: x=1\r\n",
        b"X-Request-ID: %0d%0aSet-Cookie:%20x=1\r\n",
    ],
)
def test_headers_cannot_be_smuggled_into_the_answer(address: str, lines: bytes) -> None:
    with dial(address) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + lines + b"Connection: close\r\n\r\n")
        answer = rest(connection)
    assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 "))
    assert b"set-cookie" not in answer.lower()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /static/../../settings.py HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET //etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
    ids=["tls", "long head", "negative length", "two lengths", "two framings", "path up", "absolute path"],
)
def test_malformed_requests_are_refused(address: str, photo: bytes, request_bytes: bytes) -> None:
    with dial(address) as connection:
        connection.sendall(request_bytes)
        connection.shutdown(socket.SHUT_WR)
        answer = rest(connection)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 ", b"HTTP/1.1 422 "))
    assert still_serves(address, photo)


def test_clients_that_hang_up_leave_nothing_behind(serve: Serve, photo: bytes) -> None:
    address = serve(uploads=2, queue=16)
    for _ in range(10):
        with dial(address) as connection:
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\nabc")
    for _ in range(10):
        with dial(address) as connection:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(photo) + photo)
    time.sleep(0.5)
    assert still_serves(address, photo)


@pytest.fixture
def half_read(address: str) -> Iterator[None]:
    with dial(address) as connection:
        connection.sendall(b"GET /static/app.js HTTP/1.1\r\nHost: x\r\n\r\n")
        yield


def test_a_client_that_never_reads_stops_nobody(address: str, photo: bytes, half_read: None) -> None:
    assert still_serves(address, photo)


def test_a_stopping_server_loses_no_request_of_a_kept_connection(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So do recycled workers and rolling restarts: an idle connection was closed while its next request came."""
    monkeypatch.setattr(patience, "DRAIN", 60)
    with ExitStack() as stack:
        address = stack.enter_context(serving(Settings(threads=1, log_level="error"), recognizer))
        with dial(address) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            until_alive(connection)
            stopping = threading.Thread(target=stack.pop_all().close)
            stopping.start()
            answer = b""
            while b"connection: close" not in answer.lower():
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = until_alive(connection)
            assert rest(connection) == b""
        stopping.join()
