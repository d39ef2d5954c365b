"""Write a report on one model from its run folder: metrics, training, failures and provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.errors import OptionError, nearest
from mien.evaluation import evaluate
from mien.evaluation.evaluated import Evaluated, is_test, name_part
from mien.evaluation.metrics import calibration, curves
from mien.evaluation.metrics.classification import SELECTED
from mien.evaluation.reports import failures, plots
from mien.reporting import figures as pictures
from mien.reporting.document import Sheet, Written

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.evaluation.predictions import Predictions
    from mien.evaluation.reports.plots import Curves

FACES, MISTAKES, PAIRS, EXAMPLES = 6, 12, 5, 8
"""Faces of each sampled class, most confident errors, most confused pairs, and examples of each pair."""

NO_CROPS = "predictions.parquet holds no crops, so no faces can be shown; write it again with mien evaluate --out."


@dataclass(frozen=True)
class Background:
    """Details of a run besides its predictions; empty for a folder written by ``mien evaluate``.

    Attributes:
        facts: name → value, about the recipe and the network.
        curves: learning curves, None if there are none.
        claimed: rows with the columns ``CLAIMED``, for a recipe that reproduces a published system.
        blocks: rows with the columns ``BLOCKS``, for a network.
        claims: text on the published system and how the run deviates from it.
        notes: problems in training and missing information, one sentence each.
    """

    facts: dict[str, str] = field(default_factory=dict)
    curves: Curves | None = None
    claimed: tuple[tuple[str, ...], ...] = ()
    blocks: tuple[tuple[object, ...], ...] = ()
    claims: str = ""
    notes: tuple[str, ...] = ()


SUMMARY = (
    *("part", "faces", "accuracy", "95 %", "macro F1", "macro F1 95 %", "MCC", "kappa", "top 2", "log loss", "ECE"),
)
SCORES = ("precision", "recall", "f1", "roc_area", "pr_area")
CLAIMED = ("what", "claimed", "measured", "95 % interval", "claimed in")
BLOCKS = ("block", "parameters", "million FLOPs", "map", "receptive field", "activations")


@dataclass(frozen=True)
class _Work:
    """The sheet, and the split that most of it is about."""

    sheet: Sheet
    run: Evaluated
    part: str
    predictions: Predictions
    metrics: dict[str, Any]
    seed: int

    @property
    def labels(self) -> tuple[str, ...]:
        return self.predictions.label_set.labels

    @property
    def part_name(self) -> str:
        return name_part(self.part)


def write(
    run: Evaluated,
    out: str | Path,
    *,
    split: str = "",
    samples: Sequence[str] = (),
    seed: int = 0,
    background: Background | None = None,
) -> Written:
    """Write ``index.html``, ``report.md`` and the plots into the folder ``out``, and return their paths.

    Args:
        split: the split to report on; by default the test split if there are predictions on it, else the last one.
        samples: classes to show sample faces of, with their probabilities, drawn with ``seed``; by default the two
            weakest classes.

    Raises:
        OptionError: an unknown split or class.
        MissingExtraError: without ``mien[train]``.
    """
    known = background or Background()
    part = run.part_named(split)
    predictions = run.predictions.part(part)
    metrics = evaluate.report(predictions, copies=True)
    chosen = _check_samples(samples, metrics) or failures.find_weakest(metrics, 2)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    work = _Work(Sheet(folder), run, part, predictions, metrics, seed)
    _add_summary(work)
    _add_failures(work, known)
    _add_claims(work, known)
    _add_training(work, known)
    _add_confusions(work)
    _add_classes(work)
    _add_confidence(work)
    _add_curves(work)
    _add_samples(work, chosen)
    _add_mistakes(work)
    _add_pairs(work)
    _add_network(work, known)
    _add_origin(work, known)
    low, high = metrics["interval"]
    accuracy = f"{metrics['accuracy']:.1%} (95 %: {low:.1%} – {high:.1%})"
    lead = f"{work.part_name}: {metrics['faces']:,} faces, accuracy {accuracy}."
    return work.sheet.write(f"Report on {run.name}", lead, "report")


def _check_samples(samples: Sequence[str], metrics: dict[str, Any]) -> list[str]:
    rows = metrics["per_class"]
    for label in samples:
        if label not in rows:
            raise OptionError(f"No class {label!r}; the classes are {', '.join(rows)}.{nearest(label, list(rows))}")
        if not rows[label]["support"]:
            raise OptionError(f"There are no predictions on faces of {label}; choose another class.")
    return list(dict.fromkeys(samples))


def _add_summary(work: _Work) -> None:
    sheet, scorings = work.sheet, work.run.scorings
    sheet.section("Summary")
    sheet.table(SUMMARY, [row for part in work.run.parts for row in _format_rows(work, part)])
    if any(map(is_test, work.run.parts)) and scorings is not None:
        again = " Anything chosen between two scorings was chosen on the test set." if scorings > 1 else ""
        times = "once" if scorings == 1 else f"{scorings} times"
        sheet.text(f"The test set has been scored {times}.{again}", "warn" if again else "")
    sheet.text(
        "Intervals are 95 % bootstrap intervals over faces. MCC: Matthews correlation. Kappa: Cohen's. Top 2: the "
        "true class is among the two most probable. Log loss: in nats. ECE: expected calibration error. All below: "
        f"{work.part_name}.",
        "soft",
    )


def _format_rows(work: _Work, part: str) -> list[tuple[object, ...]]:
    own = part == work.part
    metrics = work.metrics if own else evaluate.report(work.run.predictions.part(part), copies=is_test(part))
    rows = [_format_row(name_part(part), metrics)]
    clean = metrics.get("without_training_copies")
    if clean and clean["faces"] < metrics["faces"]:
        rows.append(_format_row("… without training copies", clean))
    return rows


def _format_row(name: str, values: dict[str, Any]) -> tuple[object, ...]:
    low, high = values["interval"]
    f1_low, f1_high = values["macro_f1_interval"]
    accuracy = (f"{values['accuracy']:.2%}", f"{low:.1%} – {high:.1%}")
    return (name, values["faces"], *accuracy, values["macro_f1"], f"{f1_low:.3f} – {f1_high:.3f}",
            values["mcc"], values["kappa"], f"{values['top2']:.1%}", values["log_loss"], values["ece"])  # fmt: skip


def _add_failures(work: _Work, known: Background) -> None:
    work.sheet.section("Failure notes")
    for note in known.notes:
        work.sheet.text(note, "warn")
    for note in (*failures.write_notes(work.predictions, work.metrics), *work.run.metrics.get("notes", ())):
        work.sheet.text(note)


def _add_claims(work: _Work, known: Background) -> None:
    if known.claims:
        work.sheet.section("Claimed and measured")
        work.sheet.text(known.claims)
    if known.claimed:
        work.sheet.table(CLAIMED, [[cell or "–" for cell in row] for row in known.claimed])


def _add_training(work: _Work, known: Background) -> None:
    if known.curves is None:
        return
    history = known.curves
    work.sheet.section("Training")
    caption = (
        f"Epoch {history.chosen} of {len(history.loss)} was kept: validation accuracy "
        f"{history.validation_accuracy[history.chosen - 1]:.1%}. Training curves use augmented faces, dropout and the "
        "recipe's own loss; validation curves use plain faces and cross-entropy, so the curves may cross."
    )
    alt = "Three line charts by epoch: accuracy and loss on training and validation set, and learning rate"
    work.sheet.figure("training", plots.draw_training(history), alt, caption)


def _add_confusions(work: _Work) -> None:
    work.sheet.section("Confusion")
    counts, named = work.metrics["confusion"], f"of {len(work.labels)} classes on {work.part_name}"
    for name, normalised in (("confusion", False), ("confusion-normalised", True)):
        drawn = plots.draw_confusion(counts, work.labels, normalised=normalised)
        kind = "percent of each true class" if normalised else "numbers of faces"
        work.sheet.figure(name, drawn, f"Confusion matrix {named}, {kind}, rows true, columns predicted")
    work.sheet.text("Rows are true classes, columns predicted ones. Both plots are coloured by share.", "soft")


def _add_classes(work: _Work) -> None:
    rows = work.metrics["per_class"]
    work.sheet.section("Classes")
    alt = f"Bars of precision, recall and F1 of each class on {work.part_name}"
    work.sheet.figure("classes", plots.draw_class_bars(rows), alt)
    drawn = plots.draw_class_accuracy(work.metrics["confusion"], work.labels)
    work.sheet.figure("class-accuracy", drawn, f"Bars of two accuracies of each class on {work.part_name}")
    head = ("class", "precision", "recall", "F1", "ROC area", "average precision", "faces")
    table = [(label, *(_to_number(row[key]) for key in SCORES), int(row["support"])) for label, row in rows.items()]
    work.sheet.table(head, [*table, *_average_rows(rows)])
    work.sheet.text(
        "Means are over the classes with faces; the weighted mean weights each by its number of faces.", "soft"
    )


def _to_number(value: float | None) -> float:
    return float("nan") if value is None else value


def _average_rows(rows: Mapping[str, Mapping[str, float | None]]) -> list[tuple[object, ...]]:
    present = [row for row in rows.values() if row["support"]]
    faces = [int(row["support"] or 0) for row in present]
    return [
        (
            name,
            *(float(np.average([_to_number(row[key]) for row in present], weights=weights)) for key in SCORES),
            sum(faces),
        )
        for name, weights in (("mean", None), ("weighted mean", faces))
    ]


def _add_confidence(work: _Work) -> None:
    answers = work.predictions
    work.sheet.section("Confidence")
    diagram = calibration.reliability(answers.probabilities, answers.labels)
    caption = (
        "A calibrated model classifies 60 % of the faces correctly that it predicts with 60 % confidence; the gap to "
        "that is hatched. Bars of few faces, as the lower panel shows, are unreliable."
    )
    work.sheet.figure(
        "reliability",
        plots.draw_reliability(diagram),
        "Reliability diagram: accuracy over confidence, and faces",
        caption,
    )
    curve = calibration.risk_coverage(answers.probabilities, answers.labels)
    at = calibration.accuracy_at(curve, SELECTED)
    caption = (
        "Faces are added from the most confident on. A curve that starts low means that high confidence can be trusted."
    )
    drawn = plots.draw_risk_coverage(curve, (at.coverage, at.accuracy))
    work.sheet.figure("risk-coverage", drawn, "Line chart of the error rate over coverage", caption)


def _add_curves(work: _Work) -> None:
    answers = work.predictions
    by_class = curves.compute_curves(answers.probabilities, answers.labels, answers.label_set)
    work.sheet.section("Thresholds of one class")
    if any(both.roc for both in by_class.values()):
        work.sheet.figure("roc", plots.draw_roc(by_class), "ROC curve of each class against the rest, with its area")
    drawn = plots.draw_precision_recall(by_class)
    caption = (
        "One-vs-rest curves over thresholds on each class's probability. Areas are in the legends; absent classes have "
        "no curve."
    )
    work.sheet.figure("precision-recall", drawn, "Precision over recall of each class against the rest", caption)


def _add_samples(work: _Work, chosen: Sequence[str]) -> None:
    work.sheet.section("Prediction samples")
    crops = work.predictions.crops
    if crops is None:
        work.sheet.text(NO_CROPS, "warn")
        return
    for label in chosen:
        rows = np.flatnonzero(work.predictions.labels == work.labels.index(label))
        # Drawn at random, so correct and wrong predictions appear as often as they occur.
        drawn = np.random.default_rng(work.seed).choice(rows, min(FACES, len(rows)), replace=False)
        shown = [_make_sample(work.predictions, crops, int(row)) for row in drawn]
        alt = f"Faces of {label}, drawn at random, each with bars of its probabilities"
        work.sheet.figure(
            f"samples-{label}", plots.draw_samples(shown, work.labels, f"Faces of {label}, drawn at random"), alt
        )
    caption = "Faces are drawn at random from the class. Blue: the true class; red: the predicted class, if different."
    work.sheet.text(caption, "soft")


def _make_sample(answers: Predictions, crops: NDArray[np.uint8], row: int) -> plots.Sample:
    return plots.Sample(crops[row], answers.probabilities[row], int(answers.labels[row]), int(answers.predicted[row]))


def _add_mistakes(work: _Work) -> None:
    answers = work.predictions
    work.sheet.section("Most confident mistakes")
    rows = failures.find_mistakes(answers, MISTAKES)
    if not rows:
        work.sheet.text("Every face was classified correctly.")
    elif answers.crops is None:
        work.sheet.text(NO_CROPS, "warn")
    else:
        shown = [(answers.crops[row], _write_verdict(work, row)) for row in rows]
        alt = "The errors with the highest confidence: face, true class, predicted class, confidence"
        caption = "Some of these may be label errors of the corpus rather than errors of the model."
        work.sheet.figure("mistakes", plots.draw_gallery(shown, "The most confident mistakes"), alt, caption)


def _write_verdict(work: _Work, row: int) -> str:
    answers = work.predictions
    true, read = work.labels[answers.labels[row]], work.labels[answers.predicted[row]]
    return f"true: {true}\npredicted: {read}\n{answers.probabilities[row].max():.1%}"


def _add_pairs(work: _Work) -> None:
    answers = work.predictions
    work.sheet.section("Most confused pairs")
    pairs = failures.find_confusions(work.metrics["confusion"], PAIRS)
    if not pairs:
        work.sheet.text("Every face was classified correctly.")
        return
    head = ("true class", "predicted as", "faces", "share of the true class")
    named = [(work.labels[pair.true], work.labels[pair.read]) for pair in pairs]
    work.sheet.table(
        head, [(*names, pair.faces, f"{pair.share:.1%}") for names, pair in zip(named, pairs, strict=True)]
    )
    if answers.crops is None:
        work.sheet.text(NO_CROPS, "warn")
        return
    grid = {
        f"{true}\npredicted as\n{read}": _choose_examples(answers, answers.crops, pair)
        for (true, read), pair in zip(named, pairs, strict=True)
    }
    alt = "Faces of the most frequent confusions, one row for each, most confident first, with their confidence"
    drawn = pictures.grid(grid, EXAMPLES)
    drawn.suptitle("The most confused pairs, with the confidence of each prediction")
    work.sheet.figure("pairs", drawn, alt)


def _choose_examples(answers: Predictions, crops: NDArray[np.uint8], pair: failures.Pair) -> list[tuple[Any, str]]:
    rows = np.flatnonzero((answers.labels == pair.true) & (answers.predicted == pair.read))
    confidence = answers.probabilities[rows, pair.read]
    order = np.argsort(-confidence, kind="stable")[:EXAMPLES]
    return [(crops[rows[at]], f"{confidence[at]:.0%}") for at in order]


def _add_network(work: _Work, known: Background) -> None:
    if not known.blocks:
        return
    work.sheet.section("Network")
    work.sheet.table(BLOCKS, known.blocks)
    work.sheet.text(
        "For one face. A block ends at a pooling layer. Feature map size and receptive field, in pixels, are those "
        "after its last convolution; – where there is none, or where branches merge.",
        "soft",
    )


def _add_origin(work: _Work, known: Background) -> None:
    about = work.predictions.about
    rows = {
        "model": about.model,
        **known.facts,
        "classes": f"{', '.join(work.labels)} ({work.predictions.label_set.name})",
        "temperature": f"{about.temperature:.3f}",
        "views of a face": str(about.views),
        "digest of the model": about.model_digest,
        "digest of the faces": about.data_digest,
    }
    work.sheet.section("Origin")
    work.sheet.table(("what", "value"), rows.items())
