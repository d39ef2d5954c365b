"""Measure the machine's peak throughput with float32 matrix products, in NumPy and in ONNX Runtime.

NumPy's BLAS reads its number of threads only when it is loaded, so it runs in a process of its own: this module's
``main``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from mien.errors import MienError
from mien.recognition.model_files.wire import field_bytes, field_whole

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE = 1024
"""Side of the matrices: large enough to be compute-bound, 12 MB in total."""

_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS")
_FLOAT = 1


def measure_numpy(threads: int, seconds: float) -> float:
    """Measure NumPy's peak FLOP/s in a separate process. Raises ``MienError``."""
    environment = {**os.environ, **dict.fromkeys(_THREADS, str(threads))}
    command = [sys.executable, "-m", "mien.bench.gemm", str(seconds)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MienError(f"NumPy's matrix product failed: {done.stderr.strip()[-500:]}. See mien doctor.")
    return float(done.stdout)


def measure_onnx(threads: int, seconds: float) -> float:
    """Measure ONNX Runtime's peak FLOP/s."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(build_graph(), options, providers=["CPUExecutionProvider"])
    matrix = _make_matrix()
    return _measure_rate(lambda: session.run(["c"], {"a": matrix, "b": matrix}), seconds)


def build_graph(side: int = SIDE) -> bytes:
    """Build an ONNX model of ``c`` = ``a`` × ``b``, all float32 (side, side)."""
    text = [field_bytes(1, name.encode()) for name in "ab"]
    node = b"".join([*text, field_bytes(2, b"c"), field_bytes(4, b"MatMul")])
    size = field_bytes(1, field_whole(1, side))
    tensor = field_bytes(1, field_whole(1, _FLOAT) + field_bytes(2, size + size))
    values = {name: field_bytes(1, name.encode()) + field_bytes(2, tensor) for name in "abc"}
    graph = field_bytes(1, node) + field_bytes(2, b"product")
    graph += b"".join(field_bytes(12 if name == "c" else 11, value) for name, value in values.items())
    return field_whole(1, 8) + field_bytes(7, graph) + field_bytes(8, field_bytes(1, b"") + field_whole(2, 13))


def _make_matrix() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(0).random((SIDE, SIDE), np.float32)


def _measure_rate(product: Callable[[], object], seconds: float) -> float:
    product()
    shortest, end = float("inf"), time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end or shortest == float("inf"):
        product()
        shortest = min(shortest, time.perf_counter() - begun)
    return 2.0 * SIDE**3 / shortest


def main() -> None:
    """Print NumPy's rate; the argument is the seconds to measure."""
    matrix = _make_matrix()
    sys.stdout.write(f"{_measure_rate(lambda: matrix @ matrix, float(sys.argv[1]))}\n")


if __name__ == "__main__":
    main()
