"""The bounded queue: full is full, nothing taken is lost, and waiting has an end."""

from __future__ import annotations

import asyncio
import gc
import re
import select
import socket
import struct
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail
from serving import Held, get, post, wait_until

from mien.recognition.recognizer import load
from mien.web import bodies
from mien.web.decode import Upload, inspect
from mien.web.pool import Pool
from mien.web.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Serve = Callable[..., str]

PNG = {"Content-Type": "image/png"}


def test_answers_keep_the_order_of_the_jobs() -> None:
    pool = Pool(3, 20)

    def wait(number: int) -> int:
        time.sleep(0.01 * (number % 3))
        return number

    jobs = [partial(wait, number) for number in range(20)]
    assert asyncio.run(pool.run(jobs, 10)) == list(range(20))
    assert pool.held == 0
    pool.close()


def test_what_does_not_fit_is_refused_whole_and_at_once() -> None:
    async def scene() -> None:
        pool, go = Pool(1, 2), threading.Event()
        first = asyncio.create_task(pool.run([go.wait, go.wait], 10))
        await asyncio.sleep(0.05)
        with pytest.raises(ProblemError) as refused:
            await pool.run([go.wait, go.wait], 10)
        assert (refused.value.kind, pool.held) == ("overloaded", 2)
        assert int((refused.value.headers or {})["Retry-After"]) >= 1
        last = asyncio.create_task(pool.run([partial(go.wait, 20)], 10))
        await asyncio.sleep(0)
        assert not pool.has_room()
        go.set()
        assert await first == [True, True]
        assert await last == [True]
        assert pool.has_room()
        pool.close()

    asyncio.run(scene())


def test_waiting_has_an_end_and_what_waits_is_never_begun() -> None:
    async def scene() -> None:
        pool, go, begun = Pool(1, 5), threading.Event(), []
        blocking = asyncio.create_task(pool.run([partial(go.wait, 20)], 10))
        await asyncio.sleep(0.05)
        with pytest.raises(ProblemError, match=r"longer than 0\.1 s"):
            await pool.run([lambda: begun.append(1)], 0.1)
        go.set()
        await blocking
        await asyncio.sleep(0.05)
        assert begun == []
        assert pool.held == 0
        pool.close()

    asyncio.run(scene())


def test_a_job_that_fails_gives_its_place_back() -> None:
    def fail() -> None:
        raise ValueError("no")

    async def scene() -> None:
        pool = Pool(1, 1)
        with pytest.raises(ValueError, match="no"):
            await pool.run([fail], 10)
        await asyncio.sleep(0.05)
        assert pool.held == 0
        pool.close()

    asyncio.run(scene())


def test_overload_is_503_with_a_time_and_nothing_taken_is_lost(serve: Serve, model: Path, photo: bytes) -> None:
    held = Held()
    address = serve(load(model, detector=held, threads=1), threads=1, queue=2, max_images=2)

    def ask(_: int) -> Any:
        return post(f"{address}/v1/predict", content=photo, headers=PNG)

    with ThreadPoolExecutor(3) as clients:
        taken = [clients.submit(ask, place) for place in range(3)]
        wait_until(lambda: get(f"{address}/readyz").status_code == 503)
        refused = [ask(place) for place in range(3)]
        held.go.set()
        assert [one.result().status_code for one in taken] == [200] * 3
    assert [one.status_code for one in refused] == [503] * 3
    assert all(int(one.headers["retry-after"]) >= 1 for one in refused)
    assert get(f"{address}/readyz").status_code == 200
    assert held.entered == 3


def test_an_answer_that_takes_too_long_is_503(serve: Serve, model: Path, photo: bytes) -> None:
    held = Held()
    address = serve(load(model, detector=held, threads=1), timeout=0.3)
    answer = post(f"{address}/v1/predict", content=photo, headers=PNG)
    held.go.set()
    assert answer.status_code == 503
    assert "longer than 0.3 s" in answer.json()["detail"]


