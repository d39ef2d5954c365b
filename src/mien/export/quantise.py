"""Quantise a model file and score the result: int8 by static quantisation (Jacob et al. 2018), or float16 weights.

ONNX Runtime does both. An int8 file has int8 weights with a scale per output channel, and uint8 activations with a
scale per tensor, calibrated on training faces: minimum and maximum are averaged over small batches, because a single
outlier would make every step coarser. The graph is in QDQ form, which every ONNX runtime reads.

Weights are limited to 7 bits, -64 to 64: x86 CPUs without VNNI add products of bytes in pairs of 16 bits, which 8 bits
overflow. With 8 bits the accuracy of ``fer7-nano`` on PublicTest was 67.4 % with VNNI and 59.6 % without.

The first convolution has so few products per sum that ONNX Runtime loses more time by requantising the sums than it
saves. Before a max-pool it is computed in float32 on the same quantised crops and weights, so that the predictions
stay the same.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mien import run_files
from mien.datasets.faces import FaceSet
from mien.errors import FileMissingError
from mien.evaluation.metrics.calibration import probability_gaps
from mien.export.export import graph_recipe_of, mute, record, score, write
from mien.preprocess import apply
from mien.recipes.recipe import Plan
from mien.recognition.classifier import Classifier
from mien.recognition.model_files import bundle
from mien.recognition.session import OnnxSession
from mien.training import parts
from mien.training.fit import check_data

CALIBRATION_FACES, _BATCH = 512, 16
FILE, HALF = run_files.INT8, run_files.FLOAT16


def quantise(run: Path, faces: FaceSet) -> bundle.Bundle:
    """Write ``run/model-int8.onnx`` from ``run/model.onnx``, and ``run/metrics-int8.json``, and return the bundle.

    Args:
        faces: as for ``export.export``. Ranges are calibrated on 512 training faces, temperature and threshold fitted
            on the validation set, then the test set is scored, and counted, once. The metrics also have ``agreement``,
            the share of validation faces with the same prediction from both files, and ``difference``, the mean over
            faces of the largest difference in probability.

    Raises:
        FileMissingError: a run without model.onnx.
        OptionError: other faces.
    """
    source, recipe, faces = open_run(run, faces)
    graph = int8(source.graph, apply(_sample(faces.part(parts.TRAIN)).pixels, recipe.preprocess))
    calibrated = f"{CALIBRATION_FACES} faces of the training part"
    origin = {"quantised_from": source.digest, "calibrated_on": calibrated}
    return _score_and_write(run / FILE, graph, source, recipe, faces, **origin)


def halve(run: Path, faces: FaceSet) -> bundle.Bundle:
    """Write ``run/model-float16.onnx`` from ``run/model.onnx``, and ``run/metrics-float16.json``, as ``quantise`` does.

    Weights are stored as float16 and used as float32: ONNX Runtime converts them once, when it opens the file, and has
    few float16 kernels for CPUs.
    """
    source, recipe, faces = open_run(run, faces)
    return _score_and_write(run / HALF, float16(source.graph), source, recipe, faces, halved_from=source.digest)


def open_run(run: Path, faces: FaceSet) -> tuple[bundle.Bundle, Plan, FaceSet]:
    """Read the run's model file and recipe, and split the faces as in the run. Raises as ``quantise``."""
    recipe = graph_recipe_of(run)
    if not (run / run_files.MODEL).exists():
        raise FileMissingError(f"{run} has no model.onnx to convert; write it with mien export {run} --data DATA.")
    faces = parts.arrange(faces, recipe.data)
    check_data(run, parts.describe(faces))
    return bundle.read(run / run_files.MODEL), recipe, faces


def _score_and_write(
    path: Path, graph: bytes, source: bundle.Bundle, recipe: Plan, faces: FaceSet, **origin: str
) -> bundle.Bundle:
    scores = score(OnnxSession(graph), recipe, faces)
    before = Classifier.open(source).logits(faces.part(parts.VALIDATION).pixels)
    metrics = {**_parity(before, scores.validation_logits), "uncertain": asdict(scores.threshold), **scores.metrics}
    record(path.with_name(f"metrics{path.stem.removeprefix('model')}.json"), metrics)
    version = onnxruntime.__version__
    return write(path, graph, recipe, faces, scores, metrics=metrics, **origin, onnxruntime=version)


