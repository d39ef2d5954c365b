"""Pictures and values into files, and onto the screen."""

from __future__ import annotations

import io
import sys
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

from mien.errors import FileMissingError, OptionError, nearest
from mien.files import appearing

if TYPE_CHECKING:
    from PIL import Image

FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP", ".gif": "GIF",
    ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip
"""Ending of a picture that can be written → Pillow's name of its format."""


def encode(picture: Image.Image, suffix: str) -> bytes:
    """Return a picture as a file of the format that an ending of ``FORMATS`` names."""
    buffer = io.BytesIO()
    options = {"quality": 92} if FORMATS[suffix] in ("JPEG", "WEBP") else {}
    picture.save(buffer, format=FORMATS[suffix], **options)
    return buffer.getvalue()


def check_ending(path: str | PathLike[str], allowed: tuple[str, ...]) -> str:
    """Return the ending of ``path`` in lower case.

    Raises:
        OptionError: none of ``allowed``.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in allowed:
        raise OptionError(
            f"Cannot save as {fspath(path)!r}: expected a name ending in {', '.join(allowed)}."
            f"{nearest(suffix, allowed)}"
        )
    return suffix


def write(path: Path, content: bytes) -> None:
    """Write a file that is whole or not there. Raises ``FileMissingError`` or ``OptionError``."""
    try:
        with appearing(path) as draft:
            draft.write_bytes(content)
    except FileNotFoundError:
        raise FileMissingError(
            f"No such folder: {str(path.parent)!r}. Create it before saving {path.name!r} there."
        ) from None
    except (OSError, ValueError) as error:
        raise OptionError(
            f"Cannot write {str(path)!r}: {getattr(error, 'strerror', None) or error}. Choose a file name in a folder "
            "you may write to, on a disk with room."
        ) from None


def show(picture: Image.Image) -> None:
    """Show a picture in the notebook that runs this, or else in the system's viewer.

    Raises:
        OptionError: there is neither.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None and hasattr(shell, "kernel"):
        from importlib import import_module

        import_module("IPython.display").display(picture)
        return
    from PIL import ImageShow

    if not ImageShow.show(picture):
        raise OptionError("No program here shows pictures. Save it instead: result.save('annotated.jpg')")
