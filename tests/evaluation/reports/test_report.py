"""The report of one model: what its page holds, what its figures show, and what a broken folder is answered."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytest.importorskip("pyarrow")

from answers import answers, trained
from answers import evaluated as folder_of

from mien.errors import DataError, FileMissingError, OptionError
from mien.evaluation import evaluated
from mien.evaluation.evaluate import report as figures_of
from mien.evaluation.metrics import calibration, curves
from mien.evaluation.reports import failures, plots, report
from mien.evaluation.reports.plots import Curves
from mien.evaluation.reports.report import Background
from mien.labels import FER2013
from mien.reporting.document import Written

FACES = 3589
NAMES = {
    "training", "confusion", "confusion-normalised", "classes", "class-accuracy", "reliability", "risk-coverage", "roc",
    "precision-recall", "samples-disgust", "samples-fear", "mistakes", "pairs",
}  # fmt: skip


def some_curves(epochs: int = 6) -> Curves:
    falling = np.linspace(1.9, 0.9, epochs)
    return Curves(1 - falling / 4, falling, 0.9 - falling / 4, falling + 0.1, falling / 100, chosen=3, diverged=4)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("report")
    run = folder_of(folder / "run", answers(700, "PublicTest"), answers(FACES), test_scorings=2)
    known = Background(
        facts={"recipe": "small"},
        curves=some_curves(),
        claimed=(("CNN: accuracy", "70.13 %", "64.00 %", "", "Table 3"),),
        claims="System E.",
        blocks=(("block 1", "9,696", "43.79", "48 × 48", "5 pixels", "9 KiB"),),
        notes=("The losses diverge since epoch 4.",),
    )
    return report.write(evaluated.read(run), folder / "out", samples=["disgust", "fear"], background=known)


@pytest.fixture(scope="module")
def page(written: Written) -> str:
    return written.page.read_text("utf-8")


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.alts: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        self.alts += [value or "" for name, value in attrs if tag == "img" and name == "alt"]


def test_page_needs_nothing_but_itself(page: str) -> None:
    links = _Links()
    links.feed(page)
    assert len(links.sources) >= 2 * len(NAMES)
    assert all(source.startswith(("data:image/", "#")) for source in links.sources)
    assert not links.tags & {"script", "link", "iframe"}
    assert len(links.alts) == len(NAMES)
    assert all(len(alt) > 20 for alt in links.alts)
    sections = re.findall(r'<h2 id="(s\d+)">', page)
    assert [source for source in links.sources if source.startswith("#")] == [f"#{name}" for name in sections]


def test_page_of_the_official_part_stays_small(written: Written) -> None:
    assert written.page.stat().st_size <= 5_000_000


def test_every_figure_is_png_svg_and_pdf(written: Written) -> None:
    assert {path.stem for path in written.figures} == NAMES
    assert all(
        {other.suffix for other in written.figures if other.stem == name} == {".png", ".svg", ".pdf"} for name in NAMES
    )


def test_figures_name_classes_not_numbers(written: Written) -> None:
    for name in ("confusion", "classes", "roc", "precision-recall", "samples-fear"):
        drawn = next(path for path in written.figures if path.name == f"{name}.svg").read_text("utf-8")
        # Matplotlib writes each text as a comment before its outlines.
        assert all(re.search(rf"<!-- {label}\b", drawn) for label in FER2013.labels), name


def test_page_and_markdown_tell_the_same(written: Written, page: str) -> None:
    text = written.markdown.read_text("utf-8")
    for told in (
        "scored 2 times",
        "70.13 %",
        "43.79",
        "System E.",
        "The losses diverge since epoch 4.",
        "PublicTest",
        "3,589",
    ):
        assert told in page
        assert told in text
    assert all(f"]({name}.png)" in text for name in NAMES)
    assert 'class="warn">The test set has been scored 2 times.' in page


def test_summary_tells_both_parts_and_the_copies(page: str) -> None:
    assert re.search(r"<td[^>]*>PublicTest</td><td[^>]*>700</td>", page)
    assert re.search(r"<td[^>]*>… without training copies</td><td[^>]*>3,230</td>", page)


def test_class_table_ends_in_the_means(written: Written) -> None:
    figures = figures_of(answers(FACES))
    rows = dict(re.findall(r"^\| (mean|weighted mean) \| (.*) \|$", written.markdown.read_text("utf-8"), re.M))
    mean, weighted = (rows[name].split(" | ") for name in ("mean", "weighted mean"))
    assert mean[1:3] == [f"{figures['balanced_accuracy']:.3f}", f"{figures['macro_f1']:.3f}"]
    assert weighted[1:3] == [f"{figures['accuracy']:.3f}", f"{figures['weighted_f1']:.3f}"]
    assert mean[5] == "3,589"


def test_bars_of_classes_that_have_faces() -> None:
    found = answers(60)
    found = found.where(found.labels != FER2013.labels.index("neutral"))
    figure = plots.draw_class_bars(figures_of(found)["per_class"])
    assert len(figure.axes[0].patches) == 3 * 6
    ticks = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert ticks[-1] == "neutral\n0 faces"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["precision", "recall", "F1"]


def test_confusion_shows_counts_or_percent() -> None:
    counts = [[3, 1, 0], [0, 4, 0], [0, 0, 0]]
    texts = {
        normalised: [
            each.get_text() for each in plots.draw_confusion(counts, "abc", normalised=normalised).axes[0].texts
        ]
        for normalised in (False, True)
    }
    assert texts[False] == ["3", "1", "0", "0", "4", "0", "–", "–", "–"]
    assert texts[True] == ["75", "25", "0", "0", "100", "0", "–", "–", "–"]


def test_training_marks_the_kept_epoch() -> None:
    figure = plots.draw_training(some_curves())
    accuracy, loss, rate = figure.axes
    assert [axes.get_xlabel() for axes in figure.axes] == ["epoch"] * 3
    assert "nats" in loss.get_ylabel()
    kept = accuracy.lines[-1]
    assert (kept.get_label(), kept.get_xdata()[0]) == ("kept: epoch 3", 3)
    assert any("diverge" in str(patch.get_label()) for patch in loss.patches)
    assert len(rate.lines[0].get_xdata()) == 6


def test_reliability_has_a_bar_a_bin_and_its_gap() -> None:
    found = answers(700)
    measured = calibration.reliability(found.probabilities, found.labels)
    upper, lower = plots.draw_reliability(measured).axes
    used = int((measured.faces > 0).sum())
    gaps = int((np.nan_to_num(measured.confidence - measured.accuracy) != 0).sum())
    assert len(upper.patches) == used + gaps
    assert sum(bar.get_height() for bar in lower.patches) == 700


def test_curves_of_absent_classes_are_left_out() -> None:
    found = answers(60)
    found = found.where(found.labels != 6)
    known = curves.compute_curves(found.probabilities, found.labels, found.label_set)
    figure = plots.draw_roc(known)
    assert len(figure.axes[0].lines) == 6 + 1  # and the diagonal
    assert len(plots.draw_precision_recall(known).axes[0].lines) == 6


def test_lines_differ_without_their_colour() -> None:
    styles = [plots.line_style(place) for place in range(24)]
    assert len({(style["color"], str(style["linestyle"])) for style in styles}) == 24
    assert all(one["linestyle"] != other["linestyle"] for one, other in pairwise(styles))


def test_samples_say_right_and_wrong() -> None:
    face = np.zeros((8, 8), np.uint8)
    shares = np.array([0.2, 0.7, 0.1])
    figure = plots.draw_samples(
        [plots.Sample(face, shares, 1, 1), plots.Sample(face, shares, 0, 1)], ("a", "b", "c"), "x"
    )
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["true: b", "predicted: b, right", "true: a", "predicted: b, wrong"]
    assert [bar.get_width() for bar in figure.axes[3].patches] == pytest.approx([0.2, 0.7, 0.1])


def test_confused_pairs_by_hand() -> None:
    found = failures.find_confusions([[5, 3, 0], [1, 8, 1], [0, 0, 2]], 2)
    assert [(each.true, each.read, each.faces, each.share) for each in found] == [(0, 1, 3, 3 / 8), (1, 0, 1, 0.1)]
    assert failures.find_confusions([[5, 0], [0, 2]], 3) == []


def test_mistakes_are_wrong_and_confident() -> None:
    found = answers(100)
    rows = failures.find_mistakes(found, 5)
    confidence = found.probabilities.max(1)
    assert not found.right[rows].any()
    assert confidence[rows].tolist() == sorted(confidence[~found.right], reverse=True)[:5]


def test_notes_name_what_a_reader_must_know() -> None:
    found = answers(140)
    found = found.where((found.labels != 6) & ((found.labels != 1) | (np.arange(140) < 20)))
    told = " ".join(failures.write_notes(found, figures_of(found, copies=True)))
    weak = failures.find_weakest(figures_of(found))[0]
    assert f"Weak class: {weak}, F1" in told
    assert "No faces of neutral" in told
    assert "disgust 3 (±57 points)" in told
    assert "exact duplicates of training faces" in told


def test_classes_that_are_read_as_well_as_the_others_are_not_weak() -> None:
    found = answers(140)
    labels = found.labels
    found = replace(found, probabilities=np.eye(7)[np.where((labels == 2) & (np.arange(140) % 2 == 0), 3, labels)])
    weak = [note for note in failures.write_notes(found, figures_of(found)) if note.startswith("Weak class")]
    assert [note.partition(",")[0] for note in weak] == ["Weak class: fear", "Weak class: happiness"]
    perfect = replace(found, probabilities=np.eye(7)[labels])
    assert "Weak class" not in " ".join(failures.write_notes(perfect, figures_of(perfect)))


def test_a_perfect_model_without_crops_has_a_page_too(tmp_path: Path) -> None:
    found = answers(28, "")
    perfect = replace(found, probabilities=np.eye(7)[found.labels], crops=None, copy=np.zeros(28, bool))
    read = evaluated.read(folder_of(tmp_path / "run", perfect))
    page = report.write(read, tmp_path / "out").page.read_text("utf-8")
    assert "Every face was classified correctly." in page
    assert "holds no crops" in page
    assert "all faces: 28 faces, accuracy 100.0%" in page
    assert "has been scored" not in page


def test_options_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    found = answers(60)
    read = evaluated.read(folder_of(tmp_path / "run", found.where(found.labels != 6)))
    with pytest.raises(OptionError, match=r"No class 'feer'.*Did you mean 'fear'"):
        report.write(read, tmp_path / "out", samples=["feer"])
    with pytest.raises(OptionError, match="faces of neutral"):
        report.write(read, tmp_path / "out", samples=["neutral"])
    with pytest.raises(OptionError, match="no predictions of 'PublicTest'; there are PrivateTest"):
        report.write(read, tmp_path / "out", split="PublicTest")
    assert not (tmp_path / "out").exists()
    assert read.part_named("test") == "PrivateTest"


def test_the_test_part_comes_first(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", answers(35, "validation"), answers(42, "test"))
    read = evaluated.read(run)
    assert (read.trained, read.parts, read.scorings) == (True, ("validation", "test"), 1)
    assert (read.part_named(), read.part_named("PublicTest")) == ("test", "validation")


def test_broken_folders_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match=r"No folder .*nowhere"):
        evaluated.read(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        FileMissingError, match=r"no predictions.parquet .*mien evaluate.*\) and no metrics.json .*mien train"
    ):
        evaluated.read(tmp_path / "empty")
    run = folder_of(tmp_path / "run", answers(35))
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["parts"]["PrivateTest"]["accuracy"] += 0.1
    (run / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(DataError, match="different evaluations of PrivateTest"):
        evaluated.read(run)
    for text, says in (("{", "is not valid JSON"), ("[]", "JSON list")):
        (run / "metrics.json").write_text(text)
        with pytest.raises(DataError, match=says):
            evaluated.read(run)
    (run / "predictions.parquet").write_text("no")
    with pytest.raises(DataError, match="does not contain predictions of Mien"):
        evaluated.read(run)


def test_both_accuracies_of_a_class_are_drawn() -> None:
    # 3 of 4 and 4 of 6 are recognised; "this class or not" is right on 7 of 10. The third class has no face.
    figure = plots.draw_class_accuracy([[3, 1, 0], [2, 4, 0], [0, 0, 0]], ["a", "b", "c"])
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["75.0%", "66.7%", "70.0%", "70.0%"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
