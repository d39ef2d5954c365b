"""Compare several models, each with one run or several seeds, on one page: metrics, tests, cost, published results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import DataError, OptionError
from mien.evaluation import seeds
from mien.evaluation.evaluated import Evaluated, name_part
from mien.evaluation.metrics.clusters import Paired, compare_runs
from mien.evaluation.metrics.significance import McNemar, holm, mcnemar
from mien.evaluation.predictions import Predictions, check_same_faces
from mien.evaluation.reports import comparison_plots as plots
from mien.evaluation.reports.comparison_plots import Figure95
from mien.evaluation.seeds import Result
from mien.reporting.document import Sheet, Written

if TYPE_CHECKING:
    from mien.evaluation.reports.plots import Curves
    from mien.labels import LabelSet

LEVEL = 0.05
"""Adjusted p value below which a difference is called significant."""

OFFICIAL = ("PrivateTest", "PublicTest")
"""Splits of FER2013 that published results refer to."""


@dataclass(frozen=True)
class Entry:
    """One model of the comparison.

    Attributes:
        run: its folder, the first one's of several seeds.
        part: the split that is compared.
        predictions: on that split, a ``Predictions`` for each seed.
        result: the metrics of the predictions, means over the seeds.
        curves: learning curves, None if the folder has none.
        parameters: number of weights and biases.
        flops: for one face. None where the network is unknown.
        folds: of a cross-validation, where each face is predicted by the run that was not trained on it; 0 for runs.
    """

    name: str
    run: Evaluated
    part: str
    predictions: tuple[Predictions, ...] = field(repr=False)
    result: Result = field(repr=False)
    curves: Curves | None = None
    parameters: int | None = None
    flops: int | None = None
    folds: int = 0

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics, means over the seeds."""
        return self.result.metrics

    @property
    def label_set(self) -> LabelSet:
        """The model's classes."""
        return self.predictions[0].label_set

    @property
    def accuracy(self) -> Figure95:
        """The accuracy with its interval."""
        return Figure95(self.metrics["accuracy"], self.bounds("interval"))

    @property
    def macro_f1(self) -> Figure95:
        """The macro F1 with its interval."""
        return Figure95(self.metrics["macro_f1"], self.bounds("macro_f1_interval"))

    def bounds(self, interval: str) -> tuple[float, float]:
        """Return ``interval`` or ``macro_f1_interval``; of single runs over whole people or sessions where known."""
        name, _ = self.predictions[0].grouping()
        grouped = self.metrics.get("grouped", {}).get(name) if self.result.runs == 1 else None
        low, high = (grouped or self.metrics)[interval]
        return low, high


def make_entry(runs: Sequence[Evaluated], name: str, split: str = "", *, folds: int = 0, **known: Any) -> Entry:
    """Return an entry of one run, of one recipe's runs with several seeds, or of a cross-validation.

    Args:
        folds: of a cross-validation, whose one run is from ``folds.as_one``.
        known: curves, parameters and flops.

    Raises:
        OptionError: a missing split.
    """
    part = runs[0].part_named(split)
    predictions = tuple(run.predictions.part(part) for run in runs)
    several = f", {len(runs)} seeds" if len(runs) > 1 else f", {folds} folds" if folds else ""
    return Entry(name + several, runs[0], part, predictions, seeds.summarise(predictions, part), folds=folds, **known)


def name_runs(runs: Sequence[Evaluated]) -> list[str]:
    """Name each run after its model, with as much of its path as it takes to make equal names unique.

    Raises:
        OptionError: a folder that is given twice.
    """
    paths = [run.folder.resolve() for run in runs]
    twice = [path for index, path in enumerate(paths) if path in paths[:index]]
    if twice:
        raise OptionError(f"{twice[0]} is given twice; give each run once.")
    shared = {run.name for index, run in enumerate(runs) if run.name in {other.name for other in runs[:index]}}
    ends = max((len(path.parts) for path in paths), default=1)
    depth = next(k for k in range(1, ends + 1) if len({path.parts[-k:] for path in paths}) == len(paths))
    return [
        f"{run.name} ({'/'.join(path.parts[-depth:])})" if run.name in shared else run.name
        for run, path in zip(runs, paths, strict=True)
    ]


