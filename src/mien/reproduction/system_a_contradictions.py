"""System A's statements, recomputed from its tables, its network and its corpora.

Network values come from ``analysis.analyse`` on ``FourBlock`` and on torchvision's MobileNetV2, printed values from
``claims``.
"""

from __future__ import annotations

from math import ceil, comb

import numpy as np
import torch
from torch import nn

from mien.labels import CKPLUS, canonical
from mien.networks.networks import FourBlock
from mien.reproduction.analysis import Analysis, analyse, entropy, generalisation_bound, imbalance, surplus
from mien.reproduction.claims import A_CNN, A_LEADS, A_MFLOPS, A_MOBILENET, A_RECEPTIVE_FIELDS, A_SOURCES, Report
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

CORPUS, TRAINING, TEST = 6530, 5224, 1306
ACTORS, EXPRESSIONS, ANGLES, PHOTOGRAPHS, SEQUENCES = 70, 7, 5, 4900, 327
FRONTAL = PHOTOGRAPHS // ANGLES
RIGHT = 0.9050536155700684
"""The accuracy printed in Fig. 2, to every digit."""

LOSS = 0.308
"""Test loss in nats, as rounded in section VI.B and Table V."""

SUPPORTS = {label: row.support for label, row in A_CNN.rows.items()}


def findings(evidence: Evidence) -> list[Finding]:
    """Compare system A's statements with their recomputed values."""
    with torch.random.fork_rng(devices=[]):  # new weights must not advance the caller's random state
        network = analyse(FourBlock(10))
        backbone = _mobilenet()
    return [
        *_cost(network),
        *_sight(network),
        *_accuracy(),
        *_reports(),
        *_sizes(network, *backbone),
        compare_speed(evidence.speed),
        *_theory(network.parameters),
        *_corpus(evidence),
        _subjects(evidence),
    ]


def _mobilenet() -> tuple[Analysis, int]:
    """Analyse MobileNetV2 with ten outputs at 48×48×3; also count its running averages, parameters to Keras."""
    from torchvision.models import mobilenet_v2

    network: nn.Module = mobilenet_v2(weights=None, num_classes=10)
    averages = sum(buffer.numel() for buffer in network.buffers() if buffer.is_floating_point())
    return analyse(network, 48, 3), averages


def _finding(claim: str, published: str, recomputed: str, holds: bool, why: str) -> Finding:
    return Finding("A", claim, published, recomputed, holds, why)


def _cost(network: Analysis) -> list[Finding]:
    own = [block.flops / 1e6 for block in network.blocks]
    total, printed = network.flops / 1e6, list(A_MFLOPS.values())
    share = own[2] / total
    return [
        _finding(
            "FLOPs per block and in all (Table III)",
            f"{join(printed, 1)}, total {sum(printed):.1f} MFLOPs",
            f"{join(own, 1)}, total {total:.1f} MFLOPs",
            all(abs(a - b) <= 0.05 for a, b in zip(own, printed, strict=True)),
            "Equation 28 on the convolutions and equation 29 on the dense layers of the published network: each block "
            "from the second on has twice the channels on a quarter of the pixels, so the three cost the same.",
        ),
        _finding(
            "Block 3 takes the largest share, cost growing with the square of the width (section IV.L)",
            f"{printed[2] / sum(printed) * 100:.1f} %",
            f"{share * 100:.1f} %",
            abs(share - printed[2] / sum(printed)) < 0.001,
            "The growth with the width is undone by pooling, which equation 28 counts in H·W.",
        ),
    ]


