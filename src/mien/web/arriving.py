"""Photos in a body that is still arriving: junk is refused, or dropped, before it has been received and held.

A single photo is refused as soon as its first bytes cannot belong to a picture. In a form or in JSON a photo that
cannot be read must not lose the others, so its bytes are dropped as they come and the error takes its index in the
results.
"""

from __future__ import annotations

import binascii
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from python_multipart.multipart import parse_options_header

from mien.errors import ImageError
from mien.formats import PREFIX
from mien.headers import read_header
from mien.web.problems import close_with

LOOK = 65_536
"""Bytes from which a body or a photo is looked at; what is smaller costs little to receive."""

MAX_HEAD = 16_384
"""Bytes of the head of a form's part, or of JSON around its photos."""

MAX_TEXT = 1024
"""Bytes of a form's part without a file name."""

NAMELESS = (
    "A part larger than 1 KB has no file name, so it is not recognised as a file. Add one; "
    "curl does so with -F 'image=@photo.jpg'."
)

STRUCTURE = 'The JSON has the wrong structure: expected {"images": ["BASE64", …]}. Put options into the query string.'

_JSON_HEAD = re.compile(rb'\s*\{\s*"images"\s*:\s*\[\s*("|\])')
_JSON_NEXT = re.compile(rb'\s*(,\s*"|\])')
_JSON_END = re.compile(rb"\s*\}\s*")
_NO_DIGIT = re.compile(rb"\\u([0-9a-fA-F]{4})|\\(?:u[0-9a-fA-F]{0,3}\Z|[bfnrt])|[\s\\]")
"""Escapes and space among base64: an escaped slash leaves the slash, and an escape cut off at the end nothing."""

_DROPPED = b"AAAA"
"""Base64 that stands for a photo whose bytes were dropped."""


