"""hsemotion-onnx with its default network."""

from __future__ import annotations

from typing import Any

CLASSES = ("Anger", "Contempt", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise")


def imports(_: list[str]) -> str:
    """Import the library."""
    import urllib.request  # noqa: F401 - the library uses it without importing it
    from importlib.metadata import version

    import hsemotion_onnx.facial_emotions  # noqa: F401

    return version("hsemotion-onnx")


def load(_: list[str]) -> Any:
    """Return the reader; the weights are fetched here, if they can be."""
    from hsemotion_onnx.facial_emotions import HSEmotionRecognizer

    return Reader(HSEmotionRecognizer())


class Reader:
    """``HSEmotionRecognizer``."""

    def __init__(self, recognizer: Any) -> None:
        self.recognizer = recognizer

    def crops(self, faces: list[Any]) -> Any:
        """Answer to crops."""
        import numpy as np

        colour = [np.repeat(face[:, :, None], 3, axis=2) for face in faces]
        return self.recognizer.predict_multi_emotions(colour, logits=False)[1]