@dataclass(frozen=True)
class Difference:
    """A comparison of two entries, by name.

    Attributes:
        test: McNemar's of two single runs; the paired test of groups of faces and of seeds where faces are grouped or a
            model has several seeds; None if their predictions are of different faces, ``why`` then says how.
        adjusted: the p-value, adjusted for the number of pairs (Holm).
    """

    first: str
    second: str
    test: McNemar | Paired | None = None
    adjusted: float = 1.0
    why: str = ""


def compare_pairs(entries: Sequence[Entry]) -> list[Difference]:
    """Test each pair of entries with the same faces; say why the other pairs are not comparable."""
    pairs = [(one, other, _explain_mismatch(one, other)) for one, other in combinations(entries, 2)]
    tests = {(one.name, other.name): _test(one, other) for one, other, why in pairs if not why}
    adjusted = dict(zip(tests, holm([test.p_value for test in tests.values()]), strict=True))
    return [
        Difference(one.name, other.name, tests.get(key), adjusted.get(key, 1.0), why)
        for one, other, why in pairs
        for key in [(one.name, other.name)]
    ]


def _test(one: Entry, other: Entry) -> McNemar | Paired:
    first, second = seeds.right(one.predictions), seeds.right(other.predictions)
    name, groups = one.predictions[0].grouping()
    if len(first) == len(second) == 1 and name == "face":
        return mcnemar(first[0], second[0])
    return compare_runs(first, second, groups)


def _explain_mismatch(one: Entry, other: Entry) -> str:
    try:
        check_same_faces(one.predictions[0], other.predictions[0])
    except DataError as error:
        return str(error)
    return ""


def write(entries: Sequence[Entry], out: str | Path, *, literature: Mapping[str, float] | None = None) -> Written:
    """Write ``index.html``, ``compare.md``, the plots, and tables as CSV and LaTeX into ``out``; return their paths.

    Args:
        literature: method → published accuracy on FER2013.

    Raises:
        OptionError: no entries.
        MissingExtraError: without ``mien[train]``.
    """
    if not entries:
        raise OptionError("Nothing to compare; name at least one run.")
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    sheet = Sheet(folder)
    pairs = compare_pairs(entries)
    _add_summary(sheet, entries, pairs)
    _add_significance(sheet, pairs)
    _add_classes(sheet, entries)
    _add_curves(sheet, entries)
    _add_cost(sheet, entries)
    _add_literature(sheet, entries, literature or {})
    lead = f"{', '.join(entry.name for entry in entries)}; metrics with 95 % bootstrap intervals."
    return sheet.write("Runs compared", lead, "compare")


def _add_summary(sheet: Sheet, entries: Sequence[Entry], pairs: Sequence[Difference]) -> None:
    sheet.section("Summary")
    head = ("model", "part", "faces", "accuracy (95 %)", "macro F1 (95 %)", "kappa", "ECE", "parameters", "MFLOPs",
            "scored")  # fmt: skip
    sheet.table(head, [_format_row(entry) for entry in entries], "compare")
    _explain_intervals(sheet, entries)
    if any(entry.test is None for entry in pairs):
        sheet.text(
            "Not all of these were evaluated on the same faces. Some faces are harder than others, so their accuracies "
            "do not rank the models.",
            "warn",
        )
    again = [entry.name for entry in entries if (entry.run.scorings or 0) > 1]
    if again:
        sheet.text(
            f"The test set was scored more than once by {', '.join(again)}. Anything chosen between two scorings was "
            "chosen on the test set.",
            "warn",
        )
    alt = "Bars of accuracy and macro F1 of each model, with 95 % intervals"
    drawn = plots.draw_accuracies(
        {entry.name: entry.accuracy for entry in entries}, {entry.name: entry.macro_f1 for entry in entries}
    )
    caption = "Overlapping intervals do not mean that two models are equally good on the same faces: see Significance."
    sheet.figure("accuracy", drawn, alt, caption)


