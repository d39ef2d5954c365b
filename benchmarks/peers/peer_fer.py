"""fer: a face detector and an int8 TFLite network.

Without an option the detector is the Haar cascade, with ``mtcnn`` fer's own MTCNN (facenet-pytorch), with
``mtcnn-package`` that of the package mtcnn, whose boxes are given to fer.
"""

from __future__ import annotations

import os
from typing import Any

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def imports(options: list[str]) -> str:
    """Import the library."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"], os.environ["CUDA_VISIBLE_DEVICES"] = "3", ""
    if "mtcnn" in options:
        import torch  # noqa: F401 - before TensorFlow: the other way round both bring an LLVM, and the process ends
    from importlib.metadata import version

    import fer.fer  # noqa: F401

    if "mtcnn-package" in options:
        import mtcnn  # noqa: F401

    return version("fer")


def load(options: list[str]) -> Any:
    """Return the reader."""
    from fer.fer import FER

    boxes = None
    if "mtcnn-package" in options:
        from mtcnn import MTCNN

        boxes = MTCNN()
    return Reader(FER(mtcnn="mtcnn" in options), boxes)


class Reader:
    """``FER()`` for photos, and one without offsets for crops, which are the face already; they share the network."""

    def __init__(self, whole: Any, boxes: Any) -> None:
        self.whole, self.boxes = whole, boxes
        self.tight: Any = None  # made when it is needed, since the cold start has only a photo

    def crops(self, faces: list[Any]) -> Any:
        """Answer to crops, side by side in one picture as so many face rectangles."""
        import numpy as np
        from fer.fer import FER

        self.tight = self.tight or FER(offsets=(0, 0))
        strip = np.concatenate(faces, axis=1)
        size = faces[0].shape[0]
        boxes = [(place * size, 0, size, size) for place in range(len(faces))]
        found = self.tight.detect_emotions(np.repeat(strip[:, :, None], 3, axis=2), face_rectangles=boxes)
        return [[each["emotions"][word] for word in CLASSES] for each in found]

    def photo(self, path: str) -> Any:
        """Answer to a photo."""
        import cv2

        picture = cv2.imread(path)
        given = None
        if self.boxes is not None:
            seen = self.boxes.detect_faces(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
            given = [tuple(int(value) for value in each["box"]) for each in seen]
        found = self.whole.detect_emotions(picture, face_rectangles=given)
        if not found:
            return None
        largest = max(found, key=lambda each: each["box"][2] * each["box"][3])
        return [largest["emotions"][word] for word in CLASSES]
