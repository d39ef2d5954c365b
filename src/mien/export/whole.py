"""Export for use without Mien: one ONNX graph from crops to probabilities, or a program of ``torch.export``.

Neither is a model file: the graph of a model file expects Mien's own preprocessing.
"""

from __future__ import annotations

import io
import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from mien import run_files
from mien.datasets.faces import FaceSet
from mien.errors import ModelError
from mien.export.export import PARITY_FACES, finish, mute, recipe_of
from mien.export.nodes import Nodes, normalise
from mien.export.parity import INT8_TOLERANCE, TOLERANCE, check_difference, generate_crops, is_quantised
from mien.export.quantise import open_run
from mien.files import appearing
from mien.preprocess import PreprocessSpec, apply
from mien.recognition.classifier import Classifier
from mien.recognition.model_files import bundle
from mien.recognition.model_files.bundle import Bundle
from mien.training import parts

WHOLE, PROGRAM = "model-whole.onnx", "model.pt2"
KEY = "mien-whole"
WHOLE_TOLERANCE = 1e-5


def whole(run: Path, faces: FaceSet) -> float:
    """Write ``run/model-whole.onnx`` from ``run/model.onnx``; return the largest difference in probability to Mien's.

    Its input is ``crops`` uint8 of the network's size, grey (N, size, size) or RGB (N, size, size, 3) as the network
    takes them; its output ``probabilities`` float32 (N, C). Raises as ``quantise``, and ``ModelError`` for CLAHE, which
    ONNX has no operators for, or a difference above 1e-5 on validation faces.
    """
    source, recipe, faces = open_run(run, faces)
    pixels = _resize(faces.part(parts.VALIDATION).pixels[:PARITY_FACES], recipe.preprocess)
    return _write_whole(source, pixels, run / WHOLE, WHOLE_TOLERANCE)


def whole_of_model(model: str | Path, folder: Path) -> float:
    """Write ``folder/model-whole.onnx`` from a finished model, by name or path; otherwise as ``whole``.

    Without faces, the difference is measured on generated crops: noise over ramps of every brightness, with larger
    float32 differences than faces (``fer7``: 1.1e-5).

    Raises:
        ModelError: above 1e-4, for int8 models above 0.05.
    """
    source = bundle.read(model)
    folder.mkdir(parents=True, exist_ok=True)
    allowed = INT8_TOLERANCE if is_quantised(source.graph) else TOLERANCE
    return _write_whole(source, generate_crops(source.preprocess), folder / WHOLE, allowed)


def _write_whole(source: Bundle, pixels: NDArray[np.uint8], path: Path, allowed: float) -> float:
    """Write the whole graph of ``source``; return its difference to Mien on ``pixels`` (N, size, size[, 3]).

    Raises:
        ModelError: a difference above ``allowed``.
    """
    model = with_preprocessing(source)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (own,) = session.run(None, {"crops": pixels})
    difference = check_difference(own, Classifier.open(source).classify(pixels), allowed, (WHOLE, source.name))
    shape = "(N, size, size), grey" if source.preprocess.grey else "(N, size, size, 3), RGB"
    about = _describe(source, difference, input=f"crops uint8 {shape}", output="probabilities float32 (N, classes)")
    model.metadata_props.add(key=KEY, value=about)
    with appearing(path) as draft:
        draft.write_bytes(model.SerializeToString())
    return difference


