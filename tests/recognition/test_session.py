"""ONNX Runtime behind its protocol: same numbers as NumPy, and graphs that do not fit are refused."""

from __future__ import annotations

import numpy as np
import pytest
from support import linear_graph, linear_weights, little_memory

from mien.errors import ModelError, OptionError, OutOfMemoryError
from mien.preprocess import PreprocessSpec
from mien.recognition.session import OnnxSession

SPEC = PreprocessSpec(size=16)
GRAPH = pytest.importorskip("onnx") and linear_graph(SPEC, 7)


def test_logits_are_those_of_numpy() -> None:
    batch = np.random.default_rng(1).normal(size=(5, 1, 16, 16)).astype(np.float32)
    logits = OnnxSession(GRAPH, 1, inputs=(1, 16, 16), classes=7).logits(batch)
    assert (logits.shape, logits.dtype.name) == ((5, 7), "float32")
    assert np.allclose(logits, batch.reshape(5, -1) @ linear_weights(SPEC, 7), atol=1e-4)


@pytest.mark.parametrize("threads", [None, 1, 2])
def test_threads_do_not_change_the_answer(threads: int | None) -> None:
    batch = np.ones((2, 1, 16, 16), np.float32)
    assert np.allclose(OnnxSession(GRAPH, threads).logits(batch), OnnxSession(GRAPH, 1).logits(batch), atol=1e-5)


def test_empty_batch() -> None:
    assert OnnxSession(GRAPH).logits(np.empty((0, 1, 16, 16), np.float32)).shape == (0, 7)


def test_zero_threads() -> None:
    with pytest.raises(OptionError, match="threads = 0"):
        OnnxSession(GRAPH, 0)


def test_foreign_graphs() -> None:
    with pytest.raises(ModelError, match="input 'crops'"):
        OnnxSession(linear_graph(SPEC, 7, inputs="x"))
    with pytest.raises(ModelError, match="output 'logits'"):
        OnnxSession(linear_graph(SPEC, 7, outputs="y"))
    with pytest.raises(ModelError, match=r"'logits'.*expected.*5"):
        OnnxSession(GRAPH, classes=5)
    with pytest.raises(ModelError, match=r"'crops'.*expected.*48"):
        OnnxSession(GRAPH, inputs=(1, 48, 48))
    with pytest.raises(ModelError, match="cannot load"):
        OnnxSession(b"text")


def test_a_batch_for_which_memory_lacks_is_no_fault_of_the_model() -> None:
    session = OnnxSession(GRAPH, 1, inputs=(1, 16, 16), classes=7)
    batch = np.zeros((12_000_000, 1, 16, 16), np.float32)  # untouched, so it costs no memory
    with (
        little_memory(50_000_000),
        pytest.raises(OutOfMemoryError, match=r"No memory left for a batch of shape \(12000000"),
    ):
        session.logits(batch)


def test_batch_of_another_shape() -> None:
    with pytest.raises(ModelError, match=r"\(1, 3, 16, 16\)"):
        OnnxSession(GRAPH).logits(np.zeros((1, 3, 16, 16), np.float32))
    with pytest.raises(ModelError):
        OnnxSession(GRAPH).logits(np.zeros((1, 1, 16, 16)))  # type: ignore[arg-type]


@pytest.mark.parametrize("where", ["graph", "node", "output", "dimension"])
def test_names_that_are_no_text_are_an_error_of_the_model(where: str) -> None:
    """ONNX Runtime accepts any bytes and fails to turn them into text, in its own messages too."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(GRAPH)
    mark = "NAMEMARK"
    if where == "graph":
        model.graph.node[0].op_type = mark  # its message on the unknown operator names it
    elif where == "node":
        model.graph.node[0].input[0] = mark  # its message on the unknown value names it
    elif where == "output":
        model.graph.node[-1].output[0] = model.graph.output[0].name = mark
    else:
        model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = mark
    broken = model.SerializeToString().replace(mark.encode(), b"\xff" * len(mark))
    with pytest.raises(ModelError):
        OnnxSession(broken, 1)
