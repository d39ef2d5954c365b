"""Bodies of junk are refused or dropped while they arrive, however photos are sent; whole photos pass unchanged."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
from contextlib import ExitStack
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from serving import encoded, get, post
from starlette.requests import Request

from mien.web.arriving import LOOK
from mien.web.bodies import Bodies
from mien.web.decode import Upload, memory_weight, read_uploads
from mien.web.problems import ProblemError
from mien.web.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[..., str]

MEGABYTES = 2
EMPTY = bytes(4) + b"teXt" + bytes(4)
JUNK = {
    "jpeg fill": b"\xff\xd8" + b"\xff" * (MEGABYTES << 20),
    "jpeg applications": b"\xff\xd8" + b"\xff\xe1\x00\x04AB" * (MEGABYTES << 18),
    "jpeg comments": b"\xff\xd8" + b"\xff\xfe\x00\x02" * (MEGABYTES << 18),
    "png empty chunks": encoded(np.zeros((9, 9, 3), np.uint8))[:33] + EMPTY * (MEGABYTES << 17),
    "ppm comments": b"P6\n" + b"# x\n" * (MEGABYTES << 18),
    "unknown": b"x" * (MEGABYTES << 20),
}  # fmt: skip
FORM, JSON = "multipart/form-data; boundary=XX", "application/json"


def form(photos: list[bytes]) -> bytes:
    parts = [
        b'--XX\r\nContent-Disposition: form-data; name="image"; filename="%d.jpg"\r\n\r\n%b\r\n' % (number, photo)
        for number, photo in enumerate(photos)
    ]
    return b"".join(parts) + b"--XX--\r\n"


def in_json(photos: list[bytes]) -> bytes:
    return json.dumps({"images": [base64.b64encode(photo).decode() for photo in photos]}).encode()


class Sender:
    """A client that sends a body piece by piece; ``sent`` and ``most_held`` count bytes."""

    def __init__(self, kind: str, content: bytes, sizes: Callable[[], int] = lambda: 65_536) -> None:
        self.kind, self.content, self.sizes = kind, content, sizes
        self.sent = self.most_held = 0

    def receive(self) -> list[Upload]:
        """Read the photos as the server does."""
        headers = [(b"content-type", self.kind.encode()), (b"content-length", str(len(self.content)).encode())]
        request = Request({"type": "http", "method": "POST", "headers": headers}, self._next)
        bodies = Bodies(9, 1 << 30)
        with bodies.hold("a", memory_weight(request)) as self.body:
            return asyncio.run(read_uploads(request, Settings(threads=1), bodies, self.body))

    async def _next(self) -> dict[str, Any]:
        self.most_held = max(self.most_held, self.body.size)
        begin, self.sent = self.sent, self.sent + self.sizes()
        return {
            "type": "http.request",
            "body": self.content[begin : self.sent],
            "more_body": self.sent < len(self.content),
        }


@pytest.mark.parametrize("name", JUNK)
def test_junk_is_not_read_to_its_end(name: str) -> None:
    sender = Sender("image/jpeg", JUNK[name])
    with pytest.raises(ProblemError) as refused:
        sender.receive()
    assert (refused.value.kind, dict(refused.value.headers or {})) == ("unreadable-image", {"Connection": "close"})
    assert sender.sent <= 512_000


@pytest.mark.parametrize(("kind", "wrap"), [(FORM, form), (JSON, in_json)], ids=["form", "json"])
@pytest.mark.parametrize("name", JUNK)
def test_junk_among_photos_is_not_held_and_loses_no_photo(
    kind: str, wrap: Callable[[list[bytes]], bytes], name: str, photo: bytes, smooth: bytes
) -> None:
    sender = Sender(kind, wrap([photo, JUNK[name], JUNK[name], smooth]))
    first, second, third, last = sender.receive()
    assert (first.content, last.content) == (photo, smooth)
    assert [bool(upload.refused) for upload in (first, second, third, last)] == [False, True, True, False]
    assert sender.most_held <= 1_000_000
    assert sender.sent >= len(sender.content)


@pytest.mark.parametrize(
    "unit",
    [b"[],", b"{},", b'"ab",', b"1.5,", b" ", b'{"images":["AAAA"],'],
    ids=["lists", "objects", "texts", "numbers", "spaces", "open"],
)
def test_json_of_another_structure_is_never_parsed(unit: bytes) -> None:
    """Parsed, 20 MB of empty lists take 450 MB of memory."""
    for head in (b'{"images":[', b"[", b""):
        sender = Sender(JSON, head + unit * (2_000_000 // len(unit)))
        with pytest.raises(ProblemError) as refused:
            sender.receive()
        assert refused.value.kind in ("bad-request", "too-many-images")
        assert sender.sent <= 2 * LOOK


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'--XX\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + b"x" * 2_000_000, "bad-request"),
        (b"--XX\r\n" + b"A: b\r\n" * 300_000, "bad-request"),
        (b"x" * 2_000_000, "bad-request"),
        (form([b"x" * LOOK] * 17) + bytes(2_000_000), "too-many-images"),
    ],
    ids=["no name", "head", "no form", "many"],
)
def test_forms_that_will_not_be_accepted_are_not_read_to_their_end(content: bytes, kind: str) -> None:
    sender = Sender(FORM, content)
    with pytest.raises(ProblemError) as refused:
        sender.receive()
    assert refused.value.kind == kind
    assert sender.sent <= 18 * LOOK


def test_bodies_of_other_types_are_not_read_at_all() -> None:
    for kind in ("text/plain", "application/zip"):
        sender = Sender(kind, bytes(1_000_000))
        with pytest.raises(ProblemError) as refused:
            sender.receive()
        assert (refused.value.kind, sender.sent) == ("wrong-type", 0)


@pytest.mark.parametrize("seed", range(6))
def test_photos_pass_unchanged_in_whatever_pieces_they_come(seed: int) -> None:
    random_ = Random(seed)
    draw = np.random.default_rng(seed)
    sides = [random_.choice((4, 150, 400)) for _ in range(random_.randint(1, 5))]
    photos = [encoded(draw.integers(0, 256, (side, side, 3), dtype=np.uint8)) for side in sides]
    photos += [b"\r\n--X" + draw.bytes(200_000), b"\r\n--XX-"[: random_.randint(1, 5)]]
    escaped = in_json(photos[:-2]).replace(b"/", b"\\/").replace(b'", "', b'"\n,\t"').replace(b"A", b"\\nA\\r", 3)
    pieces = (lambda: random_.choice((1, 2, 1000, 30_000, 65_536, 262_144)), lambda: 10**9, lambda: 4099)
    for sizes in pieces:
        uploads = Sender(FORM, form(photos), sizes).receive()
        assert [upload.content for upload in uploads if not upload.refused] == photos[:-2]
        for text in (in_json(photos[:-2]), escaped):
            uploads = Sender(JSON, text, sizes).receive()
            assert [upload.content for upload in uploads] == photos[:-2]
        assert [upload.content for upload in Sender("image/png", photos[0], sizes).receive()] == photos[:1]


@pytest.mark.parametrize("seed", range(8))
def test_base64_with_escaped_characters_is_no_junk(seed: int) -> None:
    """A header of 200 kB, so that it is looked at several times; a shift of one character would make it junk."""
    draw, buffer = np.random.default_rng(seed), io.BytesIO()
    picture = Image.fromarray(draw.integers(0, 256, (300, 300, 3), dtype=np.uint8))
    picture.save(buffer, "JPEG", quality=95, icc_profile=draw.bytes(200_000))
    text = in_json([buffer.getvalue()]).replace(b"+", b"\\u002B").replace(b"Q", b"\\u0051").replace(b"/", b"\\/")
    (upload,) = Sender(JSON, text, lambda: 5_003).receive()
    assert (upload.refused, upload.content) == ("", buffer.getvalue())


def test_escaped_characters_that_are_no_base64_are_left_to_the_decoder() -> None:
    text = b'{"images": ["' + b"\\ud800\\u00e9" * 20_000 + b'"]}'
    with pytest.raises(ProblemError) as refused:
        Sender(JSON, text).receive()
    assert refused.value.kind == "bad-request"


def test_others_are_answered_while_junk_is_sent(serve: Serve, photo: bytes) -> None:
    """Two uploads at a time are taken: bodies that were refused must not be among them, however long they last."""
    address = serve(uploads=2, body_timeout=600, max_held=1_000_000)
    host, _, port = address.removeprefix("http://").partition(":")
    with ExitStack() as stack:
        for name in (*JUNK, *JUNK):
            connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=30))
            head = (
                b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 19900000\r\n\r\n"
            )
            connection.sendall(head + JUNK[name][:600_000])
            assert connection.recv(65_536).startswith(b"HTTP/1.1 422 ")
            assert (
                post(f"{address}/v1/predict", content=photo, headers={"Content-Type": "image/png"}).status_code == 200
            )
        text = get(f"{address}/metrics").text
    assert f'mien_bodies_refused_total{{kind="unreadable-image"}} {2.0 * len(JUNK)}' in text
    assert "mien_bodies_held 0.0" in text


def test_a_photo_of_junk_among_others_is_an_error_at_its_index(serve: Serve, photo: bytes) -> None:
    photos = [photo, JUNK["unknown"][:1_000_000], photo]
    for kind, content in ((FORM, form(photos)), (JSON, in_json(photos))):
        answer = post(f"{serve()}/v1/predict", content=content, headers={"Content-Type": kind})
        assert answer.status_code == 200
        assert ["error" in result for result in answer.json()["results"]] == [False, True, False]
