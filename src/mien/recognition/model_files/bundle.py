"""Read, write and verify a model file: an ONNX file that describes itself.

The file is an ONNX ``ModelProto`` whose ``metadata_props`` (field 14) hold one entry ``mien`` with a JSON value:
labels, preprocessing, temperature, measured figures, provenance, licence. Protocol Buffers let fields stand in any
order and be appended, so a few lines (``wire``) split and extend the file without the onnx package.

Graph contract: input ``crops`` float32 (N, channels, size, size); output ``logits`` float32 (N, C).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

from mien.errors import DataError, FileMissingError, ModelError, OptionError
from mien.files import appearing
from mien.labels import LabelSet
from mien.preprocess import PreprocessSpec
from mien.recognition.model_files import corpus, names
from mien.recognition.model_files.corpus import Corpus
from mien.recognition.model_files.wire import field_bytes, walk

SCHEMA = 1

MAX_BYTES = 1_000_000_000
"""Bytes of a model file; the largest network that Mien trains has 550 million."""

_KEY = "mien"
_MAX_FIELDS, _MAX_DESCRIPTION = 100_000, 10_000_000
_GRAPH_FIELD, _METADATA_FIELD = 7, 14

_TYPES: dict[str, type | tuple[type, ...]] = {
    "schema": int, "name": str, "labels": dict, "preprocess": dict, "temperature": (int, float),
    "uncertain_below": (int, float), "metrics": dict, "provenance": dict, "licence": str, "recipe_digest": str,
    "digest": str, "seal": str,
}  # fmt: skip
_OPTIONAL: dict[str, type] = {"trained_on": list}
"""Fields that files of earlier versions lack."""


@dataclass(frozen=True)
class Bundle:
    """A model file's content.

    Attributes:
        temperature: the logits are divided by it before softmax (calibration); above 0.
        uncertain_below: a face whose highest probability is below this is marked uncertain; 0 to 1.
        metrics: measured figures with the split they were measured on.
        provenance: which faces trained and selected the model, and in which environment.
        recipe_digest: of the recipe that trained it.
        digest: SHA-256 (hex) over ``graph``.
        graph: the ONNX file without its metadata.
        trained_on: the corpora that the model learned from, with their terms; empty where the file does not say.
    """

    name: str
    labels: LabelSet
    preprocess: PreprocessSpec
    temperature: float
    uncertain_below: float
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    licence: str
    recipe_digest: str
    digest: str
    graph: bytes = field(repr=False)
    trained_on: tuple[Corpus, ...] = ()


def read(model: str | PathLike[str]) -> Bundle:
    """Read a model: by its name or alias (``"default"``), the path of its file, or that of a run folder.

    Raises:
        FileMissingError: a path that does not exist.
        ModelError: an unknown name or a file that is no ONNX, was not written by Mien, is damaged, or is of another
            schema; both as ``names.locate`` does.
    """
    path = names.locate(model)
    try:
        _check_file_size(path)
        content = path.read_bytes()
    except FileNotFoundError:
        raise FileMissingError(f"No such model file: {str(path)!r}. Check the path.") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"Cannot read the model file {str(path)!r}: {error}. Expected an .onnx file.") from None
    graph, value = _parts(content, path)
    return _bundle(_described(value, path), graph, path)


def write(
    path: str | PathLike[str],
    graph: bytes,
    *,
    name: str,
    labels: LabelSet,
    preprocess: PreprocessSpec,
    temperature: float,
    uncertain_below: float,
    metrics: dict[str, Any],
    provenance: dict[str, Any],
    licence: str,
    recipe_digest: str,
    trained_on: Sequence[Corpus] = (),
) -> Bundle:
    """Write ``graph`` (a serialised ONNX ``ModelProto``) with its description to ``path``.

    Metadata already in ``graph`` is dropped. The file appears whole or not at all.

    Raises:
        ModelError: a value is out of range or cannot be said in JSON.
    """
    path = Path(path)
    bare, _ = _parts(graph, path)
    described: dict[str, Any] = {
        "schema": SCHEMA, "name": name, "labels": {"name": labels.name, "labels": list(labels.labels)},
        "preprocess": preprocess.to_dict(), "temperature": temperature, "uncertain_below": uncertain_below,
        "metrics": metrics, "provenance": provenance, "licence": licence, "recipe_digest": recipe_digest,
        "digest": hashlib.sha256(bare).hexdigest(),
    }  # fmt: skip
    if trained_on:
        described["trained_on"] = [corpus.to_dict() for corpus in trained_on]
    try:
        # Once there and back, so that tuples and integer keys are sealed as what will be read.
        described = json.loads(json.dumps(described, allow_nan=False))
        described["seal"] = _seal(described)
        value = json.dumps(described, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"The description of model {name!r} does not fit JSON: {error}. Use plain, finite values."
        ) from None
    bundle = _bundle(described, bare, path)
    _store(path, bare + field_bytes(_METADATA_FIELD, field_bytes(1, _KEY.encode()) + field_bytes(2, value)))
    return bundle


def rewrite(
    path: str | PathLike[str],
    *,
    name: str | None = None,
    trained_on: Sequence[Corpus] | None = None,
    licence: str | None = None,
) -> Bundle:
    """Write a model file anew with another name, other corpora or another licence; None keeps what is there.

    The graph stays as it is, byte for byte, so every prediction does. Raises as ``read`` and ``write``.
    """
    before = read(Path(path))
    after = replace(
        before,
        name=before.name if name is None else name,
        trained_on=before.trained_on if trained_on is None else tuple(trained_on),
        licence=before.licence if licence is None else licence,
    )
    described = {name: getattr(after, name) for name in Bundle.__dataclass_fields__ if name not in ("graph", "digest")}
    return write(path, after.graph, **described)


def _store(path: Path, content: bytes) -> None:
    try:
        with appearing(path) as draft:
            draft.write_bytes(content)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"Cannot write the model file {str(path)!r}: {error}. Name a file in a writable folder."
        ) from None


def _check_file_size(path: Path) -> None:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ModelError(f"{str(path)!r} has {size} bytes: expected a model file of at most {MAX_BYTES}.")


def _parts(content: bytes, path: Path) -> tuple[bytes, bytes | None]:
    """Split a model file into its bytes without metadata and the value of our metadata entry, None if absent."""
    view, pieces, value, numbers = memoryview(content), [], None, set()
    try:
        for count, (number, start, payload, end) in enumerate(walk(content), 1):
            if count > _MAX_FIELDS:
                raise ValueError("too many fields")
            numbers.add(number)
            if number != _METADATA_FIELD:
                pieces.append(view[start:end])
                continue
            entry = content[payload:end]
            pair = {key: entry[begin:stop] for key, _, begin, stop in islice(walk(entry), 3)}
            value = pair.get(2, b"")[: _MAX_DESCRIPTION + 1] if pair.get(1) == _KEY.encode() else value
    except (IndexError, ValueError):
        numbers.clear()
    if _GRAPH_FIELD not in numbers:
        raise ModelError(
            f"{str(path)!r} ({len(content)} bytes) is not a whole ONNX file: expected an .onnx file written by Mien. "
            "Check that it is the right file and that the copy is complete."
        )
    return b"".join(pieces), value  # one copy: the weights are megabytes


def _seal(described: dict[str, Any]) -> str:
    """Checksum over the description itself: a flipped digit in the temperature would change every probability."""
    unsealed = {key: value for key, value in described.items() if key != "seal"}
    return hashlib.sha256(json.dumps(unsealed, sort_keys=True).encode()).hexdigest()


def _described(value: bytes | None, path: Path) -> dict[str, Any]:
    if value is None:
        raise ModelError(
            f"{str(path)!r} is an ONNX file without Mien's description: expected a metadata entry {_KEY!r} with labels "
            "and preprocessing. Export the model with Mien; what a foreign file expects as input cannot be guessed."
        )
    if len(value) > _MAX_DESCRIPTION:
        raise ModelError(
            f"The description in {str(path)!r} has more than {_MAX_DESCRIPTION} bytes. Export the model again."
        )
    try:
        described = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"The description in {str(path)!r} is damaged: {error}. Copy or export the file again."
        ) from None
    if not isinstance(described, dict):
        raise ModelError(f"The description in {str(path)!r} is no JSON object. Export the model again.")
    return described


def _bundle(described: dict[str, Any], graph: bytes, path: Path) -> Bundle:
    _check_schema(described.get("schema"), path)
    _check_fields(described, path)
    _check_digests(described, graph, path)
    labels = described["labels"]
    try:
        return Bundle(
            name=described["name"],
            labels=LabelSet(labels["name"], tuple(_words(labels["labels"]))),
            preprocess=PreprocessSpec.from_dict(described["preprocess"]),
            temperature=float(described["temperature"]),
            uncertain_below=float(described["uncertain_below"]),
            **{key: described[key] for key in ("metrics", "provenance", "licence", "recipe_digest", "digest")},
            graph=graph,
            trained_on=corpus.parse(described.get("trained_on", [])),
        )
    except (KeyError, TypeError, DataError, OptionError, ModelError) as error:
        raise ModelError(
            f"Model file {str(path)!r} describes itself wrongly: {error}. Export the model again."
        ) from None


def _words(labels: object) -> list[str]:
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise TypeError(f"labels are {labels!r}, expected a list of words")
    return labels


def _check_schema(schema: object, path: Path) -> None:
    if schema == SCHEMA:
        return
    newer = isinstance(schema, int) and schema > SCHEMA
    advice = "Upgrade: pip install --upgrade mien" if newer else "Export the model again with this version."
    raise ModelError(f"Model file {str(path)!r} has schema {schema!r}; this version of Mien reads {SCHEMA}. {advice}")


def _check_fields(described: dict[str, Any], path: Path) -> None:
    odd = sorted((set(described) ^ set(_TYPES)) - set(_OPTIONAL))
    kinds = {**_TYPES, **_OPTIONAL}
    odd += [key for key, kind in kinds.items() if key in described and not isinstance(described[key], kind)]
    if odd:
        raise ModelError(
            f"Model file {str(path)!r} has missing, unknown or wrongly typed fields: {', '.join(odd)}. Expected "
            f"{', '.join(_TYPES)}, and perhaps {', '.join(_OPTIONAL)}. Export the model again."
        )
    temperature, below = described["temperature"], described["uncertain_below"]
    if not (0 < temperature <= 1000 and 0 <= below <= 1):
        raise ModelError(
            f"Model file {str(path)!r}: temperature = {temperature}, uncertain_below = {below}; expected a temperature "
            "above 0 and at most 1000, and a threshold from 0 to 1. Export the model again."
        )


def _check_digests(described: dict[str, Any], graph: bytes, path: Path) -> None:
    digest = hashlib.sha256(graph).hexdigest()
    if described["digest"] != digest or described["seal"] != _seal(described):
        raise ModelError(
            f"Model file {str(path)!r} is damaged: its content does not match the checksums it was written with "
            f"(expected sha256 {described['digest'][:16]}…, found {digest[:16]}…). Copy or export the file again."
        )
