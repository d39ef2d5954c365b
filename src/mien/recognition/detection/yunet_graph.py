"""Rewrite YuNet's ONNX file, without onnx, for pixels of any height and width, and with the heads of a stride as one.

The file declares 640×640 pixels, but no operator depends on them: only the declarations are replaced. It takes planes
of floats, blue first. Here the network makes them of the pixels itself, in memory that ONNX Runtime keeps: OpenCV's
``blobFromImage`` asks for 21 MB anew for 1600×1120, which takes 20 ms where this takes 3, and the first convolution
takes red first. A stride has
four heads, of 1, 1, 4 and 10 channels, each a 1×1 convolution and one of 3×3 in each channel. Stacked they are one head
of 16 channels with the same arithmetic, as ONNX Runtime's fast convolutions take them: of its processor time, 9 % at
1600×1216 and 17 % at 640×480 are saved, and a third of the time to open the network.
"""

from __future__ import annotations

import numpy as np

from mien.recognition.model_files.wire import field_bytes, field_whole, walk

STRIDES = (8, 16, 32)
CHANNELS = 16
"""Of a stride's outputs: class, object, four of the box, ten of the points."""

_HEADS = ("cls", "obj", "bbox", "kps")

# Numbers of fields in onnx.proto3.
_GRAPH = 7
_NODE, _TITLE, _TENSOR, _INPUT, _OUTPUT = 1, 2, 5, 11, 12
_TAKES, _GIVES, _OPERATOR, _ATTRIBUTE = 1, 2, 4, 5
_NAME, _RAW = 8, 9
_FLOAT, _UINT8, _INT, _INTS = 1, 2, 2, 7
"""Numbers of types, of tensors and of attributes."""

_STEM, _STEM_SHAPE = "420", (16, 3, 3, 3)
"""The first convolution's weights."""


def rewrite(model: bytes) -> bytes:
    """Return YuNet's serialised ``ModelProto`` with one output a stride, for any height and width.

    Input ``pixels``: uint8 (1, H, W, 3) RGB, H and W multiples of 32. Outputs ``heads_8``, ``heads_16``, ``heads_32``:
    float32 (1, 16, H / stride, W / stride), logits of class and object, then box and points as in the file.

    Raises:
        ValueError: the file is damaged or holds another network.
        IndexError: the file is damaged or holds another network.
        KeyError: the file is damaged or holds another network.
    """
    return b"".join(
        field_bytes(_GRAPH, _rewritten(model[payload:end])) if number == _GRAPH else model[start:end]
        for number, start, payload, end in walk(model)
    )


def _rewritten(graph: bytes) -> bytes:
    nodes, tensors = _all(graph, _NODE), {_all(one, _NAME)[0].decode(): one for one in _all(graph, _TENSOR)}
    weights = {name: _all(tensor, _RAW)[0] for name, tensor in tensors.items() if name.startswith("bbox_head.")}
    inputs = [[name.decode() for name in _all(node, _TAKES)] for node in nodes]
    sources = {names[1]: names[0] for names in inputs if names[1:] and names[1] in weights}
    first = min(index for index, names in enumerate(inputs) if names[1:] and names[1] in weights)
    parts = [field_bytes(_TITLE, title) for title in _all(graph, _TITLE)]
    parts += _planes()
    parts += [field_bytes(_NODE, node) for node in nodes[:first]]  # heads and their ends are the last nodes
    tensors[_STEM] = _tensor(_STEM, _STEM_SHAPE, _red_first(_all(tensors[_STEM], _RAW)[0]))
    parts += [field_bytes(_TENSOR, tensor) for name, tensor in tensors.items() if name not in weights]
    parts.append(field_bytes(_INPUT, _declared("pixels", (1, "height", "width", 3), _UINT8)))
    for level, stride in enumerate(STRIDES):
        parts += _head(weights, level, sources[f"bbox_head.multi_level_cls.{level}.conv1.weight"], f"heads_{stride}")
        shape = (1, CHANNELS, f"rows_{stride}", f"columns_{stride}")
        parts.append(field_bytes(_OUTPUT, _declared(f"heads_{stride}", shape)))
    return b"".join(parts)


def _planes() -> list[bytes]:
    """Return the nodes that make the network's ``input``, float32 (1, 3, H, W), of ``pixels``."""
    order = _attribute("perm", b"".join(field_whole(8, axis) for axis in (0, 3, 1, 2)), _INTS)
    turned = _node("Transpose", ("pixels",), "planes") + order
    return [
        field_bytes(_NODE, turned),
        field_bytes(_NODE, _node("Cast", ("planes",), "input") + _attribute("to", field_whole(3, _FLOAT), _INT)),
    ]


def _red_first(raw: bytes) -> bytes:
    """Return the first convolution's weights for RGB instead of BGR. Raises ``ValueError`` for another shape."""
    return np.frombuffer(raw, "<f4").reshape(_STEM_SHAPE)[:, ::-1].tobytes()


def _head(weights: dict[str, bytes], level: int, source: str, output: str) -> list[bytes]:
    """Return the fields of a graph that are one head for what were four."""
    shapes = {"conv1.weight": (CHANNELS, 64, 1, 1), "conv1.bias": (CHANNELS,),
              "conv2.weight": (CHANNELS, 1, 3, 3), "conv2.bias": (CHANNELS,)}  # fmt: skip
    fields = []
    for name, shape in shapes.items():
        stacked = b"".join(weights[f"bbox_head.multi_level_{head}.{level}.{name}"] for head in _HEADS)
        fields.append(field_bytes(_TENSOR, _tensor(f"{output}.{name}", shape, stacked)))
    fields.append(field_bytes(_NODE, _convolution(source, f"{output}.conv1", f"{output}.between")))
    attributes = _attribute("group", field_whole(3, CHANNELS), _INT) + _attribute("pads", field_whole(8, 1) * 4, _INTS)
    second = _convolution(f"{output}.between", f"{output}.conv2", output) + attributes
    return [*fields, field_bytes(_NODE, second)]


def _convolution(source: str, weights: str, output: str) -> bytes:
    return _node("Conv", (source, f"{weights}.weight", f"{weights}.bias"), output)


def _node(operator: str, sources: tuple[str, ...], output: str) -> bytes:
    takes = b"".join(field_bytes(_TAKES, name.encode()) for name in sources)
    return takes + field_bytes(_GIVES, output.encode()) + field_bytes(_OPERATOR, operator.encode())


def _attribute(name: str, value: bytes, kind: int) -> bytes:
    return field_bytes(_ATTRIBUTE, field_bytes(1, name.encode()) + value + field_whole(20, kind))


def _tensor(name: str, shape: tuple[int, ...], raw: bytes) -> bytes:
    dimensions = b"".join(field_whole(1, size) for size in shape)
    return dimensions + field_whole(2, _FLOAT) + field_bytes(_NAME, name.encode()) + field_bytes(_RAW, raw)


def _declared(name: str, shape: tuple[int | str, ...], kind: int = _FLOAT) -> bytes:
    """Return a ``ValueInfoProto`` of a tensor; dimensions with a name are free."""
    sizes = (field_bytes(2, size.encode()) if isinstance(size, str) else field_whole(1, size) for size in shape)
    dimensions = b"".join(field_bytes(1, size) for size in sizes)
    tensor = field_whole(1, kind) + field_bytes(2, dimensions)
    return field_bytes(1, name.encode()) + field_bytes(2, field_bytes(1, tensor))


def _all(message: bytes, number: int) -> list[bytes]:
    return [message[payload:end] for field, _, payload, end in walk(message) if field == number]
