"""Several models on one page: how good, how different, at what cost, and beside what was published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import DataError, OptionError
from mien.evaluation import compare_plots as plots
from mien.evaluation.compare_plots import Figure95
from mien.evaluation.evaluate import report as figures_of
from mien.evaluation.evaluated import Evaluated, is_test, told_part
from mien.evaluation.predictions import Predictions, same_faces
from mien.evaluation.sheet import Sheet, Written
from mien.evaluation.significance import McNemar, holm, mcnemar

if TYPE_CHECKING:
    from mien.evaluation.plots import Curves

LEVEL = 0.05
"""Adjusted p value below which a difference is called significant."""

OFFICIAL = ("PrivateTest", "PublicTest")
"""Parts of FER2013, to which the literature's figures belong."""


@dataclass(frozen=True)
class Entry:
    """One model of the comparison.

    found:      its folder.  answers: those of the part that is compared.  figures: as ``evaluate.report`` of these.
    curves:     of its training, None where there are none.
    parameters: weights and biases; flops: of one face. None where no network is known.
    """

    name: str
    found: Evaluated
    part: str
    answers: Predictions = field(repr=False)
    figures: dict[str, Any] = field(repr=False)
    curves: Curves | None = None
    parameters: int | None = None
    flops: int | None = None

    @property
    def accuracy(self) -> Figure95:
        """The accuracy with its interval."""
        return _with_interval(self.figures, "accuracy", "interval")

    @property
    def macro_f1(self) -> Figure95:
        """The macro F1 with its interval."""
        return _with_interval(self.figures, "macro_f1", "macro_f1_interval")


def _with_interval(figures: Mapping[str, Any], value: str, interval: str) -> Figure95:
    low, high = figures[interval]
    return Figure95(figures[value], (low, high))


def entry(found: Evaluated, name: str, split: str = "", **known: Any) -> Entry:
    """Return an entry; ``known`` holds curves, parameters and flops. Raises ``OptionError`` for a missing part."""
    part = found.part_named(split)
    answers = found.predictions.part(part)
    return Entry(name, found, part, answers, figures_of(answers, copies=is_test(part)), **known)


def names(found: Sequence[Evaluated]) -> list[str]:
    """Return a name for each folder: its model's, with as much of the path as tells namesakes apart.

    Raises ``OptionError`` for a folder that is given twice.
    """
    paths = [each.folder.resolve() for each in found]
    twice = [path for place, path in enumerate(paths) if path in paths[:place]]
    if twice:
        raise OptionError(f"{twice[0]} is given twice; give each run once.")
    shared = {each.name for place, each in enumerate(found) if each.name in {other.name for other in found[:place]}}
    ends = max((len(path.parts) for path in paths), default=1)
    depth = next(k for k in range(1, ends + 1) if len({path.parts[-k:] for path in paths}) == len(paths))
    return [
        f"{each.name} ({'/'.join(path.parts[-depth:])})" if each.name in shared else each.name
        for each, path in zip(found, paths, strict=True)
    ]


@dataclass(frozen=True)
class Difference:
    """Two entries by their names. test: None where they answered different faces, which ``why`` then says.

    adjusted: the p value, adjusted for the number of pairs (Holm).
    """

    first: str
    second: str
    test: McNemar | None = None
    adjusted: float = 1.0
    why: str = ""


def differences(entries: Sequence[Entry]) -> list[Difference]:
    """Return McNemar's test of each pair of entries that answered the same faces, and why the others did not."""
    pairs = [(one, other, _same(one, other)) for one, other in combinations(entries, 2)]
    tests = {
        (one.name, other.name): mcnemar(one.answers.right, other.answers.right) for one, other, why in pairs if not why
    }
    adjusted = dict(zip(tests, holm([test.p_value for test in tests.values()]), strict=True))
    return [
        Difference(one.name, other.name, tests.get(key), adjusted.get(key, 1.0), why)
        for one, other, why in pairs
        for key in [(one.name, other.name)]
    ]


