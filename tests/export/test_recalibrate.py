"""Scaling the output of a finished graph: what is asked for, once and again."""

from __future__ import annotations

import numpy as np
import pytest
from support import linear_graph

pytestmark = pytest.mark.train
onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")

from mien.evaluation.metrics.calibration import VectorScaling  # noqa: E402
from mien.export.recalibrate import scale_output  # noqa: E402
from mien.preprocess import PreprocessSpec  # noqa: E402
from mien.recognition.session import OnnxSession  # noqa: E402


def test_a_graph_can_be_scaled_and_scaled_again() -> None:
    graph = linear_graph(PreprocessSpec(size=16), 7)
    batch = np.random.default_rng(0).normal(size=(5, 1, 16, 16)).astype(np.float32)
    expected = OnnxSession(graph, 1).logits(batch).astype(np.float64)
    nodes = len(onnx.load_from_string(graph).graph.node)
    for number in (1, 2, 3):
        scaling = VectorScaling(np.linspace(0.5, 1.5, 7) * number, np.linspace(-1, 1, 7) / number)
        graph = scale_output(graph, scaling)
        expected = expected * scaling.scale + scaling.bias
        onnx.checker.check_model(onnx.load_from_string(graph))
        np.testing.assert_allclose(OnnxSession(graph, 1).logits(batch), expected, rtol=1e-4, atol=1e-4)
    assert len(onnx.load_from_string(graph).graph.node) == nodes + 2
