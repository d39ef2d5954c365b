"""A head on a finished model's network: what is cut, fitted and joined, and that no face is worked out twice."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from corpora import bars

pytestmark = pytest.mark.train
pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from mien.classical.trunk import read_trunk  # noqa: E402
from mien.datasets.faces import FaceSet  # noqa: E402
from mien.errors import FileMissingError, ModelError, OptionError, RecipeError  # noqa: E402
from mien.export.export import recipe_of  # noqa: E402
from mien.labels import LabelSet  # noqa: E402
from mien.preprocess import apply  # noqa: E402
from mien.recipes.recipe import HeadRecipe, load, parse_any, smoke  # noqa: E402
from mien.recipes.tables import HeadTable  # noqa: E402
from mien.recognition.classifier import softmax  # noqa: E402
from mien.recognition.model_files import bundle, names  # noqa: E402
from mien.recognition.session import OnnxSession  # noqa: E402
from mien.reproduction import story  # noqa: E402
from mien.runs import head, models, runs  # noqa: E402

CLASSES = LabelSet("own", ("left", "middle", "right"))


def plan(**changes: Any) -> HeadRecipe:
    # A mirror image of the left bar is a right one, so that mirroring is left to the tests of it.
    values = {
        "name": "own",
        "data": {"classes": list(CLASSES.labels)},
        "head": {"trunk": "fer8", "c": [0.01, 0.1], "mirror": False},
    }
    found = parse_any({**values, **changes})
    assert isinstance(found, HeadRecipe)
    return found


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    return bars({"train": 24, "validation": 8, "test": 8}, classes=CLASSES)


@pytest.fixture(scope="module")
def run(faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "run"
    runs.train(plan(), faces, folder)
    return folder


def test_trunk_with_its_own_dense_layers_is_the_model() -> None:
    """The features are where the dense layers begin: what was cut off, put on them again, gives the model's answers."""
    base = read_trunk("default")
    model = onnx.load_model_from_string(base.about.graph)
    features = base.model.graph.output[0]
    del model.graph.value_info[:]
    model.graph.value_info.append(features)
    tail = onnx.utils.Extractor(model).extract_model([features.name], ["logits"])
    # A network of several corpora has a head for each: Slice takes the consensus.
    assert {node.op_type for node in tail.graph.node} <= {"Gemm", "MatMul", "Add", "Mul", "Relu", "Slice", "Cast"}
    assert base.model.graph.node[-1].op_type not in {"Gemm", "MatMul", "Add", "Mul", "Relu"}
    crops = apply(np.random.default_rng(0).integers(0, 256, (3, 48, 48), np.uint8), base.about.preprocess)
    found = base.features(crops)
    session = onnxruntime.InferenceSession(tail.SerializeToString(), providers=["CPUExecutionProvider"])
    (answers,) = session.run(None, {features.name: found})
    np.testing.assert_allclose(answers, OnnxSession(base.about.graph).logits(crops), atol=1e-5)


def test_dense_layers_alone_have_no_features(tmp_path: Path) -> None:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(name, kind, ["N", 4]) for name in ("crops", "logits")]
    weight = onnx.numpy_helper.from_array(np.eye(4, dtype=np.float32), "weight")
    graph = helper.make_graph([helper.make_node("MatMul", ["crops", "weight"], ["logits"])], "g", ends[:1], ends[1:], [weight])  # fmt: skip # noqa: E501
    about = {each: getattr(bundle.read("default"), each) for each in ("preprocess", "temperature", "uncertain_below", "metrics", "provenance", "licence", "recipe_digest")}  # fmt: skip # noqa: E501
    path = tmp_path / "dense.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    bundle.write(path, model.SerializeToString(), name="dense", labels=LabelSet("own", ("a", "b", "c", "d")), **about)
    with pytest.raises(ModelError, match="dense layers only"):
        read_trunk(str(path))


