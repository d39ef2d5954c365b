"""What is done with one photo: bytes in, one item of ``results`` out, as JSON; runs in a thread of the pool."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.errors import ImageError
from mien.recognition.explain import class_indices, explain_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mien.recognition.recognizer import Recognizer
    from mien.web.decode import Upload
    from mien.web.models import Models


@dataclass(frozen=True)
class Options:
    """What a request asks for: model and detector (None: the server's), the most faces, and the classes to explain."""

    model: str | None
    detector: str | None
    max_faces: int
    classes: int | tuple[str, ...] = 1


@dataclass(frozen=True)
class Item:
    """One photo's answer, encoded, with its number of faces; or the reason why it could not be read."""

    content: bytes
    faces: int = 0
    error: str = ""


def predicted(models: Models, upload: Upload, options: Options, max_pixels: int) -> Item:
    """Read one photo.

    Raises ``OptionError``, ``DataError`` or ``MissingExtraError`` for options with which no photo could be read.
    """
    return _item(models, upload, options, max_pixels, _told)


def explained(models: Models, upload: Upload, options: Options, max_pixels: int) -> Item:
    """Read one photo and say where in each face the classes were read."""
    return _item(models, upload, options, max_pixels, _explained)


def _item(models: Models, upload: Upload, options: Options, max_pixels: int, tell: Any) -> Item:
    recognizer, best = models.limited(options.model, options.detector, options.max_faces)
    class_indices(recognizer, options.classes, np.zeros(len(recognizer.labels)))  # also where no face would ask for it
    try:
        told = tell(recognizer, upload, options, max_pixels)
    except ImageError as error:
        return Item(_json({"source": upload.name, "error": str(error)}), error=str(error))
    told |= {"faces_found": best.found, "truncated": best.found > len(told["faces"])}
    return Item(_json(told), len(told["faces"]))


def _told(recognizer: Recognizer, upload: Upload, _options: Options, max_pixels: int) -> dict[str, Any]:
    result = recognizer.predict(upload.content, keep_pixels=False, max_pixels=max_pixels)
    return replace(result, source=upload.name).to_dict()


def _explained(recognizer: Recognizer, upload: Upload, options: Options, max_pixels: int) -> dict[str, Any]:
    explanation = explain_image(recognizer, upload.content, options.classes, max_pixels=max_pixels)
    return {**explanation.to_dict(), "source": upload.name}


def joined(items: Sequence[Item]) -> bytes:
    """Return the body of the answer."""
    return b'{"results":[' + b",".join(item.content for item in items) + b"]}"


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False).encode()
