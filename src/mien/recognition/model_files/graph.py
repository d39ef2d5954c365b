"""What no model file of a stranger may hold: weights in other files, loops without end, fields by the million.

ONNX Runtime would read external weights from the working directory, outside the file and its digest, and cannot be
interrupted within an operator. A walk over the Protocol Buffers finds both before it sees the graph; the numbers are
those of onnx.proto3.
"""

from __future__ import annotations

from mien.errors import ModelError
from mien.recognition.model_files.wire import walk

MAX_FIELDS = 1_000_000
"""Fields of a whole graph; the largest networks that Mien exports have 20,000."""

_LOOPS = (b"Loop", b"Scan")

_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""Message → number of a field → the message in it."""

_OPERATOR, _EXTERNAL, _LOCATION = 4, 13, 14


def check(model: bytes, *, loops: bool = False) -> None:
    """Raise ``ModelError`` for a serialised ``ModelProto`` that is not self-contained, or not of bounded work.

    Args:
        loops: allow operators that repeat a part of the graph, as often as its input says.
    """
    messages, fields = [("model", memoryview(model))], 0
    try:
        while messages:
            kind, message = messages.pop()
            for number, _, payload, end in walk(message):
                fields += 1
                if fields > MAX_FIELDS:
                    raise ModelError(f"The graph has more than {MAX_FIELDS} fields. Export the model again.")
                inner = _INSIDE[kind].get(number)
                if inner is not None:
                    messages.append((inner, message[payload:end]))
                else:
                    _check_field(kind, number, message[payload:end], loops)
    except (IndexError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"ONNX Runtime cannot load the model: its graph is damaged ({error}). Copy or export the model again."
        ) from None


def _check_field(kind: str, number: int, value: memoryview, loops: bool) -> None:
    if kind == "tensor" and (number == _EXTERNAL or (number == _LOCATION and value[0])):
        raise ModelError(
            "The graph's weights lie in another file: expected one self-contained file. Export the model with the "
            "weights inside (onnx.save_model with save_as_external_data=False)."
        )
    if kind == "node" and number == _OPERATOR and not loops and bytes(value) in _LOOPS:
        raise ModelError(
            f"The graph has the operator {bytes(value).decode()}, which may never end: expected a network without "
            "loops. Export the model again."
        )
