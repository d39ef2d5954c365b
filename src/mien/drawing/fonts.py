"""Letters of any script on pictures: a font of this computer that has them, or the text in letters that are there.

Pillow's own font knows ASCII. What class names need beyond that is looked for in matplotlib's wheel and among the
system's fonts; nothing is fetched.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from PIL import ImageFont

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_NO_LETTER = "\U0010ffff"
_MOST = 400  # fonts that are tried before the search is given up: some computers hold thousands

# Of the fonts of one system, those that have most letters and look plain; others are tried after them.
_PREFERRED = (
    "dejavusans.ttf", "notosans-regular.ttf", "notosanscjk-regular.ttc", "notosanscjkjp-regular.otf",
    "droidsansfallbackfull.ttf", "wqy-microhei.ttc", "wqy-zenhei.ttc", "ipag.ttf", "arial unicode.ttf", "arialuni.ttf",
    "segoeui.ttf", "arial.ttf", "yugothm.ttc", "meiryo.ttc", "msgothic.ttc", "msyh.ttc", "malgun.ttf", "pingfang.ttc",
    "hiragino sans gb.ttc", "applesdgothicneo.ttc", "freesans.ttf", "liberationsans-regular.ttf", "unifont.ttf",
)  # fmt: skip


def choose(text: str, size: float) -> tuple[Font, str]:
    """Return a font of ``size`` pixels and the text to draw with it.

    That is ``text`` itself with Pillow's font, or with one found on this computer that has all its letters; where there
    is none, ``plain(text)`` with Pillow's font.
    """
    from PIL import ImageFont

    own = ImageFont.load_default(size)
    if text.isascii():
        return own, text
    path = font_file(_letters(text))
    return (own, plain(text)) if path is None else (ImageFont.truetype(path, size), text)


def plain(text: str) -> str:
    """Return ``text`` in ASCII: letters without their marks (``Müde`` → ``Mude``), others as ``\\\\u60b2``."""
    kept = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return kept.encode("ascii", "backslashreplace").decode()


@lru_cache(maxsize=256)
def font_file(letters: str) -> str | None:
    """Return the path of a font that has all of ``letters``, or None."""
    for path in _candidates():
        if has_letters(path, letters):
            return path
    return None


@lru_cache(maxsize=1024)
def has_letters(path: str, letters: str) -> bool:
    """Return whether a font draws each of ``letters`` otherwise than a letter that no font has."""
    from PIL import ImageFont

    try:
        font = ImageFont.truetype(path, 20)
        missing = bytes(font.getmask(_NO_LETTER))
        return all(bytes(font.getmask(letter)) != missing for letter in letters)
    except (OSError, ValueError):  # a damaged font, or a bitmap font that has no such size
        return False


def _letters(text: str) -> str:
    """Return the letters beyond ASCII, each once, in an order that makes equal sets equal texts."""
    return "".join(sorted({letter for letter in text if not letter.isascii() and letter.isprintable()}))


@lru_cache(maxsize=1)
def _candidates() -> tuple[str, ...]:
    fonts = {path.name.casefold(): str(path) for path in _files(_folders())}
    preferred = [fonts[name] for name in _PREFERRED if name in fonts]
    return tuple(dict.fromkeys([*preferred, *(fonts[name] for name in sorted(fonts))]))[:_MOST]


def _folders() -> Iterator[Path]:
    home = Path.home()
    if sys.platform == "win32":
        yield Path(os.environ.get("WINDIR", r"C:\Windows")) / "Fonts"
        yield home / "AppData/Local/Microsoft/Windows/Fonts"
    elif sys.platform == "darwin":
        yield from (home / "Library/Fonts", Path("/Library/Fonts"), Path("/System/Library/Fonts"))
    else:
        yield from (
            home / ".local/share/fonts",
            home / ".fonts",
            Path("/usr/local/share/fonts"),
            Path("/usr/share/fonts"),
        )
    spec = find_spec("matplotlib")
    if spec is not None and spec.origin:
        yield Path(spec.origin).parent / "mpl-data/fonts/ttf"


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        for parent, _, names in os.walk(folder):
            yield from (Path(parent, name) for name in names if _is_font(name))


def _is_font(name: str) -> bool:
    """Tell whether a file is a font of letters; "last resort" fonts have a box of their own for every script."""
    return name.lower().endswith((".ttf", ".otf", ".ttc")) and not name.lower().startswith("lastresort")
