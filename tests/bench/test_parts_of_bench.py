"""The parts of ``mien bench``: operations counted as by hand, a product graph that multiplies, whole processes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mien.bench import flops, gemm, portrait, process
from mien.errors import MienError, ModelError
from mien.recognition.detection.detect import get_detector
from mien.recognition.model_files import bundle

if TYPE_CHECKING:
    from collections.abc import Callable

DENSE = 2 * (256 * 512 + 512 * 256 + 256 * 7)
CONVOLUTIONS = 2 * 9 * sum(
    side**2 * (narrow * wide + wide * wide)
    for side, narrow, wide in ((48, 1, 32), (24, 32, 64), (12, 64, 128), (6, 128, 256))
)  # fmt: skip


def test_the_four_block_network() -> None:
    assert flops.count(bundle.read("fer2013-four-block").graph, (1, 48, 48)) == CONVOLUTIONS + DENSE


def test_as_the_analysis_of_the_network() -> None:
    pytest.importorskip("torch")
    from mien.networks.networks import FourBlock
    from mien.reproduction.analysis import analyse

    assert analyse(FourBlock(7)).flops == CONVOLUTIONS + DENSE


@pytest.fixture
def graph() -> Callable[..., bytes]:
    """Build a graph of one node from ``crops`` (N, 4, 6, 6) and a weight of ones."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper

    def build(kind: str, weight: tuple[int, ...], result: list[Any], *, flat: bool = False, **attributes: Any) -> bytes:
        crops = helper.make_tensor_value_info("crops", onnx.TensorProto.FLOAT, ["N", 4, 6, 6])
        logits = helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, result)
        nodes = [helper.make_node("Flatten", ["crops"], ["flat"])] if flat else []
        nodes.append(helper.make_node(kind, ["flat" if flat else "crops", "weight"], ["logits"], **attributes))
        ones = onnx.numpy_helper.from_array(np.ones(weight, np.float32), "weight")
        made = helper.make_graph(nodes, "one", [crops], [logits], [ones])
        file = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return bytes(file.SerializeToString())

    return build


def test_groups_strides_and_products(graph: Callable[..., bytes]) -> None:
    cases = {
        2 * 8 * 3 * 3 * (2 * 3 * 3): graph("Conv", (8, 2, 3, 3), ["N", 8, 3, 3], group=2, strides=[2, 2], pads=[1] * 4),
        2 * 4 * 36 * (5 * 2 * 2): graph("ConvTranspose", (4, 5, 2, 2), ["N", 5, 7, 7]),
        2 * 144 * 3: graph("MatMul", (144, 3), ["N", 3], flat=True),
        2 * 144 * 5: graph("Gemm", (5, 144), ["N", 5], flat=True, transB=1),
        0: graph("Mul", (1, 4, 1, 1), ["N", 4, 6, 6]),
    }
    assert [flops.count(each, (4, 6, 6)) for each in cases.values()] == list(cases)


def test_a_graph_that_cannot_run(graph: Callable[..., bytes]) -> None:
    with pytest.raises(ModelError, match=r"\(3, 6, 6\)"):
        flops.count(graph("Conv", (8, 4, 3, 3), ["N", 8, 4, 4]), (3, 6, 6))
    with pytest.raises(ModelError, match="cannot run"):
        flops.count(b"no graph", (1, 48, 48))


def test_the_product_graph_multiplies() -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(gemm.build_graph(5), providers=["CPUExecutionProvider"])
    left, right = np.random.default_rng(0).random((2, 5, 5), np.float32)
    np.testing.assert_allclose(session.run(["c"], {"a": left, "b": right})[0], left @ right, rtol=1e-5)


def test_both_libraries_have_a_rate() -> None:
    assert gemm.measure_onnx(1, 0) > 1e6
    assert gemm.measure_numpy(1, 0) > 1e6


def test_a_failing_numpy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.bench.gemm.sys.executable", sys.executable)
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(gemm, "_THREADS", ("PYTHONHOME",))  # a Python that finds no library
    with pytest.raises(MienError, match="matrix product failed"):
        gemm.measure_numpy(1, 0)


def test_a_whole_process() -> None:
    made = "import sys; kept = bytearray(60 << 20); print('out'); print('err', file=sys.stderr); sys.exit(3)"
    whole = process.run([sys.executable, "-c", made])
    assert (whole.output.split(), whole.errors.split(), whole.code) == (["out"], ["err"], 3)
    assert whole.seconds > 0
    if sys.platform != "win32":
        small = process.run([sys.executable, "-c", "pass"]).memory
        assert whole.memory is not None
        assert small is not None
        assert 50 << 20 < whole.memory - small < 80 << 20


def test_a_large_parent_is_not_counted() -> None:
    kept = np.ones(16 << 20)
    whole = process.run([sys.executable, "-c", "pass"])
    assert kept.nbytes == 128 << 20
    assert whole.memory is None or whole.memory < 64 << 20


def test_processes_that_fail() -> None:
    with pytest.raises(MienError, match=r"code 7.*because"):
        process.succeed([sys.executable, "-c", "import sys; sys.stderr.write('because'); sys.exit(7)"])
    with pytest.raises(MienError, match="Cannot start 'no-such-program'"):
        process.run(["no-such-program"])


@pytest.mark.parametrize("name", ["yunet", "haar"])
def test_the_drawn_face_is_found(name: str) -> None:
    (found,) = get_detector(name).detect(portrait.draw())
    assert abs(found.box.left + found.box.width / 2 - 320) < 10
    assert abs(found.box.top + found.box.height / 2 - 240) < 20
