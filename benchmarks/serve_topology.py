"""The topology of deploy/ with the real nginx and Gunicorn: two Gunicorns of one worker each behind one nginx.

The files of deploy/ are used as they are, but for ports and folders. Used by serve_load.py and by the tests.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@dataclass
class Replica:
    """One Gunicorn: its master process and its own address."""

    process: subprocess.Popen[bytes]
    address: str

    def workers(self) -> list[psutil.Process]:
        """Return its worker processes."""
        children: list[psutil.Process] = psutil.Process(self.process.pid).children()
        return children

    def kill_worker(self) -> None:
        """Kill one worker as the system would: -9, without a word."""
        for worker in self.workers()[:1]:
            worker.kill()

    def restart(self) -> None:
        """Let it replace its workers one after the other."""
        self.process.send_signal(signal.SIGHUP)


@dataclass
class Topology:
    """nginx's address and the replicas behind it."""

    address: str
    replicas: list[Replica]


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds; ``TimeoutError`` if it never does."""
    limit = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > limit:
            raise TimeoutError(f"not within {seconds:g} s")
        time.sleep(0.05)


def answers(address: str) -> bool:
    """Tell whether a server says that it is ready."""
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def process(command: list[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that writes into a file, and stop it at the end."""
    with log.open("wb") as sink:
        started = subprocess.Popen(command, env=dict(environment), stdout=sink, stderr=sink, cwd=ROOT)
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(40)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


@contextmanager
def gunicorn(folder: Path, port: int | None = None, **variables: str) -> Iterator[Replica]:
    """Run deploy/gunicorn.conf.py on a port of its own; ``variables`` are further environment variables."""
    port = port or free_port()
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT / "src"), "BIND": f"127.0.0.1:{port}", "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1", "TMPDIR": str(folder), "MIEN_THREADS": "1", "MIEN_LOG_LEVEL": "warning",
        **variables,
    }  # fmt: skip
    environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
    command = [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "deploy" / "gunicorn.conf.py")]
    with process(command, environment, folder / f"gunicorn-{port}.log") as started:
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: started.poll() is not None or answers(address))
        if started.poll() is not None:
            raise RuntimeError((folder / f"gunicorn-{port}.log").read_text("utf-8"))
        yield Replica(started, address)


@contextmanager
def nginx(folder: Path, upstreams: list[str]) -> Iterator[str]:
    """Run deploy/nginx.conf in front of two addresses; yield its own."""
    port = free_port()
    text = (ROOT / "deploy" / "nginx.conf").read_text("utf-8")
    for written, actual in zip(("127.0.0.1:8001", "127.0.0.1:8002"), upstreams, strict=True):
        text = text.replace(written, actual.removeprefix("http://"))
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{port}").replace("/tmp/mien-nginx", str(folder / "nginx"))
    text = re.sub(r"access_log .*;", "access_log off;", text)
    (folder / "nginx.conf").write_text(text, "utf-8")
    user = " user root;" if hasattr(os, "getuid") and os.getuid() == 0 else ""
    command = [str(NGINX), "-c", str(folder / "nginx.conf"), "-g", f"daemon off;{user}"]
    with process(command, os.environ, folder / "nginx.log"):
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(address))
        yield address


@contextmanager
def topology(folder: Path, **variables: str) -> Iterator[Topology]:
    """Run nginx in front of two Gunicorns; all end with the block."""
    with ExitStack() as stack:
        replicas = [stack.enter_context(gunicorn(folder, None, **variables)) for _ in range(2)]
        address = stack.enter_context(nginx(folder, [replica.address for replica in replicas]))
        yield Topology(address, replicas)
