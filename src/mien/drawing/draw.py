"""Boxes and emotions onto a copy of the picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from mien.drawing import fonts, languages
from mien.drawing.percents import percent
from mien.errors import OptionError, nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image, ImageDraw

    from mien.results import Box, Face, Person

    Drawn: TypeAlias = Face | Person

Colour = tuple[int, int, int]
Rectangle: TypeAlias = tuple[float, float, float, float]

LABELS = ("auto", "names", "numbers")
CROWD = 12
"""Faces of one picture from which on numbers stand for names: more names than that hide one another."""

# Okabe and Ito's palette and a violet, which people with any colour vision can tell apart; the words say it all the
# same. The page has the same table in web/static/colours.js.
COLOURS: dict[str, Colour] = {
    "anger": (213, 94, 0),
    "disgust": (0, 158, 115),
    "fear": (204, 121, 167),
    "happiness": (240, 228, 66),
    "sadness": (0, 114, 178),
    "surprise": (230, 159, 0),
    "neutral": (86, 180, 233),
    "contempt": (127, 79, 196),
}
OWN: tuple[Colour, ...] = (
    (170, 0, 255), (238, 0, 85), (0, 255, 238), (187, 238, 153), (34, 51, 85), (85, 34, 0), (85, 0, 136),
    (255, 136, 68), (153, 136, 255), (221, 170, 170), (153, 68, 0), (85, 102, 136),
)  # fmt: skip
"""Colours of other classes, in the order in which they are assigned: under normal vision and without red, green or blue
cones, any two of the first six are 30 CIELAB units or more apart, any two of all 21, and none is nearer than 14 to one
of ``COLOURS``. The page has the same table."""

_OTHER: Colour = (200, 200, 200)
_MARGIN, _BLOCKS = 0.35, 6  # a hidden face: the box and a third more on each side, in six times six blocks


def draw(pixels: NDArray[np.uint8], faces: Iterable[Drawn], *, labels: str = "auto") -> Image.Image:
    """Return an RGB picture of ``pixels`` (uint8 (H, W, 3) RGB, left as they are) with a labelled box for each face.

    An uncertain face has a dashed box and a question mark; a person's label begins with the id. Lines and letters
    are as large as the faces and the picture allow, and labels dodge one another.

    Args:
        labels: ``"names"``, ``"numbers"`` (the face's position in ``faces``, from 0, or a person's id, for crowds) or
            ``"auto"``: numbers from ``CROWD`` faces on; or a language for the names, such as ``"de"``, otherwise as
            ``"auto"``.

    Raises:
        OptionError: another.
    """
    from PIL import Image, ImageDraw

    check_labels(labels)
    picture = Image.fromarray(pixels).convert("RGB")
    canvas = ImageDraw.Draw(picture)
    extent = (picture.width * picture.height) ** 0.5
    faces = tuple(faces)
    numbered = labels == "numbers" or (labels != "names" and len(faces) >= CROWD)
    for face in reversed(faces):
        _frame(canvas, face, _line(face, extent))
    taken = [_corners(face) for face in faces]
    papers: list[Rectangle] = []
    # The best detection has the first choice of a free spot.
    for position, face in enumerate(faces):
        text = _number(face, position) if numbered else _text(face, labels)
        others = [*papers, *(corners for at, corners in enumerate(taken) if at != position)]
        papers.append(_label(canvas, face, text, _letters(face, extent), size=picture.size, others=others))
    return picture


def _line(face: Drawn, extent: float) -> int:
    return max(1, round(min(extent / 200, _side(face) / 20)))


def _letters(face: Drawn, extent: float) -> float:
    """Return the size of a label's letters: a name is about as wide as a face, and never too small to be read."""
    return max(9.0, min(extent / 32, _side(face) / 5))


def _side(face: Drawn) -> float:
    return math.sqrt(max(face.box.width, 1.0) * max(face.box.height, 1.0))


def _number(face: Drawn, position: int) -> str:
    return f"{getattr(face, 'id', position)}{'?' if face.uncertain else ''}"


def check_labels(labels: str) -> str:
    """Return ``labels`` if it is one of ``LABELS`` or a language. Raises ``OptionError``."""
    if labels not in LABELS:
        try:
            languages.translate((), labels)
        except OptionError:
            known = (*LABELS, *languages.known())
            raise OptionError(
                f"labels = {labels!r}: expected one of {', '.join(known)}.{nearest(labels, known)}"
            ) from None
    return labels


