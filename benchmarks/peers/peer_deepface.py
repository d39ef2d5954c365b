"""deepface with its default detector."""

from __future__ import annotations

from typing import Any

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def imports(_: list[str]) -> str:
    """Import the library."""
    from importlib.metadata import version

    from deepface import DeepFace  # noqa: F401

    return version("deepface")


def load(_: list[str]) -> Any:
    """Return the reader; the weights are fetched here, if they can be."""
    from deepface import DeepFace

    DeepFace.build_model("Emotion", task="facial_attribute")
    return Reader()


class Reader:
    """``DeepFace.analyze``."""

    def crops(self, faces: list[Any]) -> Any:
        """Answer to crops."""
        import numpy as np

        colour = [np.repeat(face[:, :, None], 3, axis=2) for face in faces]
        return [_row(each[0]) for each in _analyze(colour, "skip")]

    def photo(self, path: str) -> Any:
        """Answer to a photo."""
        try:
            found = _analyze(path, "opencv")
        except ValueError as error:
            if "could not be detected" in str(error):  # deepface's way to say that there is no face
                return None
            raise
        return _row(max(found, key=lambda each: each["region"]["w"] * each["region"]["h"]))


def _analyze(given: Any, detector: str) -> Any:
    from deepface import DeepFace

    strict = detector != "skip"
    return DeepFace.analyze(given, ["emotion"], enforce_detection=strict, detector_backend=detector, silent=True)


def _row(found: Any) -> list[float]:
    return [found["emotion"][word] / 100 for word in CLASSES]
