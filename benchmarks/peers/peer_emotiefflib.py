"""EmotiEffLib on ONNX Runtime with its default network."""

from __future__ import annotations

from typing import Any

CLASSES = ("Anger", "Contempt", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise")


def imports(_: list[str]) -> str:
    """Import the library."""
    from importlib.metadata import version

    import emotiefflib.facial_analysis  # noqa: F401

    return version("emotiefflib")


def load(_: list[str]) -> Any:
    """Return the reader; the weights are fetched here, if they can be."""
    from emotiefflib.facial_analysis import EmotiEffLibRecognizer

    return Reader(EmotiEffLibRecognizer(engine="onnx", model_name="enet_b0_8_best_vgaf", device="cpu"))


class Reader:
    """``EmotiEffLibRecognizer``."""

    def __init__(self, recognizer: Any) -> None:
        self.recognizer = recognizer

    def crops(self, faces: list[Any]) -> Any:
        """Answer to crops."""
        import numpy as np

        colour = [np.repeat(face[:, :, None], 3, axis=2) for face in faces]
        return self.recognizer.predict_emotions(colour, logits=False)[1]
