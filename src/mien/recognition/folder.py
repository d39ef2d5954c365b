"""Many photos in, one result each out: folders, patterns and lists, in bounded memory.

Decoding, finding faces and reading them overlap: some threads find the faces of the next photos while the network reads
those of the last batch and the caller writes.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cores import usable_cores
from mien.errors import FileMissingError, ImageError, OptionError
from mien.recognition.listing import find_images

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from mien.recognition.recognizer import Found, Recognizer
    from mien.results import ImageResult

__all__ = ["CHUNK", "Picture", "Unreadable", "find_images", "read_folder", "read_pictures"]

CHUNK = 16
"""Photos whose faces share one batch. More costs memory and wins no time: the network is fed well by then."""

_FINDERS = min(4, usable_cores())


@dataclass(frozen=True)
class Unreadable:
    """A file that is no usable picture: its path as given, and the reason."""

    source: str
    error: str

    def to_dict(self) -> dict[str, str]:
        """Return ``{"source", "error"}``, the entry that takes the place of a result."""
        return asdict(self)


@dataclass(frozen=True)
class Picture:
    """A picture and the name that its result is to have as ``source``: a path, or what a file in an archive is called.

    content: a path or encoded bytes.
    """

    source: str
    content: str | Path | bytes


def read_folder(
    recognizer: Recognizer, paths: Iterable[str | Path], *, chunk: int = CHUNK, keep_pixels: bool = False
) -> Iterator[ImageResult | Unreadable]:
    """Read photo after photo: yield an ``ImageResult`` or ``Unreadable`` for each path, in their order.

    The faces of ``chunk`` photos share one batch; no more than that many photos and a few are held at a time. With
    ``keep_pixels`` each result can be drawn, at 3 bytes a pixel. A file that cannot be used becomes
    ``Unreadable`` and stops nothing. Raises ``OptionError`` for a chunk below 1.
    """
    pictures = (Picture(str(path), path) for path in paths)
    yield from read_pictures(recognizer, pictures, chunk=chunk, keep_pixels=keep_pixels)


def read_pictures(
    recognizer: Recognizer,
    pictures: Iterable[Picture | Unreadable],
    *,
    chunk: int = CHUNK,
    keep_pixels: bool = False,
    ahead: bool = True,
) -> Iterator[ImageResult | Unreadable]:
    """Do what ``read_folder`` does for pictures that have names and need not be files.

    What is ``Unreadable`` already is passed on in its place.
    ahead: threads find the faces of pictures to come; without them a picture's faces are found, more slowly in all,
    before the next picture is asked for.
    """
    if chunk < 1:
        raise OptionError(f"chunk = {chunk}: expected 1 or more photos.")
    remaining = iter(pictures)
    first = list(islice(remaining, 2)) if ahead else []
    if len(first) == 2:  # threads for one photo would cost their start
        yield from _overlapped(recognizer, chain(first, remaining), chunk, keep_pixels)
        return
    searched = (_found(recognizer, photo, keep_pixels) for photo in chain(first, remaining))
    while batch := list(islice(searched, chunk)):
        yield from _decided(recognizer, batch)


def _overlapped(
    recognizer: Recognizer, pictures: Iterable[Picture | Unreadable], chunk: int, keep_pixels: bool
) -> Iterator[ImageResult | Unreadable]:
    from concurrent.futures import ThreadPoolExecutor

    ahead: deque[Future[Found | Unreadable]] = deque()
    pool = ThreadPoolExecutor(_FINDERS, "mien-find")
    try:
        for picture in pictures:
            ahead.append(pool.submit(_found, recognizer, picture, keep_pixels))
            if len(ahead) == chunk + _FINDERS:
                yield from _decided(recognizer, [ahead.popleft().result() for _ in range(chunk)])
        while ahead:
            yield from _decided(recognizer, [ahead.popleft().result() for _ in range(min(chunk, len(ahead)))])
    finally:
        pool.shutdown(cancel_futures=True)


def _found(recognizer: Recognizer, picture: Picture | Unreadable, keep_pixels: bool) -> Found | Unreadable:
    if isinstance(picture, Unreadable):
        return picture
    try:
        faces = recognizer.find(picture.content, keep_pixels=keep_pixels)
    except (ImageError, FileMissingError) as error:
        return Unreadable(picture.source, str(error))
    if os.fspath(picture.content) == picture.source:
        return faces
    return replace(faces, blank=replace(faces.blank, source=picture.source))


def _decided(recognizer: Recognizer, batch: Sequence[Found | Unreadable]) -> Iterator[ImageResult | Unreadable]:
    results = iter(recognizer.decide([entry for entry in batch if not isinstance(entry, Unreadable)]))
    return (entry if isinstance(entry, Unreadable) else next(results) for entry in batch)
