"""A request's body → photos as bytes, within the limits: multipart, raw, or JSON with base64; never on disk."""

from __future__ import annotations

import asyncio
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from mien.web.problems import ProblemError, closing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from starlette.requests import Request

    from mien.web.bodies import Bodies, Body
    from mien.web.settings import Settings

    Parse = Callable[[Request, bytes, Settings], Awaitable[list["Upload"]]]

_TYPES = "multipart/form-data, application/json, image/… or application/octet-stream"


@dataclass(frozen=True)
class Upload:
    """One photo as it was sent: its file name, which only the answer repeats, and its bytes."""

    name: str | None
    content: bytes


async def uploads(request: Request, settings: Settings, bodies: Bodies, body: Body) -> list[Upload]:
    """Return the photos of a request, at least one. Raises ``ProblemError`` for a body that cannot be taken."""
    kind = request.headers.get("content-type", "application/octet-stream").split(";")[0].strip().lower()
    content = await read_body(request, settings, bodies, body)
    found = await _parser(kind)(request, content, settings)
    if not found or not all(upload.content for upload in found):
        raise ProblemError("bad-request", f"{_empty(found)}: expected the bytes of at least one photo.")
    if len(found) > settings.max_images:
        raise ProblemError("too-many-images", f"Got {len(found)} photos: expected at most {settings.max_images}.")
    return found


def memory_weight(request: Request) -> int:
    """Return how many bytes of memory each byte of a body takes at most until it is answered.

    Two, as it is copied once into one piece or out of its form; for JSON four, as letters and what they decode to come
    on top.
    """
    return 4 if "json" in request.headers.get("content-type", "").lower() else 2


async def read_body(request: Request, settings: Settings, bodies: Bodies, body: Body) -> bytes:
    """Return the body; a larger one is refused by its declared length, or when the bytes that arrive are too many."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > settings.max_body:
        raise _too_large(f"{declared[:20]} bytes were declared", settings)
    try:
        async with asyncio.timeout(settings.body_timeout) as body.deadline:
            content = await _collected(request, settings, bodies, body)
    except TimeoutError:
        raise closing(
            "body-too-slow",
            f"The body was not whole after {settings.body_timeout:g} s, or others needed its place. Send it faster.",
        ) from None
    except ClientDisconnect:
        raise closing("bad-request", "The connection was closed before the body was whole.") from None
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        # A few kilobytes of gzip can unpack to gigabytes, and photos are compressed anyway.
        raise ProblemError("wrong-type", f"Content-Encoding {encoding[:40]!r}: send the body without compression.")
    bodies.arrived(body)
    return content


async def _collected(request: Request, settings: Settings, bodies: Bodies, body: Body) -> bytes:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > settings.max_body:
            raise _too_large("More bytes arrived", settings)
        bodies.take(body, len(chunk))
    return bytes(content)


def _too_large(given: str, settings: Settings) -> ProblemError:
    return closing("body-too-large", f"{given}: expected at most {settings.max_body}. Send smaller or fewer photos.")


def _parser(kind: str) -> Parse:
    if kind == "multipart/form-data":
        return _from_multipart
    if kind == "application/json":
        return _from_json
    if kind == "application/octet-stream" or kind.startswith("image/"):
        return _from_raw
    raise ProblemError(
        "wrong-type", f"Content-Type {kind[:80]!r}: expected {_TYPES}. With curl: -H 'Content-Type: image/jpeg'"
    )


async def _from_raw(_request: Request, body: bytes, _settings: Settings) -> list[Upload]:
    return [Upload(None, body)]


async def _from_multipart(request: Request, body: bytes, settings: Settings) -> list[Upload]:
    parser = MultiPartParser(
        request.headers, _once(body), max_files=settings.max_images, max_fields=1, max_part_size=1024
    )
    parser.spool_max_size = settings.max_body + 1  # larger parts would go to a file on the disk
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise ProblemError("too-many-images", f"Expected at most {settings.max_images} photos.") from None
        if error.message.startswith("Part exceeded"):  # the parser takes parts without a file name for short texts
            raise ProblemError(
                "bad-request",
                "A part has more than 1 KB and no file name, by which files are told from texts. Give the photo one; "
                "curl does so with -F 'image=@photo.jpg'.",
            ) from None
        raise ProblemError(
            "bad-request", f"{error.message} Expected multipart/form-data with photos as files."
        ) from None
    found = []
    for field, value in form.multi_items():
        if not isinstance(value, UploadFile):
            raise ProblemError(
                "bad-request", f"The field {field[:40]!r} is text: expected files; options go in the address."
            )
        found.append(Upload(plain_name(value.filename), value.file.read()))
    await form.close()
    return found


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


async def _from_json(_request: Request, body: bytes, settings: Settings) -> list[Upload]:
    # Twenty megabytes of JSON can take a second, in which the event loop has others to serve.
    return await asyncio.to_thread(_listed, body, settings)


def _listed(body: bytes, settings: Settings) -> list[Upload]:
    expected = 'expected {"images": ["BASE64", …]}'
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProblemError("bad-request", f"The body is no JSON ({str(error)[:120]}): {expected}.") from None
    listed = given.get("images") if isinstance(given, dict) and len(given) == 1 else None
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise ProblemError("bad-request", f"The JSON has another form: {expected}; options go in the address.")
    if len(listed) > settings.max_images:
        raise ProblemError("too-many-images", f"Got {len(listed)} photos: expected at most {settings.max_images}.")
    return [Upload(None, _from_base64(text, place)) for place, text in enumerate(listed)]


def _from_base64(text: str, place: int) -> bytes:
    advice = " Leave out what stands before the comma." if text.startswith("data:") else ""
    try:
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)  # many programs wrap its lines
    except ValueError as error:
        raise ProblemError("bad-request", f"images[{place}] is no base64 ({error}).{advice}") from None


def _empty(found: list[Upload]) -> str:
    return (
        f"Photo {next(place for place, one in enumerate(found) if not one.content)} is empty" if found else "No photo"
    )


def plain_name(name: str | None) -> str | None:
    """Return the last part of a file name, as far as it can be printed; it is repeated in the answer, never opened."""
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in last if letter.isprintable())[:255] or None
