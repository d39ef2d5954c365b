"""fer: Haar cascade, or with the option ``mtcnn`` MTCNN, and an int8 TFLite network."""

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

    return version("fer")


def load(options: list[str]) -> Any:
    """Return the reader."""
    from fer.fer import FER

    return Reader(FER(mtcnn="mtcnn" in options))


class Reader:
    """``FER()`` for photos, and one without offsets for crops, which are the face already; they share the network."""

    def __init__(self, whole: Any) -> None:
        self.whole = whole
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

        found = self.whole.detect_emotions(cv2.imread(path))
        if not found:
            return None
        largest = max(found, key=lambda each: each["box"][2] * each["box"][3])
        return [largest["emotions"][word] for word in CLASSES]