def test_uploads_under_way_are_bounded(serve: Serve, photo: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PATIENCE", 600)
    address = serve(uploads=1)
    with dripping(address):
        wait_until(lambda: post(f"{address}/v1/predict", content=photo, headers=PNG).status_code == 503)
    wait_until(lambda: post(f"{address}/v1/predict", content=photo, headers=PNG).status_code == 200)


def test_a_slow_sender_makes_room_for_others(serve: Serve, photo: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty-two sockets that send drop by drop would otherwise keep everyone out until their time is over."""
    monkeypatch.setattr(bodies, "PATIENCE", 0)
    address = serve(uploads=2, body_timeout=600)
    with dripping(address) as first, dripping(address) as second:
        wait_until(lambda: metric(address, "mien_bodies_held") == 2)
        assert post(f"{address}/v1/predict", content=photo, headers=PNG).status_code == 200
        cut = [connection for connection in (first, second) if answered(connection)]
        assert len(cut) == 1
        assert cut[0].recv(65536).startswith(b"HTTP/1.1 408 ")


@contextmanager
def dripping(address: str) -> Iterator[socket.socket]:
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as slow:
        slow.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\n1")
        yield slow


def answered(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], 0.2)[0])


def metric(address: str, name: str) -> float:
    found = re.search(rf"^{name} ([0-9.]+)$", get(f"{address}/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_bodies_of_all_requests_have_a_budget(serve: Serve, model: Path, photo: bytes) -> None:
    held = Held()
    address = serve(load(model, detector=held, threads=1), max_held=3 * len(photo))
    with ThreadPoolExecutor(1) as clients:
        first = clients.submit(post, f"{address}/v1/predict", content=photo, headers=PNG)
        wait_until(lambda: held.entered == 1)
        answer = post(f"{address}/v1/predict", content=photo, headers=PNG)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "Other requests use" in answer.json()["detail"]
        held.go.set()
        assert first.result().status_code == 200
    assert post(f"{address}/v1/predict", content=photo, headers=PNG).status_code == 200
    assert post(f"{address}/v1/predict", content=iter([photo]), headers=PNG).status_code == 200, "alone it is let in"


@pytest.mark.parametrize("error", [MemoryError(), Fail("Failed to allocate memory for requested buffer of size 9")])
def test_memory_that_is_lacking_is_503_and_a_line_in_the_log(
    serve: Serve, model: Path, photo: bytes, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    class Lacking(Held):
        def detect(self, pixels: Any) -> Any:
            if pixels.shape[:2] != (480, 640):
                raise error
            return super().detect(pixels)

    answer = post(f"{serve(load(model, detector=Lacking(), threads=1))}/v1/predict", content=photo, headers=PNG)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:mien:problem:overloaded")
    assert "memory" in answer.json()["detail"]
    assert "out of memory for a photo" in [record.message for record in caplog.records]


def test_clients_take_turns_however_much_one_of_them_sends() -> None:
    assert finished([("greedy", False)] * 8 + [("other", False)] * 2) == [0, 8, 1, 9, 2, 3, 4, 5, 6, 7]


def test_costly_jobs_wait_for_all_others() -> None:
    order = finished([("a", True), ("a", True), ("a", False), ("b", False)])
    assert (set(order[:2]), order[2:]) == ({2, 3}, [0, 1])


def finished(jobs: list[tuple[str, bool]]) -> list[int]:
    """Submit jobs of clients, some of them costly, while the only thread is busy; return the order they were run in."""
    ran: list[int] = []

    def run(number: int) -> bool:
        ran.append(number)
        return True

    async def scene() -> None:
        pool, go = Pool(1, 20), threading.Event()
        tasks = [asyncio.create_task(pool.run([partial(go.wait, 20)], 10))]
        await asyncio.sleep(0.05)
        for number, (client, costly) in enumerate(jobs):
            tasks.append(asyncio.create_task(pool.run([partial(run, number)], 10, client, [0] if costly else [])))
            await asyncio.sleep(0)
        go.set()
        await asyncio.gather(*tasks)
        pool.close()

    asyncio.run(scene())
    return ran


def test_one_costly_job_at_a_time_leaves_threads_to_others() -> None:
    begun: list[str] = []

    def wait(go: threading.Event) -> bool:
        begun.append("costly")
        return go.wait(20)

    async def scene() -> None:
        pool, go = Pool(3, 20), threading.Event()
        costly = [asyncio.create_task(pool.run([partial(wait, go)], 10, "a", [0])) for _ in range(6)]
        await asyncio.sleep(0.05)
        for _ in range(4):
            assert await pool.run([lambda: 1, lambda: 2], 10, "b") == [1, 2]
        assert begun == ["costly"]
        go.set()
        await asyncio.gather(*costly)
        assert (len(begun), pool.held) == (6, 0)
        pool.close()

    asyncio.run(scene())


def test_nobody_fills_the_queue_alone() -> None:
    async def scene() -> None:
        pool, go = Pool(1, 8), threading.Event()
        greedy = [asyncio.create_task(pool.run([partial(go.wait, 20)], 10, "greedy")) for _ in range(7)]
        await asyncio.sleep(0.05)
        assert not pool.has_room("greedy")
        with pytest.raises(ProblemError):
            await pool.run([partial(int, 1)], 10, "greedy")
        other = asyncio.create_task(pool.run([partial(int, 1), partial(int, 2)], 10, "other"))
        await asyncio.sleep(0)
        assert not pool.has_room()
        go.set()
        assert await other == [1, 2]
        await asyncio.gather(*greedy)
        assert pool.has_room("greedy")
        pool.close()

    asyncio.run(scene())


def test_nobody_fills_the_memory_of_bodies_alone() -> None:
    held = bodies.Bodies(9, 100)
    with held.hold("greedy", 2) as first, held.hold("greedy", 2) as second, held.hold("other", 2) as third:
        held.count(first, 30)
        with pytest.raises(ProblemError):
            held.count(second, 10)
        held.count(third, 20)


def test_a_job_that_waited_too_long_keeps_nothing_in_memory() -> None:
    class Content:
        pass

    async def scene() -> None:
        pool, go = Pool(1, 5), threading.Event()
        blocking = asyncio.create_task(pool.run([partial(go.wait, 20)], 10))
        await asyncio.sleep(0.05)
        content = Content()
        kept = weakref.ref(content)
        with pytest.raises(ProblemError):
            await pool.run([partial(str, content)], 0.1, "a", [0])
        del content
        await asyncio.sleep(0.05)
        gc.collect()
        assert kept() is None
        go.set()
        await blocking
        pool.close()

    asyncio.run(scene())


def test_photos_whose_pixels_cost_far_more_than_their_bytes_are_costly(smooth: bytes) -> None:
    def upload(side: int, size: int) -> Upload:
        header = struct.pack(">8sL4sLL9s", b"\x89PNG\r\n\x1a\n", 13, b"IHDR", side, side, bytes(9))
        return inspect(Upload(None, header + struct.pack(">L4s", size, b"IDAT") + bytes(size)), 25_000_000)

    assert upload(4000, 10_000).costly
    assert not upload(1000, 1000).costly
    assert not upload(4000, 200_000).costly
    assert upload(5001, 200_000).refused
    assert not inspect(Upload(None, smooth), 25_000_000).refused
