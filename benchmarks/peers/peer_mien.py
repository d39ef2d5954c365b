"""Mien. The option is its model."""

from __future__ import annotations

from typing import Any

CLASSES: tuple[str, ...] = ()


def imports(_: list[str]) -> str:
    """Import the library."""
    import mien

    return mien.__version__


def load(options: list[str]) -> Any:
    """Return the reader; the model says its classes."""
    global CLASSES  # noqa: PLW0603
    import mien

    recognizer = mien.load(options[0])
    CLASSES = recognizer.labels
    return Reader(recognizer)


class Reader:
    """``mien.load(model)``."""

    def __init__(self, recognizer: Any) -> None:
        self.recognizer = recognizer

    def crops(self, faces: list[Any]) -> Any:
        """Answer to crops."""
        return self.recognizer.classify(faces)

    def photo(self, path: str) -> Any:
        """Answer to a photo."""
        faces = self.recognizer.predict(path, keep_pixels=False).faces
        return max(faces, key=lambda face: face.box.width * face.box.height).values if faces else None
