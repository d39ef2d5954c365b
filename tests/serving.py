"""A real server in a thread of this process, on a free port, around a small network; requests go over sockets."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import httpx
import numpy as np
import uvicorn
from PIL import Image

from mien.recognition.crop import CropSpec
from mien.recognition.detection.detect import Detection
from mien.results import Box
from mien.web.app import create_app
from mien.web.server import uvicorn_options
from mien.web.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.recognition.recognizer import Recognizer

get, post = partial(httpx.get, timeout=30), partial(httpx.post, timeout=30)
"""With httpx's own five seconds a busy machine would be taken for a server that does not answer."""


class Quarters:
    """A detector that takes each quarter of a picture for a face, and none in a picture that is all black."""

    name = "quarters"
    crop = CropSpec(1.0, 0.0, False)

    def detect(self, pixels: NDArray[np.uint8]) -> tuple[Detection, ...]:
        if not pixels.any():
            return ()
        height, width = pixels.shape[0] / 2, pixels.shape[1] / 2
        boxes = (Box(x * width, y * height, width, height) for y in (0, 1) for x in (0, 1))
        return tuple(Detection(box, 0.9 - place / 10, None) for place, box in enumerate(boxes))


class Held(Quarters):
    """A detector that waits until it is let go; ``entered`` counts the pictures that reached it."""

    name = "held"

    def __init__(self) -> None:
        self.go, self.entered = threading.Event(), 0

    def detect(self, pixels: NDArray[np.uint8]) -> tuple[Detection, ...]:
        if pixels.shape[:2] != (480, 640):  # the warm-up's picture
            self.entered += 1
            assert self.go.wait(20)
        return super().detect(pixels)


@contextmanager
def serving(settings: Settings, recognizer: Recognizer | None = None) -> Iterator[str]:
    """Run a server in a thread; yield its address; stop it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Kept alive as below Gunicorn: longer than any test waits.
        options = {**uvicorn_options(settings), "timeout_keep_alive": 75}
        server = uvicorn.Server(uvicorn.Config(create_app(settings, recognizer), **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        wait_until(lambda: server.started or not thread.is_alive())
        assert server.started
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    limit = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.01)


def encoded(pixels: NDArray[np.uint8], form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()
