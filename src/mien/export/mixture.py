"""One ONNX graph of several networks, whose logits are the logarithm of the mean of their probabilities.

The classifier's softmax of these logits, with temperature 1, is the mean itself: softmax(log p) = p where p sums to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import compose, version_converter

from mien.errors import ModelError
from mien.export import shared_input
from mien.export.nodes import OPSET, Nodes
from mien.preprocess import PreprocessSpec
from mien.recognition.model_files import bundle
from mien.recognition.model_files.bundle import Bundle


@dataclass(frozen=True)
class Member:
    """A network of an ensemble.

    Attributes:
        name: that of its model file; of files with the same name, such as seeds of a recipe, with a part of the digest.
        about: its model file.
        weight: share of its probabilities in the mean; above 0, of all members with sum 1.
    """

    name: str
    about: Bundle
    weight: float


def mix(members: Sequence[Member], shared: PreprocessSpec) -> bytes:
    """Return the graph ``crops`` float32 (N, channels, S, S) → ``logits`` float32 (N, C), in the first member's order.

    Args:
        members: two or more, with the same classes in any order.
        shared: the preprocessing that the graph expects, from ``shared_input.share``.

    Raises:
        ModelError: a member's graph cannot be converted to the operators of the others, or is too large.
    """
    models = [onnx.load_model_from_string(member.about.graph) for member in members]
    opset = max(OPSET, *(_opset(model) for model in models))
    joined, entry = _empty_graph(shared, len(members[0].about.labels)), Nodes("ensemble.")
    terms: list[str] = []
    for index, member in enumerate(members):
        models[index] = model = _convert(models[index], opset, member.name)
        compose.add_prefix(model, f"member{index}.", inplace=True)
        own = Nodes(f"ensemble{index}.")
        (crops,), (logits,) = model.graph.input, model.graph.output
        own.add("Identity", shared_input.derive(own, shared, member.about.preprocess, "crops"), output=crops.name)
        _append(joined, own)
        joined.node.extend(model.graph.node)
        joined.initializer.extend(model.graph.initializer)
        joined.sparse_initializer.extend(model.graph.sparse_initializer)
        joined.quantization_annotation.extend(model.graph.quantization_annotation)
        terms.append(_weigh(entry, member, members[0].about.labels.labels, logits.name))
    _add_up(entry, terms)
    _append(joined, entry)
    return _serialise(joined, models, opset)


def _empty_graph(shared: PreprocessSpec, classes: int) -> Any:
    value, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    crops = value("crops", kind, ["N", shared.channels, shared.size, shared.size])
    return onnx.helper.make_graph([], "ensemble", [crops], [value("logits", kind, ["N", classes])])


def _append(graph: Any, nodes: Nodes) -> None:
    graph.node.extend(nodes.nodes)
    graph.initializer.extend(nodes.constants)


def _opset(model: Any) -> int:
    return next(int(one.version) for one in model.opset_import if one.domain in ("", "ai.onnx"))


def _convert(model: Any, opset: int, name: str) -> Any:
    if _opset(model) == opset:
        return model
    try:
        return version_converter.convert_version(model, opset)
    except RuntimeError as error:  # what the converter raises for an operator that it has no rule for
        raise ModelError(
            f"The graph of {name} uses ONNX operators of version {_opset(model)}, which cannot be converted to version "
            f"{opset}: {error}. Export {name} again with this version of Mien."
        ) from error


def _weigh(nodes: Nodes, member: Member, classes: tuple[str, ...], logits: str) -> str:
    """Add log(weight · probability) of a member, with its temperature, its classes in the ensemble's order.

    A logit that is not finite becomes NaN, also the infinity whose probability would be 0: the session then refuses the
    ensemble's logits as it refuses the member's.
    """
    endless, nan = nodes.add("IsInf", logits), nodes.constant(np.float32(np.nan))
    checked = nodes.add("Where", endless, nan, logits)
    divided = nodes.add("Div", checked, nodes.constant(np.float32(member.about.temperature)))
    logarithms = nodes.add("LogSoftmax", divided, axis=1)
    order = [member.about.labels.labels.index(label) for label in classes]
    if order != sorted(order):
        logarithms = nodes.add("Gather", logarithms, nodes.constant(np.array(order, np.int64)), axis=1)
    return nodes.add("Add", logarithms, nodes.constant(np.float32(np.log(member.weight))))


def _add_up(nodes: Nodes, terms: Sequence[str]) -> None:
    """Add the logarithm of the sum of the exponentials of ``terms``; without their maximum the smallest would be 0."""
    highest = nodes.add("Max", *terms)
    powers = [nodes.add("Exp", nodes.add("Sub", term, highest)) for term in terms]
    nodes.add("Add", nodes.add("Log", nodes.add("Sum", *powers)), highest, output="logits")


def _serialise(graph: Any, models: Sequence[Any], opset: int) -> bytes:
    used = {node.domain for node in graph.node} | {
        node.domain for model in models for f in model.functions for node in f.node
    }
    versions = {one.domain: one.version for model in models for one in model.opset_import if one.domain in used}
    versions[""] = opset
    model = onnx.helper.make_model(
        graph,
        producer_name="mien",
        opset_imports=[onnx.helper.make_opsetid(domain, version) for domain, version in sorted(versions.items())],
        functions=[function for model in models for function in model.functions],
        ir_version=max(model.ir_version for model in models),
    )
    if model.ByteSize() > bundle.MAX_BYTES:
        raise ModelError(
            f"The ensemble has {model.ByteSize()} bytes: expected at most {bundle.MAX_BYTES}, as of every model file. "
            "Give fewer or smaller models."
        )
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"The networks do not fit into one ONNX graph: {error}. Export them again.") from error
    serialised: bytes = model.SerializeToString()
    return serialised
