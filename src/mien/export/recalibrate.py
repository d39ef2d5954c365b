"""Calibrate a finished model file anew: other class scales, temperature and threshold, the same network."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets.faces import FaceSet
from mien.errors import OptionError
from mien.evaluation.metrics.calibration import VectorScaling
from mien.export.export import Scored, score
from mien.recipes.recipe import Recipe
from mien.recognition.classifier import Classifier
from mien.recognition.model_files.bundle import Bundle
from mien.recognition.session import OnnxSession
from mien.training import calibrate, parts

_SCALE, _BIAS = "recalibration_scale", "recalibration_bias"
"""Names of the constants behind the network's own logits."""


def recalibrate(model: Bundle, recipe: Recipe, faces: FaceSet) -> tuple[bytes, Scored]:
    """Fit ``recipe.calibrate`` on a model file's logits.

    Args:
        model: a model file whose run folder is not needed; its network stays as it is.
        recipe: the model's, with the calibration that is wanted.
        faces: as for ``export``: fitted on the validation set; the test set is scored once, afterwards.

    Returns:
        The graph, which scales and shifts the former logits, and its scores, temperature and threshold.

    Raises:
        OptionError: other classes than the model's, or a balance or smoothing, which the file has already.
    """
    if faces.label_set.labels != model.labels.labels:
        has, asks = (", ".join(labels.labels) for labels in (model.labels, faces.label_set))
        raise OptionError(
            f"The model has the classes {has}, the recipe {asks}: expected the same in the same order. Give the recipe "
            "that it was trained by."
        )
    if recipe.calibrate.balance or recipe.calibrate.smooth:
        raise OptionError("calibrate.balance and calibrate.smooth are in the file already: expected 0 for both.")
    faces = parts.arrange(faces, recipe.data)
    graph = model.graph
    if recipe.calibrate.method == "vector":
        uncalibrated = Classifier(model.name, "", model.labels, model.preprocess, 1.0, OnnxSession(graph))
        logits = uncalibrated.logits(calibrate.fitting_faces(recipe, faces).pixels)
        graph = scale_output(graph, calibrate.fit_scaling(logits, recipe, faces))
    return graph, score(OnnxSession(graph), recipe, faces)


def described(model: Bundle, scores: Scored) -> dict[str, Any]:
    """Return the metrics for a recalibrated file: of the former file its graph's only, such as ``agreement``."""
    kept = {name: value for name, value in model.metrics.items() if not isinstance(value, dict)}
    return {**kept, "uncertain": asdict(scores.threshold), **scores.metrics}


def scale_output(graph: bytes, scaling: VectorScaling) -> bytes:
    """Return a serialised ``ModelProto`` whose output ``logits`` (N, C) is scaled and shifted.

    A graph that was scaled so before keeps its nodes and gets other constants.
    """
    import onnx

    model = onnx.load_from_string(graph)
    former = {tensor.name: tensor for tensor in model.graph.initializer if tensor.name in (_SCALE, _BIAS)}
    if former:
        scale, bias = (onnx.numpy_helper.to_array(former[name]) for name in (_SCALE, _BIAS))
        former[_SCALE].CopyFrom(_tensor(_SCALE, scale * scaling.scale))
        former[_BIAS].CopyFrom(_tensor(_BIAS, bias * scaling.scale + scaling.bias))
        again: bytes = model.SerializeToString()
        return again
    nodes = model.graph.node
    for node in nodes:
        node.output[:] = ["logits_before" if name == "logits" else name for name in node.output]
        node.input[:] = ["logits_before" if name == "logits" else name for name in node.input]
    model.graph.initializer.extend((_tensor(_SCALE, scaling.scale), _tensor(_BIAS, scaling.bias)))
    nodes.append(onnx.helper.make_node("Mul", ["logits_before", _SCALE], ["logits_scaled"]))
    nodes.append(onnx.helper.make_node("Add", ["logits_scaled", _BIAS], ["logits"]))
    written: bytes = model.SerializeToString()
    return written


def _tensor(name: str, values: NDArray[np.float64]) -> Any:
    import onnx

    return onnx.numpy_helper.from_array(values.astype(np.float32), name)
