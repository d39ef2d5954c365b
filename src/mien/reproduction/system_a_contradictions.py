"""System A's statements, recomputed from its tables, its network and its corpora.

Network values come from ``analysis.analyse`` on ``FourBlock`` and on torchvision's MobileNetV2, printed values from
``claims``.
"""

from __future__ import annotations

from math import comb

import numpy as np

from mien.labels import CKPLUS, canonical
from mien.reproduction import system_a_network
from mien.reproduction.analysis import imbalance
from mien.reproduction.claims import A_CNN, A_LEADS, A_MOBILENET, A_SOURCES, Report
from mien.reproduction.comparisons import explain_acquaintance
from mien.reproduction.finding import Evidence, Finding
from mien.reproduction.rounding import (
    bound_correct,
    bound_predictions,
    column,
    find_wrong_f1,
    join,
    mean,
    possible_counts,
)
from mien.reproduction.speed import compare_speed
from mien.reproduction.system_a_network import SUPPORTS, TEST, TRAINING, claimed, finding

CORPUS = 6530
ACTORS, EXPRESSIONS, ANGLES, PHOTOGRAPHS, SEQUENCES = 70, 7, 5, 4900, 327
FRONTAL = PHOTOGRAPHS // ANGLES
RIGHT = 0.9050536155700684
"""The accuracy printed in Fig. 2, to every digit."""

PER_CLASS = 700
"""Frontal KDEF photographs per class, by section III.A."""

AUGMENTED = 10448
"""Training faces of an epoch, by equation 4."""


def findings(evidence: Evidence) -> list[Finding]:
    """Compare system A's statements with their recomputed values."""
    network, mobilenet, averages = system_a_network.analyse_both()
    return [
        *system_a_network.judge_cost(network),
        *system_a_network.judge_sight(network),
        *_accuracy(),
        *_reports(),
        *system_a_network.judge_sizes(network, mobilenet, averages),
        compare_speed(evidence.speed),
        *system_a_network.judge_theory(network.parameters),
        *_corpus(evidence),
        _subjects(evidence),
    ]


def _percent(share: float) -> str:
    return f"{share:.2%}".replace("%", " %")


def _accuracy() -> list[Finding]:
    low, high = bound_correct(A_CNN)
    right = round(RIGHT * TEST)
    printed = claimed("CNN", "accuracy", "progress line")
    bar = possible_counts(printed, TEST, 4)
    f1 = mean(column(A_CNN, "f1"), column(A_CNN, "support"))
    recall = mean(column(A_CNN, "recall"), column(A_CNN, "support"))
    other_low, other_high = bound_correct(A_MOBILENET)
    mobilenet = claimed("MobileNetV2", "accuracy")
    other = possible_counts(mobilenet, TEST, 4)
    apart = max(low - right, right - high)
    stated = claimed("CNN", "weighted F1")
    return [
        finding(
            "The CNN's accuracy (Fig. 2) is that of its classification report (Fig. 3)",
            f"{_percent(RIGHT)}: {right:,} of {TEST:,} right",
            f"{low / TEST:.2%} to {high / TEST:.2%}: {low:,} to {high:,} right".replace("%", " %"),
            low <= right <= high,
            why="Accuracy is the support-weighted recall.",
            differs=f"The report of {A_CNN.accuracy * 100:.0f} % belongs to another model or run; between them lie at "
            f"least {apart} faces, {apart / TEST / 0.003:.0f} times the spread of 0.3 % between seeds that section V "
            "states.",
        ),
        finding(
            "Weighted F1 beside accuracy (Table V)",
            f"{stated:.2f} beside {RIGHT:.4f}",
            f"{f1:.2f} beside {recall:.2f}",
            abs(recall - RIGHT) < 0.005 and abs(f1 - stated) < 0.01,
            differs="Both recomputed from the rows of Fig. 3: its weighted F1 is right for the report, not for the "
            "accuracy."
            if abs(f1 - stated) < 0.01
            else "Both recomputed from the rows of Fig. 3: its weighted F1 is not that of the report.",
        ),
        finding(
            "Results are means of three seeds (section V)",
            f"{RIGHT}",
            f"float32 of {right:,} / {TEST:,}: {float(np.float32(right / TEST)):.16f}",
            float(np.float32(right / TEST)) != RIGHT,
            agreed="It is no whole number of correct predictions, as a mean of several runs may be.",
            differs="Table V's mean is, to the last digit, what one call of evaluate printed for one run. Three "
            "runs would have to average to a whole number of correct predictions by chance.",
        ),
        finding(
            "The progress line's accuracy (Fig. 2)",
            f"{printed:.4f}",
            f"{len(bar)} whole numbers of {TEST:,} give it",
            bool(bar),
            differs="A progress bar averages over batches as they pass; it is not the accuracy on the test set.",
        ),
        finding(
            "MobileNetV2's accuracy (Fig. 5) is that of its classification report (Fig. 7)",
            f"{_percent(mobilenet)}: {join(other) or 'no whole number'} right",
            f"{other_low:,} to {other_high:,} right",
            any(other_low <= count <= other_high for count in other),
            why="Support-weighted recall, as for the CNN.",
        ),
    ]


