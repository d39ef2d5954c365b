"""The live stream: the newest frame wins, bad frames do not end it, other sites' pages get nothing."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail
from serving import Held, post, wait_until

pytest.importorskip("websockets")
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from mien.recognition.recognizer import load
from mien.web.stream import Newest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mien.recognition.recognizer import Recognizer

    Serve = Callable[..., str]

TOKEN = "a-token-of-some-length"


def opened(address: str, query: str = "", **options: Any) -> ClientConnection:
    connection: ClientConnection = connect(f"{address.replace('http', 'ws')}/v1/stream{query}", **options)
    return connection


def answer(socket: ClientConnection) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(socket.recv(20))
    return found


def test_a_newer_frame_takes_the_place_of_an_older_one() -> None:
    async def scene() -> None:
        newest = Newest()
        for frame in (b"1", b"2", b"3"):
            newest.put(frame)
        first = await newest.get()
        assert first is not None
        assert (first.number, first.content) == (3, b"3")
        assert newest.passed_over == 2
        newest.put(b"4")
        second = await newest.get()
        assert second is not None
        assert (second.number, second.content) == (4, b"4")
        assert second.arrived >= first.arrived
        newest.close()
        assert await newest.get() is None

    asyncio.run(scene())


def test_frames_come_back_as_the_librarys_values(address: str, recognizer: Recognizer, photo: bytes) -> None:
    with opened(address) as socket:
        for number in (1, 2):
            socket.send(photo)
            told = answer(socket)
            assert told["frame"] == number
            assert told["result"] == {**recognizer.predict(photo).to_dict(), "faces_found": 4, "truncated": False}
            assert told["ms"] > 0


def test_junk_takes_no_place_among_photos(serve: Serve, model: Path, photo: bytes) -> None:
    """A thread used to look for a picture in it, for up to 0.1 s; here the only thread never comes to it."""
    held = Held()
    address = serve(load(model, detector=held, threads=1), threads=1)
    with opened(address) as busy, opened(address) as socket:
        busy.send(photo)
        wait_until(lambda: held.entered == 1)
        for junk in (b"\xff\xd8" + b"\xff" * 1_000_000, b"\xff\xd8" + b"\xff\xfe\x00\x02" * 100_000):
            socket.send(junk)
            assert "error" in answer(socket)
        held.go.set()
        assert "result" in answer(busy)


def test_the_newest_frame_wins_when_the_server_is_busy(serve: Serve, model: Path, photo: bytes) -> None:
    held = Held()
    address = serve(load(model, detector=held, threads=1))
    with opened(address) as socket:
        socket.send(photo)
        wait_until(lambda: held.entered == 1)
        for _ in range(20):
            socket.send(photo)
        socket.ping().wait(10)  # all twenty have arrived
        held.go.set()
        first, second = answer(socket), answer(socket)
    assert (first["frame"], second["frame"]) == (1, 21)
    assert second["passed_over"] == 19
    assert held.entered == 2


def test_a_bad_frame_is_told_and_the_stream_goes_on(address: str, photo: bytes) -> None:
    with opened(address) as socket:
        socket.send(b"no picture")
        assert "not a picture" in answer(socket)["error"]
        socket.send(photo)
        assert len(answer(socket)["result"]["faces"]) == 4


def test_options_stand_in_the_address(address: str, photo: bytes) -> None:
    with opened(address, "?max_faces=1&detector=quarters&model=tiny") as socket:
        socket.send(photo)
        assert len(answer(socket)["result"]["faces"]) == 1


@pytest.mark.parametrize("query", ["?max_faces=0", "?max_faces=999", "?max_faces=x", "?detector=no", "?model=no"])
def test_a_wrong_option_refuses_the_stream(address: str, query: str) -> None:
    with pytest.raises(InvalidStatus) as caught, opened(address, query):
        pass
    assert caught.value.response.status_code == 422
    assert json.loads(caught.value.response.body or b"")["type"] == "urn:mien:problem:bad-option"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_pages_of_other_sites_are_refused(address: str, origin: str) -> None:
    with pytest.raises(InvalidStatus) as caught, opened(address, additional_headers={"Origin": origin}):
        pass
    assert caught.value.response.status_code == 403
    assert "default-src 'none'" in caught.value.response.headers["content-security-policy"]


def test_the_own_page_is_let_in(address: str, photo: bytes) -> None:
    with opened(address, additional_headers={"Origin": address}) as socket:
        socket.send(photo)
        assert "result" in answer(socket)


def test_text_and_large_frames_close_the_stream(serve: Serve) -> None:
    address = serve(max_body=1000)
    for sent, code in (("text", 1003), (b"", 1003), (b"x" * 1001, 1009)):
        with opened(address) as socket:
            socket.send(sent)
            with pytest.raises(ConnectionClosed):
                socket.recv(10)
            assert socket.close_code == code


def test_frames_and_bodies_have_one_budget(serve: Serve, model: Path, photo: bytes) -> None:
    """Four streams with frames of 20 MB each took what the budget of all bodies was to bound."""
    held = Held()
    address = serve(load(model, detector=held, threads=1), max_held=3 * len(photo))
    with opened(address) as first, opened(address) as second:
        first.send(photo)
        wait_until(lambda: held.entered == 1)
        refused = post(f"{address}/v1/predict", content=photo, headers={"Content-Type": "image/png"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        second.send(photo)
        assert "Other requests use" in answer(second)["error"]
        held.go.set()
        assert "result" in answer(first)
        second.send(photo)
        assert "result" in answer(second), "what was refused keeps nothing"
    assert held.entered == 2


def test_a_frame_that_waits_counts_until_it_is_replaced(serve: Serve, model: Path, photo: bytes) -> None:
    held = Held()
    address = serve(load(model, detector=held, threads=1), max_held=8 * len(photo))
    with opened(address) as first, opened(address) as second:
        first.send(photo)
        wait_until(lambda: held.entered == 1)
        for _ in range(5):  # one is read and one waits: 4 of the 6 that one address may hold
            first.send(photo)
        first.ping().wait(10)
        second.send(photo)
        wait_until(lambda: held.entered == 2)
        held.go.set()
        assert "result" in answer(second)


@pytest.mark.parametrize("error", [MemoryError(), Fail("Failed to allocate memory")])
def test_memory_that_lacks_for_a_frame_does_not_end_the_stream(
    serve: Serve, model: Path, photo: bytes, error: Exception
) -> None:
    class Once(Held):
        def detect(self, pixels: Any) -> Any:
            if pixels.shape[:2] != (480, 640) and not self.go.is_set():
                self.go.set()
                raise error
            return super().detect(pixels)

    with opened(serve(load(model, detector=Once(), threads=1))) as socket:
        socket.send(photo)
        assert "memory" in answer(socket)["error"]
        socket.send(photo)
        assert "result" in answer(socket)


def test_a_stream_outlives_the_time_that_a_head_may_take(serve: Serve, photo: bytes) -> None:
    with opened(serve(header_timeout=0.5)) as socket:
        time.sleep(1)
        socket.send(photo)
        assert "result" in answer(socket)


def test_a_token_is_offered_as_a_subprotocol(serve: Serve, photo: bytes) -> None:
    address = serve(token=TOKEN)
    with pytest.raises(InvalidStatus) as caught, opened(address):
        pass
    assert caught.value.response.status_code == 401
    with opened(address, subprotocols=["mien.v1", f"bearer.{TOKEN}"]) as socket:
        assert socket.subprotocol == "mien.v1"
        socket.send(photo)
        assert "result" in answer(socket)


def test_only_so_many_streams_at_once(serve: Serve, photo: bytes) -> None:
    address = serve(streams=1)
    with opened(address):
        with pytest.raises(InvalidStatus) as caught, opened(address):
            pass
        assert caught.value.response.status_code == 503
        assert caught.value.response.headers["retry-after"] == "1"
    wait_until(lambda: _opens(address))


def _opens(address: str) -> bool:
    try:
        with opened(address):
            return True
    except InvalidStatus:
        return False


def test_a_client_that_vanishes_leaves_its_place(serve: Serve, photo: bytes) -> None:
    address = serve(streams=1)
    with opened(address) as socket:
        socket.send(photo)
        socket.socket.shutdown(2)
        wait_until(lambda: _opens(address))


def test_a_refused_socket_is_no_mistake_of_the_server(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    address = serve()
    caplog.set_level("INFO", "mien.web")
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{address.replace('http', 'ws')}/v1/nothing")
    assert refused.value.response.status_code == 403
    wait_until(lambda: any(getattr(record, "status", 0) == 403 for record in caplog.records))
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
