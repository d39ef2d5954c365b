"""Boxes and emotions onto a copy of the picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image, ImageDraw, ImageFont

    from mien.results import Box, Face, Person

    Drawn: TypeAlias = Face | Person

Colour = tuple[int, int, int]

# Okabe and Ito's palette, which people with any colour vision can tell apart; the words say it all the same.
COLOURS: dict[str, Colour] = {
    "anger": (213, 94, 0),
    "disgust": (0, 158, 115),
    "fear": (204, 121, 167),
    "happiness": (240, 228, 66),
    "sadness": (0, 114, 178),
    "surprise": (230, 159, 0),
    "neutral": (86, 180, 233),
}
_OTHER: Colour = (200, 200, 200)
_MARGIN, _BLOCKS = 0.35, 6  # a hidden face: the box and a third more on each side, in six times six blocks


def draw(pixels: NDArray[np.uint8], faces: Iterable[Drawn]) -> Image.Image:
    """Return an RGB picture of ``pixels`` (uint8 (H, W, 3) RGB, left as they are) with a labelled box for each face.

    An uncertain face has a dashed box and a question mark; a person's label begins with the id.
    """
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(pixels).convert("RGB")
    canvas = ImageDraw.Draw(picture)
    extent = (picture.width * picture.height) ** 0.5
    font = ImageFont.load_default(max(9.0, extent / 32))
    width = max(1, round(extent / 200))
    faces = tuple(faces)
    for face in reversed(faces):
        _frame(canvas, face, width)
    # Labels over all boxes, that of the best detection on top.
    for face in reversed(faces):
        _label(canvas, face, font, picture.size)
    return picture


def hidden(pixels: NDArray[np.uint8], faces: Iterable[Drawn]) -> NDArray[np.uint8]:
    """Return a copy of ``pixels``, uint8 (H, W, 3), with every one of ``faces`` in coarse blocks."""
    copy = pixels.copy()
    for face in faces:
        _hide(copy, face.box)
    return copy


def _hide(pixels: NDArray[np.uint8], box: Box) -> None:
    import cv2

    height, width = pixels.shape[:2]
    left, right = (round(box.left + box.width * part) for part in (-_MARGIN, 1 + _MARGIN))
    top, bottom = (round(box.top + box.height * part) for part in (-_MARGIN, 1 + _MARGIN))
    part = pixels[max(top, 0) : max(min(bottom, height), 0), max(left, 0) : max(min(right, width), 0)]
    if part.size:
        blocks = cv2.resize(part, (_BLOCKS, _BLOCKS), interpolation=cv2.INTER_AREA)
        part[:] = cv2.resize(blocks, (part.shape[1], part.shape[0]), interpolation=cv2.INTER_NEAREST)


def _colour(face: Drawn) -> Colour:
    return COLOURS.get(face.emotion, _OTHER)


def _corners(face: Drawn) -> tuple[float, float, float, float]:
    box = face.box
    return box.left, box.top, box.left + max(box.width, 1.0), box.top + max(box.height, 1.0)


def _frame(canvas: ImageDraw.ImageDraw, face: Drawn, width: int) -> None:
    left, top, right, bottom = _corners(face)
    colour = _colour(face)
    # A hair line of the opposite brightness keeps the frame visible on a background of its own colour.
    edge = max(1, width // 2)
    for grow, fill, thick in ((edge, _ink(colour), width + 2 * edge), (0, colour, width)):
        corners = (left - grow, top - grow, right + grow, bottom + grow)
        if not face.uncertain:
            canvas.rectangle(corners, outline=fill, width=thick)
        elif not grow:
            for segment in _dashes(corners, 5.0 * width):
                canvas.line(segment, fill=fill, width=thick)


def _dashes(corners: tuple[float, float, float, float], length: float) -> Iterator[tuple[float, float, float, float]]:
    left, top, right, bottom = corners
    across = ((left, top, right, top), (left, bottom, right, bottom))
    for x0, y0, x1, y1 in (*across, (left, top, left, bottom), (right, top, right, bottom)):
        # An odd number of equal parts, so that every side begins and ends with a dash and corners stay closed.
        parts = 2 * max(1, min(60, round((abs(x1 - x0) + abs(y1 - y0)) / length / 2))) + 1
        for part in range(0, parts, 2):
            begin, end = part / parts, (part + 1) / parts
            yield x0 + (x1 - x0) * begin, y0 + (y1 - y0) * begin, x0 + (x1 - x0) * end, y0 + (y1 - y0) * end


def _label(
    canvas: ImageDraw.ImageDraw,
    face: Drawn,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    size: tuple[int, int],
) -> None:
    number = getattr(face, "id", None)
    name = "" if number is None else f"{number}: "
    text = f"{name}{face.emotion}{'?' if face.uncertain else ''} {face.confidence:.0%}"
    left, _, right, _ = canvas.textbbox((0, 0), text, font=font)
    # Heights of one sample with ascender and descender, so that all labels are equally high.
    _, top, _, bottom = canvas.textbbox((0, 0), "dp%", font=font)
    pad = max(1.0, (bottom - top) / 4)
    width, height = math.ceil(right - left + 4 * pad), math.ceil(bottom - top + 2 * pad)
    box = _corners(face)
    # Above the box; inside it where there is no room above; always within the picture.
    y = box[1] - height if box[1] >= height else box[1]
    x, y = (
        round(max(0, min(at, limit - extent))) for at, limit, extent in ((box[0], size[0], width), (y, size[1], height))
    )
    canvas.rectangle((x, y, x + width - 1, y + height - 1), fill=_colour(face))
    canvas.text((x + 2 * pad - left, y + pad - top), text, fill=_ink(_colour(face)), font=font)


def _ink(paper: Colour) -> Colour:
    """Black or white, whichever contrasts more (WCAG relative luminance)."""
    linear = [(part / 255) ** 2.2 for part in paper]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)
