"""The statements of systems A to E, recomputed from the published tables, a network, or real data.

Every statement that is reported as wrong is recomputed here; system A's are in ``system_a_contradictions`` and
``system_a_network``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from mien.labels import FER2013
from mien.recipes import recipe
from mien.reproduction import comparisons, system_a_contradictions, system_b_curves
from mien.reproduction.analysis import imbalance
from mien.reproduction.claims import (
    C_ACCURACY,
    C_FIGURE_3,
    C_OVERALL,
    C_REPORT,
    D_TRAIN,
    E_ANGER_TO_NEUTRAL,
    E_LITERATURE,
    E_RECALLS,
    E_TEST,
    E_TRAIN,
    FER2013_COUNTS,
    published,
)
from mien.reproduction.finding import Evidence, Finding, conclude
from mien.reproduction.rounding import (
    bound_correct,
    bound_predictions,
    column,
    find_wrong_f1,
    fitting_means,
    join,
    mean,
    possible_counts,
)
from mien.training.losses import Loss

IMAGES, TRAINING, PART = 35887, 28709, 3589
"""FER2013's sizes: all images, the training set, and each of PublicTest and PrivateTest."""

KAGGLE_TEST = 2 * PART


def findings(system: str, evidence: Evidence | None = None) -> list[Finding]:
    """Return one system's findings in the order of its document.

    Raises:
        OptionError: an unknown system.
    """
    published(system)
    evidence = evidence or Evidence()
    return [*_SYSTEMS[system](evidence), *comparisons.findings(system, evidence.measured)]


def _b(evidence: Evidence) -> list[Finding]:
    scores = [
        claim for claim in published("B").claims if claim.model == "CNN" and claim.what.startswith(("accuracy", "F1"))
    ]
    return [
        *system_b_curves.findings(evidence.curves),
        conclude(
            "B",
            "The model's accuracy in classifying emotions is impressive (section 5)",
            ", ".join(claim.text() for claim in scores) or "no result",
            f"{len(scores)} results of its CNN on test faces",
            bool(scores),
            agreed="It prints what can be reproduced.",
            differs="Accuracy, precision, recall and F1 are defined, and none is printed; there is nothing to "
            "reproduce but the protocol.",
        ),
        conclude(
            "B",
            "It struggles with fear and contempt (section 5)",
            "contempt among the classes",
            f"classes: {', '.join(FER2013.labels)}",
            "contempt" in FER2013.labels,
            differs="FER2013 has no contempt; the abstract says disgust.",
        ),
    ]


def _c(evidence: Evidence) -> list[Finding]:
    supports = column(C_REPORT, "support")
    there, total = evidence.fer2013 or FER2013_COUNTS, int(sum(supports.values()))
    above = {label: (int(count), there[label]) for label, count in supports.items() if count > there[label]}
    share = round(IMAGES * 0.15)
    return [
        conclude(
            "C",
            "Samples add up (Tables I to IV)",
            f"{C_REPORT.total:,}",
            f"{total:,}",
            total == C_REPORT.total,
            why="Sum of the seven rows; the line Overall is FER2013's size"
            + ("." if total == C_REPORT.total else ", not theirs."),
        ),
        conclude(
            "C",
            "Samples per class are FER2013's (Tables I to IV)",
            ", ".join(f"{label} {given:,}" for label, (given, _) in above.items()) or "no more than FER2013 has",
            ", ".join(f"{label} {real:,}" for label, (_, real) in above.items()) or "enough of each class",
            not above,
            why=f"{len(above)} classes have more samples in the tables than in the whole of FER2013.",
        ),
        conclude(
            "C",
            "Scores are on the test set, 15 % (section IV)",
            f"{C_REPORT.total:,} samples",
            f"{share:,} samples",
            abs(C_REPORT.total - share) <= len(supports),
            differs="The tables count the whole corpus: no class has the size that it would have in a test set of "
            "15 %.",
        ),
        *_c_scores(supports),
        conclude(
            "C",
            "The split has a balanced distribution over the classes (section IV)",
            "balanced",
            f"largest / smallest {imbalance(there):.1f}; {imbalance({k: int(v) for k, v in supports.items()}):.1f} in "
            "its own table",
            imbalance(there) < 1.5,
            differs="A stratified split keeps FER2013's imbalance.",
        ),
    ]


