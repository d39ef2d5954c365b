"""Process one photo in a thread of the pool: encoded bytes to one JSON item of ``results``."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.errors import ImageError
from mien.interpret.explain import class_indices, explain_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mien.recognition.recognizer import Recognizer
    from mien.web.decode import Upload
    from mien.web.models import Models


@dataclass(frozen=True)
class Options:
    """Options of a request.

    Attributes:
        model, detector: None takes the server's default.
        max_faces: of a photo.
        classes: to explain: their names, or how many of the most probable ones.
        face: index of the one face to explain; None explains all.
    """

    model: str | None
    detector: str | None
    max_faces: int
    classes: int | tuple[str, ...] = 1
    face: int | None = None


@dataclass(frozen=True)
class Item:
    """One photo's encoded result and number of faces; or the reason why it could not be read."""

    content: bytes
    faces: int = 0
    error: str = ""


def predict_photo(models: Models, upload: Upload, options: Options, max_pixels: int) -> Item:
    """Recognise the faces of one photo.

    Raises:
        OptionError: invalid options.
        DataError: invalid options.
        MissingExtraError: invalid options.
    """
    return _process(models, upload, options, max_pixels, _predict)


def explain_photo(models: Models, upload: Upload, options: Options, max_pixels: int) -> Item:
    """Recognise the faces of one photo and compute a map for each face and class."""
    return _process(models, upload, options, max_pixels, _explain)


def _process(models: Models, upload: Upload, options: Options, max_pixels: int, compute: Any) -> Item:
    recognizer, best = models.limit(options.model, options.detector, options.max_faces)
    class_indices(
        recognizer, options.classes, np.zeros(len(recognizer.labels))
    )  # checks the classes even if there is no face
    if upload.refused:
        return refuse(upload, upload.refused)
    try:
        result = compute(recognizer, upload, options, max_pixels)
    except ImageError as error:
        return refuse(upload, str(error))
    result |= {"faces_found": best.count, "truncated": best.count > len(result["faces"])}
    return Item(_encode(result), len(result["faces"]))


def refuse(upload: Upload, error: str) -> Item:
    """Return the item of a photo that cannot be read."""
    return Item(_encode({"source": upload.name, "error": error}), error=error)


def _predict(recognizer: Recognizer, upload: Upload, _options: Options, max_pixels: int) -> dict[str, Any]:
    result = recognizer.predict(upload.content, keep_pixels=False, max_pixels=max_pixels)
    return replace(result, source=upload.name).to_dict()


def _explain(recognizer: Recognizer, upload: Upload, options: Options, max_pixels: int) -> dict[str, Any]:
    explanation = explain_image(recognizer, upload.content, options.classes, max_pixels=max_pixels, face=options.face)
    return {**explanation.to_dict(), "source": upload.name}


def join(items: Sequence[Item]) -> bytes:
    """Join items into the body of the response."""
    return b'{"results":[' + b",".join(item.content for item in items) + b"]}"


def _encode(value: dict[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False).encode()
