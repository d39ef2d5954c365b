"""Model files of strangers: one self-contained file of bounded work and finite answers, or an error."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import linear_graph, linear_weights, write_model

from mien.errors import ModelError
from mien.preprocess import PreprocessSpec
from mien.recognition import session
from mien.recognition.model_files import bundle, graph, wire
from mien.recognition.model_files.wire import field_bytes, field_whole
from mien.recognition.recognizer import load
from mien.recognition.session import ForeignSession, OnnxSession

SPEC = PreprocessSpec(size=16)
BATCH = np.zeros((2, 1, 16, 16), np.float32)


def external(tmp_path: Path, location: str) -> bytes:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(linear_graph(SPEC, 7))
    weights = model.graph.initializer[0]
    (tmp_path / "weights.bin").write_bytes(weights.raw_data)
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    return bytes(model.SerializeToString())


def test_weights_in_another_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = external(tmp_path, "weights.bin")
    with pytest.raises(ModelError, match="one self-contained file"):
        OnnxSession(content)
    with pytest.raises(ModelError, match="one self-contained file"):
        ForeignSession(content, inputs=(1, 16, 16), classes=7)
    write_model(tmp_path / "a.onnx", graph=content)
    with pytest.raises(ModelError, match="one self-contained file"):
        load(tmp_path / "a.onnx", detector="whole")


def nested(*fields: int, inner: bytes) -> bytes:
    for number in reversed(fields):
        inner = field_bytes(number, inner)
    return inner


OUTSIDE = field_bytes(13, b"\x0a\x08location")


@pytest.mark.parametrize(
    "content",
    [
        nested(7, 5, inner=OUTSIDE),
        nested(7, 5, inner=field_whole(14, 1)),
        nested(7, 15, 1, inner=OUTSIDE),
        nested(7, 1, 5, 5, inner=OUTSIDE),
        nested(7, 1, 5, 10, inner=OUTSIDE),
        nested(7, 1, 5, 6, 5, inner=OUTSIDE),
        nested(25, 7, 5, 5, inner=OUTSIDE),
        nested(20, 1, 5, inner=OUTSIDE),
    ],
)
def test_wherever_a_tensor_may_stand(content: bytes) -> None:
    with pytest.raises(ModelError, match="self-contained"):
        graph.check(content)
    graph.check(nested(7, 5, inner=field_whole(14, 0)))


@pytest.mark.parametrize("operator", [b"Loop", b"Scan"])
def test_loops_are_refused_also_in_branches_and_functions(operator: bytes) -> None:
    for content in (nested(7, 1, 4, inner=operator), nested(7, 1, 5, 6, 1, 4, inner=operator)):
        with pytest.raises(ModelError, match=f"operator {operator.decode()}"):
            graph.check(content)
        graph.check(content, loops=True)
    with pytest.raises(ModelError, match="without loops"):
        graph.check(nested(25, 7, 4, inner=operator))


def test_fields_are_counted_before_they_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(graph, "MAX_FIELDS", 1000)
    with pytest.raises(ModelError, match="more than 1000 fields"):
        graph.check(nested(7, inner=field_whole(99, 0) * 2000))
    with pytest.raises(ModelError, match="damaged"):
        graph.check(b"\x3a\xff")
    path = tmp_path / "many.onnx"
    path.write_bytes(linear_graph(SPEC, 7) + field_bytes(14, b"") * 200_000)
    taken = 0

    def counting(message: Any) -> Any:
        nonlocal taken
        for each in walk(message):
            taken += 1
            yield each

    walk = wire.walk
    monkeypatch.setattr(bundle, "walk", counting)
    with pytest.raises(ModelError, match="not a whole ONNX file"):
        bundle.read(path)
    assert taken <= 100_001


def test_files_and_descriptions_have_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.onnx"
    write_model(path)
    monkeypatch.setattr(bundle, "_MAX_DESCRIPTION", 100)
    with pytest.raises(ModelError, match=r"description .* more than 100 bytes"):
        bundle.read(path)
    monkeypatch.setattr(bundle, "MAX_BYTES", 50)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("read before its size was looked at"))
    with pytest.raises(ModelError, match="at most 50"):
        bundle.read(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_answers_that_are_not_finite_are_an_error(value: float, tmp_path: Path) -> None:
    weights = linear_weights(SPEC, 7)
    weights[0, 3] = value
    write_model(tmp_path / "a.onnx", graph=linear_graph(SPEC, 7, weights=weights))
    recognizer = load(tmp_path / "a.onnx", detector="whole")
    with pytest.raises(ModelError, match="not finite"):
        recognizer.predict(np.full((48, 48, 3), 200, np.uint8))


class Endless:
    """A session that runs until it is told to end."""

    def __init__(self) -> None:
        self.begun, self.ended = threading.Event(), threading.Event()

    def run(self, _: Any, __: Any, options: Any) -> Any:
        self.begun.set()
        while not options.terminate:
            threading.Event().wait(0.01)
        self.ended.set()
        raise RuntimeError("terminated")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal to send")
def test_ctrl_c_ends_a_network_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    network, endless = OnnxSession(linear_graph(SPEC, 7)), Endless()
    monkeypatch.setattr(network, "_session", endless)
    # A test run that was started in the background ignores the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def press() -> None:
        if endless.begun.wait(20):
            os.kill(os.getpid(), signal.SIGINT)

    interrupt = threading.Thread(target=press)
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        network.logits(BATCH)
    interrupt.join()
    signal.signal(signal.SIGINT, before)
    assert endless.ended.wait(20)


def test_a_run_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    network, endless = OnnxSession(linear_graph(SPEC, 7)), Endless()
    monkeypatch.setattr(network, "_session", endless)
    monkeypatch.setattr(session, "RUN_LIMIT", 0.05)
    with pytest.raises(ModelError, match=r"more than 0\.05 s"):
        network.logits(BATCH)
    assert endless.ended.wait(20)
