"""Load a third-party ONNX file together with an adapter file that supplies the metadata it lacks."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from mien.errors import DataError, FileMissingError, MissingExtraError, ModelError, OptionError
from mien.labels import LabelSet, canonical
from mien.preprocess import PreprocessSpec
from mien.recognition.classifier import Classifier
from mien.recognition.session import ForeignSession

try:
    from pydantic import BaseModel, ConfigDict, Field, ValidationError
except ImportError as error:
    raise MissingExtraError.for_extra("An adapter", "train") from error


class Adapter(BaseModel):
    """Metadata of a third-party network.

    Attributes:
        labels: its classes in the order of its outputs, named as in Mien or as in a corpus (``angry``, ``HA``).
        outputs: whether it returns logits or probabilities.
        output: the name of that output, if there are several.
        temperature: its logits are divided by it before softmax.
        preprocess: its input: the keys and defaults of a recipe's table ``[preprocess]``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: Annotated[tuple[str, ...], Field(min_length=2)]
    outputs: Literal["logits", "probabilities"]
    output: str = ""
    temperature: Annotated[float, Field(gt=0, le=1000)] = 1.0
    preprocess: PreprocessSpec

    def label_set(self) -> LabelSet:
        """Return its classes as Mien's labels.

        Raises:
            DataError: an unknown or a repeated class.
        """
        return LabelSet("adapter", tuple(canonical(label) for label in self.labels))


def read(path: str | Path) -> Adapter:
    """Read an adapter file (TOML).

    Raises:
        FileMissingError: naming each wrong key.
        OptionError: naming each wrong key.
    """
    file = Path(path)
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
        # JSON mode is the one in which strict types still take a TOML array for a tuple.
        return Adapter.model_validate_json(json.dumps(values, default=str), strict=True)
    except FileNotFoundError as error:
        raise FileMissingError(f"No adapter at {file}; docs/evaluation.md shows one.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"{file} is not valid TOML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(_explain(dict(detail)) for detail in error.errors())
        raise OptionError(f"{file}: {problems}. An adapter has {', '.join(Adapter.model_fields)}.") from error


def _explain(detail: dict[str, Any]) -> str:
    where, message = ".".join(map(str, detail["loc"])), str(detail["msg"])
    if detail["type"] == "missing":
        return f"{where!r} is required"
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key {where!r}"
    return f"{where} = {detail['input']!r}: {message.removeprefix('Value error, ')}"


def load(path: str | Path, adapter: str | Path, threads: int | None = None, device: str = "auto") -> Classifier:
    """Load a third-party ONNX file. Raises ``FileMissingError``, ``OptionError`` and ``ModelError``."""
    file, known = Path(path), read(adapter)
    try:
        graph, label_set = file.read_bytes(), known.label_set()
    except FileNotFoundError as error:
        raise FileMissingError(f"No such model file: {str(file)!r}. Check the path.") from error
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
            device=device,
        )
    except ModelError as error:
        raise ModelError(f"{file} does not match {adapter}: {error}") from error
    return Classifier(file.stem, hashlib.sha256(graph).hexdigest(), label_set, spec, known.temperature, session)
