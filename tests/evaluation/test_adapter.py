"""A foreign ONNX file answers what its graph computes, once someone has written down what it takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from corpora import bars
from support import linear_graph, linear_weights

from mien.errors import FileMissingError, MienError, ModelError, OptionError

pytest.importorskip("pyarrow")

from mien.evaluation import adapter
from mien.evaluation.evaluate import predict
from mien.evaluation.matching import match_classes
from mien.labels import FER2013
from mien.preprocess import PreprocessSpec, apply
from mien.recognition.classifier import softmax

pytest.importorskip("pydantic")

SPEC = PreprocessSpec(size=16)
TEXT = """
labels = ["Neutral", "HA", "angry"]
outputs = "{outputs}"
temperature = 2.0
[preprocess]
size = 16
"""


def write(folder: Path, text: str = "", graph: bytes = b"", outputs: str = "logits") -> tuple[Path, Path]:
    (folder / "foreign.onnx").write_bytes(graph or linear_graph(SPEC, 3, inputs="input.1", outputs="scores"))
    (folder / "adapter.toml").write_text(text or TEXT.format(outputs=outputs))
    return folder / "foreign.onnx", folder / "adapter.toml"


def test_it_answers_in_the_adapters_order_of_classes(tmp_path: Path) -> None:
    model = adapter.load(*write(tmp_path))
    assert model.label_set.labels == ("neutral", "happiness", "anger")
    assert (model.name, model.temperature, model.preprocess) == ("foreign", 2.0, SPEC)
    faces = match_classes(bars({"test": 2}), model.label_set)
    assert faces.left_out == {"disgust": 2, "fear": 2, "sadness": 2, "surprise": 2}
    answers = apply(faces.faces.pixels, SPEC).reshape(6, -1) @ linear_weights(SPEC, 3)
    found = predict(model, faces.faces, None)
    np.testing.assert_allclose(found.probabilities, softmax(answers, 2.0), atol=1e-5)


def test_probabilities_stay_what_they_are_without_a_temperature(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(linear_graph(SPEC, 3, inputs="x", outputs="scores"))
    model.graph.node.append(onnx.helper.make_node("Softmax", ["scores"], ["shares"]))
    model.graph.output[0].name = "shares"
    text = TEXT.format(outputs="probabilities").replace("temperature = 2.0\n", "")
    loaded = adapter.load(*write(tmp_path, text, model.SerializeToString()))
    batch = apply(bars({"test": 1}).pixels, SPEC)
    expected = softmax(batch.reshape(7, -1) @ linear_weights(SPEC, 3))
    np.testing.assert_allclose(softmax(loaded.session.logits(batch)), expected, atol=1e-5)


def test_a_graph_that_takes_one_face_at_a_time(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(linear_graph(SPEC, 3))
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    loaded = adapter.load(*write(tmp_path, graph=model.SerializeToString()))
    batch = apply(bars({"test": 1}).pixels, SPEC)
    expected = batch.reshape(7, -1) @ linear_weights(SPEC, 3)
    np.testing.assert_allclose(loaded.session.logits(batch), expected, atol=1e-4)
    assert loaded.session.logits(batch[:0]).shape == (0, 3)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("temperature", "temprature", "unknown key 'temprature'"),
        ('outputs = "logits"\n', "", "'outputs' is required"),
        ('"logits"', '"scores"', "outputs = 'scores'"),
        ("2.0", "0.0", "temperature = 0.0"),
        ("size = 16", "sise = 16", "sise"),
        ("size = 16", "size = 5000", "expected 8 to 1024"),
        ("[preprocess]\nsize = 16\n", "", "'preprocess' is required"),
        ('"HA"', '"joyful"', "Unknown emotion 'joyful'"),
        ('"HA"', '"anger"', "distinct names"),
        ("[preprocess]", "[preprocess", "not valid TOML"),
        ("size = 16", "size = 24", "does not match"),
        ('"HA", ', "", "does not match"),
        ("temperature", 'output = "logits"\ntemperature', "expected one input, and an output 'logits'"),
    ],
)
def test_mistakes_in_the_adapter_are_one_line(old: str, new: str, says: str, tmp_path: Path) -> None:
    text = TEXT.format(outputs="logits")
    assert old in text
    with pytest.raises((OptionError, ModelError), match=says) as caught:
        adapter.load(*write(tmp_path, text.replace(old, new)))
    assert "adapter.toml" in str(caught.value)


def test_the_pages_example_is_an_adapter(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    (tmp_path / "note.toml").write_text(page.split("```toml\n")[1].split("```")[0])
    found = adapter.read(tmp_path / "note.toml")
    assert found.label_set().labels == FER2013.labels
    assert set(adapter.Adapter.model_fields) == found.model_fields_set


def test_missing_and_broken_files(tmp_path: Path) -> None:
    model, note = write(tmp_path)
    for arguments in ((tmp_path / "none.onnx", note), (model, tmp_path / "none.toml")):
        with pytest.raises(FileMissingError, match="none"):
            adapter.load(*arguments)
    model.write_bytes(b"no graph")
    with pytest.raises(MienError, match=r"foreign\.onnx"):
        adapter.load(model, note)