def _c_scores(supports: Mapping[str, float]) -> list[Finding]:
    low, high = (count / sum(supports.values()) for count in bound_correct(C_REPORT))
    given, most = bound_predictions(C_REPORT)
    one_vs_rest = _one_vs_rest()
    wrong = find_wrong_f1(C_REPORT)
    higher = sum(row.precision > row.recall for row in C_REPORT.rows.values())
    return [
        conclude(
            "C",
            "Accuracy (Table I) beside recall (Table III)",
            f"{C_REPORT.accuracy:.2f} beside {C_OVERALL['recall']:.2f}",
            f"{low:.3f} to {high:.3f}",
            low <= C_REPORT.accuracy <= high,
            why="Where each face has one label and one prediction, accuracy is the support-weighted recall, whatever "
            "the network.",
            differs=f"{mean(C_ACCURACY):.2f} is the plain mean of Table I, whose values no definition gives.",
        ),
        conclude(
            "C",
            "Accuracy per class (Table I)",
            _row(C_ACCURACY),
            _row(one_vs_rest),
            all(abs(one_vs_rest[label] - value) <= 0.015 for label, value in C_ACCURACY.items()),
            why=f"The share of a class that is recognised is its recall (Table III: lower in {_count_lower()}). The "
            "share of all faces on which class-or-not is right follows from Tables II and III and stands here.",
            agreed="Table I is the latter.",
            differs="Table I is neither.",
        ),
        *_averages(supports),
        conclude(
            "C",
            "F1 per class is the harmonic mean of precision and recall (Tables II to IV)",
            _row(column(C_REPORT, "f1")),
            f"{len(wrong)} rows with another F1",
            not wrong,
            agreed="Within the rounding of print.",
            differs=f"Of {', '.join(wrong)}.",
        ),
        conclude(
            "C",
            "Some confusion matrix gives precision and recall (Tables II and III)",
            f"{int(sum(supports.values())):,} faces",
            f"{given:,} to {most:,} predictions",
            given <= sum(supports.values()) <= most,
            why=f"Precision is above recall in {higher} of {len(C_REPORT.rows)} classes. Each face gets one "
            "prediction, so every false negative of one class is a false positive of another: precision cannot be "
            "above recall in all.",
            agreed="Here it need not be.",
        ),
        conclude(
            "C",
            "Recall in Fig. 3, as the text reads it, and in Table III",
            _row(C_FIGURE_3),
            _row(column(C_REPORT, "recall")),
            all(C_FIGURE_3[label] == row.recall for label, row in C_REPORT.rows.items()),
            differs=f"{sum(C_FIGURE_3[label] == row.f1 for label, row in C_REPORT.rows.items())} of {len(C_FIGURE_3)} "
            "are Table IV's F1.",
        ),
    ]


def _count_lower() -> str:
    """Return in how many classes the recall of Table III is below the accuracy of Table I."""
    lower = sum(row.recall < C_ACCURACY[label] for label, row in C_REPORT.rows.items())
    return "every class" if lower == len(C_REPORT.rows) else f"{lower} of {len(C_REPORT.rows)} classes"


def _averages(supports: Mapping[str, float]) -> list[Finding]:
    findings_of_averages = []
    for name, value in C_OVERALL.items():
        scores = column(C_REPORT, name)
        macro, weighted = mean(scores), mean(scores, supports)
        fits = fitting_means(C_REPORT, name, value)
        far = bool(fits) and min(abs(macro - value), abs(weighted - value)) > 0.005
        why = f"It is the {' and the '.join(fits)} mean." if fits else "It is neither mean."
        if far:
            why += " Only just: nearly all rows must have been rounded the same way."
        text = f"macro {macro:.3f}, weighted {weighted:.3f}"
        finding = conclude("C", f"Overall {name} (Tables II to IV)", f"{value:.2f}", text, bool(fits), why=why)
        findings_of_averages.append(finding)
    return findings_of_averages


def _one_vs_rest() -> dict[str, float]:
    """Return class → share of all faces on which "this class or not" is right, from precision, recall and support."""
    total = sum(row.support for row in C_REPORT.rows.values())
    accuracies = {}
    for label, row in C_REPORT.rows.items():
        right = row.recall * row.support
        accuracies[label] = 1 - (row.support - right + right / row.precision - right) / total
    return accuracies


