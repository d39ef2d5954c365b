"""Many photos in, one result each out: folders, patterns and lists, in bounded memory.

Decoding, finding faces and reading them overlap: some threads find the faces of the next photos while the network reads
those of the last batch and the caller writes.
"""

# os.path answers False where pathlib raises: names that are too long, or hold what no name can hold.
# ruff: noqa: PTH100, PTH112, PTH118, PTH122, PTH206, PTH207, PTH208

from __future__ import annotations

import glob
import os
import re
from collections import deque
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from mien.errors import FileMissingError, ImageError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from mien.recognition.recognizer import Found, Recognizer
    from mien.results import ImageResult

CHUNK = 16
"""Photos whose faces share one batch. More costs memory and wins no time: the network is fed well by then."""

_FINDERS = min(4, os.cpu_count() or 1)


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


def find_images(paths: Iterable[str | Path]) -> list[Path]:
    """Turn files, folders and glob patterns into the list of image files that they stand for.

    A folder is searched through all its levels for the endings in ``images.SUFFIXES``, in natural order
    (``2.jpg`` before ``10.jpg``); hidden ones are passed over, links to folders are not followed. A pattern
    counts where no file has that very name, and stands for what a shell makes of it. A file that is named is
    taken whatever its ending. The order of ``paths`` is kept, and a file named twice comes once.

    Raises ``FileMissingError`` for a missing path, a pattern without a match, a folder without images.
    """
    found: dict[str, Path] = {}
    for path in paths:
        for image in _expand(str(path)):
            found.setdefault(os.path.abspath(image), image)
    return list(found.values())


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
    found = (_found(recognizer, each, keep_pixels) for each in chain(first, remaining))
    while batch := list(islice(found, chunk)):
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
        found = recognizer.find(picture.content, keep_pixels=keep_pixels)
    except (ImageError, FileMissingError) as error:
        return Unreadable(picture.source, str(error))
    if os.fspath(picture.content) == picture.source:
        return found
    return replace(found, blank=replace(found.blank, source=picture.source))


def _decided(recognizer: Recognizer, batch: Sequence[Found | Unreadable]) -> Iterator[ImageResult | Unreadable]:
    results = iter(recognizer.decide([each for each in batch if not isinstance(each, Unreadable)]))
    return (each if isinstance(each, Unreadable) else next(results) for each in batch)


def _expand(path: str) -> list[Path]:
    if os.path.isdir(path):
        return _walk(path)
    if os.path.lexists(path):
        return [Path(path)]
    if glob.has_magic(path):
        return _match(path)
    raise FileMissingError(f"No file or folder {path!r}.{_closest(path)}")


def _walk(folder: str) -> list[Path]:
    from mien.images import SUFFIXES

    names: list[str] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        names += [os.path.join(parent, name) for name in files if _is_image(name, SUFFIXES)]
    if not names:
        raise FileMissingError(f"No images in the folder {folder!r}; looked for {', '.join(sorted(SUFFIXES))}.")
    return [Path(name) for name in sorted(names, key=lambda name: _natural(os.path.relpath(name, folder)))]


def _is_image(name: str, suffixes: frozenset[str]) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes


def _match(pattern: str) -> list[Path]:
    matches = sorted(glob.glob(pattern, recursive=True), key=_natural)
    if not matches:
        raise FileMissingError(f"No file matches {pattern!r}.")
    # A pattern such as ** names folders and what is in them alike; the files then stand for the folders.
    files = [match for match in matches if not os.path.isdir(match)]
    return [Path(file) for file in files] or [image for folder in matches for image in _walk(folder)]


def _natural(path: str) -> tuple[list[list[tuple[int, int, str]]], str]:
    """Sort key: by folder, then name, numbers by value; the path settles ``1.jpg`` against ``01.jpg``."""
    pieces = [re.split(r"([0-9]+)", part.casefold()) for part in path.split(os.sep)]
    return [[(0, int(t), "") if t.isdecimal() else (1, 0, t) for t in part if t] for part in pieces], path


def _closest(path: str) -> str:
    from mien.errors import nearest

    parent, name = os.path.split(path)
    return nearest(name, os.listdir(parent or ".")) if os.path.isdir(parent or ".") else ""
