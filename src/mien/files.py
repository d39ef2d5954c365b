"""Files that are whole or not there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Give the place of a draft beside ``path``; it takes that name when the block ends well, and is dropped if not.

    The draft is hidden, so that whoever reads the folder passes it over, and its name is this process's own: several
    may write the same file at once, and the last one stays.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
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
