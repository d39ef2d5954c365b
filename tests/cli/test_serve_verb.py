"""mien serve as a process: it says where it is, refuses what cannot work, and finishes what it took."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mien.cli import load_verb, main
from mien.web.settings import Settings, flag_of

pytest.importorskip("fastapi", reason="needs the [serve] extra")
httpx = pytest.importorskip("httpx")

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = [sys.executable, "-c", "import sys; from mien.cli import main; sys.exit(main())", "serve"]


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found, process.stderr.read() if process.stderr else ""
        yield process, found[0]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals to send")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_what_was_taken_is_finished_on_a_signal(name: str, model: Path, examples: Path) -> None:
    photo = (examples / "astronaut.jpg").read_bytes()
    with served("--port", "0", "--threads", "1", "--models", str(model)) as (process, address):
        files = [("images", photo)] * 12
        answers: list[int] = []
        asking = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{address}/v1/explain", files=files, timeout=60).status_code)
        )
        asking.start()
        while "mien_photos_held 0.0" in httpx.get(f"{address}/metrics", timeout=30).text:
            pass
        process.send_signal(getattr(signal, name))
        asking.join()
        assert answers == [200]
        process.wait(20)
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/healthz")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--port", "x"], "--port = 'x': expected a whole number"),
        (["--max-boddy", "1"], "Did you mean '--max-body'?"),
        (["--models", "no-such-model"], "Unknown model 'no-such-model'"),
        (["--detector", "yunnet"], "Did you mean 'yunet'?"),
        (["--rate", "often"], "60/minute"),
        (["--host", "192.0.2.1"], "assign requested address"),
    ],
)
def test_what_cannot_work_is_one_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mien.web.middleware.logs.configure", lambda level: None)
    assert main(["serve", "--port", "0", *arguments]) == 2
    told = capsys.readouterr().err
    assert expected in told
    notes, last = told.splitlines()[:-1], told.splitlines()[-1]
    assert expected in last
    assert all("192.0.2.1 is open to the network" in note for note in notes)


def test_every_setting_but_the_token_is_an_option() -> None:
    parser, _ = load_verb("serve")
    shown = parser.format_help()
    assert all((flag_of(one) in shown) == one.metadata["flag"] for one in fields(Settings))
    assert "--token" not in shown


def test_without_the_extra_the_command_says_what_to_install() -> None:
    code = "import sys; sys.modules['uvicorn'] = None; from mien.cli import main; sys.exit(main(['serve']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "pip install 'mien[serve]'" in done.stderr


def test_help_loads_no_server() -> None:
    code = "import sys; from mien.cli import main; main(['serve', '--help']); print('|', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not set(done.stdout.rpartition("|")[2].split()) & {"fastapi", "uvicorn", "numpy", "cv2", "onnxruntime"}


def test_a_host_of_both_kinds_of_address() -> None:
    """Until then ``--host ::`` was for IPv6 alone."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("needs IPv6")
    from mien.web.server import listen

    with listen("::", 0) as listener:
        for address in ("127.0.0.1", "::1"):
            with socket.create_connection((address, listener.getsockname()[1]), timeout=10):
                pass
