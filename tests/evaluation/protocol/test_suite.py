"""The suite's rows: the metrics of pencil and paper, classes shared, faces counted, a table that says all of it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import face, png
from support import write_model

pytest.importorskip("sklearn")
pytest.importorskip("pyarrow")

from mien.datasets import terms
from mien.datasets.protocol import PROTOCOL, Frame, Material, Sample
from mien.errors import DataError
from mien.evaluation.metrics import classification, significance
from mien.evaluation.protocol import face_crops, suite, suite_tables
from mien.evaluation.protocol.suite import Estimate, Subject
from mien.labels import FER2013, FERPLUS, LabelSet
from mien.recognition import recognizer
from mien.recognition.classifier import Classifier
from mien.recognition.detection.detect import get_detector
from mien.recognition.model_files import bundle

ENTRIES = {entry.name: entry for entry in PROTOCOL}
LABELS = ("anger", "happiness", "happiness", "fear", "contempt", "fear")


def material(entry: str = "ferplus", labels: tuple[str, ...] = LABELS, **groups: tuple[str, ...]) -> Material:
    samples = tuple(
        Sample(f"{number}.png", label, png(face(number)), {name: values[number] for name, values in groups.items()})
        for number, label in enumerate(labels)
    )
    return Material(ENTRIES[entry], ENTRIES[entry].test, samples, len(samples), {"no label": 2})


def cut(given: Material) -> face_crops.Crops:
    return face_crops.cut_out(given.samples, "own", get_detector("whole"))


@pytest.fixture
def network(tmp_path: Path) -> bundle.Bundle:
    write_model(tmp_path / "tiny.onnx", labels=FERPLUS, trained_on=terms.corpora(["ferplus", "rafdb"]))
    return bundle.read(tmp_path / "tiny.onnx")


def score_corpus(read: bundle.Bundle, given: Material, frame: Frame) -> suite.Row:
    return suite.score_corpus(Classifier.open(read, 1), suite.describe(read), given, frame, cut(given))


def test_metrics_are_the_houses() -> None:
    draw = np.random.default_rng(0)
    probabilities, targets = draw.dirichlet(np.ones(7) * 0.4, 300), draw.integers(0, 7, 300)
    scores = suite.score(probabilities, targets, 0.6)
    expected = classification.score(probabilities, targets, FER2013)
    assert scores.faces == 300
    assert scores.accuracy == Estimate(expected.accuracy, *expected.interval)
    assert scores.macro_f1 == Estimate(expected.macro_f1, *expected.macro_f1_interval)
    assert scores.balanced_accuracy.value == expected.balanced_accuracy
    assert scores.ece.value == expected.ece
    for estimate in vars(scores).values():
        assert isinstance(estimate, int) or 0 <= estimate.low <= estimate.value + 0.03
    assert scores.balanced_accuracy.low < expected.balanced_accuracy < scores.balanced_accuracy.high


def test_what_is_not_uncertain_is_counted_and_judged() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.55, 0.45]])
    scores = suite.score(probabilities, np.array([0, 1, 1, 1]), 0.7)
    assert scores.answered is not None
    assert scores.right_if_answered is not None
    assert scores.answered.value == 0.75  # a confidence on the threshold is answered, as in predict
    assert scores.right_if_answered.value == pytest.approx(2 / 3)
    assert scores.right_if_answered.low < 2 / 3 < scores.right_if_answered.high
    nothing = suite.score(probabilities, np.array([0, 1, 1, 1]), 0.95)
    assert (nothing.answered, nothing.right_if_answered) == (Estimate(0.0, 0.0, 0.0), None)
    without = suite.score(probabilities, np.array([0, 1, 1, 1]))
    assert (without.answered, without.right_if_answered) == (None, None)


def test_the_intervals_hold_the_spread_of_repeated_draws() -> None:
    """The bootstrap of one sample is as wide as the metric's spread over fresh samples of the same kind."""
    draw = np.random.default_rng(1)
    spreads: dict[str, list[float]] = {"share": [], "ece": []}
    for _ in range(300):
        confidence, answered = draw.uniform(0.3, 1, 400), draw.random(400) < 0.6
        right = draw.random(400) < confidence * 0.8
        spreads["share"].append(float(right[answered].mean()))
        bins = np.minimum((confidence * 15).astype(int), 14)
        spreads["ece"].append(float(np.abs(np.bincount(bins, right - confidence)).sum() / 400))
    low, high = significance.share_interval(int((right & answered).sum()), int(answered.sum()), int((~answered).sum()))
    assert high - low == pytest.approx(np.ptp(np.quantile(spreads["share"], [0.025, 0.975])), rel=0.35)
    low, high = significance.calibration_interval(confidence, right, 15)
    assert high - low == pytest.approx(np.ptp(np.quantile(spreads["ece"], [0.025, 0.975])), rel=0.35)


