"""The nodes compute what OpenCV computes, to the bit where pixels are whole numbers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from support import noise

pytestmark = pytest.mark.train
onnx = pytest.importorskip("onnx")

import cv2  # noqa: E402
import onnxruntime  # noqa: E402

from mien.errors import ModelError  # noqa: E402
from mien.export import nodes as module  # noqa: E402
from mien.export.nodes import Nodes  # noqa: E402
from mien.export.parity import check_difference, generate_crops, is_quantised  # noqa: E402
from mien.preprocess import PreprocessSpec, grey  # noqa: E402
from mien.recognition.model_files import bundle  # noqa: E402


def compute(nodes: Nodes, output: str, given: NDArray[np.float32]) -> NDArray[np.float32]:
    value, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes.nodes, "test", [value("given", kind, [None] * 4)], [value(output, kind, [None] * 4)], nodes.constants
    )
    opset = [onnx.helper.make_opsetid("", module.OPSET)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {"given": given})[0]
    return result


def planes(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    return picture.astype(np.float32).transpose(2, 0, 1)[None]


def test_grey_has_opencvs_bits() -> None:
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    every = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(52, -1, 3)
    nodes = Nodes("test.")
    given = compute(nodes, module.to_grey(nodes, "given"), planes(every))
    np.testing.assert_array_equal(given[0, 0], grey(every))


@pytest.mark.parametrize(("before", "after"), [(112, 48), (96, 48), (144, 48), (64, 16), (48, 32), (33, 32)])
def test_shrinking_has_opencvs_bits(before: int, after: int) -> None:
    picture = noise(before, before)
    nodes = Nodes("test.")
    given = compute(nodes, module.shrink(nodes, "given", before, after), planes(picture))
    expected = cv2.resize(picture, (after, after), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(given[0].transpose(1, 2, 0), expected)


def test_generated_crops_are_of_the_networks_form() -> None:
    crops = generate_crops(PreprocessSpec(size=16), 4)
    assert crops.shape == (4, 16, 16)
    assert crops.dtype == np.uint8
    assert np.ptp(crops[0]) == 0 < np.ptp(crops[3])
    assert generate_crops(PreprocessSpec(size=16, grey=False, channels=3), 4).shape == (4, 16, 16, 3)


def test_networks_that_differ_are_refused() -> None:
    same = np.array([[0.5, 0.5]])
    assert check_difference(same, same, 1e-4, ("a", "b")) == 0
    for other in (same + 0.1, same * np.nan):
        with pytest.raises(ModelError, match=r"a and b differ by .* in probability; expected ≤ 1e-04"):
            check_difference(same, other, 1e-4, ("a", "b"))


def test_int8_networks_are_known() -> None:
    assert is_quantised(bundle.read("nano").graph)
    assert not is_quantised(bundle.read("fer2013-four-block").graph)