def drawn(per_class: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes one apart along an axis of their own, among noise of deviation 1 in 40 other directions."""
    draw = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(per_class)), per_class)
    features = draw.normal(0, 1, (len(labels), 40)).astype(np.float32)
    features[np.arange(len(labels)), labels] += 2
    return features, labels


def test_the_strength_with_the_lowest_validation_loss_is_kept() -> None:
    found = head.fit(HeadTable(c=(1e-4, 1e-2, 1e3)), drawn((30, 30, 30), 0), drawn((200, 200, 200), 1))
    losses = [each.log_loss for each in found.tried]
    assert found.c == found.tried[int(np.argmin(losses))].c == 1e-2
    features, labels = drawn((200, 200, 200), 1)
    answers = features @ found.weight + found.bias
    kept = found.tried[1]
    assert kept.accuracy == (answers.argmax(1) == labels).mean() > 0.7
    assert kept.log_loss == pytest.approx(-np.log(softmax(answers)[np.arange(600), labels]).mean(), rel=1e-5)


def test_two_classes() -> None:
    found = head.fit(HeadTable(), drawn((50, 50), 0), drawn((100, 100), 1))
    assert found.weight.shape == (40, 2)
    assert max(each.accuracy for each in found.tried) > 0.85


def test_weights_help_the_rare_class() -> None:
    held = drawn((100, 100), 1)
    recalls = []
    for power in (0.0, 1.0):
        found = head.fit(HeadTable(c=(0.01,), class_weights=power), drawn((200, 10), 0), held)
        recalls.append(((held[0] @ found.weight + found.bias).argmax(1) == 1)[100:].mean())
    assert recalls[1] > recalls[0] + 0.2


def test_constant_features_do_no_harm() -> None:
    features, labels = drawn((30, 30), 0)
    features[:, -1] = 7
    found = head.fit(HeadTable(c=(0.1,)), (features, labels), (features, labels))
    assert np.isfinite(found.weight).all()
    assert found.tried[0].accuracy > 0.9


def test_run_is_a_model_file_of_the_users_classes(run: Path, faces: FaceSet) -> None:
    found = bundle.read(run / "model.onnx")
    assert found.labels == CLASSES
    assert found.preprocess == bundle.read("ferplus8").preprocess
    assert found.provenance["trunk_digest"] == bundle.read("ferplus8").digest
    assert found.metrics["test"]["accuracy"] > 0.8
    assert {path.name for path in run.iterdir()} == {
        "recipe.json", "data.json", "environment.json", "head.npz", "metrics.json", "model.onnx", "predictions.parquet",
    }  # fmt: skip
    answers = OnnxSession(found.graph).logits(apply(faces.pixels, found.preprocess))
    assert (answers.argmax(1) == faces.labels).mean() > 0.9


def test_run_is_taken_as_any_other(run: Path, faces: FaceSet) -> None:
    loaded = models.load(run)
    assert loaded.run == run
    assert models.arrange(run, faces) is not None
    assert models.load(run, classes="left,right").model.label_set.labels == ("left", "right")
    from mien.evaluation import evaluated

    facts = story.background(evaluated.read(run)).facts
    assert re.fullmatch(r"linear, on the \d+ features of fer8; c = 0.0?1 of 0.01, 0.1", facts["head"])


def test_export_writes_the_same_graph_again(run: Path, faces: FaceSet) -> None:
    before = bundle.read(run / "model.onnx").digest
    assert runs.export(run, faces).digest == before


def test_the_file_states_what_the_trunk_has_learned(run: Path) -> None:
    stated = {each.name: each.use for each in bundle.read(run / "model.onnx").trained_on}
    behind = {each.name for each in bundle.read("ferplus8").trained_on}
    assert behind
    assert stated == {"own": "training", **dict.fromkeys(behind, "pretraining")}


def test_a_name_that_has_become_another_model_is_refused(
    run: Path, faces: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(names.ALIASES, "fer8", "fer2013-four-block")
    before = (run / "model.onnx").read_bytes()
    with pytest.raises(ModelError, match=r"fitted on another model than fer2013-four-block.*head\.trunk"):
        runs.export(run, faces)
    assert (run / "model.onnx").read_bytes() == before


def test_features_are_worked_out_once(faces: FaceSet, run: Path) -> None:
    """A second run beside the first costs nothing; faces that came later cost their own."""
    seen: list[str] = []

    def watch(batches: Iterable[Any]) -> Iterable[Any]:
        for batch in batches:
            seen.extend(batch)
            yield batch

    runs.train(plan(name="again"), faces, run.parent / "again", working=watch)
    assert seen == []
    more = bars({"train": 25, "validation": 1, "test": 1}, classes=CLASSES)
    head._features(read_trunk("ferplus8"), [np.asarray(more.pixels)], run.parent, watch)
    known = {image.tobytes() for image in faces.pixels[faces.splits != "test"]}
    assert len(seen) == sum(image.tobytes() not in known for image in more.pixels) > 0


def test_mirror_images_double_what_is_learned_from(faces: FaceSet, tmp_path: Path) -> None:
    for name, mirror in (("with", True), ("without", False)):
        runs.train(plan(head={"c": [0.01], "mirror": mirror}), faces, tmp_path / name / "run")
    counts = [len(np.load(next((tmp_path / name).glob("features-*.npz")))["names"]) for name in ("with", "without")]
    assert counts == [72 + 72 + 24, 72 + 24]
    first, second = (head.Head.load(tmp_path / name / "run" / head.FILE).weight for name in ("with", "without"))
    assert not np.allclose(first, second)


def test_mistakes_are_told(faces: FaceSet, run: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"preprocess\.size = 48"):
        runs.train(plan(preprocess={"size": 64}), faces, tmp_path / "run")
    with pytest.raises(RecipeError, match=r"unknown key 'head.cs'"):
        plan(head={"cs": [1]})
    with pytest.raises(RecipeError, match="exclude each other"):
        plan(data={"classes": ["a", "b"], "scheme": "fer2013"})
    with pytest.raises(FileMissingError, match=r"head\.npz"):
        head.Head.load(tmp_path / head.FILE)
    with pytest.raises(OptionError, match="graph only"):
        recipe_of(run)
    with pytest.raises(OptionError, match="has no checkpoints"):
        models.load(run, checkpoint=True)
    assert smoke(plan()).head.c == (0.01,)
    (tmp_path / "own.toml").write_text('name = "own"\n[head]\n')
    with pytest.raises(RecipeError, match="head on a finished model"):
        load(tmp_path / "own.toml")
