"""Several corpora in one training, from faces to model files: the consensus, one head, and float16 weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.train
pytest.importorskip("lightning")

from mien.datasets.faces import FaceSet  # noqa: E402
from mien.errors import OptionError  # noqa: E402
from mien.export import export, quantise  # noqa: E402
from mien.export.recalibrate import recalibrate  # noqa: E402
from mien.labels import FERPLUS  # noqa: E402
from mien.preprocess import apply  # noqa: E402
from mien.recipes import recipe  # noqa: E402
from mien.recognition.model_files import bundle  # noqa: E402
from mien.recognition.session import OnnxSession  # noqa: E402
from mien.training.fit import fit  # noqa: E402

HUES = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]], np.uint8)
"""Of happiness, sadness and anger; contempt, only in one corpus, is grey."""


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    """160 faces: ``web`` calls three hues happiness, sadness, anger; ``lab``'s own labels are one class further on."""
    draw = np.random.default_rng(0)
    classes = [FERPLUS.labels.index(name) for name in ("happiness", "sadness", "anger", "contempt")]
    shown = np.tile([0, 1, 2, 3], 40)
    datasets = np.repeat(["web", "lab"], 80)
    shown[(datasets == "web") & (shown == 3)] = 0
    colours = np.concatenate([HUES, [[120, 120, 120]]])[shown]
    pixels = np.clip(colours[:, None, None] + draw.normal(0, 20, (160, 40, 40, 3)), 0, 255).astype(np.uint8)
    votes = np.zeros((160, 8), np.float32)
    lab = datasets == "lab"
    votes[lab, np.array(classes)[shown[lab]]] = 1
    further = np.array(classes)[np.where(lab, (shown + 1) % 4, shown)]
    splits = np.array(["train", "train", "train", "validation", "test"] * 32)
    return FaceSet(
        FERPLUS, pixels, further, splits, tuple(map(str, range(160))), votes=votes, datasets=datasets,
        columns={"session": np.full(160, None), "pose": np.full(160, None)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = {
        "name": "several",
        "data": {
            "classes": ["happiness", "sadness", "anger", "contempt"],
            "corpora": {
                "shares": {"web": 1.0, "lab": 1.0},
                "draws": 96,
                "masked": ["web"],
                "heads": [
                    {"name": "votes", "datasets": ["lab"], "votes": True},
                    {"name": "lab", "datasets": ["lab"]},
                    {"name": "web", "datasets": ["web"]},
                ],
            },
        },
        "preprocess": {"grey": False, "channels": 3, "size": 32},
        "network": {"name": "face_residual", "dropout": 0.0},
        "harmonise": {"fill": 0.5, "mask": 0.2},
        "degrade": {"jpeg": 0.2, "cover": 0.1},
        "augment": {"rotate": 5.0, "zoom": 0.1},
        "calibrate": {"method": "vector"},
        "train": {"epochs": 4, "batch_size": 16, "rate": 0.002, "bfloat16": False},
    }
    folder = tmp_path_factory.mktemp("runs") / "several"
    fit(recipe.parse(values), _narrowed(faces), folder)
    export.export(folder, _narrowed(faces))
    return folder


def _narrowed(faces: FaceSet) -> FaceSet:
    """Return the faces with the four classes of the recipe."""
    from dataclasses import replace

    from mien.labels import own

    names = ("happiness", "sadness", "anger", "contempt")
    columns = [FERPLUS.labels.index(name) for name in names]
    assert faces.votes is not None
    labels = np.array([columns.index(label) for label in faces.labels], np.int64)
    return replace(faces, label_set=own(names).classes, labels=labels, votes=faces.votes[:, columns])


def test_the_consensus_answers_what_the_votes_and_the_other_corpus_say(run: Path, faces: FaceSet) -> None:
    model = bundle.read(run / "model.onnx")
    few = _narrowed(faces)
    test = few.where(few.splits == "test")
    answers = OnnxSession(model.graph).logits(apply(test.pixels, model.preprocess)).argmax(1)
    shown = np.where(test.votes.sum(1) > 0, test.votes.argmax(1), test.labels)  # type: ignore[union-attr]
    assert (answers == shown).mean() >= 0.9
    assert {corpus.name for corpus in model.trained_on} == {"web", "lab"}


def test_a_head_answers_in_its_corpus_s_own_words(run: Path, faces: FaceSet) -> None:
    written = export.export(run, _narrowed(faces), "lab")
    assert written.name == "several-lab"
    few = _narrowed(faces)
    test = few.where((few.splits == "test") & (few.datasets == "lab"))
    answers = OnnxSession(written.graph).logits(apply(test.pixels, written.preprocess)).argmax(1)
    assert (answers == test.labels).mean() >= 0.9
    metrics = json.loads((run / "metrics-lab.json").read_text())
    assert metrics["test"]["faces"] == len(test)
    assert metrics["test_scorings"] == 1


def test_a_head_never_answers_a_class_that_its_corpus_lacks(run: Path, faces: FaceSet) -> None:
    written = export.export(run, _narrowed(faces), "web")
    logits = OnnxSession(written.graph).logits(apply(faces.pixels, written.preprocess))
    assert (logits[:, 3] < logits.min(1) + 1).all()
    assert logits[:, 3].max() < -1000


def test_float16_weights_answer_the_same(run: Path, faces: FaceSet) -> None:
    halved = quantise.halve(run, _narrowed(faces))
    assert (run / "model-float16.onnx").stat().st_size < 0.55 * (run / "model.onnx").stat().st_size
    assert halved.metrics["agreement"] >= 0.95


def test_a_finished_file_is_calibrated_anew(run: Path, faces: FaceSet) -> None:
    model, few = bundle.read(run / "model.onnx"), _narrowed(faces)
    written = recipe.of_run(run)
    assert isinstance(written, recipe.Recipe)
    counted = written.calibrate.model_copy(update={"absent": "counted"})
    graph, scores = recalibrate(model, written.model_copy(update={"calibrate": counted}), few)
    crops = apply(few.where(few.splits == "test").pixels, model.preprocess)
    before, after = OnnxSession(model.graph).logits(crops), OnnxSession(graph).logits(crops)
    for column in range(before.shape[1]):  # a scale and an offset for each class, and nothing else
        scale, _ = line = np.polyfit(before[:, column], after[:, column], 1)
        assert scale > 0
        np.testing.assert_allclose(np.polyval(line, before[:, column]), after[:, column], atol=1e-3)
    assert scores.metrics["validation"]["log_loss"] <= model_loss(run) + 1e-6
    assert 0 <= scores.threshold.confidence <= 1


def model_loss(run: Path) -> float:
    loss: float = json.loads((run / "metrics.json").read_text())["validation"]["log_loss"]
    return loss


def test_recalibration_refuses_what_is_in_the_file_already(run: Path, faces: FaceSet) -> None:
    model, few = bundle.read(run / "model.onnx"), _narrowed(faces)
    written = recipe.of_run(run)
    assert isinstance(written, recipe.Recipe)
    smooth = written.calibrate.model_copy(update={"smooth": 0.1})
    with pytest.raises(OptionError, match=r"smooth are in the file already"):
        recalibrate(model, written.model_copy(update={"calibrate": smooth}), few)
    with pytest.raises(OptionError, match=r"The model has the classes"):
        recalibrate(model, written, faces)
