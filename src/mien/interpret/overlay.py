"""Maps onto faces: the photo once for each class, then a row for each face with the figures that judge its maps.

Colours are viridis, whose brightness rises evenly, so that it can be read with any colour vision and in grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mien.drawing import fonts
from mien.drawing.percents import percent
from mien.errors import OptionError
from mien.preprocess import grey
from mien.recognition.crop import corners, cut

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image, ImageDraw, ImageFont

    from mien.interpret.explain import Explanation, Map
    from mien.results import Face, Point

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
    Pixels = NDArray[np.uint8]

_CELL, _GAP, _LINE = 240, 16, 20
_CAPTION = 3 * _LINE + 8
_PHOTO = 480
_BAR = 150  # width of the column that holds the colour bar
_INK, _FAINT, _PAPER = (20, 20, 20), (95, 95, 95), (255, 255, 255)
_WARNING = (168, 60, 0)
_ORDINALS = {1: "most probable class", 2: "second class", 3: "third class"}


def overlay(explanation: Explanation, rank: int = 0) -> Pixels:
    """Return the picture, uint8 (H, W, 3) RGB, with the map of the class at ``rank`` on each face.

    The picture turns grey, so that all colour in it is the maps'.

    Raises:
        OptionError: without pixels.
    """
    return _overlay(explanation, _pixels(explanation), rank)


def sheet(explanation: Explanation) -> Image.Image:
    """Return the photo with its maps, a panel for each class side by side, and below it a row for each face.

    A map's class, its probability, its deletion area, that of random maps and the score stand below it. The photo is
    scaled to fit; ``overlay`` has it in its own size.

    Raises:
        OptionError: without pixels.
    """
    from PIL import Image, ImageDraw

    columns = max((len(maps) for maps in explanation.maps), default=1)
    width = 2 * _GAP + (columns + 1) * (_CELL + _GAP) + _BAR
    photos = _photos(explanation, columns, (width - 2 * _GAP - _BAR - _GAP * columns) // columns)
    head = _GAP + _LINE + photos[0].shape[0] + _GAP
    rise = _CELL + _CAPTION + _GAP
    picture = Image.new("RGB", (width, head + rise * len(explanation.maps)), _PAPER)
    canvas = ImageDraw.Draw(picture)
    _head(picture, canvas, photos, _titles(explanation, columns))
    for rank in range(len(explanation.maps)):
        _row(picture, explanation, rank, head + rank * rise)
    if explanation.maps:
        _bar(picture, canvas, width - _BAR, head)
    return picture


def _pixels(explanation: Explanation) -> Pixels:
    if explanation.result.pixels is None:
        raise OptionError("This explanation holds no pixels to draw on. Explain the picture, not a bare result.")
    return explanation.result.pixels


def _photos(explanation: Explanation, count: int, width: int) -> list[Pixels]:
    """Return the photo with the maps of each class, fitted to ``width``; the bare photo where there is no face."""
    fitted = _fitted(_pixels(explanation), width, _PHOTO)
    if not explanation.maps:
        return [fitted]
    return [_numbered(explanation, _overlay(explanation, fitted, rank)) for rank in range(count)]


def _overlay(explanation: Explanation, pixels: Pixels, rank: int) -> Pixels:
    """Lay the maps onto ``pixels``, the explanation's picture at any scale."""
    strength = np.zeros(pixels.shape[:2], np.float32)
    inside = np.zeros(pixels.shape[:2], np.float32)
    # Best detection last, so that it stays on top where faces overlap.
    for face, maps in reversed(list(zip(explanation.result.faces, explanation.maps, strict=True))):
        own, mask = _placed(maps[rank].strength, _corners(explanation, face, pixels), pixels.shape[:2])
        strength = np.where(mask > 0, own, strength)
        inside = np.maximum(inside, mask)
    return _blend(pixels, strength, inside)


def _corners(explanation: Explanation, face: Face, pixels: Pixels) -> tuple[Point, Point, Point]:
    result = explanation.result
    quad = corners((result.height, result.width), face.box, face.landmarks, explanation.crop)
    across, down = pixels.shape[1] / result.width, pixels.shape[0] / result.height
    first, second, third = ((x * across, y * down) for x, y in quad)
    return first, second, third