def _same(one: Entry, other: Entry) -> str:
    try:
        same_faces(one.answers, other.answers)
    except DataError as error:
        return str(error)
    return ""


def write(entries: Sequence[Entry], out: str | Path, *, literature: Mapping[str, float] | None = None) -> Written:
    """Write ``index.html``, ``compare.md`` and the figures into the folder ``out``, and return their paths.

    literature: method → published accuracy on FER2013.
    Raises ``OptionError`` for no entries, ``MissingExtraError`` without ``mien[train]``.
    """
    if not entries:
        raise OptionError("Nothing to compare; name one run or more.")
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    sheet = Sheet(folder)
    found = differences(entries)
    _summary(sheet, entries, found)
    _significance(sheet, found)
    _classes(sheet, entries)
    _curves(sheet, entries)
    _cost(sheet, entries)
    _literature(sheet, entries, literature or {})
    lead = f"{', '.join(each.name for each in entries)}; figures with 95 % bootstrap intervals."
    return sheet.write("Runs compared", lead, "compare")


def _summary(sheet: Sheet, entries: Sequence[Entry], found: Sequence[Difference]) -> None:
    sheet.section("Summary")
    head = ("model", "part", "faces", "accuracy (95 %)", "macro F1 (95 %)", "ECE", "parameters", "MFLOPs", "scored")
    sheet.table(head, [_row(each) for each in entries])
    if any(each.test is None for each in found):
        sheet.text(
            "Not all of these answered the same faces: accuracies on different faces are of different difficulty, and "
            "their order says nothing of the models.",
            "warn",
        )
    again = [each.name for each in entries if (each.found.scorings or 0) > 1]
    if again:
        sheet.text(
            f"The test part was scored more than once by {', '.join(again)}. Whatever was chosen between two scorings "
            "was chosen by the test part.",
            "warn",
        )
    alt = "Bars of accuracy and macro F1 of each model, with 95 % intervals"
    drawn = plots.accuracies(
        {each.name: each.accuracy for each in entries}, {each.name: each.macro_f1 for each in entries}
    )
    told = "Intervals that overlap do not say that two models are equally good on the same faces: see Significance."
    sheet.figure("accuracy", drawn, alt, told)


def _row(each: Entry) -> tuple[object, ...]:
    bounds = [each.figures[name] for name in ("interval", "macro_f1_interval")]
    accuracy, f1 = (f"{100 * low:.1f} – {100 * high:.1f}" for low, high in bounds)
    parameters = "–" if each.parameters is None else f"{each.parameters:,}"
    flops = "–" if each.flops is None else f"{each.flops / 1e6:,.1f}"
    scored = "–" if each.found.scorings is None else f"{each.found.scorings} ×"
    figures = each.figures
    return (each.name, told_part(each.part), figures["faces"], f"{figures['accuracy']:.2%} ({accuracy})",
            f"{figures['macro_f1']:.1%} ({f1})", figures["ece"], parameters, flops, scored)  # fmt: skip


def _significance(sheet: Sheet, found: Sequence[Difference]) -> None:
    tested = [(each, each.test) for each in found if each.test]
    sheet.section("Significance")
    if not found:
        sheet.text("One run alone has nothing to differ from.")
    if tested:
        head = ("first", "second", "only the first right", "only the second right", "p", "p adjusted", "verdict")
        sheet.table(
            head,
            [(each.first, each.second, test.only_first, test.only_second, f"{test.p_value:.2g} ({test.method})",
              f"{each.adjusted:.2g}", _verdict(each, test)) for each, test in tested],
        )  # fmt: skip
        sheet.text(
            "McNemar's test on the same faces: of those that only one of the two reads rightly, how unequal are the "
            f"shares? p is adjusted for the {len(tested)} pairs (Holm), and significant below {LEVEL:g}.",
            "soft",
        )
    others = [(each.first, each.second, each.why) for each in found if not each.test]
    if others:
        sheet.text("Not comparable, as these did not answer the same faces:")
        sheet.table(("first", "second", "why"), others)


