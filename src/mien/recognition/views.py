"""Test-time augmentation: several views of a face crop, whose answers are averaged.

Off unless asked for, and its figures are always told apart from those of one view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mien.errors import OptionError, nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KINDS = {"single": 1, "flip": 2, "crops": 10}
"""Kind → views of a face.

single: the crop alone.
flip:   the crop and its mirror image.
crops:  the crop, four moved by ``SHIFT``, and the mirror images of these five.
"""

SHIFT = 1 / 24
"""How far crops move, of the side: the better of 1 and 2 pixels of 48 on PublicTest."""


def check(kind: str) -> str:
    """Return ``kind``.

    Raises:
        OptionError: one that is not in ``KINDS``.
    """
    if kind not in KINDS:
        raise OptionError(f"views = {kind!r}: expected one of {', '.join(KINDS)}.{nearest(str(kind), [*KINDS])}")
    return kind


def of(crop: NDArray[np.uint8], kind: str) -> list[NDArray[np.uint8]]:
    """Return the views of one crop, uint8 (H, W[, 3]), the crop itself first; each is of its shape."""
    import numpy as np  # here and below: the help of `mien predict` names the kinds, and waits for no NumPy

    upright = [crop, *(_moved(crop) if kind == "crops" else ())]
    return upright if kind == "single" else [*upright, *(np.ascontiguousarray(view[:, ::-1]) for view in upright)]


def _moved(crop: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return the crop moved along both diagonals; what enters the frame repeats its nearest pixel."""
    import numpy as np

    height, width = crop.shape[:2]
    down, right = (max(round(SHIFT * side), 1) for side in (height, width))
    padded = np.pad(crop, ((down, down), (right, right), *[(0, 0)] * (crop.ndim - 2)), mode="edge")
    corners = [(top, left) for top in (0, 2 * down) for left in (0, 2 * right)]
    return [np.ascontiguousarray(padded[top : top + height, left : left + width]) for top, left in corners]