def _sight(network: Analysis) -> list[Finding]:
    fields = [block.field for block in network.blocks if block.field and block.side]
    sizes = tuple(field.size for field in fields)
    stated = tuple(1 + sum(2 * 2**i for i in range(block + 1)) for block in range(4))
    last, side = fields[-1], network.blocks[3].side or 0
    whole = last.count_whole(side, 48) ** 2
    return [
        _finding(
            "Receptive field of blocks 1 to 4, pixels (Table II)",
            join(A_RECEPTIVE_FIELDS),
            join(sizes),
            sizes == A_RECEPTIVE_FIELDS,
            "Recursion of Araujo et al. (2019) over every layer, before the block's pooling. The table leaves out what "
            "the second and third pooling add, 2 and 4 pixels.",
        ),
        _finding(
            "Table II follows from equation 12",
            join(A_RECEPTIVE_FIELDS),
            join(stated),
            stated == A_RECEPTIVE_FIELDS,
            "Equation 12 has one 3×3 convolution a block and no pooling window; the network has two and a window of 2.",
        ),
        _finding(
            "In block 4 each neuron sees the whole 48×48 face (section IV.E)",
            f"all {side * side} units",
            f"{whole} of {side * side} units",
            whole == side * side,
            f"A field of {last.size} pixels is larger than the face, but centred on its unit: towards the border it "
            "covers padding on one side and misses pixels on the other. Only global pooling joins the whole face.",
        ),
    ]


def _accuracy() -> list[Finding]:
    low, high = bound_correct(A_CNN)
    right = round(RIGHT * TEST)
    bar = possible_counts(0.8990, TEST, 4)
    f1 = mean(column(A_CNN, "f1"), column(A_CNN, "support"))
    recall = mean(column(A_CNN, "recall"), column(A_CNN, "support"))
    other_low, other_high = bound_correct(A_MOBILENET)
    other = possible_counts(0.8806, TEST, 4)
    return [
        _finding(
            "The CNN's accuracy (Fig. 2) is that of its classification report (Fig. 3)",
            f"90.51 %: {right:,} of {TEST:,} right",
            f"{low / TEST:.2%} to {high / TEST:.2%}: {low:,} to {high:,} right".replace("%", " %"),
            low <= right <= high,
            "Accuracy is the support-weighted recall. The report of 94 % belongs to another model or run; between them "
            f"lie at least {low - right} faces, {(low - right) / TEST / 0.003:.0f} times the spread of 0.3 % between "
            "seeds that section V states.",
        ),
        _finding(
            "Weighted F1 beside accuracy (Table V)",
            "0.94 beside 0.9051",
            f"{f1:.2f} beside {recall:.2f}",
            abs(recall - RIGHT) < 0.005,
            "Both recomputed from the rows of Fig. 3: its weighted F1 is right for the report, not for the accuracy.",
        ),
        _finding(
            "Results are means of three seeds (section V)",
            f"{RIGHT}",
            f"float32 of {right:,} / {TEST:,}: {float(np.float32(right / TEST)):.16f}",
            float(np.float32(right / TEST)) != RIGHT,
            "Table V's mean is, to the last digit, what one call of evaluate printed for one run. Three "
            "runs would have to average to a whole number of correct predictions by chance.",
        ),
        _finding(
            "The progress line's accuracy (Fig. 2)",
            "0.8990",
            f"{len(bar)} whole numbers of {TEST:,} give it",
            bool(bar),
            "A progress bar averages over batches as they pass; it is not the accuracy on the test set.",
        ),
        _finding(
            "MobileNetV2's accuracy (Fig. 5) is that of its classification report (Fig. 7)",
            f"88.06 %: {join(other)} right",
            f"{other_low:,} to {other_high:,} right",
            any(other_low <= count <= other_high for count in other),
            "Support-weighted recall, as for the CNN.",
        ),
    ]


def _reports() -> list[Finding]:
    models = {"CNN (Fig. 3)": A_CNN, "MobileNetV2 (Fig. 7)": A_MOBILENET}
    better = [label for label, row in A_MOBILENET.rows.items() if row.f1 > A_CNN.rows[label].f1]
    leads = A_LEADS["MobileNetV2"]
    return [
        *(finding for name, report in models.items() for finding in _report(name, report)),
        _finding(
            "Classes on which MobileNetV2 has the higher F1 (Fig. 11)",
            f"{', '.join(leads)}; the CNN on {len(SUPPORTS) - len(leads)} of {len(SUPPORTS)}",
            f"{', '.join(better)}; the CNN on {len(SUPPORTS) - len(better)} of {len(SUPPORTS)}",
            set(better) == set(leads),
            "Read from Fig. 3 and Fig. 7: on happy the CNN has "
            f"{A_CNN.rows['happy'].f1:.2f}, MobileNetV2 {A_MOBILENET.rows['happy'].f1:.2f}.",
        ),
    ]


