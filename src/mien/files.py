"""Files that are whole or not there, errors of the disk that name the file, and names that systems keep."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DISK = frozenset(
    number for name in ("ENOSPC", "EDQUOT", "EFBIG", "EIO", "EROFS") if (number := getattr(errno, name, None))
)

LONGEST_NAME = 255
"""Bytes of a file's name on the file systems that people have."""

_SYSTEM = frozenset(
    {
        "@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin", "__macosx", "desktop.ini",
        "lost+found", "recycler", "system volume information", "thumbs.db", "ehthumbs.db",
    }
)  # fmt: skip


def is_system(name: str) -> bool:
    """Tell whether a file or folder of this name is a system's own: thumbnails, bins, what macOS adds to archives."""
    return name.casefold() in _SYSTEM or name.startswith("._")


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder of this name is hidden or a system's own, and so holds nobody's photos."""
    return name.startswith(".") or is_system(name)


def shortened(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a file's name cut to ``longest`` bytes before its ending, with a digest that keeps it its own."""
    if len(os.fsencode(name)) <= longest:
        return name
    stem, ending = os.path.splitext(name)  # noqa: PTH122
    mark = f"~{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}{ending}"
    while len(os.fsencode(stem + mark)) > longest:
        stem = stem[:-1]
    return stem + mark


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Give the place of a draft beside ``path``; it takes that name when the block ends well, and is dropped if not.

    The draft is hidden, so that whoever reads the folder passes it over, and its name is this process's own: several
    may write the same file at once, and the last one stays. A full disk is an ``OSError`` with the name of ``path``.
    """
    draft = path.with_name(shortened(f".{path.name}.{os.getpid()}.part"))
    try:
        with naming(path, draft):
            yield draft
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write(path: Path, content: str | bytes) -> None:
    """Write a file that is whole or not there, text as UTF-8.

    Raises:
        OSError: with the name of ``path``.
    """
    with appearing(path) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)


def cache_folder() -> Path:
    """Return the user's cache folder for Mien, which need not exist: what lies there can be made again.

    ``~/.cache/mien``, or below ``XDG_CACHE_HOME``; on macOS ``~/Library/Caches/mien``, on Windows below
    ``LOCALAPPDATA``.
    """
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "mien" / "Cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "mien"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "mien"


def is_full(error: BaseException) -> bool:
    """Tell whether an error is of a disk that is full, failing or read-only, and not of the file's name."""
    return isinstance(error, OSError) and error.errno in _DISK


@contextmanager
def naming(path: Path, draft: Path | None = None) -> Iterator[None]:
    """Give errors of a full or failing disk the name of the file that was being written, which they lack.

    Args:
        draft: the name that the file has while it is written. An error that names another file keeps that name.
    """
    try:
        yield
    except OSError as error:
        own = (None, str(path), None if draft is None else str(draft))
        if not is_full(error) or (error.filename is not None and str(error.filename) not in own):
            raise
        raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from error
