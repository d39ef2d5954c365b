"""Files that are whole or not there."""

from __future__ import annotations

import os
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
