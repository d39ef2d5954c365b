"""What is refused: bodies, photos, names, origins, tokens, rates; each as a problem that says what to do."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from PIL import Image
from serving import get, post, wait_until
from support import noise

from mien.errors import OptionError
from mien.web.app import create_app
from mien.web.decode import plain_name
from mien.web.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[..., str]

PNG = {"Content-Type": "image/png"}
TOKEN = "a-token-of-some-length"


def kind(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    told = answer.json()
    assert told["status"] == answer.status_code
    return str(told["type"]).removeprefix("urn:mien:problem:")


def bomb(width: int, height: int, content: bytes = b"") -> bytes:
    """A PNG that says it has that many pixels, and hardly any bytes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + content + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[" * 60_000, "not JSON"),
        (b"[" * 100_000, "wrong structure"),
        (b"1" * 5000, "not JSON"),
        (b"[]", "wrong structure"),
        (b'{"images": "x"}', "wrong structure"),
        (b'{"images": [1]}', "wrong structure"),
        (b'{"images": ["aGk="], "detector": "haar"}', "query string"),
        (b'{"images": []}', "No photo"),
        (b'{"images": [""]}', "Photo 0 is empty"),
        (b'{"images": ["not base64!"]}', "images[0] is not base64"),
        (b'{"images": ["data:image/png;base64,aGk="]}', "up to the comma"),
        ('{"images": ["é"]}'.encode(), "images[0] is not base64"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_bad_json(client: httpx.Client, body: bytes, expected: str) -> None:
    answer = client.post("/v1/predict", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, kind(answer)) == (400, "bad-request")
    assert expected in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (b"", "multipart/form-data"),
        (b"--x\r\n", "multipart/form-data; boundary=x"),
        (b"garbage", "multipart/form-data; boundary=x"),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nhi\r\n--x--\r\n', "multipart/form-data; boundary=x"),
        (b"--x\r\nContent-Type: image/png\r\n\r\nhi\r\n--x--\r\n", "multipart/form-data; boundary=x; charset=nope"),
    ],
)
def test_bad_forms(client: httpx.Client, body: bytes, header: str) -> None:
    answer = client.post("/v1/predict", content=body, headers={"Content-Type": header})
    assert (answer.status_code, kind(answer)) == (400, "bad-request")


def test_empty_bodies_and_other_types(client: httpx.Client, photo: bytes) -> None:
    assert kind(client.post("/v1/predict", content=b"", headers=PNG)) == "bad-request"
    assert kind(client.post("/v1/predict", content=photo, headers={"Content-Type": "text/plain"})) == "wrong-type"
    packed = {**PNG, "Content-Encoding": "gzip"}
    assert kind(client.post("/v1/predict", content=photo, headers=packed)) == "wrong-type"


def test_a_large_body_is_refused_by_what_it_declares_and_by_what_arrives(serve: Serve, photo: bytes) -> None:
    address = serve(max_body=len(photo))
    large = photo + b"x"
    assert post(f"{address}/v1/predict", content=photo, headers=PNG).status_code == 200
    assert kind(post(f"{address}/v1/predict", content=large, headers=PNG)) == "body-too-large"
    chunked = post(f"{address}/v1/predict", content=iter([photo, b"x"]), headers=PNG)
    assert kind(chunked) == "body-too-large"


def test_too_many_photos(serve: Serve, photo: bytes) -> None:
    address = f"{serve(max_images=2)}/v1/predict"
    text = base64.b64encode(photo).decode()
    assert kind(post(address, files=[("images", photo)] * 3)) == "too-many-images"
    assert kind(post(address, json={"images": [text] * 3})) == "too-many-images"
    assert post(address, files=[("images", photo)] * 2).status_code == 200


def test_pixel_bombs_are_refused_before_they_are_unpacked(client: httpx.Client) -> None:
    huge = client.post("/v1/predict", content=bomb(60_000, 60_000), headers=PNG)
    assert kind(huge) == "unreadable-image"
    assert "at most 25000000" in huge.json()["detail"]
    text = b"Comment\0\0" + zlib.compress(b"x" * 50_000_000)
    packed = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    answer = client.post("/v1/predict", content=bomb(8, 8, packed), headers=PNG)
    assert answer.json()["results"][0]["width"] == 8, "a text that no pixel depends on was unpacked"


def test_a_zip_archive_is_no_photo(client: httpx.Client) -> None:
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * 10_000_000)
    assert kind(client.post("/v1/predict", content=buffer.getvalue(), headers=PNG)) == "unreadable-image"


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.png", "a.png"),
        ("a\r\nSet-Cookie: x=1", "aSet-Cookie: x=1"),
        ("..", ".."),
        ("x" * 999, "x" * 255),
        ("dir/", None),
        (None, None),
        ("Grüße 😀.png", "Grüße 😀.png"),
    ],
)
def test_only_the_last_part_of_a_name_comes_back(given: str | None, plain: str | None) -> None:
    assert plain_name(given) == plain


def test_a_path_in_a_name_opens_nothing(client: httpx.Client, photo: bytes) -> None:
    answer = client.post("/v1/predict", files={"images": ("../../../../etc/passwd", photo)})
    assert answer.json()["results"][0]["source"] == "passwd"
    assert client.get("/static/..%2f..%2fsettings.py").status_code == 404
    assert client.get("/static/%2e%2e/settings.py").status_code == 404


def test_every_answer_has_the_security_headers(client: httpx.Client) -> None:
    for answer in (client.get("/"), client.get("/v1/models"), client.get("/nothing"), client.get("/static/app.js")):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers
    assert client.get("/v1/models").headers["cache-control"] == "no-store"


