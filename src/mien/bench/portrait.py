"""Draw a face for benchmarks: the installed package contains no photo, and a drawing needs no licence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Colour = tuple[int, int, int]

WIDTH, HEIGHT = 640, 480

_FINE = 4  # supersampling factor, for the smooth edges that detectors expect
_SKIN, _HAIR, _SHADE = (225, 180, 155), (60, 40, 30), (205, 150, 125)
# Centre, half axes, colour; later ones cover earlier ones.
_ELLIPSES: tuple[tuple[tuple[int, int], tuple[int, int], Colour], ...] = (
    ((320, 215), (100, 135), _HAIR),
    ((320, 240), (85, 115), _SKIN),
    *(((x, 218), axes, colour) for x in (285, 355) for axes, colour in (
        ((16, 8), (250, 248, 245)), ((7, 8), (70, 45, 30)), ((3, 3), (10, 10, 10)))),
    ((320, 258), (12, 7), _SHADE),
    ((320, 240), (6, 20), (215, 168, 142)),
    *(((x, 262), (3, 2), (150, 100, 85)) for x in (314, 326)),
    ((320, 290), (28, 12), (180, 80, 80)),
    ((320, 287), (22, 4), (120, 40, 45)),
)  # fmt: skip


def draw() -> NDArray[np.uint8]:
    """Draw a face on a plain background, uint8 (480, 640, 3) RGB; YuNet and Haar detect it."""
    import cv2

    large = np.full((HEIGHT * _FINE, WIDTH * _FINE, 3), (150, 160, 170), np.uint8)

    def ellipse(
        centre: tuple[int, int], axes: tuple[int, int], colour: Colour, arc: tuple[int, int], thick: int
    ) -> None:
        middle, size = [value * _FINE for value in centre], [value * _FINE for value in axes]
        cv2.ellipse(large, middle, size, 0, *arc, colour, thick, cv2.LINE_AA)

    for centre, axes, colour in _ELLIPSES:
        ellipse(centre, axes, colour, (0, 360), -1)
    for x in (285, 355):  # eyebrows: upper arcs of ellipses
        ellipse((x, 198), (20, 6), _HAIR, (190, 350), 4 * _FINE)
    small = cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small, (0, 0), 1.2)  # type: ignore[return-value]