def _row(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{label} {value:.2f}" for label, value in scores.items())


def _d(evidence: Evidence) -> list[Finding]:
    there = evidence.fer2013_train or E_TEST
    source = "the Training part given" if evidence.fer2013_train else "system E's table"
    wrong = [label for label, count in D_TRAIN.items() if there[label] != count]
    total, left = sum(D_TRAIN.values()), IMAGES - TRAINING - KAGGLE_TEST
    accuracies = [
        claim.value for claim in published("D").claims if claim.what == "accuracy" and "cited" not in claim.model
    ]
    behind = [possible_counts(value, KAGGLE_TEST, 4) for value in accuracies]
    single = [possible_counts(value, PART, 4) for value in accuracies]
    alpha, ratio = _weigh_classes()
    return [
        conclude(
            "D",
            "Training images per class (Dataset Description)",
            f"{TRAINING:,}",
            f"{total:,}; {len(wrong)} classes differ from {source}",
            total == TRAINING and not wrong,
            why="Sum of the seven classes, and each class beside the other source.",
        ),
        conclude(
            "D",
            "Training stops early on the validation loss (Loss Function and Optimization)",
            "a validation set",
            f"{IMAGES:,} − {TRAINING:,} − {KAGGLE_TEST:,} = {left} images left for it",
            left > 0,
            differs="Both official test splits are the test set here. Validation then used training images, which "
            "is not stated, or was the test set, which makes the accuracies optimistic.",
        ),
        conclude(
            "D",
            "Accuracies are on all 7,178 test images (Accuracy Comparison)",
            ", ".join(f"{value:.2%}".replace("%", " %") for value in accuracies),
            f"{' / '.join(join(counts[:1]) or 'none' for counts in behind)} right",
            all(behind),
            why=f"{'Each' if all(behind) else f'Only {sum(map(bool, behind))} of {len(behind)}'} is a whole number of "
            f"{KAGGLE_TEST:,} images; of one part of {PART:,} only {sum(map(bool, single))} of {len(single)} would be.",
        ),
        conclude(
            "D",
            "α of the focal loss balances the classes (Loss Function and Optimization)",
            f"α = {alpha}",
            f"weight of the rarest over the commonest class: {ratio:.1f}, of {imbalance(D_TRAIN):.1f} that would "
            "balance them",
            imbalance(D_TRAIN) / ratio < 1.5,
            differs="One α for all classes scales the loss and nothing else, and Adam does not see a scale. What works "
            "on rare classes is (1 − p)^γ alone, as far as they are hard.",
        ),
    ]


def _weigh_classes() -> tuple[float | tuple[float, ...], float]:
    """Return α of D's loss, and the loss of a face of the rarest class over that of one of the commonest.

    Both faces are equally hard. Computed with the loss that D's recipe trains with.
    """
    table, counts = recipe.load("system-d-cnn").loss, list(D_TRAIN.values())
    targets = torch.eye(len(counts))[[counts.index(min(counts)), counts.index(max(counts))]]
    loss = Loss(table, counts)
    rarest, commonest = (float(loss(torch.zeros(1, len(counts)), target[None])) for target in targets)
    return table.alpha, rarest / commonest


def _e(evidence: Evidence) -> list[Finding]:
    counts = evidence.fer2013 or FER2013_COUNTS
    train, test = sum(E_TRAIN.values()), sum(E_TEST.values())
    off = [label for label, count in counts.items() if E_TRAIN[label] + E_TEST[label] != count]
    batches = sorted(claim.value for claim in published("E").claims if claim.what == "batch size")
    return [
        conclude(
            "E",
            "Training and test images (Table 1)",
            f"{train:,} and {test:,}",
            f"{TRAINING:,} and {KAGGLE_TEST:,}",
            (train, test) == (TRAINING, KAGGLE_TEST),
            differs="The columns are swapped: what it calls Test is class by class system D's training part, and "
            "section 2 of its own text has the numbers the right way round."
            if E_TEST == D_TRAIN
            else "The sums of the columns are not those of section 2.",
        ),
        conclude(
            "E",
            "Images per class (Table 1, Total)",
            f"{sum(FER2013_COUNTS.values()):,}",
            f"{train + test:,}; {len(off)} classes differ",
            train + test == IMAGES and not off,
            why="Sums of its two columns.",
            agreed="Nothing is missing, so the mislabelled and non-face images that section 2 found are still counted.",
        ),
        conclude(
            "E",
            "Happy and neutral have nearly 5,000 images, disgust 547 (section 3.4)",
            "nearly 5,000",
            f"happiness {counts['happiness']:,}, neutral {counts['neutral']:,}",
            max(counts["happiness"], counts["neutral"]) <= 5000,
            why=f"The imbalance is {imbalance(counts):.1f}{', not about 9' * (round(imbalance(counts)) != 9)}.",
        ),
        _e_recalls(),
        *_e_literature(),
        conclude(
            "E",
            "Batch size",
            f"{batches[0]:.0f} (sections 3.5 and 3.6)",
            f"{batches[-1]:.0f} (Table 2)",
            batches[0] == batches[-1],
            differs="Two values in one document; Table 2 also prints a second set of hyper-parameters (rate 0.001, 20 "
            "epochs).",
        ),
    ]


def _e_recalls() -> Finding:
    """Bound the accuracy by the stated recalls; for anger only an upper bound is stated."""
    known = sum(E_RECALLS[label] * E_TRAIN[label] for label in E_RECALLS)
    low = known / KAGGLE_TEST
    high = (known + (1 - E_ANGER_TO_NEUTRAL) * E_TRAIN["anger"]) / KAGGLE_TEST
    stated = E_LITERATURE["proposed"]
    anger = (stated * KAGGLE_TEST - known) / E_TRAIN["anger"]
    accuracy = f"{stated * 100:.2f} %"
    return conclude(
        "E",
        "Accuracy fits the recalls of Fig. 9 (section 5)",
        accuracy,
        f"{low:.1%} to {high:.1%}".replace("%", " %"),
        low <= stated <= high,
        why=f"Support-weighted recall on the {KAGGLE_TEST:,} test images, anger left open: {accuracy} needs a recall "
        f"of {anger:.2f} for anger, which",
        agreed="the text does not mention among the weak classes.",
        differs=f"is not between 0 and {1 - E_ANGER_TO_NEUTRAL:g}.",
    )


def _e_literature() -> list[Finding]:
    own = E_LITERATURE["proposed"]
    others = {name: value for name, value in E_LITERATURE.items() if name != "proposed"}
    above = [f"{name} {value * 100:.2f}" for name, value in others.items() if value >= own]
    exact = {name: value for name, value in E_LITERATURE.items() if round(value * 100) != round(value * 100, 2)}
    foreign = [
        name
        for name, value in exact.items()
        if not any(possible_counts(value, faces, 4) for faces in (PART, KAGGLE_TEST))
    ]
    return [
        conclude(
            "E",
            "The values of Table 3 are accuracies on FER2013's test images",
            ", ".join(f"{name} {value * 100:.2f}" for name, value in exact.items()),
            f"{len(exact) - len(foreign)} of {len(exact)}; not {', '.join(foreign) or 'any'}",
            not foreign,
            why=_explain_literature(foreign),
        ),
        conclude(
            "E",
            "The proposed method outperforms several approaches (section 5)",
            "several",
            f"{len(others) - len(above)} of {len(others)}; not {', '.join(above) or 'any'}",
            len(others) - len(above) >= 2,
            why="By its own table. VGGNet's accuracy is on PrivateTest alone, the proposed one on a test set that is "
            "not named.",
        ),
    ]


def _explain_literature(foreign: Sequence[str]) -> str:
    sizes = f"{PART:,} or {KAGGLE_TEST:,} images"
    if not foreign:
        return f"Each is a whole number of {sizes}."
    values = " and ".join(f"{E_LITERATURE[name] * 100:.2f} %" for name in foreign)
    return f"{values}: no whole number of {sizes}, so measured on other faces; the table's rows are not comparable."


_SYSTEMS: Mapping[str, Callable[[Evidence], list[Finding]]] = {
    "A": system_a_contradictions.findings,
    "B": _b,
    "C": _c,
    "D": _d,
    "E": _e,
}
