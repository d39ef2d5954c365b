"""Files that are whole or not there, and errors of the disk that name the file."""

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
_LONGEST = 200


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Give the place of a draft beside ``path``; it takes that name when the block ends well, and is dropped if not.

    The draft is hidden, so that whoever reads the folder passes it over, and its name is this process's own: several
    may write the same file at once, and the last one stays. A full disk is an ``OSError`` with the name of ``path``.
    """
    encoded = os.fsencode(path.name)
    name = path.name if len(encoded) <= _LONGEST else hashlib.sha256(encoded).hexdigest()
    draft = path.with_name(f".{name}.{os.getpid()}.part")
    try:
        with naming(path):
            yield draft
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


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


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give errors of a full or failing disk the name of the file that was being written, which they lack."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