def test_a_row_is_what_the_recognizer_reads(network: bundle.Bundle, tmp_path: Path) -> None:
    given = material()
    row = score_corpus(network, given, "own")
    read = recognizer.load(tmp_path / "tiny.onnx", detector="whole")
    faces = [read.predict(sample.image).faces[0] for sample in given.samples]
    assert row.scores.accuracy.value == np.mean(
        [one.emotion == label for one, label in zip(faces, LABELS, strict=True)]
    )
    assert row.scores.answered is not None
    assert row.scores.answered.value == np.mean([not one.uncertain for one in faces])
    assert (row.classes, row.trained, row.left_out, row.detected) == (FERPLUS.labels, True, {"no label": 2}, None)
    assert row.is_test


def test_classes_are_those_that_both_know(network: bundle.Bundle, tmp_path: Path) -> None:
    given = material("kdef", ("anger", "happiness", "fear"))
    row = score_corpus(network, given, "detector")
    assert row.classes == FER2013.labels
    assert (row.trained, row.detected) == (False, Estimate(0.0, 0.0, 0.0))
    probabilities = Classifier.open(network, 1).narrow(FER2013).classify(cut(given).pixels)
    seven = recognizer.load(tmp_path / "tiny.onnx", classes="fer2013").classify(list(cut(given).pixels))
    np.testing.assert_allclose(probabilities, seven, atol=1e-6)


def test_a_model_of_fewer_classes_leaves_faces_out(tmp_path: Path) -> None:
    few = LabelSet("few", ("happiness", "fear", "sleepiness"))
    write_model(tmp_path / "few.onnx", labels=few)
    read = bundle.read(tmp_path / "few.onnx")
    given = material()
    row = score_corpus(read, given, "own")
    assert (row.classes, row.scores.faces) == (("happiness", "fear"), 4)
    assert row.left_out == {"anger": 1, "contempt": 1, "no label": 2}
    assert row.trained is None  # the file does not list its corpora
    with pytest.raises(DataError, match="no face has a class of the model; the faces have contempt"):
        suite.select_samples(material("affectnet_contempt", ("contempt",)), few.labels)
    with pytest.raises(DataError, match="AffectNet contempt: no face"):
        suite.select_samples(material("affectnet_contempt", ("contempt",)), FER2013.labels)


def test_gaps_between_groups(network: bundle.Bundle) -> None:
    given = material("kdef", ("anger", "anger", "fear", "fear"), sex=("female", "male", "male", ""))
    row = score_corpus(network, given, "own")
    gap = row.gaps["sex"]
    assert {value: scores.faces for value, scores in gap.groups.items()} == {"female": 1, "male": 2}
    balanced = [scores.balanced_accuracy.value for scores in gap.groups.values()]
    assert gap.gap == abs(balanced[0] - balanced[1])