class Photo:
    """One encoded photo that is arriving.

    Attributes:
        refused: why it cannot be read; empty as long as it may be.
    """

    def __init__(self, name: str, max_pixels: int) -> None:
        self.name, self.max_pixels, self.refused = name, max_pixels, ""
        self._due: float = LOOK

    def is_due(self, size: int) -> bool:
        """Check whether so many bytes of the photo are enough for another look."""
        return size >= self._due

    def look(self, start: bytes) -> None:
        """Look at the first bytes, of which there are twice as many as the last time, until the header is whole."""
        self._due = 2 * len(start)
        try:
            header = read_header(start, self.name, self.max_pixels)
        except ImageError as error:
            self.refused = str(error)
            header = None
        if header is not None or self.refused:
            self._due = float("inf")

    def look_encoded(self, text: bytes) -> None:
        """Look at the beginning of the photo's base64, in JSON."""
        digits = _NO_DIGIT.sub(_unescape, text)
        try:
            start = binascii.a2b_base64(digits[: len(digits) // 4 * 4])
        except ValueError:  # of which the whole text's decoder will tell
            start = b""
        self._due = 2 * len(text)
        if len(start) >= PREFIX:
            due = self._due
            self.look(start)
            self._due = max(self._due, due)


def _unescape(match: re.Match[bytes]) -> bytes:
    """Return the character of ``\\u002B`` and its like, as .NET writes every plus; nothing for space."""
    return chr(int(match[1], 16)).strip().encode("ascii", "ignore") if match[1] else b""


class Watch(ABC):
    """Looks at a body after each piece of it that arrives."""

    @abstractmethod
    def look(self, content: bytearray) -> None:
        """Look at all that has arrived, from which bytes of refused photos are removed.

        Raises:
            ProblemError: the body will not be accepted, whatever follows.
        """

    def refusals(self) -> dict[int, str]:
        """Return index → error of the photos whose bytes were dropped."""
        return {}


class RawWatch(Watch):
    """Looks at a body that is one photo."""

    def __init__(self, max_pixels: int) -> None:
        self._photo = Photo("The photo", max_pixels)

    def look(self, content: bytearray) -> None:
        """Refuse the body if its beginning is no picture's."""
        if self._photo.is_due(len(content)):
            self._photo.look(bytes(content))
            if self._photo.refused:
                raise close_with("unreadable-image", self._photo.refused)


@dataclass
class _Several(Watch):
    """Looks at a body of several photos.

    Attributes:
        max_pixels, max_images: limits of a photo and of the body.
        photos: those that have begun, in their order.
    """

    max_pixels: int
    max_images: int
    photos: list[Photo] = field(default_factory=list)
    _position: int = 0  # of what has not been looked at
    _begin: int = 0  # of the photo that is arriving
    _next: Callable[[bytearray], bool] = field(init=False)

    def look(self, content: bytearray) -> None:
        """Follow the structure of the body as far as it has arrived."""
        while self._next(content):
            pass

    def refusals(self) -> dict[int, str]:
        """Return index → error of the photos whose bytes were dropped."""
        return {index: photo.refused for index, photo in enumerate(self.photos) if photo.refused}

    def _open(self, begin: int) -> None:
        if len(self.photos) >= self.max_images:
            raise close_with("too-many-images", f"Expected at most {self.max_images} photos.")
        self.photos.append(Photo(f"Photo {len(self.photos)}", self.max_pixels))
        self._begin = self._position = begin

    def _drop(self, content: bytearray, begin: int, end: int) -> int:
        """Remove a refused photo's bytes; return how many were removed."""
        if not self.photos[-1].refused or end <= begin:
            return 0
        del content[begin:end]
        return end - begin


class FormWatch(_Several):
    """Looks at ``multipart/form-data`` (RFC 7578)."""

    def __init__(self, content_type: str, max_pixels: int, max_images: int) -> None:
        super().__init__(max_pixels, max_images)
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        self._delimiter = b"\r\n--" + boundary
        self._next = self._read_head
        self._is_file = False

    def _read_head(self, content: bytearray) -> bool:
        end = content.find(b"\r\n\r\n", self._position, self._position + MAX_HEAD)
        if end < 0:
            if len(content) - self._position > MAX_HEAD:
                raise close_with(
                    "bad-request",
                    f"A part of the form has a head of more than {MAX_HEAD} bytes. "
                    "Expected multipart/form-data with photos as files.",
                )
            return False
        self._is_file = b"filename" in content[self._position : end].lower()
        if self._is_file:
            self._open(end + 4)
        else:
            self._begin = self._position = end + 4
        self._next = self._read_part
        return True

    def _read_part(self, content: bytearray) -> bool:
        # A line break of the head may already belong to the delimiter behind an empty part.
        end = content.find(self._delimiter, max(self._position, self._begin) - 2)
        if not self._is_file and (end if end >= 0 else len(content)) - self._begin > MAX_TEXT:
            raise close_with("bad-request", NAMELESS)
        known = end if end >= 0 else max(self._begin, len(content) - len(self._delimiter))
        if self._is_file:
            known -= self._check(content, known)
        self._position = known
        if end >= 0:
            self._position += len(self._delimiter)
            self._next = self._read_head
        return end >= 0

    def _check(self, content: bytearray, end: int) -> int:
        photo, size = self.photos[-1], end - self._begin
        if photo.is_due(size):
            photo.look(bytes(memoryview(content)[self._begin : end]))
        return self._drop(content, self._begin + LOOK, end)


class JsonWatch(_Several):
    """Looks at ``{"images": ["BASE64", …]}``.

    Anything else is refused here, not only junk: parsed, 20 MB of empty lists or objects would take 500 MB.
    """

    def __init__(self, max_pixels: int, max_images: int) -> None:
        super().__init__(max_pixels, max_images)
        self._next = self._read_start

    def _read_start(self, content: bytearray) -> bool:
        return self._read_between(content, _JSON_HEAD)

    def _read_comma(self, content: bytearray) -> bool:
        return self._read_between(content, _JSON_NEXT)

    def _read_between(self, content: bytearray, pattern: re.Pattern[bytes]) -> bool:
        match = pattern.match(content, self._position, self._position + MAX_HEAD)
        if match is None:
            return self._wait(content)
        if match[1].endswith(b'"'):
            self._open(match.end())
            self._next = self._read_photo
        else:
            self._position, self._next = match.end(), self._read_end
        return True

    def _read_photo(self, content: bytearray) -> bool:
        end = content.find(b'"', self._position)
        known = end if end >= 0 else len(content)
        known -= self._check(content, known)
        self._position = known
        if end >= 0:
            self._position, self._next = known + 1, self._read_comma
        return end >= 0

    def _read_end(self, content: bytearray) -> bool:
        match = _JSON_END.match(content, self._position, self._position + MAX_HEAD)
        if match is None:
            return self._wait(content)
        self._position, self._next = match.end(), self._wait
        return True

    def _wait(self, content: bytearray) -> bool:
        """Wait for more, unless what there is can be no JSON of this structure."""
        if len(content) - self._position >= MAX_HEAD:
            raise close_with("bad-request", STRUCTURE)
        return False

    def _check(self, content: bytearray, end: int) -> int:
        photo, size = self.photos[-1], end - self._begin
        if photo.is_due(size):
            photo.look_encoded(bytes(memoryview(content)[self._begin : end]))
            if photo.refused:
                content[self._begin : end] = _DROPPED
                return size - len(_DROPPED)
        return self._drop(content, self._begin + len(_DROPPED), end)


def watch(kind: str, content_type: str, max_pixels: int, max_images: int) -> Watch:
    """Return what looks at a body.

    Args:
        kind: the media type: ``multipart/form-data``, ``application/json``, or that of a single photo.
        content_type: the whole header, with the boundary of a form.
        max_pixels, max_images: limits of a photo and of a body.
    """
    if kind == "multipart/form-data":
        return FormWatch(content_type, max_pixels, max_images)
    return JsonWatch(max_pixels, max_images) if kind == "application/json" else RawWatch(max_pixels)