def _format_row(entry: Entry) -> tuple[object, ...]:
    bounds = [entry.bounds(name) for name in ("interval", "macro_f1_interval")]
    accuracy, f1 = (f"{100 * low:.1f} – {100 * high:.1f}" for low, high in bounds)
    parameters = "–" if entry.parameters is None else f"{entry.parameters:,}"
    flops = "–" if entry.flops is None else f"{entry.flops / 1e6:,.1f}"
    scored = "–" if entry.run.scorings is None else f"{entry.run.scorings} ×"
    metrics = entry.metrics
    deviations = [
        f" ± {100 * entry.result.deviation[name]:.{digits}f}" * (entry.result.runs > 1)
        for name, digits in (("accuracy", 2), ("macro_f1", 1))
    ]
    return (entry.name, name_part(entry.part), metrics["faces"],
            f"{100 * metrics['accuracy']:.2f}{deviations[0]} % ({accuracy})",
            f"{100 * metrics['macro_f1']:.1f}{deviations[1]} % ({f1})",
            metrics["kappa"], metrics["ece"], parameters, flops, scored)  # fmt: skip


def _explain_intervals(sheet: Sheet, entries: Sequence[Entry]) -> None:
    """Say what was resampled for the intervals of which models."""
    several = [entry.name for entry in entries if entry.result.runs > 1]
    if several:
        sheet.text(
            f"{', '.join(several)}: mean ± standard deviation over seeds; intervals over faces and seeds.", "soft"
        )
    folded = [entry.name for entry in entries if entry.folds]
    if folded:
        sheet.text(
            f"{', '.join(folded)}: each face predicted by the run that was not trained on it, metrics of all faces "
            "together.",
            "soft",
        )
    groups = {entry.predictions[0].grouping()[0] for entry in entries} - {"face"}
    for name in sorted(groups):
        sheet.text(f"Where the {name} of each face is known, whole {name}s are resampled.", "soft")


def _add_significance(sheet: Sheet, pairs: Sequence[Difference]) -> None:
    tested = [(pair, pair.test) for pair in pairs if pair.test]
    sheet.section("Significance")
    if not pairs:
        sheet.text("There is only one run, so there is nothing to compare.")
    _add_mcnemar(sheet, [(pair, test) for pair, test in tested if isinstance(test, McNemar)])
    _add_paired(sheet, [(pair, test) for pair, test in tested if isinstance(test, Paired)])
    if tested:
        sheet.text(f"p is adjusted for {len(tested)} pairs (Holm), and significant below {LEVEL:g}.", "soft")
    others = [(pair.first, pair.second, pair.why) for pair in pairs if not pair.test]
    if others:
        sheet.text("Not comparable, as the faces differ:")
        sheet.table(("first", "second", "why"), others)


def _add_mcnemar(sheet: Sheet, tested: Sequence[tuple[Difference, McNemar]]) -> None:
    if not tested:
        return
    head = ("first", "second", "only first correct", "only second correct", "p", "p adjusted", "verdict")
    sheet.table(
        head,
        [(pair.first, pair.second, test.only_first, test.only_second, f"{test.p_value:.2g} ({test.method})",
          f"{pair.adjusted:.2g}", _write_verdict(pair, test.only_first - test.only_second)) for pair, test in tested],
        "significance",
    )  # fmt: skip
    sheet.text(
        "McNemar's test on the same faces: does one model classify more of those faces correctly that only one of the "
        "two gets right?",
        "soft",
    )


def _add_paired(sheet: Sheet, tested: Sequence[tuple[Difference, Paired]]) -> None:
    if not tested:
        return
    head = ("first", "second", "difference", "groups of faces", "p faces", "p seeds", "p adjusted", "verdict")
    sheet.table(
        head,
        [(pair.first, pair.second, f"{100 * test.difference:+.2f} points", test.groups, f"{test.p_faces:.2g}",
          "–" if test.p_seeds is None else f"{test.p_seeds:.2g}", f"{pair.adjusted:.2g}",
          _write_verdict(pair, test.difference)) for pair, test in tested],
        "significance-paired",
    )  # fmt: skip
    sheet.text(
        "Paired test on the same faces. p faces: sign-flip permutation of the groups' differences, a group being a "
        "person or session where known, otherwise a face. p seeds: Welch's t-test on the accuracies of the runs; "
        "without two seeds or more of both, chance in training is not tested. The larger p counts.",
        "soft",
    )


