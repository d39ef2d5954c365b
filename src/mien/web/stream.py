"""Live frames over a WebSocket: only the newest frame is processed, so that results never lag behind the camera."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from mien.errors import MienError
from mien.web import service as services
from mien.web.decode import Upload, inspect
from mien.web.middleware.limits import PROTOCOL, client_address
from mien.web.middleware.logs import log
from mien.web.predict import Options, predict_photo, refuse
from mien.web.problems import ProblemError

if TYPE_CHECKING:
    from mien.web.bodies import Bodies, Body
    from mien.web.predict import Item
    from mien.web.service import Service

IDLE = 30.0
"""Seconds without a frame after which a stream is closed, to free its slot."""

_TOO_BIG, _WRONG_KIND, _POLICY = 1009, 1003, 1008


@dataclass(frozen=True)
class Frame:
    """An encoded image, its number from 1, its time of arrival (``time.perf_counter``), and why it was refused."""

    number: int
    arrived: float
    content: bytes
    refused: str = ""


class Newest:
    """A buffer for one frame; a newer frame replaces one that has not been taken."""

    def __init__(self) -> None:
        self.number = self.passed_over = 0
        self.closed = False
        self._frame: Frame | None = None
        self._changed = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Bytes of the frame that has not been taken."""
        return len(self._frame.content) if self._frame else 0

    def put(self, content: bytes, refused: str = "") -> None:
        """Store a frame; frames are numbered from 1."""
        self.number += 1
        self.passed_over += self._frame is not None
        self._frame = Frame(self.number, time.perf_counter(), content, refused)
        self._changed.set()

    def close(self) -> None:
        """Signal that there will be no more frames."""
        self.closed, self._frame = True, None
        self._changed.set()

    async def get(self) -> Frame | None:
        """Wait for a frame and take it; None if there will be no more."""
        await self._changed.wait()
        self._changed.clear()
        frame, self._frame = self._frame, None
        return None if self.closed else frame


async def stream(socket: WebSocket) -> None:
    """Receive binary messages, each an encoded image, and send a JSON message for each frame processed.

    A message is ``{"frame", "passed_over", "ms", "result"}``, or ``"error"`` in place of ``"result"``: the frame's
    number from 1, the number of frames skipped so far, the milliseconds from its arrival to its result, and
    ``ImageResult.to_dict()``. Options are in the query string as in ``/v1/predict``.
    """
    service = services.of(socket)
    try:
        with service.streams.hold():
            options = _options(socket, service)
            await socket.accept(PROTOCOL if PROTOCOL in socket.scope["subprotocols"] else None)
            with service.metrics.streams.track_inprogress():
                await _serve(socket, service, options)
    except ProblemError as problem:
        await socket.send_denial_response(problem.response(socket.state.request_id))


def _options(socket: WebSocket, service: Service) -> Options:
    query, limit = socket.query_params, service.settings.max_faces
    most = query.get("max_faces", str(limit))
    if not most.isdecimal() or not 1 <= int(most[:9]) <= limit:
        raise ProblemError("bad-option", f"max_faces = {most[:40]!r}: expected a whole number from 1 to {limit}.")
    detector = query.get("detector")
    try:
        service.models.check(query.get("model"), detector)
    except MienError as error:
        raise ProblemError("bad-option", str(error)) from None
    return Options(query.get("model"), detector, int(most))


async def _serve(socket: WebSocket, service: Service, options: Options) -> None:
    newest = Newest()
    try:
        with service.bodies.hold_frames(client_address(socket.scope)) as held:
            memory = _Memory(service.bodies, held, newest)
            reader = asyncio.create_task(_receive(socket, memory, service.settings.max_body))
            try:
                while (taken := await newest.get()) is not None:
                    memory.take(len(taken.content))
                    passed_over = newest.passed_over
                    message = await _process_frame(socket, service, options, passed_over, taken)
                    memory.take(0)
                    await _send(socket, message)
            finally:
                reader.cancel()
    except WebSocketDisconnect:
        pass
    finally:
        service.metrics.frames.labels("passed over").inc(newest.passed_over)
        socket.state.log_fields.update(photos=newest.number - newest.passed_over)


@dataclass
class _Memory:
    """A stream's share of the budget of all bodies: the frame that waits, and that which is processed."""

    bodies: Bodies
    body: Body
    newest: Newest
    taken: int = 0

    def put(self, frame: bytes) -> None:
        """Store a frame in place of the one that waits; without its content if there is no memory for it."""
        try:
            self.bodies.replace(self.body, self.taken + len(frame))
            self.newest.put(frame)
        except ProblemError as problem:
            self.newest.put(b"", problem.detail)
            self.take(self.taken)

    def take(self, size: int) -> None:
        """Note that a frame of ``size`` bytes is being processed, and none before it."""
        self.taken = size
        self.bodies.replace(self.body, size + self.newest.waiting)


async def _receive(socket: WebSocket, memory: _Memory, most: int) -> None:
    """Store each frame for the reader; close the stream on any other message."""
    try:
        while True:
            async with asyncio.timeout(IDLE):
                message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            frame = message.get("bytes")
            if not frame:
                await socket.close(_WRONG_KIND, "expected binary messages, each an encoded image")
                return
            if len(frame) > most:
                await socket.close(_TOO_BIG, f"expected at most {most} bytes per frame")
                return
            memory.put(frame)
    except TimeoutError:
        await socket.close(_POLICY, f"no frame for {IDLE:g} s")
    finally:
        memory.newest.close()


async def _process_frame(
    socket: WebSocket, service: Service, options: Options, passed_over: int, taken: Frame
) -> dict[str, Any]:
    message: dict[str, Any] = {"frame": taken.number, "passed_over": passed_over}
    if taken.refused:
        service.metrics.frames.labels("refused").inc()
        await asyncio.sleep(0.1)
        return {**message, "error": taken.refused}
    try:
        item = await _process_photo(service, options, taken.content, client_address(socket.scope))
    except ProblemError as problem:  # no room: skip this frame, keep the stream
        service.metrics.frames.labels("refused").inc()
        await asyncio.sleep(0.1)
        return {**message, "error": problem.detail}
    except MemoryError as error:
        log.error("out of memory for a frame", extra={"request_id": socket.state.request_id}, exc_info=error)
        service.metrics.frames.labels("refused").inc()
        return {**message, "error": str(error) or "There is not enough memory for the frame."}
    service.metrics.frames.labels("unreadable" if item.error else "read").inc()
    message["ms"] = round((time.perf_counter() - taken.arrived) * 1000, 1)
    return {**message, "error": item.error} if item.error else {**message, "result": json.loads(item.content)}


async def _process_photo(service: Service, options: Options, content: bytes, client: str) -> Item:
    upload = inspect(Upload(None, content), service.settings.max_pixels)
    if upload.refused:
        return refuse(upload, upload.refused)
    job = partial(predict_photo, service.models, upload, options, service.settings.max_pixels)
    costly = (0,) if upload.costly else ()
    items: list[Item] = await service.pool.run([job], service.settings.timeout, client, costly)
    return items[0]


async def _send(socket: WebSocket, message: dict[str, Any]) -> None:
    try:
        await socket.send_text(json.dumps(message))
    except RuntimeError:
        # Starlette raises this when sending after close: the reader closed the stream, or the client disconnected.
        raise WebSocketDisconnect from None
