"""Models side by side: names, significance, figures, and the literature's rows."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytest.importorskip("pyarrow")

from answers import answers, evaluated

from mien.errors import OptionError
from mien.evaluation import folds
from mien.evaluation.evaluated import Evaluated, read
from mien.evaluation.metrics.clusters import Paired
from mien.evaluation.metrics.significance import holm, mcnemar
from mien.evaluation.reports import compare, comparison_plots
from mien.evaluation.reports.comparison_plots import Figure95
from mien.evaluation.reports.plots import Curves
from mien.labels import CKPLUS
from mien.reporting.document import Written

LITERATURE = {"VGGNet": 0.7328, "SVM": 0.4595}


def folder(place: Path, *, seed: int, faces: int = 210, model: str = "drawn", **changes: int) -> Evaluated:
    return read(evaluated(place, answers(faces, seed=seed, model=model), **changes))


def some_curves(epochs: int) -> Curves:
    falling = np.linspace(1.9, 0.9, epochs)
    return Curves(1 - falling / 4, falling, 0.9 - falling / 4, falling + 0.1, falling / 100, chosen=epochs)


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[compare.Entry]:
    place = tmp_path_factory.mktemp("runs")
    found = [
        folder(place / "a", seed=0, model="first", test_scorings=3),
        folder(place / "b", seed=1, model="second"),
        folder(place / "c", seed=2, faces=70, model="third"),
    ]
    known: list[dict[str, Any]] = [
        {"curves": some_curves(6), "parameters": 1_439_082, "flops": 235_400_000},
        {"curves": some_curves(4), "parameters": 2_236_682, "flops": 110_000_000},
        {},
    ]
    return [compare.make_entry((each,), each.name, **values) for each, values in zip(found, known, strict=True)]


@pytest.fixture(scope="module")
def written(entries: list[compare.Entry], tmp_path_factory: pytest.TempPathFactory) -> Written:
    return compare.write(entries, tmp_path_factory.mktemp("compared"), literature=LITERATURE)


def test_page_needs_nothing_but_itself(written: Written) -> None:
    page = written.page.read_text("utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{0,11})', page)
    assert len(sources) >= 12
    assert all(source.startswith(("data:image/", "#")) for source in sources)
    assert written.page.stat().st_size <= 5_000_000


def test_every_figure_is_written_for_papers_and_in_the_text(written: Written) -> None:
    names = {"accuracy", "classes", "curves", "parameters", "flops", "literature"}
    assert {path.name for path in written.figures} == {
        f"{name}.{kind}" for name in names for kind in ("png", "svg", "pdf")
    }
    text = written.markdown.read_text("utf-8")
    assert all(f"]({name}.png)" in text for name in names)


def test_page_tells_what_cannot_be_compared(written: Written) -> None:
    text = written.markdown.read_text("utf-8")
    assert "Not all of these were evaluated on the same faces" in text
    assert "| first | third | Predictions of first and third have 210 and 70 faces" in text
    assert "scored more than once by first." in text
    assert "The network of third is unknown" in text
    assert "Without a training history: third." in text


def test_literature_stands_among_our_own_by_accuracy(written: Written) -> None:
    text = written.markdown.read_text("utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([\d.]+)% \| .* \| (?:System E, Table 3|measured here) \|$", text, re.M)
    assert {name for name, _ in rows} == {"VGGNet", "SVM", "Mien: first", "Mien: second", "Mien: third"}
    accuracies = [float(accuracy) for _, accuracy in rows]
    assert accuracies == sorted(accuracies, reverse=True)


def test_other_corpora_do_not_stand_beside_the_literature(tmp_path: Path) -> None:
    found = read(evaluated(tmp_path / "run", answers(42, "test", classes=CKPLUS)))
    written = compare.write([compare.make_entry((found,), "ck")], tmp_path / "out", literature=LITERATURE)
    assert "None of these was evaluated on FER2013's official splits" in written.markdown.read_text("utf-8")
    assert "There is only one run" in written.markdown.read_text("utf-8")
    assert "literature.png" not in {path.name for path in written.figures}


def test_differences_are_mcnemar_on_the_same_faces(entries: list[compare.Entry]) -> None:
    first, *others = compare.compare_pairs(entries)
    assert first.test == mcnemar(entries[0].predictions[0].right, entries[1].predictions[0].right)
    assert first.adjusted == pytest.approx(first.test.p_value)
    assert [each.test for each in others] == [None, None]
    assert all("faces" in each.why for each in others)


def test_same_files_with_other_pixels_are_not_compared(entries: list[compare.Entry]) -> None:
    (answers,) = entries[1].predictions
    assert answers.crops is not None
    moved = replace(entries[1], predictions=(replace(answers, crops=255 - answers.crops),))
    assert "the pixels differ" in compare.compare_pairs([entries[0], moved])[0].why


def test_a_clear_difference_is_called_one(entries: list[compare.Entry], tmp_path: Path) -> None:
    (answers,) = entries[0].predictions
    sure = replace(entries[1], predictions=(replace(answers, probabilities=np.eye(7)[answers.labels]),))
    text = compare.write([entries[0], sure], tmp_path / "out").markdown.read_text("utf-8")
    assert "| second is better |" in text


def with_people(place: Path, seed: int, model: str) -> Evaluated:
    """A run on 70 faces of ten people."""
    people = np.array([f"p{row // 7}" for row in range(70)])
    return read(evaluated(place, replace(answers(70, seed=seed, model=model), groups={"subject": people})))


def test_several_seeds_are_one_model_with_a_paired_test(tmp_path: Path) -> None:
    seeds = [with_people(tmp_path / f"seed-{seed}", seed, "ours") for seed in range(3)]
    other = with_people(tmp_path / "other", 9, "theirs")
    entries = [compare.make_entry(seeds, "ours"), compare.make_entry((other,), "theirs")]
    accuracies = [float(run.predictions.right.mean()) for run in seeds]
    assert entries[0].name == "ours, 3 seeds"
    assert entries[0].accuracy.value == pytest.approx(np.mean(accuracies))
    (pair,) = compare.compare_pairs(entries)
    assert isinstance(pair.test, Paired)
    assert pair.test.difference == pytest.approx(np.mean(accuracies) - other.predictions.right.mean())
    assert (pair.test.groups, pair.test.p_seeds) == (10, None)
    written = compare.write(entries, tmp_path / "out")
    text = written.markdown.read_text("utf-8")
    spread = f"{100 * np.mean(accuracies):.2f} ± {100 * np.std(accuracies, ddof=1):.2f} %"
    assert spread in text
    assert "whole subjects are resampled" in text
    names = ("compare", "significance-paired", "classes")
    assert {path.name for path in written.tables} == {f"{name}.{kind}" for name in names for kind in ("csv", "tex")}
    latex = (tmp_path / "out" / "compare.tex").read_text("utf-8")
    assert spread.replace("±", r"$\pm$").replace("%", r"\%") in latex


def test_single_runs_of_known_people_are_tested_by_person(tmp_path: Path) -> None:
    runs = [with_people(tmp_path / name, seed, name) for seed, name in enumerate(("a", "b"))]
    entries = [compare.make_entry((run,), run.name) for run in runs]
    (pair,) = compare.compare_pairs(entries)
    assert isinstance(pair.test, Paired)
    grouped = entries[0].metrics["grouped"]["subject"]
    assert (grouped["groups"], entries[0].accuracy.interval) == (10, tuple(grouped["interval"]))


def cross_validated(place: Path, model: str, sure: bool, turned: bool = False) -> compare.Entry:
    """Two folds of 70 faces of ten people; ``sure`` is always right, ``turned`` has the folds the other way round."""
    whole = replace(
        answers(70, "test", model=model), groups={"subject": np.array([f"p{row // 7}" for row in range(70)])}
    )
    if sure:
        whole = replace(whole, probabilities=np.eye(7)[whole.labels])
    first = np.arange(70) < 35
    for number, mask in enumerate((~first, first) if turned else (first, ~first), 1):
        evaluated(place / f"fold-{number}", whole.where(mask))
    runs = folds.read(place)
    return compare.make_entry((folds.as_one(place, runs),), model, folds=len(runs))


def test_cross_validations_are_compared_on_all_faces(tmp_path: Path) -> None:
    entries = [
        cross_validated(tmp_path / "a", "ours", sure=True),
        cross_validated(tmp_path / "b", "theirs", False, True),
    ]
    assert [entry.name for entry in entries] == ["ours, 2 folds", "theirs, 2 folds"]
    (pair,) = compare.compare_pairs(entries)
    assert isinstance(pair.test, Paired)
    assert pair.test.groups == 10
    assert pair.test.difference == pytest.approx(1 - entries[1].accuracy.value)
    single = compare.make_entry((with_people(tmp_path / "c", 0, "single"),), "single")
    text = compare.write([*entries, single], tmp_path / "out").markdown.read_text("utf-8")
    assert "ours, 2 folds is better" in text
    assert "ours, 2 folds, theirs, 2 folds: each face predicted by the run that was not trained on it" in text


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_namesakes_are_told_apart(tmp_path: Path) -> None:
    found = [folder(tmp_path / name / "seed-0", seed=0, faces=14) for name in ("a", "b")]
    found.append(folder(tmp_path / "c", seed=0, faces=14, model="other"))
    assert compare.name_runs(found) == ["drawn (a/seed-0)", "drawn (b/seed-0)", "other"]
    with pytest.raises(OptionError, match="given twice"):
        compare.name_runs([found[0], found[0]])
    with pytest.raises(OptionError, match="Nothing to compare"):
        compare.write([], tmp_path / "out")


def test_bars_have_intervals_and_numbers() -> None:
    values = {"a": Figure95(0.7, (0.65, 0.76)), "b": Figure95(0.5, (0.4, 0.6))}
    figure = comparison_plots.draw_accuracies(values, values)
    for axes in figure.axes:
        assert [bar.get_width() for bar in axes.patches] == [0.7, 0.5]
        assert [text.get_text() for text in axes.texts] == ["70.0%", "50.0%"]
        (reach,) = [each for each in axes.collections if len(each.get_segments()) == 2]
        assert [segment[:, 0].tolist() for segment in reach.get_segments()] == [
            pytest.approx([0.65, 0.76]),
            pytest.approx([0.4, 0.6]),
        ]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["a", "b"]


def test_class_bars_leave_out_what_is_not_there() -> None:
    figure = comparison_plots.draw_class_f1({"a": {"fear": 0.5, "anger": 0.6}, "b": {"fear": 0.4}}, ("fear", "anger"))
    assert len(figure.axes[0].patches) == 3
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_curves_have_a_line_a_model() -> None:
    figure = comparison_plots.draw_curves({"a": some_curves(6), "b": some_curves(3)})
    assert [len(axes.lines) for axes in figure.axes] == [2, 2, 2]
    assert [axes.get_xlabel() for axes in figure.axes] == ["epoch"] * 3


def test_scatter_names_each_point_with_its_cost() -> None:
    points = {"a": (1.44, Figure95(0.9, (0.88, 0.92))), "b": (2.24, Figure95(0.88, (0.85, 0.9)))}
    figure = comparison_plots.draw_scatter(points, "parameters (millions)", "Accuracy and size")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a (1.44)", "b (2.24)"]
    assert figure.axes[0].get_xlabel() == "parameters (millions)"
    assert figure.axes[0].get_xscale() == "log"
    low, high = figure.axes[0].get_xlim()
    assert low < 1.44
    assert high > 2.24


def test_literature_bars_are_sorted() -> None:
    figure = comparison_plots.draw_literature(LITERATURE, {"Mien: x": Figure95(0.7, (0.69, 0.71))})
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["VGGNet", "Mien: x", "SVM"]
    assert [bar.get_hatch() for bar in figure.axes[0].patches] == ["", "///", ""]
