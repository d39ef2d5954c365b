"""``mien.predict`` and ``mien.explain``: one call, with a model that is loaded once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Never

from mien import foreign
from mien.recognition.recognizer import Recognizer, load

if TYPE_CHECKING:
    from mien.images import ImageInput
    from mien.interpret.explain import Explanation
    from mien.results import ImageResult


def predict(
    source: ImageInput | Iterable[ImageInput], *, model: str = "default", device: str = "auto", **others: Never
) -> ImageResult | Any:
    """Find the faces of a picture, or of several, and what they show, as ``Recognizer.predict`` does.

    Args:
        device: see ``mien.load``. The model is loaded at the first call and kept. With other settings: ``mien.load``.
    """
    if others:
        raise foreign.keyword_error("mien.predict", others, {**foreign.LOAD, **foreign.PREDICT})
    return _loaded(model, device).predict(source)


def explain(
    image: ImageInput, classes: Sequence[str] | int = 1, *, model: str = "default", device: str = "auto"
) -> Explanation:
    """Find the faces of a picture and say where in each the classes were read.

    Arguments and errors are those of ``mien.interpret.explain.explain_image``; the model is kept as by ``predict``.
    """
    from mien.interpret.explain import explain_image

    return explain_image(_loaded(model, device), image, classes)


@lru_cache(maxsize=2)
def _loaded(model: str, device: str) -> Recognizer:
    return load(model, device=device)