def _report(name: str, report: Report) -> list[Finding]:
    total, (low, high) = sum(row.support for row in report.rows.values()), bound_predictions(report)
    macro, wrong = mean(column(report, "f1")), find_wrong_f1(report)
    return [
        _finding(
            f"Supports add up, {name}",
            f"{report.total:,}",
            f"{total:,}",
            total == report.total,
            "Sum of the ten rows; it is also the size of the test set.",
        ),
        _finding(
            f"Some confusion matrix gives precision, recall and F1, {name}",
            f"{report.total:,} predictions",
            f"{low:,} to {high:,} predictions, {len(wrong)} rows with another F1",
            low <= report.total <= high and not wrong,
            "Correct predictions divided by precision, summed over classes, must be the number of faces.",
        ),
        _finding(
            f"Macro F1, {name}",
            f"{report.macro[2] if report.macro else float('nan'):.2f}",
            f"{macro:.3f}",
            report.macro is not None and abs(macro - report.macro[2]) <= 0.0050001,
            "Mean of the ten printed F1.",
        ),
    ]


def _sizes(network: Analysis, other: Analysis, averages: int) -> list[Finding]:
    head = other.blocks[-1].parameters
    bare = other.parameters - head + averages
    steps = ceil(TEST / 64)
    return [
        _finding(
            "Parameters of the CNN (Table V)",
            "1.44 M",
            f"{network.parameters:,}",
            round(network.parameters / 1e6, 2) == 1.44,
            "With dense layers of 512 and 256, which the document does not state.",
        ),
        _finding(
            "Parameters of the fine-tuned MobileNetV2 (Table V)",
            "2.26 M",
            f"{(bare + head) / 1e6:.2f} M",
            round((bare + head) / 1e6, 2) == 2.26,
            f"2.26 M is the backbone alone, {bare:,} with its running averages; its ten-class head, which the CNN's "
            f"count has, is left out. A plain linear head adds {head:,}.",
        ),
        _finding(
            "The FLOP analysis shows the CNN's advantage over MobileNetV2 (section VII)",
            "the CNN needs less",
            f"CNN {network.flops / 1e6:.1f}, MobileNetV2 {other.flops / 1e6:.1f} MFLOPs at 48×48",
            network.flops < other.flops,
            f"The CNN does {network.flops / other.flops:.2g} times the arithmetic of MobileNetV2.",
        ),
        _finding(
            "The test set is scored in batches of 64 (Table IV)",
            "41 steps",
            f"{steps} steps; {ceil(TEST / 32)} with batches of 32",
            steps == 41,
            "41 steps mean that evaluate ran with its default of 32, so ms/step are those of 32 faces.",
        ),
        _finding(
            "INT8 weights take about 1.4 MB (section VI.C)",
            "1.4 MB",
            f"{network.parameters / 1e6:.2f} MB",
            round(network.parameters / 1e6, 1) == 1.4,
            "One byte a parameter, before scales and graph.",
        ),
    ]


