"""Live frames over a WebSocket: the newest frame wins, so that answers never fall behind the camera."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from mien.errors import MienError, OutOfMemoryError
from mien.web import service as services
from mien.web.decode import Upload
from mien.web.limits import PROTOCOL
from mien.web.logs import log
from mien.web.predict import Options, predicted
from mien.web.problems import ProblemError

if TYPE_CHECKING:
    from mien.web.predict import Item
    from mien.web.service import Service

IDLE = 30.0
"""Seconds without a frame after which a stream is closed: its place is wanted by others."""

_TOO_BIG, _WRONG_KIND, _POLICY = 1009, 1003, 1008


@dataclass(frozen=True)
class Frame:
    """An encoded picture, its number from 1, and when it arrived (``time.perf_counter``)."""

    number: int
    arrived: float
    content: bytes


class Newest:
    """A place for one frame: a newer one takes it from an older one that nobody has fetched."""

    def __init__(self) -> None:
        self.number = self.passed_over = 0
        self.closed = False
        self._frame: Frame | None = None
        self._changed = asyncio.Event()

    def put(self, content: bytes) -> None:
        """Leave a frame; frames are numbered from 1."""
        self.number += 1
        self.passed_over += self._frame is not None
        self._frame = Frame(self.number, time.perf_counter(), content)
        self._changed.set()

    def close(self) -> None:
        """Say that there will be no more."""
        self.closed, self._frame = True, None
        self._changed.set()

    async def get(self) -> Frame | None:
        """Wait for a frame and take it; None when there will be no more."""
        await self._changed.wait()
        self._changed.clear()
        frame, self._frame = self._frame, None
        return None if self.closed else frame


async def stream(socket: WebSocket) -> None:
    """Take binary messages, each an encoded picture, and send a JSON message for each frame that was read.

    A message is ``{"frame", "passed_over", "ms", "result"}``, or ``"error"`` in place of ``"result"``: the frame's
    number from 1, how many were passed over so far, the milliseconds from its arrival to its answer, and
    ``ImageResult.to_dict()``. Options stand in the address as in ``/v1/predict``.
    """
    service = services.of(socket)
    try:
        with service.streams.entered():
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
    reader = asyncio.create_task(_receive(socket, newest, service.settings.max_body))
    try:
        while (taken := await newest.get()) is not None:
            await _send(socket, await _read(service, options, newest.passed_over, taken, socket.state.request_id))
    except WebSocketDisconnect:
        pass
    finally:
        reader.cancel()
        service.metrics.frames.labels("passed over").inc(newest.passed_over)
        socket.state.told.update(photos=newest.number - newest.passed_over)


async def _receive(socket: WebSocket, newest: Newest, most: int) -> None:
    """Leave each frame for the reader; close the stream over what is no frame."""
    try:
        while True:
            async with asyncio.timeout(IDLE):
                message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            frame = message.get("bytes")
            if not frame:
                await socket.close(_WRONG_KIND, "expected binary messages, each an encoded picture")
                return
            if len(frame) > most:
                await socket.close(_TOO_BIG, f"expected at most {most} bytes a frame")
                return
            newest.put(frame)
    except TimeoutError:
        await socket.close(_POLICY, f"no frame for {IDLE:g} s")
    finally:
        newest.close()


async def _read(service: Service, options: Options, passed_over: int, taken: Frame, request_id: str) -> dict[str, Any]:
    job = partial(predicted, service.models, Upload(None, taken.content), options, service.settings.max_pixels)
    told: dict[str, Any] = {"frame": taken.number, "passed_over": passed_over}
    try:
        item: Item = (await service.pool.run([job], service.settings.timeout))[0]
    except ProblemError as problem:  # no room: this frame is lost, the stream goes on
        service.metrics.frames.labels("refused").inc()
        await asyncio.sleep(0.1)
        return {**told, "error": problem.detail}
    except OutOfMemoryError as error:
        log.error("no memory left for a frame", extra={"request_id": request_id}, exc_info=error)
        service.metrics.frames.labels("refused").inc()
        return {**told, "error": str(error)}
    service.metrics.frames.labels("unreadable" if item.error else "read").inc()
    told["ms"] = round((time.perf_counter() - taken.arrived) * 1000, 1)
    return {**told, "error": item.error} if item.error else {**told, "result": json.loads(item.content)}


async def _send(socket: WebSocket, told: dict[str, Any]) -> None:
    try:
        await socket.send_text(json.dumps(told))
    except RuntimeError:
        # Starlette's word for sending after close; the reader closed the stream, or the client has gone.
        raise WebSocketDisconnect from None