def float16(graph: bytes) -> bytes:
    """Convert kernels and matrices of ``graph`` to float16, each followed by a cast to float32."""
    from onnx import TensorProto, helper, load_model_from_string, numpy_helper

    model = load_model_from_string(graph)
    casts = []
    for initializer in model.graph.initializer:
        values = numpy_helper.to_array(initializer)
        if values.dtype != np.float32 or values.ndim < 2:
            continue
        name = initializer.name
        initializer.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_float16"))
        casts.append(helper.make_node("Cast", [initializer.name], [name], to=TensorProto.FLOAT))
    for index, cast in enumerate(casts):
        model.graph.node.insert(index, cast)
    converted: bytes = model.SerializeToString()
    return converted


def int8(graph: bytes, crops: NDArray[np.float32]) -> bytes:
    """Quantise ``graph`` to int8 weights and uint8 activations, calibrated on ``crops`` (N, channels, S, S)."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        source, folded, written = (Path(folder) / name for name in ("source.onnx", "folded.onnx", "int8.onnx"))
        source.write_bytes(graph)
        with mute(""):  # ONNX Runtime advises the folding that the next line does
            quant_pre_process(source, folded, skip_symbolic_shape=True)
            quantization.quantize_static(
                folded,
                written,
                _Crops(crops),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                extra_options={"CalibMovingAverage": True},
            )
        return float_stem(written.read_bytes())


def float_stem(graph: bytes) -> bytes:
    """Rewrite a QDQ graph so that ONNX Runtime computes a first convolution followed by a max-pool in float32.

    The maximum is taken over floats instead of bytes; a Clip to the bytes' range, which changes nothing, keeps ONNX
    Runtime from undoing that. Without VNNI it takes 13 to 22 % off the time of ``fer7-nano`` (x86, one thread).
    """
    from onnx import load_model_from_string

    model = load_model_from_string(graph)
    chain = _chain(model.graph)[:7]
    if [node.op_type for node in chain] != [*_PAIR, "Conv", *_PAIR, "MaxPool", _PAIR[0]]:
        return graph
    convolution, quantiser, dequantiser, pool, last = chain[2:]
    pool.input[0] = convolution.output[0]
    for node in (quantiser, dequantiser):
        model.graph.node.remove(node)
    used = {name for node in model.graph.node for name in node.input}
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in used]:
        model.graph.initializer.remove(tensor)
    _clip(model.graph, last)
    del model.graph.value_info[:]
    return bytes(model.SerializeToString())


_PAIR = ("QuantizeLinear", "DequantizeLinear")


def _chain(graph: Any) -> list[Any]:
    """Return the nodes from the input on, up to the first whose output has several consumers."""
    chain, name = list[Any](), graph.input[0].name
    while len(consumers := [node for node in graph.node if name in node.input]) == 1:
        chain.append(consumers[0])
        name = consumers[0].output[0]
    return chain


def _clip(graph: Any, quantiser: Any) -> None:
    """Insert a Clip before a quantiser, to the range of values that its bytes represent."""
    from onnx import helper, numpy_helper

    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    scale, zero = (arrays[name] for name in quantiser.input[1:])
    given = quantiser.input[0]
    names = [f"{given}_{suffix}" for suffix in ("lowest", "highest", "limited")]
    for name, byte in zip(names, (0, 255), strict=False):
        graph.initializer.append(numpy_helper.from_array(np.asarray((byte - int(zero)) * scale, np.float32), name))
    position = list(graph.node).index(quantiser)
    graph.node.insert(position, helper.make_node("Clip", [given, *names[:2]], names[2:]))
    quantiser.input[0] = names[2]


class _Crops:
    """Calibration data reader for ONNX Runtime."""

    def __init__(self, crops: NDArray[np.float32]) -> None:
        self.batches = iter(np.array_split(crops, max(1, len(crops) // _BATCH)))

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"crops": batch}


def _sample(training: FaceSet) -> FaceSet:
    chosen = np.zeros(len(training), bool)
    chosen[np.random.default_rng(0).permutation(len(training))[:CALIBRATION_FACES]] = True
    return training.where(chosen)


def _parity(before: NDArray[np.float32], after: NDArray[np.float32]) -> dict[str, Any]:
    difference = float(probability_gaps(before, after).mean())
    return {"agreement": float((before.argmax(1) == after.argmax(1)).mean()), "difference": difference}
