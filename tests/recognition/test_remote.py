"""Pictures at addresses: only where allowed, only from public hosts, only within limits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import mien
from mien.errors import ImageError, OptionError
from mien.recognition import remote


class Pages(BaseHTTPRequestHandler):
    """One picture at ``/photo.jpg``; redirects; an endless file."""

    photo = b""
    done = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/photo.jpg")
            self.end_headers()
        elif self.path == "/around":
            self.send_response(302)
            self.send_header("Location", "/around")
            self.end_headers()
        elif self.path == "/photo.jpg":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.photo)
        elif self.path == "/drip":  # never silent for long, never done
            self.send_response(200)
            self.end_headers()
            for _ in range(200):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.05)
            self.done.set()
        elif self.path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.photo)))
            self.end_headers()
            self.wfile.write(self.photo[:1000])
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def address(examples: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Pages, "photo", (examples / "astronaut.jpg").read_bytes())
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take this computer for a public host."""
    monkeypatch.setattr(remote, "is_public", lambda _: True)


@pytest.mark.usefixtures("local")
def test_a_photo_is_fetched(address: str, model: Path, examples: Path) -> None:
    recognizer = mien.load(model, threads=1, allow_urls=True)
    result = recognizer.predict(f"{address}/photo.jpg")
    assert result.source == f"{address}/photo.jpg"
    assert result.faces == recognizer.predict(examples / "astronaut.jpg").faces
    assert recognizer.predict([f"{address}/moved"])[0].faces == result.faces


@pytest.mark.usefixtures("local")
def test_limits(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match="redirects more than 4 times"):
        remote.fetch(f"{address}/around", allowed=True)
    with pytest.raises(ImageError, match="answers 404"):
        remote.fetch(f"{address}/none", allowed=True)
    monkeypatch.setattr(remote, "MAX_BYTES", 1000)
    with pytest.raises(ImageError, match="holds more than 1000 bytes"):
        remote.fetch(f"{address}/photo.jpg", allowed=True)


@pytest.mark.usefixtures("local")
def test_a_host_that_drips_is_left(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "SECONDS", 0.5)
    with pytest.raises(ImageError, match=r"takes more than 0\.5 seconds"):
        remote.fetch(f"{address}/drip", allowed=True)
    assert not Pages.done.is_set()  # it did not wait for the last byte


@pytest.mark.usefixtures("local")
def test_half_a_file_is_none(address: str) -> None:
    with pytest.raises(ImageError, match=r"broke off \d+ bytes before its end"):
        remote.fetch(f"{address}/cut", allowed=True)


@pytest.mark.parametrize("allowed", [False, True])
def test_passwords_are_not_printed(allowed: bool) -> None:
    with pytest.raises((ImageError, OptionError)) as caught:
        remote.fetch("https://user:secret@example.org/a.jpg", allowed=allowed)
    assert "secret" not in str(caught.value)
    assert "example.org/a.jpg" in str(caught.value)


def test_this_network_is_not_asked(address: str) -> None:
    with pytest.raises(ImageError, match="no public host"):
        remote.fetch(f"{address}/photo.jpg", allowed=True)
    for wrong in ("http://user:secret@example.org/a.jpg", "http:///a.jpg"):
        with pytest.raises(ImageError, match="expected http"):
            remote.fetch(wrong, allowed=True)


@pytest.mark.parametrize(
    ("ip", "public"),
    [
        ("1.1.1.1", True), ("2606:4700:4700::1111", True), ("127.0.0.1", False), ("10.0.0.1", False),
        ("169.254.169.254", False), ("::1", False), ("::ffff:10.0.0.1", False), ("fe80::1%eth0", False),
        ("224.0.0.1", False), ("0.0.0.0", False),
    ],
)  # fmt: skip
def test_public_addresses(ip: str, public: bool) -> None:
    assert remote.is_public(ip) == public


def test_addresses_are_read_where_that_is_allowed_only(model: Path) -> None:
    with pytest.raises(OptionError, match=r"mien.load\(allow_urls=True\)"):
        mien.load(model, threads=1).predict("https://example.org/a.jpg")