def test_a_request_id_is_kept_if_it_is_a_plain_word(client: httpx.Client) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert len(client.get("/healthz", headers={"X-Request-ID": "a b"}).headers["x-request-id"]) == 32
    assert len(client.get("/healthz", headers={"X-Request-ID": "a" * 65}).headers["x-request-id"]) == 32


def test_token(serve: Serve, photo: bytes) -> None:
    address = serve(token=TOKEN)
    wrong: list[dict[str, str]] = [{}, {"Authorization": "Bearer no"}, {"Authorization": f"Basic {TOKEN}"}]
    for headers in wrong:
        answer = post(f"{address}/v1/predict", content=photo, headers={**PNG, **headers})
        assert (kind(answer), answer.headers["www-authenticate"]) == ("no-token", "Bearer")
    assert kind(get(f"{address}/metrics")) == "no-token"
    right = {**PNG, "Authorization": f"Bearer {TOKEN}"}
    assert post(f"{address}/v1/predict", content=photo, headers=right).status_code == 200
    assert get(address).status_code == get(f"{address}/readyz").status_code == 200


def test_a_token_holds_where_the_application_is_mounted_in_another(recognizer: Any) -> None:
    import asyncio

    from starlette.applications import Starlette
    from starlette.routing import Mount

    outer = Starlette(routes=[Mount("/mien", create_app(Settings(token=TOKEN), recognizer))])

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(outer)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return [(await client.get(f"/mien{path}")).status_code for path in ("/v1/models", "/metrics", "/healthz")]

    assert asyncio.run(ask()) == [401, 401, 200]


def test_rate(serve: Serve) -> None:
    address = serve(rate="3/minute")
    answers = [get(f"{address}/v1/models") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert kind(answers[-1]) == "too-many-requests"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert get(f"{address}/healthz").status_code == 200
    with pytest.raises(OptionError, match="60/minute"):
        create_app(Settings(rate="sometimes"))


def test_a_claimed_address_buys_no_requests(serve: Serve) -> None:
    """What stands left of the proxy's own entry is the client's claim."""
    address = serve(rate="3/minute", proxies="*")
    claims = [{"X-Forwarded-For": f"10.0.0.{one}, 198.51.100.7"} for one in range(4)]
    assert [get(f"{address}/v1/models", headers=claim).status_code for claim in claims] == [200, 200, 200, 429]
    other = {"X-Forwarded-For": "198.51.100.8"}
    assert get(f"{address}/v1/models", headers=other).status_code == 200


def test_wrong_tokens_are_limited(serve: Serve) -> None:
    address = serve(token=TOKEN)
    wrong = {"Authorization": "Bearer wrong"}
    with httpx.Client(base_url=address, headers=wrong, timeout=30) as client:
        answers = [client.get("/v1/models").status_code for _ in range(31)]
    assert answers == [401] * 30 + [429]
    assert get(f"{address}/v1/models", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_pages_of_other_sites(serve: Serve, photo: bytes) -> None:
    address, friend = serve(origins=("https://friend.example",)), {"Origin": "https://friend.example"}
    plain = post(f"{serve()}/v1/predict", content=photo, headers={**PNG, **friend})
    assert (plain.status_code, kind(plain)) == (403, "foreign-origin")
    assert "access-control-allow-origin" not in plain.headers
    own = post(f"{address}/v1/predict", content=photo, headers={**PNG, "Origin": address})
    allowed = post(f"{address}/v1/predict", content=photo, headers={**PNG, **friend})
    assert own.status_code == allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == friend["Origin"]
    asked = {**friend, "Access-Control-Request-Method": "POST"}
    assert httpx.options(f"{address}/v1/predict", headers=asked).status_code == 200
    for origin in ("https://evil.example", "null", "https://friend.example.evil.example"):
        answer = post(f"{address}/v1/predict", content=photo, headers={**PNG, "Origin": origin})
        assert kind(answer) == "foreign-origin"


def test_logs_say_how_it_went_and_nothing_of_the_photo(
    serve: Serve, photo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    from mien.web.middleware.logs import JsonLines

    address = serve()
    caplog.set_level("DEBUG", "mien.web")
    post(f"{address}/v1/predict?model=tiny", files={"images": ("secret-name.png", photo)})
    get(f"{address}/secret-address")

    def lines() -> list[str]:
        return [JsonLines().format(record) for record in caplog.records if record.name == "mien.web"]

    wait_until(lambda: len(lines()) == 2)  # a line is written when its answer has gone
    told: dict[str, Any] = {line["route"]: line for line in map(json.loads, lines())}
    expected = {"status": 200, "photos": 1, "faces": 4, "bytes": len(photo)}
    assert expected.items() <= told["/v1/predict"].items()
    assert told["other"]["kind"] == "not-found"
    assert "secret" not in "".join(lines())


def test_a_mistake_of_our_own_is_a_problem_without_its_reason(serve: Serve, model: Any, photo: bytes) -> None:
    from serving import Quarters

    from mien.recognition.recognizer import load

    class Broken(Quarters):
        def detect(self, pixels: Any) -> Any:
            if pixels.shape[:2] != (480, 640):
                raise RuntimeError("secret reason")
            return ()

    answer = post(f"{serve(load(model, detector=Broken(), threads=1))}/v1/predict", content=photo, headers=PNG)
    assert (answer.status_code, kind(answer)) == (500, "internal")
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "secret" not in answer.text


def test_a_form_with_large_photos_stays_in_memory(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a photo went to the disk")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(noise(900, 900))).save(buffer, "BMP")
    assert len(buffer.getvalue()) > 2_000_000
    assert client.post("/v1/predict", files={"images": ("a.bmp", buffer.getvalue())}).status_code == 200
