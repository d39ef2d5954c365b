"""Many photos in, one result each out: folders, patterns and lists, in bounded memory.

Decoding, detection and classification overlap: some threads decode and others detect the faces of the next photos while
the network classifies those of the last batch and the caller writes.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cores import usable_cores
from mien.errors import FileMissingError, ImageError, OptionError
from mien.recognition.listing import find_images

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mien.recognition.recognizer import Recognizer
    from mien.recognition.steps import Decoded, Found
    from mien.results import ImageResult


__all__ = ["CHUNK", "Picture", "Unreadable", "find_images", "read_folder", "read_pictures"]

CHUNK = 16
"""Photos whose faces share one batch. More costs memory and wins no time: the network is fed well by then."""

_DECODERS = 2
_FINDERS = min(4, usable_cores())
_DECODED = _DECODERS + _FINDERS
"""Most photos that are held as pixels until they are searched: 36 MB each for 12 megapixels."""

_MANY = 8
"""Photos from which on a search takes one thread: to open its network costs what it saves on a few."""


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

    Attributes:
        content: a path or encoded bytes.
    """

    source: str
    content: str | Path | bytes


def read_folder(
    recognizer: Recognizer, paths: Iterable[str | Path], *, chunk: int = CHUNK, keep_pixels: bool = False
) -> Iterator[ImageResult | Unreadable]:
    """Read photo after photo: yield an ``ImageResult`` or ``Unreadable`` for each path, in their order.

    The faces of ``chunk`` photos share one batch; no more than twice that many are begun and not yet yielded, and of
    those a few are held as pixels. With
    ``keep_pixels`` each result can be drawn, at 3 bytes a pixel. A file that cannot be used becomes
    ``Unreadable`` and stops nothing.

    Raises:
        OptionError: a chunk below 1.
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

    Args:
        ahead: threads find the faces of pictures to come; without them a picture's faces are found, more slowly in all,
            before the next picture is asked for.
    """
    if chunk < 1:
        raise OptionError(f"chunk = {chunk}: expected 1 or more photos.")
    remaining = iter(pictures)
    first = list(islice(remaining, _MANY)) if ahead else []
    if len(first) > 1:  # threads for one photo would cost their start
        pipeline = _Pipeline(recognizer, keep_pixels=keep_pixels, many=len(first) == _MANY)
        with closing(pipeline):
            yield from pipeline.results(chain(first, remaining), chunk)
        return
    searched = (_found(recognizer, photo, keep_pixels) for photo in chain(first, remaining))
    while batch := list(islice(searched, chunk)):
        yield from _decided(recognizer, batch)


class _Pipeline:
    """Decode and search photos in threads ahead of the caller, who classifies them.

    Decoding and searching have threads of their own: a slow disk holds up no search, and a search no disk. Order and
    batches are those of the photos, however long each takes.
    """

    def __init__(self, recognizer: Recognizer, *, keep_pixels: bool, many: bool) -> None:
        self._recognizer = _on_one_thread(recognizer) if many else recognizer
        self._keep_pixels, self._closed = keep_pixels, False
        self._room = threading.Semaphore(_DECODED)
        self._decoders = ThreadPoolExecutor(_DECODERS, "mien-decode")
        self._finders = ThreadPoolExecutor(_FINDERS, "mien-find")

    def results(self, pictures: Iterable[Picture | Unreadable], chunk: int) -> Iterator[ImageResult | Unreadable]:
        """Yield the results in order; of ``2 * chunk`` photos, fewer with pixels, none is further ahead than that."""
        remaining = iter(pictures)
        ahead: deque[Future[Future[Found | Unreadable]]] = deque()
        most = chunk + (_FINDERS if self._keep_pixels else chunk)
        ahead.extend(map(self._begin, islice(remaining, most)))
        while ahead:
            batch = [ahead.popleft().result().result() for _ in range(min(chunk, len(ahead)))]
            for entry in _decided(self._recognizer, batch):
                yield entry
                ahead.extend(map(self._begin, islice(remaining, 1)))

    def close(self) -> None:
        """Drop the photos that are not begun, and wait for the others."""
        self._closed = True
        self._decoders.shutdown(wait=False, cancel_futures=True)
        # Searches are not cancelled: each makes room for a decoder that may be waiting for it.
        self._decoders.shutdown()
        self._finders.shutdown()

    def _begin(self, picture: Picture | Unreadable) -> Future[Future[Found | Unreadable]]:
        return self._decoders.submit(self._decode, picture)

    def _decode(self, picture: Picture | Unreadable) -> Future[Found | Unreadable]:
        with ExitStack() as stack:
            self._room.acquire()
            stack.callback(self._room.release)
            if self._closed:
                raise CancelledError
            decoded = _decoded(self._recognizer, picture)
            searching = self._finders.submit(self._search, picture.source, decoded)
            stack.pop_all()  # the search makes room for the next photo
        return searching

    def _search(self, source: str, photo: Decoded | Unreadable) -> Found | Unreadable:
        with ExitStack() as stack:
            stack.callback(self._room.release)
            if self._closed:
                raise CancelledError
            return _searched(self._recognizer, source, photo, self._keep_pixels)


def _on_one_thread(recognizer: Recognizer) -> Recognizer:
    """Return a recognizer whose detector leaves the cores to the other searches, where it can."""
    alone = getattr(recognizer.detector, "on_one_thread", None)
    return recognizer if alone is None else recognizer.with_detector(alone())


def _found(recognizer: Recognizer, picture: Picture | Unreadable, keep_pixels: bool) -> Found | Unreadable:
    return _searched(recognizer, picture.source, _decoded(recognizer, picture), keep_pixels)


def _decoded(recognizer: Recognizer, picture: Picture | Unreadable) -> Decoded | Unreadable:
    if isinstance(picture, Unreadable):
        return picture
    try:
        photo = recognizer.decode(picture.content)
    except (ImageError, FileMissingError) as error:
        return Unreadable(picture.source, str(error))
    return photo if os.fspath(picture.content) == picture.source else replace(photo, source=picture.source)


def _searched(
    recognizer: Recognizer, source: str, photo: Decoded | Unreadable, keep_pixels: bool
) -> Found | Unreadable:
    if isinstance(photo, Unreadable):
        return photo
    try:
        return recognizer.search(photo, keep_pixels=keep_pixels)
    except ImageError as error:
        return Unreadable(source, str(error))


def _decided(recognizer: Recognizer, batch: Sequence[Found | Unreadable]) -> Iterator[ImageResult | Unreadable]:
    results = iter(recognizer.decide([entry for entry in batch if not isinstance(entry, Unreadable)]))
    return (entry if isinstance(entry, Unreadable) else next(results) for entry in batch)
