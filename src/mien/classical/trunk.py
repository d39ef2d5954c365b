"""The trunk of a finished model: its network without the dense layers, as a source of features."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import ModelError, RecipeError
from mien.recipes.recipe import Plan
from mien.recognition.model_files import bundle

Floats = NDArray[np.float32]

BATCH = 256
_DENSE = {"Gemm", "MatMul", "Add", "Mul", "Relu", "Dropout", "Identity", "Slice"}


@dataclass(frozen=True)
class Trunk:
    """A model file without its dense layers: ``crops`` float32 (N, channels, S, S) → features float32 (N, D).

    Attributes:
        about: the model file.
        model: the ONNX graph, whose only output is the features.
    """

    about: bundle.Bundle
    model: Any = field(repr=False)

    def features(self, crops: Floats) -> Floats:
        """Compute features, float32 (N, D), of inputs from ``preprocess.apply``, float32 (N, channels, S, S)."""
        import onnxruntime

        session = onnxruntime.InferenceSession(self.model.SerializeToString(), providers=["CPUExecutionProvider"])
        batches = [crops[start : start + BATCH] for start in range(0, len(crops), BATCH)]
        return np.concatenate([session.run(None, {"crops": batch})[0] for batch in batches])


def read_trunk(name: str) -> Trunk:
    """Read a model, by name or path, and remove its dense layers.

    Raises:
        ModelError: nothing is left, and as ``bundle.read``.
    """
    import onnx

    about = bundle.read(name)
    model = onnx.load_model_from_string(about.graph)
    made_by = {output: node for node in model.graph.node for output in node.output}
    tensor = model.graph.output[0].name
    while tensor in made_by and made_by[tensor].op_type in _DENSE:
        tensor = next(given for given in made_by[tensor].input if given in made_by or given == "crops")
    if tensor == "crops":
        raise ModelError(f"{name} has dense layers only, so it has no features for a head. Name another model.")
    output = onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, ["N", None])
    del model.graph.output[:], model.graph.value_info[:]
    model.graph.output.append(output)
    model.graph.value_info.append(output)
    return Trunk(about, onnx.utils.Extractor(model).extract_model(["crops"], [tensor]))


def check_preprocess(base: Trunk, recipe: Plan, table: str) -> None:
    """Raise ``RecipeError`` unless the recipe prepares crops as the trunk was trained on them.

    Args:
        table: the recipe's table that names the trunk.
    """
    expected, given = base.about.preprocess.to_dict(), recipe.preprocess.to_dict()
    other = [f"{key} = {value!r}" for key, value in expected.items() if given[key] != value]
    if other:
        raise RecipeError(
            f"{recipe.name}: the trunk {base.about.name} ({table}.trunk) was trained with "
            f"preprocess.{', preprocess.'.join(other)}; the recipe differs. Set these keys to the same values."
        )
