"""One model's page: what it is worth, how it was trained, and where it fails. Made of its run folder alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.datasets import figures as pictures
from mien.errors import OptionError, nearest
from mien.evaluation import calibration, curves, failures, plots
from mien.evaluation.evaluate import report as figures_of
from mien.evaluation.evaluated import Evaluated, is_test, told_part
from mien.evaluation.metrics import SELECTED
from mien.evaluation.sheet import Sheet, Written

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.evaluation.plots import Curves
    from mien.evaluation.predictions import Predictions

FACES, MISTAKES, PAIRS, EXAMPLES = 6, 12, 5, 8
"""Faces a sampled class, most confident mistakes, most confused pairs, and examples of each pair."""

NO_CROPS = "predictions.parquet holds no crops, so no face can be shown; write it anew with mien evaluate --out."


@dataclass(frozen=True)
class Background:
    """What is known of a run besides its answers; nothing of a folder that ``mien evaluate`` wrote.

    facts:   what → value, of the recipe and the network.
    curves:  of the training, None for a model that has none.
    claimed: rows as ``CLAIMED`` names them, of a recipe that reproduces a published system.
    blocks:  rows as ``BLOCKS`` names them, of a network.
    claims:  which system, and what the run does otherwise, in sentences.
    notes:   what went wrong in training, or is missing, a sentence each.
    """

    facts: dict[str, str] = field(default_factory=dict)
    curves: Curves | None = None
    claimed: tuple[tuple[str, ...], ...] = ()
    blocks: tuple[tuple[object, ...], ...] = ()
    claims: str = ""
    notes: tuple[str, ...] = ()


SUMMARY = (*("part", "faces", "accuracy", "95 %", "macro F1", "macro F1 95 %", "MCC", "top 2", "log loss", "ECE"),)
SCORES = ("precision", "recall", "f1", "roc_area", "pr_area")
CLAIMED = ("what", "claimed", "measured", "95 % interval", "claimed in")
BLOCKS = ("block", "parameters", "million FLOPs", "map", "receptive field", "activations")


@dataclass(frozen=True)
class _Work:
    """The sheet, and the part that most of it is about."""

    sheet: Sheet
    found: Evaluated
    part: str
    answers: Predictions
    figures: dict[str, Any]
    seed: int

    @property
    def labels(self) -> tuple[str, ...]:
        return self.answers.label_set.labels

    @property
    def told(self) -> str:
        return told_part(self.part)


def write(
    found: Evaluated,
    out: str | Path,
    *,
    split: str = "",
    samples: Sequence[str] = (),
    seed: int = 0,
    background: Background | None = None,
) -> Written:
    """Write ``index.html``, ``report.md`` and the figures into the folder ``out``, and return their paths.

    split:   the part that the figures are of; without it the test part if it was answered, else the last one.
    samples: classes of which answered faces are shown with their probabilities, drawn with ``seed``; without any the
             two weakest ones.
    Raises ``OptionError`` for a part or a class that is not there, ``MissingExtraError`` without ``mien[train]``.
    """
    known = background or Background()
    part = found.part_named(split)
    answers = found.predictions.part(part)
    figures = figures_of(answers, copies=True)
    chosen = _chosen(samples, figures) or failures.weakest(figures, 2)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    work = _Work(Sheet(folder), found, part, answers, figures, seed)
    _summary(work)
    _failures(work, known)
    _claimed(work, known)
    _training(work, known)
    _confusions(work)
    _classes(work)
    _confidence(work)
    _curves(work)
    _samples(work, chosen)
    _mistakes(work)
    _pairs(work)
    _network(work, known)
    _origin(work, known)
    low, high = figures["interval"]
    lead = (
        f"{work.told}: {figures['faces']:,} faces, accuracy {figures['accuracy']:.1%} (95 %: {low:.1%} – {high:.1%})."
    )
    return work.sheet.write(f"Report on {found.name}", lead, "report")


def _chosen(samples: Sequence[str], figures: dict[str, Any]) -> list[str]:
    rows = figures["per_class"]
    for label in samples:
        if label not in rows:
            raise OptionError(f"No class {label!r}; there are {', '.join(rows)}.{nearest(label, list(rows))}")
        if not rows[label]["support"]:
            raise OptionError(f"No faces of {label} were answered, so none can be shown; choose another class.")
    return list(dict.fromkeys(samples))


def _summary(work: _Work) -> None:
    sheet, scorings = work.sheet, work.found.scorings
    sheet.section("Summary")
    sheet.table(SUMMARY, [row for part in work.found.parts for row in _rows(work, part)])
    if any(map(is_test, work.found.parts)) and scorings is not None:
        again = " Whatever was chosen between two scorings was chosen by the test part." if scorings > 1 else ""
        times = "once" if scorings == 1 else f"{scorings} times"
        sheet.text(f"The test part has been scored {times}.{again}", "warn" if again else "")
    sheet.text(
        "Intervals are 95 % bootstrap intervals over faces. MCC: Matthews correlation. Top 2: the true class is among "
        f"the two most probable. Log loss: in nats. ECE: expected calibration error. All below is of {work.told}.",
        "soft",
    )


def _rows(work: _Work, part: str) -> list[tuple[object, ...]]:
    own = part == work.part
    figures = work.figures if own else figures_of(work.found.predictions.part(part), copies=is_test(part))
    rows = [_row(told_part(part), figures)]
    clean = figures.get("without_training_copies")
    if clean and clean["faces"] < figures["faces"]:
        rows.append(_row("… without training copies", clean))
    return rows


def _row(name: str, values: dict[str, Any]) -> tuple[object, ...]:
    low, high = values["interval"]
    f1_low, f1_high = values["macro_f1_interval"]
    accuracy = (f"{values['accuracy']:.2%}", f"{low:.1%} – {high:.1%}")
    return (name, values["faces"], *accuracy, values["macro_f1"], f"{f1_low:.3f} – {f1_high:.3f}",
            values["mcc"], f"{values['top2']:.1%}", values["log_loss"], values["ece"])  # fmt: skip


def _failures(work: _Work, known: Background) -> None:
    work.sheet.section("Failure notes")
    for note in known.notes:
        work.sheet.text(note, "warn")
    for note in (*failures.notes(work.answers, work.figures), *work.found.metrics.get("notes", ())):
        work.sheet.text(note)


def _claimed(work: _Work, known: Background) -> None:
    if known.claims:
        work.sheet.section("Claimed and measured")
        work.sheet.text(known.claims)
    if known.claimed:
        work.sheet.table(CLAIMED, [[cell or "–" for cell in row] for row in known.claimed])


def _training(work: _Work, known: Background) -> None:
    if known.curves is None:
        return
    found = known.curves
    work.sheet.section("Training")
    told = (
        f"Epoch {found.chosen} of {len(found.loss)} was kept: validation accuracy "
        f"{found.validation_accuracy[found.chosen - 1]:.1%}. Training figures are of augmented faces under dropout and "
        "of the recipe's own loss, validation figures of plain faces and cross-entropy, so that the curves may cross."
    )
    alt = "Three line charts over the epochs: accuracy and loss of training and validation part, and learning rate"
    work.sheet.figure("training", plots.training(found), alt, told)


def _confusions(work: _Work) -> None:
    work.sheet.section("Confusion")
    counts, named = work.figures["confusion"], f"of {len(work.labels)} classes on {work.told}"
    for name, normalised in (("confusion", False), ("confusion-normalised", True)):
        drawn = plots.confusion(counts, work.labels, normalised=normalised)
        kind = "percent of each true class" if normalised else "numbers of faces"
        work.sheet.figure(name, drawn, f"Confusion matrix {named}, {kind}, rows true, columns predicted")
    work.sheet.text("Rows are true classes, columns predicted ones. Both figures are coloured by the share.", "soft")


def _classes(work: _Work) -> None:
    rows = work.figures["per_class"]
    work.sheet.section("Classes")
    alt = f"Bars of precision, recall and F1 of each class on {work.told}"
    work.sheet.figure("classes", plots.class_bars(rows), alt)
    head = ("class", "precision", "recall", "F1", "ROC area", "average precision", "faces")
    table = [(label, *(_number(row[key]) for key in SCORES), int(row["support"])) for label, row in rows.items()]
    work.sheet.table(head, [*table, *_means(rows)])
    work.sheet.text("Means are over the classes that have faces; the weighted one counts each by its faces.", "soft")


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _means(rows: Mapping[str, Mapping[str, float | None]]) -> list[tuple[object, ...]]:
    present = [row for row in rows.values() if row["support"]]
    faces = [int(row["support"] or 0) for row in present]
    return [
        (
            name,
            *(float(np.average([_number(row[key]) for row in present], weights=weights)) for key in SCORES),
            sum(faces),
        )
        for name, weights in (("mean", None), ("weighted mean", faces))
    ]


def _confidence(work: _Work) -> None:
    answers = work.answers
    work.sheet.section("Confidence")
    found = calibration.reliability(answers.probabilities, answers.labels)
    told = (
        "Of faces that it reads with 60 % confidence an honest model gets 60 % right; hatched is the gap to that. Bars "
        "of few faces, which the lower panel shows, say little."
    )
    work.sheet.figure(
        "reliability", plots.reliability(found), "Reliability diagram: accuracy over confidence, and faces", told
    )
    curve = calibration.risk_coverage(answers.probabilities, answers.labels)
    at = calibration.accuracy_at(curve, SELECTED)
    told = "Faces are answered from the most confident on. A low start says that high confidence can be trusted."
    drawn = plots.risk_coverage(curve, (at.coverage, at.accuracy))
    work.sheet.figure("risk-coverage", drawn, "Line chart of the share of wrong answers over coverage", told)


def _curves(work: _Work) -> None:
    answers = work.answers
    found = curves.curves(answers.probabilities, answers.labels, answers.label_set)
    work.sheet.section("Thresholds of one class")
    if any(each.roc for each in found.values()):
        work.sheet.figure("roc", plots.roc(found), "ROC curve of each class against the rest, with its area")
    drawn = plots.precision_recall(found)
    told = "The probability of a class as a threshold for it. Areas are in the legends; absent classes have no curve."
    work.sheet.figure("precision-recall", drawn, "Precision over recall of each class against the rest", told)


def _samples(work: _Work, chosen: Sequence[str]) -> None:
    work.sheet.section("Prediction samples")
    crops = work.answers.crops
    if crops is None:
        work.sheet.text(NO_CROPS, "warn")
        return
    for label in chosen:
        rows = np.flatnonzero(work.answers.labels == work.labels.index(label))
        # Drawn, not picked: right and wrong answers stand in them as often as they occur.
        drawn = np.random.default_rng(work.seed).choice(rows, min(FACES, len(rows)), replace=False)
        shown = [_sample(work.answers, crops, int(row)) for row in drawn]
        alt = f"Faces of {label}, drawn at random, each with bars of its probabilities"
        work.sheet.figure(
            f"samples-{label}", plots.samples(shown, work.labels, f"Faces of {label}, drawn at random"), alt
        )
    told = "Faces are drawn at random from the class. Blue: the true class; red: the class read, where it is another."
    work.sheet.text(told, "soft")


def _sample(answers: Predictions, crops: NDArray[np.uint8], row: int) -> plots.Sample:
    return plots.Sample(crops[row], answers.probabilities[row], int(answers.labels[row]), int(answers.predicted[row]))


def _mistakes(work: _Work) -> None:
    answers = work.answers
    work.sheet.section("Most confident mistakes")
    rows = failures.mistakes(answers, MISTAKES)
    if not rows:
        work.sheet.text("Every face was read rightly.")
    elif answers.crops is None:
        work.sheet.text(NO_CROPS, "warn")
    else:
        shown = [(answers.crops[row], _verdict(work, row)) for row in rows]
        alt = "The wrong answers with the highest confidence: face, true class, class read, confidence"
        told = "Wrong labels of the corpus come up here too: look before you judge."
        work.sheet.figure("mistakes", plots.gallery(shown, "The most confident mistakes"), alt, told)


def _verdict(work: _Work, row: int) -> str:
    answers = work.answers
    true, read = work.labels[answers.labels[row]], work.labels[answers.predicted[row]]
    return f"true: {true}\nread: {read}\n{answers.probabilities[row].max():.1%}"


def _pairs(work: _Work) -> None:
    answers = work.answers
    work.sheet.section("Most confused pairs")
    pairs = failures.confused(work.figures["confusion"], PAIRS)
    if not pairs:
        work.sheet.text("Every face was read rightly.")
        return
    head = ("true class", "read as", "faces", "share of the true class")
    named = [(work.labels[each.true], work.labels[each.read]) for each in pairs]
    work.sheet.table(
        head, [(*names, each.faces, f"{each.share:.1%}") for names, each in zip(named, pairs, strict=True)]
    )
    if answers.crops is None:
        work.sheet.text(NO_CROPS, "warn")
        return
    grid = {
        f"{true}\nread as\n{read}": _examples(answers, answers.crops, each)
        for (true, read), each in zip(named, pairs, strict=True)
    }
    alt = "Faces of the most frequent confusions, a row each, the most confident first, with the confidence"
    drawn = pictures.grid(grid, EXAMPLES)
    drawn.suptitle("The most confused pairs, with the confidence of each answer")
    work.sheet.figure("pairs", drawn, alt)


def _examples(answers: Predictions, crops: NDArray[np.uint8], pair: failures.Pair) -> list[tuple[Any, str]]:
    rows = np.flatnonzero((answers.labels == pair.true) & (answers.predicted == pair.read))
    confidence = answers.probabilities[rows, pair.read]
    order = np.argsort(-confidence, kind="stable")[:EXAMPLES]
    return [(crops[rows[at]], f"{confidence[at]:.0%}") for at in order]


def _network(work: _Work, known: Background) -> None:
    if not known.blocks:
        return
    work.sheet.section("Network")
    work.sheet.table(BLOCKS, known.blocks)
    work.sheet.text(
        "For one face. A block ends at a pooling layer. Its map and its receptive field, the side in pixels of what "
        "one unit sees, are those after its last convolution; – where there is none, or where branches meet.",
        "soft",
    )


def _origin(work: _Work, known: Background) -> None:
    about = work.answers.about
    rows = {
        "model": about.model,
        **known.facts,
        "classes": f"{', '.join(work.labels)} ({work.answers.label_set.name})",
        "temperature": f"{about.temperature:.3f}",
        "views of a face": str(about.views),
        "digest of the model": about.model_digest,
        "digest of the faces": about.data_digest,
    }
    work.sheet.section("Origin")
    work.sheet.table(("what", "value"), rows.items())
