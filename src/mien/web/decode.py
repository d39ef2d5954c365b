"""Parse request bodies into photos, within limits and never on disk: multipart, raw, or JSON with base64."""

from __future__ import annotations

import asyncio
import binascii
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from mien.errors import ImageError
from mien.headers import read_header
from mien.web.arriving import LOOK, MAX_TEXT, NAMELESS, STRUCTURE, watch
from mien.web.problems import ProblemError, close_with

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from starlette.requests import Request

    from mien.web.arriving import Watch
    from mien.web.bodies import Bodies, Body
    from mien.web.settings import Settings

    Parse = Callable[[Request, bytes, Settings], Awaitable[list["Upload"]]]

COSTLY_PIXELS, COSTLY_RATIO = 4_000_000, 100
"""Pixels, and pixels per byte, above which a photo is costly: photos have at most some 40, blank pages hundreds."""

_TYPES = "multipart/form-data, application/json, image/… or application/octet-stream"


@dataclass(frozen=True)
class Upload:
    """One uploaded photo.

    Attributes:
        name: its file name, which is only repeated in the response.
        content: its encoded bytes; only the first ones if it is refused.
        refused: why it cannot be read, as its first bytes show.
        costly: whether decoding it costs far more than sending it.
    """

    name: str | None
    content: bytes
    refused: str = ""
    costly: bool = False


async def read_uploads(request: Request, settings: Settings, bodies: Bodies, body: Body) -> list[Upload]:
    """Read the photos of a request, at least one.

    Raises:
        ProblemError: a body that is not accepted.
    """
    kind = request.headers.get("content-type", "application/octet-stream").split(";")[0].strip().lower()
    parse = _select_parser(kind)
    _check_encoding(request)
    watching = watch(kind, request.headers.get("content-type", ""), settings.max_pixels, settings.max_images)
    content = await read_body(request, settings, bodies, body, watching)
    photos = await parse(request, content, settings)
    refusals = watching.refusals()
    photos = [replace(upload, refused=refusals.get(index, "")) for index, upload in enumerate(photos)]
    photos = [inspect(upload, settings.max_pixels) for upload in photos]
    if not photos or not all(upload.content for upload in photos):
        raise ProblemError("bad-request", f"{_describe_empty(photos)}: expected the bytes of at least one photo.")
    if len(photos) > settings.max_images:
        raise ProblemError("too-many-images", f"Got {len(photos)} photos: expected at most {settings.max_images}.")
    return photos


def inspect(upload: Upload, max_pixels: int) -> Upload:
    """Return the photo with what its header tells: that it cannot be read, or that it is costly."""
    if upload.refused or not upload.content:
        return upload
    size, looked = len(upload.content), LOOK
    try:
        while (header := read_header(upload.content[:looked], f"{size} bytes", max_pixels)) is None and looked < size:
            looked *= 2
    except ImageError as error:
        return replace(upload, refused=str(error))
    pixels = header.pixels if header is not None else 0
    return replace(upload, costly=pixels > max(COSTLY_PIXELS, COSTLY_RATIO * size))


def memory_weight(request: Request) -> int:
    """Return the maximum bytes of memory that each byte of a body takes until the response.

    Two, as the body is copied once, into one piece or out of its form; four for JSON, which adds the text and the
    decoded photos.
    """
    return 4 if "json" in request.headers.get("content-type", "").lower() else 2


async def read_body(request: Request, settings: Settings, bodies: Bodies, body: Body, watching: Watch) -> bytes:
    """Read the body, without the bytes of photos that ``watching`` refuses.

    Raises:
        ProblemError: it is too large, by its declared length or as received, or ``watching`` refuses it.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > settings.max_body:
        raise _too_large(f"{declared[:20]} bytes were declared", settings)
    try:
        async with asyncio.timeout(settings.body_timeout) as body.deadline:
            content = await _collect(request, settings, bodies, body, watching)
    except TimeoutError:
        raise close_with(
            "body-too-slow",
            f"The body was incomplete after {settings.body_timeout:g} s, or others needed its slot. Send it faster.",
        ) from None
    except ClientDisconnect:
        raise close_with("bad-request", "The connection was closed before the body was complete.") from None
    bodies.finish(body)
    return content


def _check_encoding(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        # A few kilobytes of gzip can unpack to gigabytes, and photos are already compressed.
        raise ProblemError("wrong-type", f"Content-Encoding {encoding[:40]!r}: send the body without compression.")


async def _collect(request: Request, settings: Settings, bodies: Bodies, body: Body, watching: Watch) -> bytes:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if body.received + len(chunk) > settings.max_body:
            raise _too_large("More bytes arrived", settings)
        if body.received + len(chunk) >= LOOK:
            watching.look(content)
        bodies.count(body, len(chunk), len(content))
    return bytes(content)


def _too_large(given: str, settings: Settings) -> ProblemError:
    return close_with("body-too-large", f"{given}: expected at most {settings.max_body}. Send smaller or fewer photos.")


def _select_parser(kind: str) -> Parse:
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
        request.headers, _stream(body), max_files=settings.max_images, max_fields=1, max_part_size=MAX_TEXT
    )
    parser.spool_max_size = settings.max_body + 1  # larger parts would be written to disk
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise ProblemError("too-many-images", f"Expected at most {settings.max_images} photos.") from None
        if error.message.startswith("Part exceeded"):  # the parser treats parts without a file name as short texts
            raise ProblemError("bad-request", NAMELESS) from None
        raise ProblemError(
            "bad-request", f"{error.message} Expected multipart/form-data with photos as files."
        ) from None
    photos = []
    for field, value in form.multi_items():
        if not isinstance(value, UploadFile):
            raise ProblemError(
                "bad-request", f"The field {field[:40]!r} is text: expected files. Put options into the query string."
            )
        photos.append(Upload(plain_name(value.filename), value.file.read()))
    await form.close()
    return photos


async def _stream(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


async def _from_json(_request: Request, body: bytes, settings: Settings) -> list[Upload]:
    # Parsing twenty megabytes of JSON can take a second, which would block the event loop.
    return await asyncio.to_thread(_parse_json, body, settings)


def _parse_json(body: bytes, settings: Settings) -> list[Upload]:
    expected = 'expected {"images": ["BASE64", …]}'
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProblemError("bad-request", f"The body is not JSON ({str(error)[:120]}): {expected}.") from None
    listed = given.get("images") if isinstance(given, dict) and len(given) == 1 else None
    if not isinstance(listed, list) or not all(isinstance(photo, str) for photo in listed):
        raise ProblemError("bad-request", STRUCTURE)
    if len(listed) > settings.max_images:
        raise ProblemError("too-many-images", f"Got {len(listed)} photos: expected at most {settings.max_images}.")
    return [Upload(None, _from_base64(text, index)) for index, text in enumerate(listed)]


def _from_base64(text: str, index: int) -> bytes:
    advice = " Leave out the prefix up to the comma." if text.startswith("data:") else ""
    try:
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)  # many programs wrap base64 lines
    except ValueError as error:
        raise ProblemError("bad-request", f"images[{index}] is not base64 ({error}).{advice}") from None


def _describe_empty(photos: list[Upload]) -> str:
    return (
        f"Photo {next(index for index, photo in enumerate(photos) if not photo.content)} is empty"
        if photos
        else "No photo"
    )


def plain_name(name: str | None) -> str | None:
    """Return the printable letters of a file's base name, which is repeated in the response and never opened."""
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in last if letter.isprintable())[:255] or None