def _text(face: Drawn, labels: str) -> str:
    number = getattr(face, "id", None)
    name = "" if number is None else f"{number}: "
    (word,) = [face.emotion] if labels in LABELS else languages.translate([_english(face)], labels)
    return f"{name}{word}{'?' if face.uncertain else ''} {percent(face.confidence)}"


def shrunk(pixels: NDArray[np.uint8], faces: Sequence[Face], limit: int) -> tuple[NDArray[np.uint8], tuple[Face, ...]]:
    """Return ``pixels``, uint8 (H, W, 3), with a long side of at most ``limit``, and the faces where they are then."""
    height, width = pixels.shape[:2]
    factor = limit / max(width, height)
    if factor >= 1:
        return pixels, tuple(faces)
    import cv2

    size = max(1, round(width * factor)), max(1, round(height * factor))
    small: Any = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return small, tuple(replace(face, box=face.box.scaled(factor)) for face in faces)


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


@lru_cache(maxsize=64)
def assign_colours(labels: tuple[str, ...]) -> dict[str, Colour]:
    """Assign a colour to each class of a model, whatever the order of ``labels``.

    Mien's emotions, in any language, have the colours of ``COLOURS``. Other classes have those of ``OWN``, in
    alphabetical order; after twelve they repeat.
    """
    english = languages.english()
    own = sorted({label for label in labels if english.get(label, label) not in COLOURS})
    others = {label: OWN[index % len(OWN)] for index, label in enumerate(own)}
    return {label: others.get(label) or COLOURS[english.get(label, label)] for label in labels}


def _colour(face: Drawn) -> Colour:
    return assign_colours(tuple(face.labels)).get(face.emotion, _OTHER)


def _english(face: Drawn) -> str:
    return languages.english().get(face.emotion, face.emotion)


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
    text: str,
    letters: float,
    *,
    size: tuple[int, int],
    others: Sequence[Rectangle] = (),
) -> Rectangle:
    """Draw a label where it hides least of ``others``, and return the rectangle that it takes."""
    font, text = fonts.choose(text, letters)
    left, _, right, _ = canvas.textbbox((0, 0), text, font=font)
    # Heights of one sample with ascender and descender, so that all labels are equally high.
    _, top, _, bottom = canvas.textbbox((0, 0), "dp%", font=font)
    pad = max(1.0, (bottom - top) / 4)
    extent = math.ceil(right - left + 4 * pad), math.ceil(bottom - top + 2 * pad)
    x, y = _spot(_corners(face), extent, size, others)
    paper = (x, y, x + extent[0] - 1, y + extent[1] - 1)
    canvas.rectangle(paper, fill=_colour(face))
    canvas.text((x + 2 * pad - left, y + pad - top), text, fill=_ink(_colour(face)), font=font)
    return paper


def _spot(
    box: Rectangle, extent: tuple[int, int], size: tuple[int, int], others: Sequence[Rectangle]
) -> tuple[int, int]:
    """Return the corner of a label, always within the picture.

    Of the spots above the box, below it, inside it and beside it, the first of those that hide least.
    """
    left, top, right, bottom = box
    width, height = extent
    above = [(left, top - height), (right - width, top - height)] if top >= height else []
    below = [(left, bottom), (right - width, bottom)]
    inside = [(left, top), (left, bottom - height)]
    spots = [*above, *([] if above else inside[:1]), *below, *inside, (right, top), (left - width, top)]
    fitted = [(round(_within(x, size[0] - width)), round(_within(y, size[1] - height))) for x, y in spots]
    return min(fitted, key=lambda at: sum(_shared((*at, at[0] + width, at[1] + height), other) for other in others))


def _within(value: float, limit: int) -> float:
    return max(0.0, min(value, float(limit)))


def _shared(one: Rectangle, other: Rectangle) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return across * down if across > 0 and down > 0 else 0.0


def _ink(paper: Colour) -> Colour:
    """Black or white, whichever contrasts more (WCAG relative luminance)."""
    linear = [(part / 255) ** 2.2 for part in paper]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)
