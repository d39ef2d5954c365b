"""Contact sheets as PNG, and thumbnails for HTML pages."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mien.drawing import fonts
from mien.files import appearing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

TILE, CAPTION, GAP = 96, 16, 6


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """Encode a file's content as a data URI for an inlined image."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def thumbnail(pixels: NDArray[np.uint8], side: int = TILE) -> Image:
    """Resize an image so that its long side is ``side``."""
    from PIL import Image

    picture = Image.fromarray(pixels)
    factor = side / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.BICUBIC if factor > 1 else Image.Resampling.LANCZOS)


def thumbnail_uri(pixels: NDArray[np.uint8], side: int = TILE) -> str:
    """Encode a thumbnail as an inlined JPEG, a tenth of the size of a PNG, which keeps pages of hundreds small."""
    buffer = io.BytesIO()
    thumbnail(pixels, side).save(buffer, "JPEG", quality=80)
    return data_uri(buffer.getvalue(), "image/jpeg")


Group = tuple[str, Sequence[tuple["NDArray[np.uint8]", str]]]


def draw_sheet(groups: Sequence[Group], columns: int = 10) -> Image:
    """Draw a contact sheet with a heading for each group and a caption under each image."""
    from PIL import Image, ImageDraw

    step, rise, head = TILE + GAP, TILE + CAPTION + GAP, 34
    rows = [max(1, -(-len(tiles) // columns)) for _, tiles in groups]
    picture = Image.new("RGB", (columns * step + GAP, sum(head + count * rise for count in rows) + GAP), "white")
    pen, top = ImageDraw.Draw(picture), 0
    for (heading, tiles), count in zip(groups, rows, strict=True):
        large, legible = fonts.choose(heading, 16)
        pen.text((GAP, top + 8), legible, fill="black", font=large)
        if not tiles:
            pen.text((GAP, top + head), "none", fill="#555555", font=fonts.choose("none", 11)[0])
        for index, (pixels, caption) in enumerate(tiles):
            left, down = GAP + index % columns * step, top + head + index // columns * rise
            tile = thumbnail(pixels)
            picture.paste(tile, (left + (TILE - tile.width) // 2, down + (TILE - tile.height) // 2))
            small, legible = fonts.choose(caption, 11)
            pen.text((left, down + TILE + 1), _truncate(legible, small), fill="black", font=small)
        top += head + count * rise
    return picture


def _truncate(text: str, font: object) -> str:
    """Truncate a caption to the width of a tile."""
    length = font.getlength  # type: ignore[attr-defined]
    if length(text) <= TILE:
        return text
    while text and length(text + "...") > TILE:
        text = text[:-1]
    return text + "..."


def save(picture: Image, path: Path) -> Path:
    """Save an image as PNG, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with appearing(path) as draft:
        picture.save(draft, "PNG")
    return path
