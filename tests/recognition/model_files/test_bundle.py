"""A model file describes itself, and one that does not is refused with its name."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import linear_graph, write_model

from mien.errors import FileMissingError, ModelError
from mien.labels import FER2013, LabelSet
from mien.preprocess import PreprocessSpec
from mien.recognition.model_files import bundle, names
from mien.recognition.model_files.corpus import Corpus
from mien.recognition.model_files.wire import field_bytes
from mien.recognition.recognizer import load


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "modèle 表情.onnx"


def test_round_trip(path: Path) -> None:
    written = write_model(path, metrics={"f1": 0.1 + 0.2, "per_class": {3: (1, 2)}}, licence="MIT – naïve ☺")
    read = bundle.read(path)
    assert read == bundle.read(str(path)) == written
    assert read.metrics == {"f1": 0.1 + 0.2, "per_class": {"3": [1, 2]}}
    assert read.licence == "MIT – naïve ☺"
    assert (read.labels, read.preprocess.size, read.temperature) == (FER2013, 16, 2.0)
    assert len(read.digest) == 64
    assert not list(path.parent.glob("*.part"))


def test_the_file_is_plain_onnx(path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    written = write_model(path)
    model = onnx.load(path)
    onnx.checker.check_model(model)
    value = {entry.key: entry.value for entry in model.metadata_props}["mien"]
    assert json.loads(value)["digest"] == written.digest
    assert json.loads(value)["schema"] == bundle.SCHEMA
    del model.metadata_props[:]
    assert model.SerializeToString() == written.graph


def test_writing_again_replaces_the_description(path: Path) -> None:
    first = write_model(path)
    second = write_model(path, graph=path.read_bytes(), name="renamed")
    assert (second.digest, second.name) == (first.digest, "renamed")
    assert path.read_bytes().count(b'"schema"') == 1


def test_reading_needs_no_onnxruntime(path: Path) -> None:
    write_model(path)
    code = (
        "import sys; sys.modules['onnxruntime'] = sys.modules['onnx'] = None\n"
        "from mien.recognition.model_files import bundle; print(bundle.read(sys.argv[1]).name)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "tiny", done.stderr


def test_every_damaged_byte_is_noticed(path: Path) -> None:
    write_model(path)
    content = path.read_bytes()
    # The description and the structure around it; thinly; of the weights, which one checksum covers, more so.
    places = [*range(0, len(content) - 2500, 97), *range(len(content) - 2500, len(content), 7)]
    for place in places:
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(ModelError, match=r"modèle 表情\.onnx"):
            bundle.read(path)


def test_truncated_is_refused(path: Path) -> None:
    write_model(path)
    content = path.read_bytes()
    for length in [*range(0, len(content), 211), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(ModelError, match=r"modèle 表情\.onnx"):
            bundle.read(path)


@pytest.mark.parametrize("content", [b"", b"hello, world\n" * 50, b"\x00" * 64, b"\x89PNG\r\n\x1a\n", b"\xff" * 40])
def test_other_files(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"not a whole ONNX file.*written by Mien"):
        bundle.read(path)


def test_foreign_onnx(path: Path) -> None:
    path.write_bytes(linear_graph(PreprocessSpec(size=16), 7))
    with pytest.raises(ModelError, match=r"without Mien's description.*cannot be guessed"):
        bundle.read(path)


def described(path: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Write a file whose checksums are right and whose description is not; None leaves a field out."""
    sealed = bundle._seal

    def altered(value: dict[str, Any]) -> str:
        value.update(changes)
        for key in [key for key, change in changes.items() if change is None]:
            del value[key]
        return sealed(value)

    with monkeypatch.context() as patch:
        patch.setattr(bundle, "_seal", altered)
        patch.setattr(bundle, "_bundle", lambda *_: None)
        write_model(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "schema 2; this version of Mien reads 1. Upgrade"),
        ({"schema": 0}, "schema 0.*Export"),
        ({"temperature": None}, "temperature"),
        ({"labels": None}, "labels"),
        ({"extra": 1}, "extra"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 0}, "above 0"),
        ({"temperature": 10**400}, "above 0"),
        ({"uncertain_below": 1.5}, "from 0 to 1"),
        ({"labels": {"name": "x", "labels": ["a", "a"]}}, "distinct"),
        ({"labels": {"name": "x", "labels": "anger"}}, "list of words"),
        ({"labels": {"name": "x"}}, "labels"),
        ({"preprocess": {"size": 48}}, "clahe"),
        ({"preprocess": {**PreprocessSpec().to_dict(), "size": "48"}}, "wrongly"),
        ({"preprocess": {**PreprocessSpec().to_dict(), "size": 3}}, "size = 3"),
        ({"digest": "0" * 64}, "damaged"),
    ],
)
def test_wrong_descriptions(path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str) -> None:
    described(path, monkeypatch, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        bundle.read(path)
    assert path.name in str(caught.value)


def test_description_that_is_no_object(path: Path) -> None:
    graph = linear_graph(PreprocessSpec(size=16), 7)
    for value in (b"[1]", b"{", b"[" * 100_000):
        entry = field_bytes(1, b"mien") + field_bytes(2, value)
        path.write_bytes(graph + field_bytes(14, entry))
        with pytest.raises(ModelError, match=r"damaged|no JSON object"):
            bundle.read(path)


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -1.0}, {"metrics": {"f1": float("nan")}}, {"metrics": {"x": object()}}, {"uncertain_below": 2}],
)
def test_write_refuses_and_leaves_no_file(path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        write_model(path, **wrong)
    assert not list(path.parent.iterdir())


def test_write_needs_a_graph_and_a_folder(path: Path) -> None:
    with pytest.raises(ModelError, match="not a whole ONNX"):
        write_model(path, graph=b"text")
    with pytest.raises(ModelError, match="Cannot write"):
        write_model(path.parent / "none" / "a.onnx")


def test_missing_paths_and_unknown_words(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"'defalt'.*default.*Did you mean 'default'"):
        bundle.read("defalt")
    for path in ("none.onnx", "folder/none", tmp_path / "none", tmp_path):
        with pytest.raises(FileMissingError, match=r"none|no model\.onnx"):
            bundle.read(path)
    (tmp_path / "a.onnx").mkdir()
    with pytest.raises(FileMissingError, match=r"a\.onnx holds no model\.onnx"):
        bundle.read(tmp_path / "a.onnx")


STATED = (Corpus("fer2013", "for a contest"), Corpus("imagenet", "research; see ☺", "pretraining"))


def test_corpora_are_kept(path: Path) -> None:
    written = write_model(path, trained_on=STATED)
    assert bundle.read(path) == written
    assert bundle.read(path).trained_on == STATED


def test_a_file_of_before_says_nothing_of_corpora_and_opens(path: Path) -> None:
    write_model(path)
    assert b'"trained_on"' not in path.read_bytes()
    assert bundle.read(path).trained_on == ()


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("fer2013", "trained_on"),
        (["fer2013"], "list of objects"),
        ([{"name": "fer2013", "terms": "x"}], "expected name, terms and use"),
        ([{"name": "fer2013", "terms": "x", "use": "training", "more": ""}], "expected name, terms and use"),
        ([{"name": "fer2013", "terms": "two\nlines", "use": "training"}], "one line"),
        ([{"name": "", "terms": "x", "use": "training"}], "name = ''"),
        ([{"name": "fer2013", "terms": 3, "use": "training"}], "terms = 3"),
        ([{"name": "fer2013", "terms": "x", "use": "testing"}], "training, pretraining, distillation"),
    ],
)
def test_wrong_corpora(path: Path, monkeypatch: pytest.MonkeyPatch, stated: object, message: str) -> None:
    described(path, monkeypatch, trained_on=stated)
    with pytest.raises(ModelError, match=message):
        bundle.read(path)


def test_a_description_written_anew_leaves_the_network_as_it_is(path: Path) -> None:
    before = write_model(path)
    after = bundle.rewrite(path, name="public", trained_on=STATED)
    assert after == bundle.read(path) == replace(before, name="public", trained_on=STATED)
    assert (after.graph, after.digest) == (before.graph, before.digest)
    assert bundle.rewrite(path) == after
    assert bundle.rewrite(path, trained_on=()) == replace(after, trained_on=())


def test_a_description_written_anew_changes_no_prediction(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 48, 48), np.uint8)
    copy = tmp_path / "copy.onnx"
    shutil.copy(names.locate("nano"), copy)
    expected = load(copy, detector="whole").classify(pixels)
    bundle.rewrite(copy, name="other", trained_on=STATED)
    recognizer = load(copy, detector="whole")
    assert (recognizer.name, recognizer.trained_on) == ("other", STATED)
    np.testing.assert_array_equal(recognizer.classify(pixels), expected)


def test_label_sets_of_any_size(path: Path) -> None:
    labels = LabelSet("ten", tuple("abcdefghij"))
    assert write_model(path, labels=labels).labels == labels