def _reports() -> list[Finding]:
    models = {"CNN (Fig. 3)": A_CNN, "MobileNetV2 (Fig. 7)": A_MOBILENET}
    better = [label for label, row in A_MOBILENET.rows.items() if row.f1 > A_CNN.rows[label].f1]
    leads = A_LEADS["MobileNetV2"]
    disputed = [label for label in SUPPORTS if (label in better) != (label in leads)]
    return [
        *(one for name, report in models.items() for one in _report(name, report)),
        finding(
            "Classes on which MobileNetV2 has the higher F1 (Fig. 11)",
            f"{', '.join(leads)}; the CNN on {len(SUPPORTS) - len(leads)} of {len(SUPPORTS)}",
            f"{', '.join(better)}; the CNN on {len(SUPPORTS) - len(better)} of {len(SUPPORTS)}",
            set(better) == set(leads),
            why=f"Read from Fig. 3 and Fig. 7{': ' * bool(disputed)}"
            + "; ".join(
                f"on {label} the CNN has {A_CNN.rows[label].f1:.2f}, MobileNetV2 {A_MOBILENET.rows[label].f1:.2f}"
                for label in disputed
            )
            + ".",
        ),
    ]


def _report(name: str, report: Report) -> list[Finding]:
    total, (low, high) = sum(row.support for row in report.rows.values()), bound_predictions(report)
    macro, wrong = mean(column(report, "f1")), find_wrong_f1(report)
    return [
        finding(
            f"Supports add up, {name}",
            f"{report.total:,}",
            f"{total:,}",
            total == report.total,
            why="Sum of the ten rows; it is also the size of the test set.",
        ),
        finding(
            f"Some confusion matrix gives precision, recall and F1, {name}",
            f"{report.total:,} predictions",
            f"{low:,} to {high:,} predictions, {len(wrong)} rows with another F1",
            low <= report.total <= high and not wrong,
            why="Correct predictions divided by precision, summed over classes, must be the number of faces.",
        ),
        finding(
            f"Macro F1, {name}",
            f"{report.macro[2] if report.macro else float('nan'):.2f}",
            f"{macro:.3f}",
            report.macro is not None and abs(macro - report.macro[2]) <= 0.0050001,
            why="Mean of the ten printed F1.",
        ),
    ]