def _theory(parameters: int) -> list[Finding]:
    floor, bound = entropy(SUPPORTS), generalisation_bound(parameters, TRAINING)
    reduction = 1 / (1 / 256 + 1 / 9)
    return [
        _finding(
            "No loss lies below the entropy of the labels (equation 18)",
            "loss 0.308 ≥ H(y)",
            f"H(y) = {floor:.3f} nats on Table I",
            floor <= LOSS,
            "H(y) is the floor of predictors that do not see the face. One that does is bounded by H(y|x), which "
            "nobody knows; the document's own loss refutes its equation.",
        ),
        _finding(
            "Information surplus is the mutual information learned (section VI.B)",
            "2.303 − 0.308 = 1.995 nats",
            f"{surplus(10, LOSS):.3f} against uniform labels, {floor - LOSS:.3f} against Table I's",
            abs(floor - LOSS - 1.995) < 0.0005,
            "The subtraction is right, for ten classes of the same size. With the classes as they are, a predictor "
            f"that never sees a face already reaches {floor:.3f} nats.",
        ),
        _finding(
            "VC bound on the generalisation error (equation 14)",
            "a bound",
            "no real value" if bound.value is None else f"{bound.value:.3f}",
            not bound.vacuous,
            f"{bound.why}. The bound speaks of networks with far fewer parameters than faces.",
        ),
        _finding(
            "Saving by depthwise separable convolution (equation 27)",
            "1/256 + 1/9 ≈ 8.9 ×",
            f"{reduction:.2f} ×",
            round(reduction, 1) == 8.9,
            "The inverse of the sum that the equation states.",
        ),
    ]


def _corpus(evidence: Evidence) -> list[Finding]:
    measured = evidence.kdef is not None and evidence.ckplus is not None
    faces = sum((evidence.kdef or {"": FRONTAL}).values()) + sum((evidence.ckplus or {"": SEQUENCES}).values())
    source = "Counted in the corpora given" if measured else "From the document's own numbers"
    per_class = max(evidence.kdef.values()) if evidence.kdef else FRONTAL // EXPRESSIONS
    short = _short(evidence)
    ratio = imbalance(SUPPORTS)
    return [
        _finding(
            "Faces in the corpus: frontal KDEF and CK+ apex frames (abstract)",
            f"{CORPUS:,}",
            f"{faces:,}",
            faces == CORPUS,
            f"{source}. Three peak frames a sequence would give {FRONTAL + 3 * SEQUENCES:,}; 6,530 needs side views or "
            "copies, and copies on both sides of a split reward memorisation.",
        ),
        _finding(
            "Frontal KDEF photographs per class (section III.A)",
            "700",
            f"{per_class}",
            per_class == 700,
            f"{PHOTOGRAPHS:,} / {EXPRESSIONS} classes = 700 counts all {ANGLES} angles; frontal alone is a fifth.",
        ),
        _finding(
            "Classes whose test share fits their source (Table I, 20 % of each class)",
            f"{len(SUPPORTS)} of {len(SUPPORTS)}",
            f"{len(SUPPORTS) - len(short)} of {len(SUPPORTS)}; too few faces for {', '.join(short) or 'none'}",
            not short,
            f"{source}. Each test face stands for five in the corpus: {SUPPORTS['angry']} angry need "
            f"{(SUPPORTS['angry'] - 1) * CORPUS // TEST} KDEF photographs or more.",
        ),
        _finding(
            "Neutral comes from both corpora (Table I)",
            A_SOURCES["neutral"],
            "Both" if "neutral" in CKPLUS.labels else "KDEF",
            "neutral" in CKPLUS.labels,
            "CK+'s seven apex expressions, as section III.A lists them too, hold no neutral.",
        ),
        _finding(
            "Imbalance ratio (equation 2)", "17.2", f"{ratio:.1f}", round(ratio, 1) == 17.2, "Surprise over contempt."
        ),
        _finding(
            "Training faces an epoch after augmentation (equation 4)",
            "10,448",
            f"{TRAINING:,}",
            TRAINING == 10448,
            "Augmentation on the fly replaces each face by one changed face; an epoch gets no longer by it.",
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
    advice = "A network may know the face instead of the expression."
    sentences = (f"{how}.", advice, explain_acquaintance(evidence.measured))
    return _finding(
        "The test partition is held out (abstract)",
        "no person rule stated",
        f"{both:.0f} of {people} people on both sides",
        both < 0.5,
        " ".join(filter(None, sentences)),
    )