def _verdict(each: Difference, test: McNemar) -> str:
    if each.adjusted >= LEVEL:
        return "no significant difference"
    return f"{each.first if test.only_first > test.only_second else each.second} is better"


def _classes(sheet: Sheet, entries: Sequence[Entry]) -> None:
    sheet.section("Classes")
    labels = list(dict.fromkeys(label for each in entries for label in each.answers.label_set.labels))
    values = {
        each.name: {label: row["f1"] for label, row in each.figures["per_class"].items() if row["support"]}
        for each in entries
    }
    sheet.figure("classes", plots.class_f1(values, labels), "Bars of the F1 of each class, one a model")
    nan = float("nan")
    rows = [(label, *(row.get(label, nan) for row in values.values())) for label in labels]
    sheet.table(("F1 of", *values), rows)


def _curves(sheet: Sheet, entries: Sequence[Entry]) -> None:
    found = {each.name: each.curves for each in entries if each.curves}
    without = [each.name for each in entries if not each.curves]
    sheet.section("Training")
    if found:
        told = (
            "The training loss is the recipe's own, of augmented faces, so that recipes with other losses cannot be "
            "compared by it; the validation loss is the cross-entropy of plain faces for all."
        )
        alt = "Line charts of training loss, validation loss and validation accuracy over the epochs, a line a model"
        sheet.figure("curves", plots.curves(found), alt, told)
    if without:
        sheet.text(f"Without a history of training: {', '.join(without)}.", "soft")


def _cost(sheet: Sheet, entries: Sequence[Entry]) -> None:
    sheet.section("Accuracy and cost")
    parameters = {each.name: (each.parameters / 1e6, each.accuracy) for each in entries if each.parameters}
    flops = {each.name: (each.flops / 1e6, each.accuracy) for each in entries if each.flops}
    for name, points, what, title in (
        ("parameters", parameters, "parameters (millions)", "Accuracy and size"),
        ("flops", flops, "FLOPs of one face (millions)", "Accuracy and computation"),
    ):
        if points:
            alt = f"Scatter of accuracy over {what}, a point a model"
            sheet.figure(name, plots.scatter(points, what, title), alt)
    without = [each.name for each in entries if not each.parameters]
    if without:
        sheet.text(f"No network's recipe is known of {', '.join(without)}, so neither parameters nor FLOPs.", "soft")


def _literature(sheet: Sheet, entries: Sequence[Entry], published: Mapping[str, float]) -> None:
    own = {
        f"Mien: {each.name}": each
        for each in entries
        if each.part in OFFICIAL and each.answers.label_set.name == "fer2013"
    }
    if not published:
        return
    sheet.section("Beside the literature")
    if not own:
        sheet.text("None of these was scored on FER2013's official parts, to which the published figures belong.")
        return
    drawn = plots.literature(published, {name: each.accuracy for name, each in own.items()})
    told = (
        "Published figures stand as System E's Table 3 prints them: it does not say on which part of FER2013 they were "
        "measured, and they have no intervals."
    )
    alt = "Bars of accuracy: the methods of System E's Table 3 and Mien's runs, the best at the top"
    sheet.figure("literature", drawn, alt, told)
    rows = [(name, f"{value:.2%}", "–", "–", "System E, Table 3") for name, value in published.items()]
    for name, each in own.items():
        low, high = each.figures["interval"]
        text = f"{each.figures['accuracy']:.2%}"
        rows.append((name, text, f"{low:.1%} – {high:.1%}", each.part, "measured here"))
    rows.sort(key=lambda row: -float(row[1].rstrip("%")))
    sheet.table(("method", "accuracy", "95 %", "part", "source"), rows)