def _corpus(evidence: Evidence) -> list[Finding]:
    measured = evidence.kdef is not None and evidence.ckplus is not None
    faces = sum((evidence.kdef or {"": FRONTAL}).values()) + sum((evidence.ckplus or {"": SEQUENCES}).values())
    source = "Counted in the corpora given" if measured else "From the document's own numbers"
    per_class = max(evidence.kdef.values()) if evidence.kdef else FRONTAL // EXPRESSIONS
    short = _short(evidence)
    source_of_neutral = "Both" if "neutral" in CKPLUS.labels else "KDEF"
    ratio, stated = imbalance(SUPPORTS), claimed("corpus", "imbalance ratio")
    return [
        finding(
            "Faces in the corpus: frontal KDEF and CK+ apex frames (abstract)",
            f"{CORPUS:,}",
            f"{faces:,}",
            faces == CORPUS,
            why=f"{source}.",
            differs=f"Three peak frames a sequence would give {FRONTAL + 3 * SEQUENCES:,}; {CORPUS:,} needs side views "
            "or copies, and copies on both sides of a split reward memorisation.",
        ),
        finding(
            "Frontal KDEF photographs per class (section III.A)",
            f"{PER_CLASS}",
            f"{per_class}",
            per_class == PER_CLASS,
            differs=f"{PHOTOGRAPHS:,} / {EXPRESSIONS} classes = {PHOTOGRAPHS // EXPRESSIONS} counts all {ANGLES} "
            "angles; frontal alone is a fifth.",
        ),
        finding(
            "Classes whose test share fits their source (Table I, 20 % of each class)",
            f"{len(SUPPORTS)} of {len(SUPPORTS)}",
            f"{len(SUPPORTS) - len(short)} of {len(SUPPORTS)}; too few faces for {', '.join(short) or 'none'}",
            not short,
            why=f"{source}. Each test face stands for five in the corpus: {SUPPORTS['angry']} angry need "
            f"{(SUPPORTS['angry'] - 1) * CORPUS // TEST} KDEF photographs or more.",
            agreed="They are there.",
        ),
        finding(
            "Neutral comes from both corpora (Table I)",
            A_SOURCES["neutral"],
            source_of_neutral,
            source_of_neutral == A_SOURCES["neutral"],
            differs="CK+'s seven apex expressions, as section III.A lists them too, hold no neutral.",
        ),
        finding(
            "Imbalance ratio (equation 2)",
            f"{stated:.1f}",
            f"{ratio:.1f}",
            round(ratio, 1) == stated,
            why=f"{max(SUPPORTS, key=SUPPORTS.__getitem__).capitalize()} over "
            f"{min(SUPPORTS, key=SUPPORTS.__getitem__)}.",
        ),
        finding(
            "Training faces an epoch after augmentation (equation 4)",
            f"{AUGMENTED:,}",
            f"{TRAINING:,}",
            TRAINING == AUGMENTED,
            differs="Augmentation on the fly replaces each face by one changed face; an epoch gets no longer by it.",
        ),
    ]


def _short(evidence: Evidence) -> list[str]:
    """Return the classes of Table I that need more faces than their source has."""
    short = []
    for label, source in A_SOURCES.items():
        noun = canonical(label)
        kdef = FRONTAL // EXPRESSIONS if evidence.kdef is None else evidence.kdef.get(noun, 0)
        # Without the corpus, assume that any class may have all of CK+: a generous bound, and still exceeded.
        ckplus = SEQUENCES if evidence.ckplus is None else evidence.ckplus.get(noun, 0)
        there = {"KDEF": kdef, "CK+": ckplus, "Both": kdef + ckplus}[source]
        if (SUPPORTS[label] - 1) * CORPUS / TEST >= there:  # rounding may have given the class one face more
            short.append(label)
    return short


def _subjects(evidence: Evidence) -> Finding:
    if evidence.people is None:
        photographs, tested = FRONTAL // ACTORS, FRONTAL // 5
        one_side = comb(FRONTAL - tested, photographs) + comb(tested, photographs)
        both, people = ACTORS * (1 - one_side / comb(FRONTAL, photographs)), ACTORS
        how = f"Expected for KDEF's {ACTORS} actors with {photographs} frontal photographs each, split 80/20 by image"
    else:
        both, people = evidence.people
        how = "Counted in the split given"
    acquaintance = explain_acquaintance(evidence.measured)
    advice = "A network may know the face instead of the expression."
    return finding(
        "The test partition is held out (abstract)",
        "no person rule stated",
        f"{both:.0f} of {people} people on both sides",
        both < 0.5,
        why=f"{how}.",
        agreed=acquaintance,
        differs=" ".join(filter(None, (advice, acquaintance))),
    )