def _placed(
    values: NDArray[np.float32], ends: tuple[Point, Point, Point], shape: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Warp a map to where its crop lies; return it and the mask, 0 or 1, of the crop's pixels, float32 (H, W) each."""
    import cv2

    side = values.shape[0]
    source = np.array([(0, 0), (side, 0), (0, side)], np.float32) - np.float32(0.5)
    matrix = cv2.getAffineTransform(source, np.array(ends, np.float32) - np.float32(0.5))
    size = (shape[1], shape[0])
    own = cv2.warpAffine(values, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpAffine(np.ones_like(values), matrix, size, flags=cv2.INTER_NEAREST)
    return np.clip(own, 0, 1).astype(np.float32), mask.astype(np.float32)


def _blend(pixels: Pixels, strength: NDArray[np.float32], inside: NDArray[np.float32]) -> Pixels:
    """Mix grey pixels with the map's colours; where the map is weak the face shines through more."""
    plain = np.repeat(grey(pixels)[:, :, None], 3, axis=2).astype(np.float32)
    cover = (inside * (0.35 + 0.35 * strength))[:, :, None]
    mixed: Pixels = np.round(plain + cover * (_coloured(strength) - plain)).astype(np.uint8)
    return mixed


def _coloured(strength: NDArray[np.float32]) -> NDArray[np.float32]:
    import cv2

    levels = np.round(np.clip(strength, 0, 1) * 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS))[:, :, ::-1].astype(np.float32)


def _numbered(explanation: Explanation, pixels: Pixels) -> Pixels:
    """Draw the outline of each crop, and its row's number where there is more than one."""
    from PIL import Image, ImageDraw

    picture = Image.fromarray(pixels)
    canvas = ImageDraw.Draw(picture)
    for rank, face in enumerate(explanation.result.faces):
        (x0, y0), (x1, y1), (x2, y2) = _corners(explanation, face, pixels)
        outline = [(x0, y0), (x1, y1), (x1 + x2 - x0, y1 + y2 - y0), (x2, y2), (x0, y0)]
        canvas.line(outline, fill=_INK, width=3)
        canvas.line(outline, fill=_PAPER, width=1)
        if len(explanation.maps) > 1:
            _tag(canvas, (min(max(x0, 1), picture.width - 22), min(max(y0, 1), picture.height - 18)), str(rank + 1))
    return np.asarray(picture)


def _tag(canvas: ImageDraw.ImageDraw, at: Point, text: str) -> None:
    left, top, right, bottom = canvas.textbbox(at, text, font=_font(14))
    canvas.rectangle((left - 3, top - 2, right + 3, bottom + 2), fill=_PAPER)
    canvas.text(at, text, fill=_INK, font=_font(14))


def _titles(explanation: Explanation, count: int) -> list[str]:
    """Return what stands above each photo: the class if it is the same for all faces, else its rank."""
    if not explanation.maps:
        return ["no face found"]
    words = [{maps[rank].label for maps in explanation.maps} for rank in range(count)]
    return [
        min(shown) if len(shown) == 1 else _ORDINALS.get(rank, f"class {rank} by probability")
        for rank, shown in enumerate(words, 1)
    ]


def _head(picture: Image.Image, canvas: ImageDraw.ImageDraw, photos: Sequence[Pixels], titles: Sequence[str]) -> None:
    from PIL import Image

    for rank, (photo, words) in enumerate(zip(photos, titles, strict=True)):
        left = _GAP + rank * (photo.shape[1] + _GAP)
        font, title = fonts.choose(words, 15)
        canvas.text((left, _GAP - 4), title, fill=_INK, font=font)
        picture.paste(Image.fromarray(photo), (left, _GAP + _LINE))


def _row(picture: Image.Image, explanation: Explanation, rank: int, top: int) -> None:
    """Draw one face: as it is, then under each of its maps, with captions."""
    import cv2
    from PIL import ImageDraw

    canvas = ImageDraw.Draw(picture)
    face, maps = explanation.result.faces[rank], explanation.maps[rank]
    plain = _fitted(cut(_pixels(explanation), face.box, face.landmarks, explanation.crop), _CELL, _CELL)
    _paste(picture, plain, _GAP, top)
    name = f"face {rank + 1}" if len(explanation.maps) > 1 else "face"
    _lines(canvas, (_GAP, top + _CELL), (name, f"{face.box.width:.0f} by {face.box.height:.0f} pixels", ""))
    for column, one in enumerate(maps, 1):
        left = _GAP + column * (_CELL + _GAP)
        strength = cv2.resize(one.strength, plain.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        everywhere = np.ones(plain.shape[:2], np.float32)
        _paste(picture, _blend(plain, np.clip(np.asarray(strength, np.float32), 0, 1), everywhere), left, top)
        _lines(canvas, (left, top + _CELL), _caption(one), warn=not one.faithfulness.explains)


def _fitted(pixels: Pixels, width: int, height: int) -> Pixels:
    """Scale pixels to the largest size that fits, up or down."""
    import cv2

    factor = min(width / pixels.shape[1], height / pixels.shape[0])
    size = max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor))
    mode = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size, interpolation=mode), np.uint8)


def _paste(picture: Image.Image, pixels: Pixels, left: int, top: int) -> None:
    """Put a fitted face into the middle of its cell."""
    from PIL import Image

    height, width = pixels.shape[:2]
    picture.paste(Image.fromarray(pixels), (left + (_CELL - width) // 2, top + (_CELL - height) // 2))


def _caption(one: Map) -> tuple[str, str, str]:
    score = one.faithfulness
    verdict = "" if score.explains else ": explains nothing"
    return (
        f"{one.label} {percent(one.probability)}",
        f"deletion area {score.deletion:.2f}, random {score.chance:.2f}",
        f"score {score.score:+.2f}{verdict}",
    )


def _lines(canvas: ImageDraw.ImageDraw, at: tuple[int, int], lines: Sequence[str], *, warn: bool = False) -> None:
    colours = (_INK, _FAINT, _WARNING if warn else _INK)
    for line, (words, colour) in enumerate(zip(lines, colours, strict=True)):
        font, text = fonts.choose(words, 15 if line == 0 else 13)
        canvas.text((at[0], at[1] + 6 + line * _LINE), text, fill=colour, font=font)


def _bar(picture: Image.Image, canvas: ImageDraw.ImageDraw, left: int, top: int) -> None:
    """Draw the colour bar beside the first row of faces."""
    from PIL import Image

    ramp = np.repeat(np.linspace(1, 0, _CELL, dtype=np.float32)[:, None], 18, axis=1)
    picture.paste(Image.fromarray(_coloured(ramp).astype(np.uint8)), (left, top))
    for text, at in (
        ("1: the place that\nspeaks most for\nthe class", 0),
        ("0: nothing, or\nagainst the class", _CELL - 36),
    ):
        canvas.multiline_text((left + 26, top + at), text, fill=_FAINT, font=_font(13), spacing=3)


def _font(size: int) -> Font:
    from PIL import ImageFont

    return ImageFont.load_default(size)
