"""An audit finds the weakness that was built in, and nothing where there is none; its files say what it found."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import bars

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
pytest.importorskip("pyarrow")

from mien.datasets import landmarks
from mien.datasets.faces import FaceSet
from mien.errors import DataError, OptionError
from mien.evaluation.evaluate import predict
from mien.evaluation.robustness import audit_page, audit_plots, audit_tables, grouping
from mien.evaluation.robustness.audit import COMMON, Audit, Wish, audit, measure_loss, measure_robustness
from mien.evaluation.robustness.corruptions import CORRUPTIONS, FAMILIES, corrupt
from mien.labels import FER2013
from mien.preprocess import PreprocessSpec, apply
from mien.recognition.classifier import Classifier

SPEC = PreprocessSpec(standardise="none")
HEADING = {"model": "tiny", "digest": "0" * 64, "split": "test", "data": ["bars.zip"], "seed": 0}


@dataclass(frozen=True)
class Reader:
    """Reads the class from the place of the brightest bar, if the lower right corner is dark."""

    def logits(self, batch: np.ndarray) -> np.ndarray:
        columns = batch[:, 0, :30].mean(1)
        found = np.stack([columns[:, 4 + 6 * place : 9 + 6 * place].mean(1) for place in range(7)], 1)
        lost = batch[:, 0, 46:, 46:].mean((1, 2)) > 0.9
        found[lost] = found[lost, ::-1]
        return found.astype(np.float32)


MODEL = Classifier("tiny", "0" * 64, FER2013, SPEC, 1.0, Reader())


def faces(count: int = 40) -> FaceSet:
    """Faces of two sexes; of the women half carry the mark that the reader stumbles over, of the men few."""
    given = bars({"test": count})
    draw = np.random.default_rng(1)
    sex = np.array(["F", "M"], object)[draw.integers(0, 2, len(given))]
    marked = draw.random(len(given)) < np.where(sex == "F", 0.5, 0.05)
    pixels = np.array(given.pixels)
    pixels[:, 46:, 46:] = np.where(marked, 255, 0)[:, None, None]
    coin = np.array(["heads", "tails"], object)[draw.integers(0, 2, len(given))]
    coin[:3] = "edge"
    return replace(given, pixels=pixels, columns={"sex": sex, "coin": coin})


def audited(given: FaceSet | None = None, **wish: Any) -> Audit:
    some = faces() if given is None else given
    asked = Wish(**{"by": ("sex", "coin"), "corruptions": ("blur", "mask"), "sample": 50, **wish})
    return audit(MODEL, some, predict(MODEL, some, None), asked)


@pytest.fixture(scope="module")
def found() -> Audit:
    return audited()


def test_the_built_in_weakness_is_found_and_the_coin_is_not(found: Audit) -> None:
    by = {each.by: each for each in found.slicings}
    assert list(by) == ["sex", "coin", "brightness", "contrast", "sharpness"]
    sex, coin = by["sex"].contrast, by["coin"].contrast
    assert sex is not None
    assert coin is not None
    assert (sex.best, sex.worst, sex.differs) == ("M", "F", True)
    assert sex.adjusted > sex.p_value
    assert not coin.differs
    assert {each.name: each.small for each in by["coin"].slices} == {"edge": True, "heads": False, "tails": False}
    assert any("fewer than 30 faces" in note and "coin = edge (3)" in note for note in found.notes)
    weighted = sum(each.accuracy * each.faces for each in by["sex"].slices) / 280
    assert weighted == pytest.approx(found.figures["accuracy"])


def test_faces_made_worse_are_answered_as_such() -> None:
    given = faces()
    answers = predict(MODEL, given, None)
    found = measure_robustness(MODEL, given, answers, Wish(corruptions=("mask",), sample=10_000))
    assert found.faces == len(given)
    assert found.clean == pytest.approx(answers.right.mean())
    (mask,) = found.corrupted
    worse = replace(given, pixels=corrupt(np.asarray(given.pixels), "mask", 3))
    assert mask.accuracy[2] == pytest.approx(predict(MODEL, worse, None).right.mean())
    assert found.mean == pytest.approx(np.mean(mask.accuracy))
    assert mask.mean == found.mean
    assert found.drop == pytest.approx(1 - found.mean / found.clean)
    assert found.majority == pytest.approx(1 / 7)
    assert (found.landmarks, found.example[1]) == (0, None)


def test_the_loss_under_common_corruptions() -> None:
    given = faces()
    lost = measure_loss(MODEL, np.asarray(given.pixels), given.labels)
    assert lost.faces == len(given)
    assert lost.clean == pytest.approx(predict(MODEL, given, None).right.mean())
    assert tuple(lost.losses) == COMMON
    worse = replace(given, pixels=corrupt(np.asarray(given.pixels), "darker", 3))
    assert lost.losses["darker"] == pytest.approx(lost.clean - predict(MODEL, worse, None).right.mean())
    assert lost.mean == pytest.approx(np.mean(list(lost.losses.values())))
    hardest = measure_loss(MODEL, np.asarray(given.pixels), given.labels, corruptions=("mask",), severity=5)
    hidden = replace(given, pixels=corrupt(np.asarray(given.pixels), "mask", 5))
    assert hardest.losses == {"mask": pytest.approx(lost.clean - predict(MODEL, hidden, None).right.mean())}
    with pytest.raises(OptionError, match=r"[Cc]orruption"):
        measure_loss(MODEL, np.asarray(given.pixels), given.labels, corruptions=())


def test_the_sample_is_the_seeds(found: Audit) -> None:
    again, other = audited().robustness, audited(seed=1).robustness
    assert found.robustness is not None
    assert again is not None
    assert other is not None
    assert again.to_dict() == found.robustness.to_dict()
    assert other.to_dict() != found.robustness.to_dict()
    assert found.robustness.faces == 50


def test_bars_lie_at_the_landmarks_and_tilt_is_a_slicing() -> None:
    given = faces()
    points = np.tile(landmarks.AVERAGE * 48, (len(given), 1, 1))
    points[::2, 1, 1] += 9
    points[1::4] = np.nan
    wish = Wish(corruptions=("glasses",), sample=len(given))
    found = audit(MODEL, given, predict(MODEL, given, None), wish, points=points)
    assert found.robustness is not None
    assert found.robustness.landmarks == len(given) - 70
    assert [each.name for each in found.slicings[-1].slices] == ["0", "27.1", "unknown"]


def test_the_model_sees_the_bars_where_the_landmarks_are() -> None:
    given, seen = faces(2), list[np.ndarray]()

    class Recorder(Reader):
        def logits(self, batch: np.ndarray) -> np.ndarray:
            seen.append(batch)
            return super().logits(batch)

    points = np.tile(landmarks.AVERAGE * 48, (len(given), 1, 1)) + 5
    wish = Wish(corruptions=("glasses",))
    measure_robustness(replace(MODEL, session=Recorder()), given, predict(MODEL, given, None), wish, points=points)
    expected = [corrupt(np.asarray(given.pixels), "glasses", severity, points=points) for severity in (1, 2, 3, 4, 5)]
    np.testing.assert_array_equal(np.concatenate(seen), np.concatenate([apply(each, SPEC) for each in expected]))


def test_the_face_that_is_shown_is_an_ordinary_one_that_was_read_rightly() -> None:
    given = faces()
    answers = predict(MODEL, given, None)
    points = np.tile(landmarks.AVERAGE * 48, (len(given), 1, 1)) + 4
    points[:50] = np.nan
    right, wrong = (np.flatnonzero(answers.right == good)[60] for good in (True, False))
    points[right] -= 3
    points[wrong] -= 4
    found = measure_robustness(MODEL, given, answers, Wish(corruptions=("mask",), sample=280), points=points)
    np.testing.assert_array_equal(found.example[0][0], given.pixels[right])


def test_a_model_without_a_right_answer_loses_nothing() -> None:
    given = faces(5)
    wrong = replace(given, labels=(given.labels + 3) % 7)
    found = measure_robustness(MODEL, wrong, predict(MODEL, wrong, None), Wish(corruptions=("contrast",)))
    assert found.clean < 0.2
    assert np.isfinite(found.drop)


def test_people_and_absent_classes_are_told() -> None:
    given = faces()
    given = given.where(given.labels != 2)
    people = np.array([f"p{place % 30}" for place in range(len(given))])
    notes = audited(replace(given, subjects=people), corruptions=()).notes
    assert any("240 faces show 30 people" in note for note in notes)
    assert any("without faces" in note and note.endswith(": fear.") for note in notes)


def test_nothing_to_corrupt_and_nothing_at_all() -> None:
    assert audited(corruptions=()).robustness is None
    given = faces(2)
    with pytest.raises(OptionError, match="No corruption"):
        measure_robustness(MODEL, given, predict(MODEL, given, None), Wish(corruptions=()))
    nobody = given.where(np.zeros(len(given), bool))
    with pytest.raises(DataError, match="no faces"):
        predict(MODEL, nobody, None)


def files_of(name: str) -> list[str]:
    return [f"{name}.{kind}" for kind in ("png", "svg", "pdf")]


def test_decimal_slices_are_rounded_unless_two_would_look_alike() -> None:
    assert grouping._name_values([0.1 + 0.2, 25.123456, 1234.5, 3, "x"]) == ["0.3", "25.1", "1,234", "3", "x"]
    assert grouping._name_values([0.12341, 0.12342]) == ["0.12341", "0.12342"]


def test_the_files(found: Audit, tmp_path: Path) -> None:
    written = audit_page.write(found, HEADING, tmp_path / "out")
    assert [path.name for path in written] == [
        "audit.html", "audit.json", "audit.md", "slices.png", "slices.svg", "slices.pdf",
        "corruptions.png", "corruptions.svg", "corruptions.pdf",
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in written)
    values = json.loads(written[1].read_text())
    assert values["too_small"] == {"coin = edge": 3}
    assert values["slicings"][0]["contrast"]["differs"] is True
    assert [each["name"] for each in values["robustness"]["corrupted"]] == ["blur", "mask"]
    text, html = written[2].read_text(), written[0].read_text()
    for table in audit_tables.build_tables(found):
        assert table.title in text
        assert table.title in html
    assert text.count("| too few |") == 1
    assert html.count("data:image/png") == 3  # slices, corruptions, and the faces, which no other file holds
    assert "corpus&#x27;s terms" in html
    assert not re.search(r"(src|href)=\"(?!data:|#)", html)


def test_every_table_has_as_many_cells_as_columns(found: Audit) -> None:
    for table in audit_tables.build_tables(found):
        assert {len(row) for row in table.rows} == {len(table.head)}


def test_a_long_slicing_has_a_figure_of_its_own(tmp_path: Path) -> None:
    given = faces()
    many = np.array([f"{place % 20:02}/x" for place in range(len(given))], object)
    found = audited(replace(given, columns={"a/b": many}), by=("a/b",), corruptions=())
    names = [path.name for path in audit_page.write(found, HEADING, tmp_path)]
    assert names == ["audit.html", "audit.json", "audit.md", *files_of("slices"), *files_of("slices-0-a-b")]
    assert found.slicings[0].contrast is None  # 14 faces each
    some = faces(80)
    endless = np.array([f"{place % 250:03}" for place in range(len(some))], object)
    longer = audited(replace(some, columns={"x": endless}), by=("x",), corruptions=())
    assert [path.name for path in audit_page.write(longer, HEADING, tmp_path)][3:] == files_of("slices")
    assert (tmp_path / "audit.md").read_text().count("| too few |") == 250
    assert "250 of the 250 slices by x (2 to 3 faces)" in longer.notes[0]


def test_the_panels_hold_every_corruption_once() -> None:
    assert sorted(name for members in FAMILIES.values() for name in members) == sorted(CORRUPTIONS)
    assert max(map(len, FAMILIES.values())) < len(audit_plots._MARKS)  # one more needs no other file


def test_curves_show_each_corruption_in_its_panel(found: Audit) -> None:
    assert found.robustness is not None
    drawn = audit_plots.draw_curves(found.robustness)
    titles = [axes.get_title("left") for axes in drawn.axes if axes.get_visible()]
    assert titles == ["blur", "hidden"]
    assert all(axes.get_xlabel() for axes in drawn.axes)
    assert drawn.axes[0].get_ylabel() == "accuracy on 50 faces"