def program(run: Path, faces: FaceSet) -> float:
    """Write ``run/model.pt2``, a program of ``torch.export``; return its difference in probability to model.onnx.

    It maps ``crops`` float32 (N, channels, size, size) to logits (N, C), as model.onnx does; its extra file
    ``mien.json`` describes it. Raises as ``quantise``, and ``ModelError`` for a difference above 1e-4.
    """
    recipe = recipe_of(run)
    source, _, faces = open_run(run, faces)
    validation, spec = faces.part(parts.VALIDATION), recipe.preprocess
    network = finish(run, recipe, faces)
    example = torch.zeros(2, spec.channels, spec.size, spec.size)
    batch = torch.export.Dim("faces", min=1, max=65_536)
    with warnings.catch_warnings(), mute("torch.export"):
        warnings.simplefilter("ignore")
        exported = torch.export.export(network, (example,), dynamic_shapes=({0: batch},))
    crops = apply(validation.pixels[:PARITY_FACES], spec)
    with torch.inference_mode():
        own = exported.module()(torch.from_numpy(crops)).numpy()
    classifier = Classifier.open(source)
    given = classifier.classify_inputs(crops)
    difference = check_difference(classifier.to_probabilities(own), given, TOLERANCE, (PROGRAM, run_files.MODEL))
    about = _describe(
        source, difference, input="crops float32 (N, channels, size, size)", output="logits float32 (N, classes)"
    )
    content = io.BytesIO()
    torch.export.save(exported, content, extra_files={"mien.json": about})
    with appearing(run / PROGRAM) as draft:
        draft.write_bytes(content.getvalue())
    return difference


def with_preprocessing(source: Bundle) -> Any:
    """Build an ONNX model of a model file's preprocessing, network, temperature and softmax."""
    spec = source.preprocess
    if spec.clahe:
        raise ModelError(
            f"{source.name} needs CLAHE, which the whole graph does not support: expected preprocess.clahe = false. "
            "Use model.onnx, or train such a recipe."
        )
    model = onnx.load_model_from_string(source.graph)
    graph, logits = model.graph, model.graph.output[0].name
    (given,) = [tensor.name for tensor in graph.input]
    for node in graph.node:
        node.input[:] = ["whole_crops" if name == given else name for name in node.input]
    nodes = Nodes("whole_")
    nodes.add("Identity", _entry(nodes, spec, given), output="whole_crops")
    leave = Nodes("whole_exit_")
    divided = leave.add("Div", logits, leave.constant(np.float32(source.temperature)))
    leave.add("Softmax", divided, output="probabilities", axis=1)
    every = [*nodes.nodes, *graph.node, *leave.nodes]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(every)
    graph.initializer.extend([*nodes.constants, *leave.constants])
    values, kinds = onnx.helper.make_tensor_value_info, onnx.TensorProto
    graph.input.append(values(given, kinds.UINT8, ["N", spec.size, spec.size, *([] if spec.grey else [3])]))
    graph.output.append(values("probabilities", kinds.FLOAT, ["N", len(source.labels)]))
    onnx.checker.check_model(model)
    return model


def _entry(nodes: Nodes, spec: PreprocessSpec, given: str) -> str:
    """Add the nodes from uint8 (N, S, S[, 3]) to float32 (N, channels, S, S); return the name of that tensor."""
    values = nodes.add("Cast", given, to=onnx.TensorProto.FLOAT)
    if spec.grey:
        planes = nodes.add("Unsqueeze", values, nodes.constant(np.array([1], np.int64)))
    else:
        planes = nodes.add("Transpose", values, perm=[0, 3, 1, 2])
    return normalise(nodes, spec, planes)


def _resize(pixels: NDArray[np.uint8], spec: PreprocessSpec) -> NDArray[np.uint8]:
    """Return crops (N, size, size[, 3]) as preprocessed, but before scaling and standardisation."""
    plain = replace(spec, channels=1 if spec.grey else 3, scale=1.0, standardise="none")
    planes = apply(pixels, plain).astype(np.uint8)
    return planes[:, 0] if spec.grey else planes.transpose(0, 2, 3, 1)


def _describe(source: Bundle, difference: float, **shapes: str) -> str:
    """Return the description that both kinds of file contain, as JSON."""
    about = {
        "name": source.name, "labels": list(source.labels.labels), "preprocess": source.preprocess.to_dict(),
        "temperature": source.temperature, "uncertain_below": source.uncertain_below, "made_from": source.digest,
        "difference": difference, "licence": source.licence, **shapes,
    }  # fmt: skip
    return json.dumps(about, ensure_ascii=False)
