"""Facial emotion recognition: photos in; boxes, emotions and honest probabilities out.

The names below load on first use, so that ``import mien`` costs no OpenCV, ONNX Runtime or NumPy.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true; importing it from typing costs all that this module costs
if TYPE_CHECKING:
    from mien.errors import MienError
    from mien.pose import Pose
    from mien.recognition.many import ImageResults
    from mien.recognition.model_files.card import ModelCard
    from mien.recognition.model_files.names import list_models
    from mien.recognition.recognizer import Recognizer, load
    from mien.results import Box, Face, FrameResult, ImageResult, Person, Quality
    from mien.shortcuts import explain, predict
    from mien.video.film import Film
    from mien.video.video import Video

__version__ = "0.1.0"

__all__ = [
    "Box",
    "Face",
    "Film",
    "FrameResult",
    "ImageResult",
    "ImageResults",
    "MienError",
    "ModelCard",
    "Person",
    "Pose",
    "Quality",
    "Recognizer",
    "Video",
    "__version__",
    "explain",
    "list_models",
    "load",
    "predict",
]

_HOMES = {
    "Box": "mien.box",
    "Face": "mien.results",
    "Quality": "mien.results",
    "Film": "mien.video.film",
    "FrameResult": "mien.results",
    "ImageResult": "mien.results",
    "ImageResults": "mien.recognition.many",
    "MienError": "mien.errors",
    "ModelCard": "mien.recognition.model_files.card",
    "Person": "mien.results",
    "Pose": "mien.pose",
    "Recognizer": "mien.recognition.recognizer",
    "Video": "mien.video.video",
    "explain": "mien.shortcuts",
    "list_models": "mien.recognition.model_files.names",
    "load": "mien.recognition.recognizer",
    "predict": "mien.shortcuts",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        from mien.foreign import MODULE, attribute_error  # "from mien import foreign" would come back here

        raise attribute_error("module 'mien'", name, MODULE)
    from importlib import import_module

    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
