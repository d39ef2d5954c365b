"""Test-time augmentation: the mean of a model's answers on several views of each face.

Off unless asked for, and its figures are always told apart from those of one view.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mien.datasets.faces import FaceSet
from mien.evaluation.evaluate import Model, Watch, logits
from mien.evaluation.predictions import Predictions
from mien.recognition.session import softmax

KINDS = {"flip": 2, "crops": 10}
"""Kind → views of a face.

flip:  the face and its mirror image.
crops: the face, four moved by ``SHIFT``, and the mirror images of these five.
"""

SHIFT = 1 / 24
"""How far crops move, of the side: the best of 1 to 3 pixels of 48 on PublicTest; smaller crops, enlarged, do worse."""


def mean_of_views(
    model: Model, faces: FaceSet, single: Predictions, kind: str, watch: Watch | None = None
) -> Predictions:
    """Return the mean of ``single``, the predictions of one view, and those of a kind's other views of ``faces``."""
    total = single.probabilities.copy()
    for pixels in other_views(faces.pixels, kind):
        total += softmax(
            logits(model.session, model.preprocess, replace(faces, pixels=pixels), watch), model.temperature
        )
    count = KINDS[kind]
    return replace(single, probabilities=total / count, about=replace(single.about, views=count))


def other_views(pixels: NDArray[np.uint8], kind: str) -> list[NDArray[np.uint8]]:
    """Return the views of faces uint8 (N, H, W) besides the faces themselves, each of that shape."""
    upright = [pixels, *(_moved(pixels) if kind == "crops" else ())]
    return [*upright[1:], *(np.ascontiguousarray(view[:, :, ::-1]) for view in upright)]


def _moved(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return the faces moved along both diagonals; what enters the frame repeats its nearest pixel."""
    height, width = pixels.shape[1:]
    down, right = (max(round(SHIFT * side), 1) for side in (height, width))
    padded = np.pad(pixels, ((0, 0), (down, down), (right, right)), mode="edge")
    corners = [(top, left) for top in (0, 2 * down) for left in (0, 2 * right)]
    return [np.ascontiguousarray(padded[:, top : top + height, left : left + width]) for top, left in corners]