def _write_verdict(pair: Difference, difference: float) -> str:
    if pair.adjusted >= LEVEL:
        return "no significant difference"
    return f"{pair.first if difference > 0 else pair.second} is better"


def _add_classes(sheet: Sheet, entries: Sequence[Entry]) -> None:
    sheet.section("Classes")
    labels = list(dict.fromkeys(label for entry in entries for label in entry.label_set.labels))
    values = {
        entry.name: {label: row["f1"] for label, row in entry.metrics["per_class"].items() if row["support"]}
        for entry in entries
    }
    sheet.figure(
        "classes", plots.draw_class_f1(values, labels), "Bar chart of the F1 of each class, one bar for each model"
    )
    nan = float("nan")
    rows = [(label, *(row.get(label, nan) for row in values.values())) for label in labels]
    sheet.table(("F1 of", *values), rows, "classes")


def _add_curves(sheet: Sheet, entries: Sequence[Entry]) -> None:
    with_history = {entry.name: entry.curves for entry in entries if entry.curves}
    without = [entry.name for entry in entries if not entry.curves]
    sheet.section("Training")
    if with_history:
        caption = (
            "The training loss is the recipe's own loss on augmented faces, so it cannot be compared between recipes "
            "with different losses; the validation loss is the cross-entropy without augmentation for all."
        )
        alt = "Line charts of training loss, validation loss and validation accuracy by epoch, one line for each model"
        sheet.figure("curves", plots.draw_curves(with_history), alt, caption)
    if without:
        sheet.text(f"Without a training history: {', '.join(without)}.", "soft")


def _add_cost(sheet: Sheet, entries: Sequence[Entry]) -> None:
    sheet.section("Accuracy and cost")
    parameters = {entry.name: (entry.parameters / 1e6, entry.accuracy) for entry in entries if entry.parameters}
    flops = {entry.name: (entry.flops / 1e6, entry.accuracy) for entry in entries if entry.flops}
    for name, points, what, title in (
        ("parameters", parameters, "parameters (millions)", "Accuracy and size"),
        ("flops", flops, "FLOPs of one face (millions)", "Accuracy and computation"),
    ):
        if points:
            alt = f"Scatter plot of accuracy over {what}, one point for each model"
            sheet.figure(name, plots.draw_scatter(points, what, title), alt)
    without = [entry.name for entry in entries if not entry.parameters]
    if without:
        sheet.text(f"The network of {', '.join(without)} is unknown, so parameters and FLOPs are missing.", "soft")


def _add_literature(sheet: Sheet, entries: Sequence[Entry], published: Mapping[str, float]) -> None:
    own = {
        f"Mien: {entry.name}": entry
        for entry in entries
        if entry.part in OFFICIAL and entry.label_set.name == "fer2013"
    }
    if not published:
        return
    sheet.section("Beside the literature")
    if not own:
        sheet.text("None of these was evaluated on FER2013's official splits, which the published results refer to.")
        return
    drawn = plots.draw_literature(published, {name: entry.accuracy for name, entry in own.items()})
    caption = (
        "Published accuracies are quoted from System E's Table 3, which does not state the split of FER2013 they were "
        "measured on and gives no intervals."
    )
    alt = "Bars of accuracy: the methods of System E's Table 3 and Mien's runs, the best at the top"
    sheet.figure("literature", drawn, alt, caption)
    rows = [(name, f"{value:.2%}", "–", "–", "System E, Table 3") for name, value in published.items()]
    for name, entry in own.items():
        low, high = entry.bounds("interval")
        text = f"{entry.metrics['accuracy']:.2%}"
        rows.append((name, text, f"{low:.1%} – {high:.1%}", entry.part, "measured here"))
    rows.sort(key=lambda row: -float(row[1].rstrip("%")))
    sheet.table(("method", "accuracy", "95 %", "part", "source"), rows)