def test_what_is_predicted_among_all_classes_stands_beside(network: bundle.Bundle) -> None:
    """The corpus lacks contempt, which a model of eight classes may predict all the same."""
    truth = ("anger", "fear", "happiness", "neutral")
    probabilities = np.full((4, len(FERPLUS)), 0.01)
    for index, label in enumerate(("anger", "contempt", "contempt", "sadness")):
        probabilities[index, FERPLUS.labels.index(label)] = 1
        probabilities[index, FERPLUS.labels.index(truth[index])] += 0.5

    class Fixed:
        def logits(self, batch: Any) -> Any:
            return np.log(probabilities).astype(np.float32)

    model = replace(Classifier.open(network, 1), session=Fixed())
    given = material("kdef", truth)
    shown = face_crops.Crops(tuple(np.zeros((48, 48), np.uint8) for _ in truth), np.ones(4, bool))
    row = suite.score_corpus(model, suite.describe(network), given, "detector", shown)
    assert row.scores.accuracy.value == 0.75
    assert row.among_all == suite.AllClasses(0.25, {"contempt": 0.5})
    text = suite_tables.render_markdown(suite_tables.Result(suite.describe(network), "yunet", (row,), {}))
    assert (
        "KDEF: 25.0 % with all classes of the model; predicted though no face has the label: contempt 50.0 %." in text
    )


def test_which_corpora_a_model_file_names(network: bundle.Bundle) -> None:
    assert suite.describe(network).trained_on == ("fer2013", "ferplus", "rafdb")
    assert suite.describe(replace(network, trained_on=())).trained_on is None


@pytest.fixture
def result(network: bundle.Bundle) -> suite_tables.Result:
    given = material("kdef", ("anger", "fear"), sex=("female", "male"))
    rows = [score_corpus(network, material(), "own"), score_corpus(network, given, "detector")]
    return suite_tables.Result(suite.describe(network), "yunet", tuple(rows), {"CK+ 350": "it is not there."})


def test_the_table(result: suite_tables.Result) -> None:
    text = suite_tables.render_markdown(result)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert [line.count("|") for line in lines] == [10] * 4
    assert lines[2].startswith("| FER+ PrivateTest, own frame † | 6 | – |")
    assert lines[3].startswith("| KDEF | 2 | 0.0% |")
    assert "- FER+, own frame: left out no label 2." in text
    assert "- CK+ 350 has no row: it is not there." in text
    assert "KDEF, balanced accuracy by sex: female" in text
    assert "† The model was trained on other faces of this corpus." in text
    assert "Quick run" not in text
    assert "? It is not known" not in text


def test_the_table_says_when_it_is_a_quick_look(result: suite_tables.Result) -> None:
    rows = tuple(replace(row, available=500) for row in result.rows)
    text = suite_tables.render_markdown(replace(result, rows=rows, limit=6, test_scorings=3))
    assert "| 6 of 500 |" in text
    assert "at most 6 faces of each corpus" in text
    assert "scored 3 times with this run" in text


def test_the_files_hold_everything_unrounded(result: suite_tables.Result, tmp_path: Path) -> None:
    unknown = replace(result, subject=Subject("peer"), rows=tuple(replace(row, trained=None) for row in result.rows))
    suite_tables.write(tmp_path / "out", [result, unknown])
    values = json.loads((tmp_path / "out" / "suite.json").read_text())
    assert [(each["model"], len(each["rows"])) for each in values] == [("tiny", 2), ("peer", 2)]
    first = values[0]["rows"][0]
    assert first["scores"]["accuracy"]["value"] == result.rows[0].scores.accuracy.value
    assert values[0]["trained_on"] == ["fer2013", "ferplus", "rafdb"]
    assert values[0]["rows"][1]["gaps"]["sex"]["groups"]["male"]["faces"] == 1
    lines = list(csv.DictReader(io.StringIO((tmp_path / "out" / "suite.csv").read_text())))
    assert [line["trained"] for line in lines] == ["true", "false", "", ""]
    assert float(lines[0]["ece_high"]) == result.rows[0].scores.ece.high
    assert (lines[0]["detected"], lines[0]["sex_gap"], lines[0]["left_out"]) == ("", "", "no label=2")
    assert float(lines[1]["sex_gap"]) == result.rows[1].gaps["sex"].gap
    assert "**peer**" in (tmp_path / "out" / "suite.md").read_text()
