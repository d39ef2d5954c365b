"""Facial emotion recognition: photos in; boxes, emotions and honest probabilities out.

The names below load on first use, so that ``import mien`` costs no OpenCV, ONNX Runtime or NumPy.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true; importing it from typing costs all that this module costs
if TYPE_CHECKING:
    from mien.errors import MienError
    from mien.recognition.recognizer import Recognizer, load
    from mien.results import Box, Face, FrameResult, ImageResult, Person, Quality
    from mien.video.film import Film

__version__ = "0.1.0"

__all__ = [
    "Box",
    "Face",
    "Film",
    "FrameResult",
    "ImageResult",
    "MienError",
    "Person",
    "Quality",
    "Recognizer",
    "__version__",
    "load",
]

_HOMES = {
    "Box": "mien.results",
    "Face": "mien.results",
    "Quality": "mien.results",
    "Film": "mien.video.film",
    "FrameResult": "mien.results",
    "ImageResult": "mien.results",
    "MienError": "mien.errors",
    "Person": "mien.results",
    "Recognizer": "mien.recognition.recognizer",
    "load": "mien.recognition.recognizer",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'mien' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
