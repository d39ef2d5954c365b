"""A load generator that costs little of the cores that the server needs: asyncio, ready-made requests, no parsing."""

from __future__ import annotations

import asyncio
import io
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from serve_topology import ROOT


def photo() -> bytes:
    """Return a JPEG of 640×480 with one face: the example photo between grey borders."""
    picture = Image.new("RGB", (640, 480), (90, 100, 110))
    picture.paste(Image.open(ROOT / "examples" / "astronaut.jpg").resize((480, 480)), (80, 0))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


@dataclass
class Answers:
    """What came back: statuses (or the names of errors), and the seconds of those that were 200."""

    seen: Counter[object] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    lasted: float = 0.0

    @property
    def rate(self) -> float:
        """Photos read in a second."""
        return self.seen[200] / self.lasted

    @property
    def failed(self) -> int:
        """How many were not answered with 200."""
        return self.seen.total() - self.seen[200]

    def with_those_of(self, later: Answers) -> Answers:
        """Return these answers and the later ones as one."""
        return Answers(self.seen + later.seen, self.seconds + later.seconds, self.lasted + later.lasted)

    @property
    def told(self) -> str:
        """How many failed, and by what."""
        kinds = ", ".join(f"{times} × {what}" for what, times in sorted(self.seen.items(), key=str) if what != 200)
        return f"{self.failed} failed{f' ({kinds})' if kinds else ''}"

    def percentile(self, share: float) -> float:
        """Return the milliseconds within which that share of the 200s came."""
        return float(np.percentile(self.seconds, share) * 1000) if self.seconds else float("nan")


# Servers hang up on who is idle: nginx after 75 seconds. A request that crosses that is lost, and not by the server.
_STALE = 50.0


class Line:
    """One connection that asks the same again and again; made anew where it was idle for long, as clients do it."""

    def __init__(self, address: str, content: bytes, path: str = "/v1/predict") -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname, parts.port
        self._head = f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: image/jpeg\r\n"
        self.carry(content)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._used = 0.0

    def carry(self, content: bytes) -> None:
        """Ask with another photo from now on."""
        self._request = f"{self._head}Content-Length: {len(content)}\r\n\r\n".encode() + content

    async def ask(self, answers: Answers, begun: float | None = None) -> None:
        """Ask once; ``begun`` is when it should have been asked, so that a late asker does not hide a wait."""
        begun = time.perf_counter() if begun is None else begun
        if time.perf_counter() - self._used > _STALE:
            self.close()
        try:
            async with asyncio.timeout(60):
                status = await self._once()
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.close()
            answers.seen[type(error).__name__] += 1
            return
        answers.seen[status] += 1
        self._used = time.perf_counter()
        if status == 200:
            answers.seconds.append(time.perf_counter() - begun)

    async def _once(self) -> int:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(self._request)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        if b"connection: close" in head:
            self.close()
        return int(head[9:12])

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def closed_loop(
    address: str, content: bytes | Sequence[bytes], clients: int, seconds: float, most: int | None = None
) -> Answers:
    """``clients`` ask one after the other, for ``seconds`` or until ``most`` answers came; several photos in turn."""
    photos = cycle([content] if isinstance(content, bytes) else content)
    answers, begun = Answers(), time.perf_counter()

    async def client() -> None:
        line = Line(address, b"")
        while time.perf_counter() - begun < seconds and (most is None or answers.seen.total() < most):
            line.carry(next(photos))
            await line.ask(answers)
        line.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    answers.lasted = time.perf_counter() - begun
    return answers


async def open_loop(
    address: str, content: bytes | Sequence[bytes], rate: float, seconds: float, path: str = "/v1/predict"
) -> Answers:
    """Ask ``rate`` times a second whether or not answers come, on as many connections as that takes."""
    photos = cycle([content] if isinstance(content, bytes) else content)
    answers, idle, begun = Answers(), [], time.perf_counter()

    async def one(when: float) -> None:
        line = idle.pop() if idle else Line(address, b"", path)
        line.carry(next(photos))
        await line.ask(answers, when)
        idle.append(line)

    running = set()
    for number in range(int(rate * seconds)):
        when = begun + number / rate
        await asyncio.sleep(max(0.0, when - time.perf_counter()))
        task = asyncio.create_task(one(when))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    answers.lasted = time.perf_counter() - begun
    for line in idle:
        line.close()
    return answers
