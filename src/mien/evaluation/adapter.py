"""A foreign ONNX file, and the note beside it that says what the file does not say of itself."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from mien.errors import DataError, FileMissingError, MissingExtraError, ModelError, OptionError
from mien.evaluation.evaluate import Model
from mien.labels import LabelSet, canonical
from mien.preprocess import PreprocessSpec
from mien.recognition.session import ForeignSession

try:
    from pydantic import BaseModel, ConfigDict, Field, ValidationError
except ImportError as error:
    raise MissingExtraError.for_extra("An adapter", "train") from error


class Adapter(BaseModel):
    """What is known of a foreign network.

    labels:      its classes in the order of its outputs, in Mien's words or a corpus's (``angry``, ``HA``).
    outputs:     whether it answers logits or probabilities.  output: the name of that output, if there are several.
    temperature: its logits are divided by it before softmax.
    preprocess:  what it takes: the keys and defaults of a recipe's table ``[preprocess]``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: Annotated[tuple[str, ...], Field(min_length=2)]
    outputs: Literal["logits", "probabilities"]
    output: str = ""
    temperature: Annotated[float, Field(gt=0, le=1000)] = 1.0
    preprocess: PreprocessSpec

    def label_set(self) -> LabelSet:
        """Return its classes as Mien's nouns. Raises ``DataError`` for an unknown word, or two of the same meaning."""
        return LabelSet("adapter", tuple(canonical(label) for label in self.labels))


def read(path: str | Path) -> Adapter:
    """Read an adapter file (TOML). Raises ``FileMissingError``, and ``OptionError`` naming each wrong key."""
    place = Path(path)
    try:
        values = tomllib.loads(place.read_text(encoding="utf-8"))
        # JSON mode is the one in which strict types still take a TOML array for a tuple.
        return Adapter.model_validate_json(json.dumps(values, default=str), strict=True)
    except FileNotFoundError as error:
        raise FileMissingError(f"No adapter at {place}; docs/evaluation.md shows one.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"{place} is not valid TOML: {error}") from error
    except ValidationError as error:
        told = "; ".join(_explained(dict(detail)) for detail in error.errors())
        raise OptionError(f"{place}: {told}. An adapter has {', '.join(Adapter.model_fields)}.") from error


def _explained(detail: dict[str, Any]) -> str:
    where, message = ".".join(map(str, detail["loc"])), str(detail["msg"])
    if detail["type"] == "missing":
        return f"{where!r} is required"
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key {where!r}"
    return f"{where} = {detail['input']!r}: {message.removeprefix('Value error, ')}"


def load(path: str | Path, adapter: str | Path, threads: int | None = None) -> Model:
    """Return a foreign ONNX file as a model. Raises ``FileMissingError``, ``OptionError`` and ``ModelError``."""
    place, known = Path(path), read(adapter)
    try:
        graph, label_set = place.read_bytes(), known.label_set()
    except FileNotFoundError as error:
        raise FileMissingError(f"No such model file: {str(place)!r}. Check the path.") from error
    except DataError as error:
        raise OptionError(f"{adapter}: labels: {error}") from error
    spec = known.preprocess
    try:
        session = ForeignSession(
            graph,
            threads,
            inputs=(spec.channels, spec.size, spec.size),
            classes=len(label_set),
            output=known.output,
            probabilities=known.outputs == "probabilities",
        )
    except ModelError as error:
        raise ModelError(f"{place} is not what {adapter} says of it: {error}") from error
    return Model(place.stem, hashlib.sha256(graph).hexdigest(), label_set, spec, known.temperature, session)
