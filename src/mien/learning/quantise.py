"""Model file → smaller model file, scored anew: int8 by static quantisation (Jacob et al. 2018), or float16.

ONNX Runtime does both. An int8 file has int8 weights with a scale for each output channel, and uint8 activations with a
scale for each tensor, taken from the smallest and largest value that training faces give: the mean of those of small
batches, as a single face's extreme would make every step coarser. Its graph is of the form QDQ, which every runtime of
ONNX reads.

Weights keep to 7 bits, -64 to 64: x86 processors without VNNI add products of bytes up in pairs of 16 bits, which 8
bits overflow. ``fer7-nano`` with 8 bits read 67.4 % of PublicTest with VNNI and 59.6 % without.

The convolution of the crops has so few products for each of its many sums that ONNX Runtime loses more by turning sums
into bytes than bytes save. Before a max-pool, it is kept in float32, of the same quantised crops and weights, so that
the answers stay.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mien.datasets.faces import FaceSet
from mien.errors import FileMissingError
from mien.evaluation.evaluate import logits
from mien.learning import parts
from mien.learning.export import graph_recipe_of, muted, record, scored, write
from mien.learning.fit import check_data
from mien.learning.recipe import Plan
from mien.preprocess import apply
from mien.recognition import bundle
from mien.recognition.session import OnnxSession, softmax

CALIBRATION_FACES, _BATCH = 512, 16
FILE, HALF = "model-int8.onnx", "model-float16.onnx"


def quantise(run: Path, faces: FaceSet) -> bundle.Bundle:
    """Write ``run/model-int8.onnx`` from ``run/model.onnx``, and ``run/metrics-int8.json``, and return the bundle.

    faces: as for ``export.export``. Ranges are taken from 512 training faces, temperature and threshold from the
    validation part, then the test part is scored, and counted, once. The metrics also say ``agreement``, the share of
    validation faces on which both files answer the same, and ``difference``, the mean largest difference of a face's
    probabilities. Raises ``FileMissingError`` for a run without model.onnx, ``OptionError`` for other faces.
    """
    source, recipe, faces = opened(run, faces)
    graph = int8(source.graph, apply(_drawn(faces.part(parts.TRAIN)).pixels, recipe.preprocess))
    calibrated = f"{CALIBRATION_FACES} faces of the training part"
    return _written(run / FILE, graph, source, recipe, faces, quantised_from=source.digest, calibrated_on=calibrated)


def halve(run: Path, faces: FaceSet) -> bundle.Bundle:
    """Write ``run/model-float16.onnx`` from ``run/model.onnx``, and ``run/metrics-float16.json``, as ``quantise`` does.

    Weights are kept as float16 and computed with as float32: ONNX Runtime turns them once, when it opens the file, and
    has few float16 kernels for CPUs.
    """
    source, recipe, faces = opened(run, faces)
    return _written(run / HALF, float16(source.graph), source, recipe, faces, halved_from=source.digest)


def opened(run: Path, faces: FaceSet) -> tuple[bundle.Bundle, Plan, FaceSet]:
    """Return the run's model file, its recipe, and the faces in the run's parts. Raises as ``quantise``."""
    recipe = graph_recipe_of(run)
    if not (run / "model.onnx").exists():
        raise FileMissingError(f"{run} holds no model.onnx to start from; write it with mien export {run} --data DATA.")
    faces = parts.arrange(faces, recipe.data)
    check_data(run, parts.described(faces))
    return bundle.read(run / "model.onnx"), recipe, faces


def _written(
    path: Path, graph: bytes, source: bundle.Bundle, recipe: Plan, faces: FaceSet, **origin: str
) -> bundle.Bundle:
    found = scored(OnnxSession(graph), recipe, faces)
    before = logits(OnnxSession(source.graph), recipe.preprocess, faces.part(parts.VALIDATION))
    metrics = {**_parity(before, found.validation_logits), "uncertain": asdict(found.threshold), **found.figures}
    record(path.with_name(f"metrics{path.stem.removeprefix('model')}.json"), metrics)
    version = onnxruntime.__version__
    return write(path, graph, recipe, faces, found, metrics=metrics, **origin, onnxruntime=version)


def float16(graph: bytes) -> bytes:
    """Return ``graph`` with its kernels and matrices kept as float16, each with a cast to float32 behind it."""
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
    for place, cast in enumerate(casts):
        model.graph.node.insert(place, cast)
    converted: bytes = model.SerializeToString()
    return converted


def int8(graph: bytes, crops: NDArray[np.float32]) -> bytes:
    """Return ``graph`` with int8 weights and uint8 activations, ranges taken from ``crops`` (N, channels, S, S)."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        source, folded, written = (Path(folder) / name for name in ("source.onnx", "folded.onnx", "int8.onnx"))
        source.write_bytes(graph)
        with muted(""):  # it advises to fold what the next line folds
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
    """Return a QDQ graph of which ONNX Runtime computes a first convolution with a max-pool behind it in float32.

    The maximum is taken of floats instead of bytes, and limits that change nothing, those of the bytes, keep ONNX
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
    for each in [each for each in model.graph.initializer if each.name not in used]:
        model.graph.initializer.remove(each)
    _limit(model.graph, last)
    del model.graph.value_info[:]
    return bytes(model.SerializeToString())


_PAIR = ("QuantizeLinear", "DequantizeLinear")


def _chain(graph: Any) -> list[Any]:
    """Return the nodes from the input on, up to one whose output several take."""
    found, name = list[Any](), graph.input[0].name
    while len(takers := [node for node in graph.node if name in node.input]) == 1:
        found.append(takers[0])
        name = takers[0].output[0]
    return found


def _limit(graph: Any, quantiser: Any) -> None:
    """Put in front of a quantiser what keeps its input within the values that it has bytes for."""
    from onnx import helper, numpy_helper

    arrays = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    scale, zero = (arrays[name] for name in quantiser.input[1:])
    given = quantiser.input[0]
    names = [f"{given}_{word}" for word in ("lowest", "highest", "limited")]
    for name, byte in zip(names, (0, 255), strict=False):
        graph.initializer.append(numpy_helper.from_array(np.asarray((byte - int(zero)) * scale, np.float32), name))
    place = list(graph.node).index(quantiser)
    graph.node.insert(place, helper.make_node("Clip", [given, *names[:2]], names[2:]))
    quantiser.input[0] = names[2]


class _Crops:
    """What ONNX Runtime calls a calibration data reader."""

    def __init__(self, crops: NDArray[np.float32]) -> None:
        self.batches = iter(np.array_split(crops, max(1, len(crops) // _BATCH)))

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"crops": batch}


def _drawn(training: FaceSet) -> FaceSet:
    chosen = np.zeros(len(training), bool)
    chosen[np.random.default_rng(0).permutation(len(training))[:CALIBRATION_FACES]] = True
    return training.where(chosen)


def _parity(before: NDArray[np.float32], after: NDArray[np.float32]) -> dict[str, Any]:
    gaps = np.abs(softmax(before) - softmax(after)).max(1)
    return {"agreement": float((before.argmax(1) == after.argmax(1)).mean()), "difference": float(gaps.mean())}
