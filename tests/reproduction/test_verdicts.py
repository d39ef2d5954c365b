"""Each verdict of the five pages turns with the number that it is about, on both sides, and so does its sentence.

For every statement there are changes of what it is recomputed from, or of what the document states: just within its
claim and just beyond. A verdict that no change turned would be a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.train
pytest.importorskip("torch")
pytest.importorskip("torchvision")

from mien import labels  # noqa: E402
from mien.recipes import recipe as recipes  # noqa: E402
from mien.reproduction import (  # noqa: E402
    claims,
    contradictions,
    measured,
    system_a_contradictions,
    system_a_network,
    system_b_curves,
)
from mien.reproduction.analysis import Analysis, Field, entropy  # noqa: E402
from mien.reproduction.claims import CLAIMS, Claim, published  # noqa: E402
from mien.reproduction.finding import Evidence, Finding, Measured, Speed  # noqa: E402
from mien.reproduction.measured import Outcome, compare_claims  # noqa: E402
from mien.reproduction.systems_page import page  # noqa: E402

Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Case:
    """A change, the evidence beside it, and the verdict that follows."""

    holds: bool | None
    change: Patch = lambda _: None
    evidence: Evidence = Evidence()  # noqa: RUF009 - frozen


@cache
def networks() -> tuple[Analysis, Analysis, int]:
    return system_a_network.analyse_both()


def put(module: Any, name: str, value: Any) -> Patch:
    """Give a constant of a module another value."""
    return lambda patch: patch.setattr(module, name, value)


def put_item(table: Any, key: str, value: Any) -> Patch:
    """Give an entry of a published table another value."""
    return lambda patch: patch.setitem(table, key, value)


def both(first: Patch, second: Patch) -> Patch:
    def change(patch: pytest.MonkeyPatch) -> None:
        first(patch)
        second(patch)

    return change


def state(system: str, model: str, what: str, value: float, where: str = "") -> Patch:
    """Let the document claim another value, or one more where it claims none."""
    about = published(system)
    matching = [one for one in about.claims if (one.model, one.what) == (model, what) and where in one.where]
    others = [one for one in about.claims if one not in matching]
    changed = [replace(one, value=value) for one in matching] or [Claim(system, what, model, value, "section 9")]
    return put_item(CLAIMS, system, replace(about, claims=(*changed, *others)))


def report(name: str, module: Any, **changes: Any) -> Patch:
    return put(module, name, replace(getattr(module, name), **changes))


def row(name: str, module: Any, label: str, **changes: Any) -> Patch:
    table = getattr(module, name)
    return report(name, module, rows={**table.rows, label: replace(table.rows[label], **changes)})


def cnn(**changes: Any) -> Patch:
    """Let A's CNN have another analysis."""
    network, other, averages = networks()
    return put(system_a_network, "analyse_both", lambda: (replace(network, **changes), other, averages))


def field(size: int) -> Patch:
    """Let the units of A's last block see this many pixels, 60 of them before the face."""
    blocks = networks()[0].blocks
    wider = tuple(replace(one, field=Field(size, 8, 60)) if index == 3 else one for index, one in enumerate(blocks))
    return cnn(blocks=wider)


def mflops(change: float = 0.0, block_3: float = 1.0) -> Patch:
    """Let A print the blocks' own MFLOPs, all by ``change`` larger, block 3 times ``block_3``."""
    own = [block.flops / 1e6 + change for block in networks()[0].blocks]
    own[2] *= block_3
    return put(system_a_network, "A_MFLOPS", dict(zip(claims.A_MFLOPS, own, strict=True)))


def run(model: str, accuracy: float) -> Measured:
    return Measured(model, "some", accuracy, accuracy - 0.01, accuracy + 0.01, 100, "published")


def compared(better: str, worse: str) -> tuple[Case, ...]:
    """The intervals' half widths are 0.01 each, so that a difference of 0.0142 is above 0, by √2 hundredths."""
    gaps = ((0.0142, True), (0.0141, None), (-0.0141, None), (-0.0142, False))
    return tuple(
        Case(holds, evidence=Evidence(measured=(run(better, 0.5 + gap), run(worse, 0.5)))) for gap, holds in gaps
    )


def timed(ratio: float) -> Evidence:
    return Evidence(speed=Speed(1.0, ratio, threads=1, rounds=3))


def curves(*gaps: float) -> Evidence:
    return Evidence(curves=([0.5] * len(gaps), [0.5 + gap for gap in gaps]))


NOUNS = labels.HARMONISED.labels
PLENTY = dict.fromkeys(NOUNS, 1000)
EQUAL = dict.fromkeys(claims.FER2013_COUNTS, 1000)
SUPPORTS_C = {label: scores.support for label, scores in claims.C_REPORT.rows.items()}
SUPPORTS_A = {label: scores.support for label, scores in claims.A_CNN.rows.items()}
SURPLUS = entropy(SUPPORTS_A) - system_a_network.LOSS
ONE_VS_REST = contradictions._one_vs_rest()
RECALLS_C = {label: scores.recall for label, scores in claims.C_REPORT.rows.items()}


def corpus_of_a(kdef: int, ckplus: int = 0) -> Evidence:
    return Evidence(kdef={"anger": kdef}, ckplus={"anger": ckplus})


def precision_of_c(change: float) -> Patch:
    rows = {label: replace(one, precision=one.recall + change) for label, one in claims.C_REPORT.rows.items()}
    return report("C_REPORT", contradictions, rows=rows)


A, N, C = system_a_contradictions, system_a_network, contradictions

CASES: Mapping[str, Mapping[str, tuple[Case, ...]]] = {
    "A": {
        "FLOPs per block": (
            *(Case(True, mflops(change)) for change in (0, 0.04, -0.04)),
            *(Case(False, mflops(change)) for change in (0.06, -0.06)),
        ),
        "Block 3 takes": (Case(True, mflops()), Case(False, mflops(block_3=1.01)), Case(False, mflops(block_3=0.99))),
        "Receptive field of blocks": (
            Case(True, put(N, "A_RECEPTIVE_FIELDS", (5, 14, 32, 68))),
            Case(False, put(N, "A_RECEPTIVE_FIELDS", (5, 14, 32, 67))),
            Case(False, put(N, "A_RECEPTIVE_FIELDS", (5, 14, 32, 69))),
        ),
        "follows from equation 12": (
            Case(True, put(N, "A_RECEPTIVE_FIELDS", (3, 7, 15, 31))),
            Case(False, put(N, "A_RECEPTIVE_FIELDS", (3, 7, 15, 30))),
            Case(False, put(N, "A_RECEPTIVE_FIELDS", (3, 7, 15, 32))),
        ),
        "each neuron sees": (Case(True, field(108)), Case(False, field(107)), Case(False, field(40))),
        "CNN's accuracy (Fig. 2) is that": tuple(
            Case(holds, put(A, "RIGHT", right / 1306))
            for right, holds in ((1225, False), (1226, True), (1232, True), (1233, False))
        ),
        "Weighted F1 beside": (
            *(Case(True, put(A, "RIGHT", right)) for right in (0.9378, 0.9452)),
            *(Case(False, put(A, "RIGHT", right)) for right in (0.93, 0.95)),
        ),
        "means of three seeds": (Case(True, put(A, "RIGHT", 0.905)), Case(True, put(A, "RIGHT", 0.906)), Case(False)),
        "progress line": (
            Case(True, state("A", "CNN", "accuracy", 0.8989, "progress line")),
            Case(False, state("A", "CNN", "accuracy", 0.8990, "progress line")),
            Case(True, state("A", "CNN", "accuracy", 0.8997, "progress line")),
        ),
        "MobileNetV2's accuracy (Fig. 5)": tuple(
            Case(holds, state("A", "MobileNetV2", "accuracy", value))
            for value, holds in ((0.8790, False), (0.8798, True), (0.8836, True), (0.8844, False))
        ),
        "Supports add up, CNN": tuple(
            Case(total == 1306, report("A_CNN", A, total=total)) for total in (1305, 1306, 1307)
        ),
        "Supports add up, MobileNetV2": tuple(
            Case(total == 1306, report("A_MOBILENET", A, total=total)) for total in (1305, 1306, 1307)
        ),
        "precision, recall and F1, CNN": (
            *(Case(holds, report("A_CNN", A, total=total))
              for total, holds in ((1298, False), (1299, True), (1310, True), (1311, False))),
            Case(False, row("A_CNN", A, "happy", f1=0.5)),
        ),
        "precision, recall and F1, MobileNetV2": (
            *(Case(holds, report("A_MOBILENET", A, total=total))
              for total, holds in ((1298, False), (1299, True), (1314, True), (1315, False))),
            Case(False, row("A_MOBILENET", A, "happy", f1=0.99)),
        ),
        "Macro F1, CNN": tuple(
            Case(holds, report("A_CNN", A, macro=(0.92, 0.92, value)))
            for value, holds in ((0.91, False), (0.92, True), (0.93, False))
        ),
        "Macro F1, MobileNetV2": tuple(
            Case(holds, report("A_MOBILENET", A, macro=(0.91, 0.90, value)))
            for value, holds in ((0.89, False), (0.90, True), (0.91, False))
        ),
        "higher F1 (Fig. 11)": tuple(
            Case(holds, put(A, "A_LEADS", {"MobileNetV2": leads}))
            for leads, holds in (
                (("anger", "contempt", "sadness"), True),
                (("anger", "contempt"), False),
                (("anger", "contempt", "sadness", "fear"), False),
            )
        ),
        "Parameters of the CNN": tuple(
            Case(value == 1.44, state("A", "CNN", "parameters", value)) for value in (1.43, 1.44, 1.45)
        ),
        "Parameters of the fine-tuned": tuple(
            Case(value == 2.27, state("A", "MobileNetV2", "parameters", value)) for value in (2.26, 2.27, 2.28)
        ),
        "advantage over MobileNetV2": (
            Case(True, cnn(flops=networks()[1].flops - 200_000)),
            Case(False, cnn(flops=networks()[1].flops)),
            Case(False, cnn(flops=networks()[1].flops + 200_000)),
        ),
        "batches of 64": tuple(Case(steps == 21, put(N, "STEPS", steps)) for steps in (20, 21, 22, 41)),
        "INT8 weights": tuple(Case(size == 1.4, state("A", "CNN", "int8 size", size)) for size in (1.3, 1.4, 1.5)),
        "times as fast": (
            Case(None),
            Case(False, evidence=timed(0.5)),
            Case(False, evidence=timed(5.29)),
            Case(True, evidence=timed(5.31)),
        ),
        "entropy of the labels": tuple(Case(loss > 2.061, put(N, "LOSS", loss)) for loss in (0.308, 2.06, 2.07)),
        "Information surplus": tuple(
            Case(abs(change) < 5e-4, state("A", "CNN", "information surplus", SURPLUS + change))
            for change in (-1.6e-3, -4e-4, 4e-4, 1.6e-3)
        ),
        "VC bound": tuple(
            Case(parameters < 13_940, cnn(parameters=parameters)) for parameters in (1000, 13_930, 13_950)
        ),
        "depthwise": tuple(Case(saving == 8.7, put(N, "SAVING", saving)) for saving in (8.6, 8.7, 8.8)),
        "Faces in the corpus": tuple(
            Case(faces == 6530, evidence=corpus_of_a(faces - 30, 30)) for faces in (6529, 6530, 6531)
        ),
        "Frontal KDEF photographs": tuple(
            Case(faces == 700, evidence=corpus_of_a(faces)) for faces in (699, 700, 701)
        ),
        # Table I: 19 of anger, all CK+, stand for (19 − 1)·5 = 90 faces at least.
        "test share fits their source": tuple(
            Case(faces > 90, evidence=Evidence(kdef=PLENTY, ckplus={**PLENTY, "anger": faces})) for faces in (90, 91)
        ),
        "Neutral comes from both": (
            Case(False),
            Case(True, put(A, "CKPLUS", labels.HARMONISED)),
            Case(True, put_item(claims.A_SOURCES, "neutral", "KDEF")),
        ),
        "Imbalance ratio": tuple(
            Case(ratio == 17.2, state("A", "corpus", "imbalance ratio", ratio)) for ratio in (17.1, 17.2, 17.3)
        ),
        "after augmentation": tuple(Case(faces == 5224, put(A, "AUGMENTED", faces)) for faces in (5223, 5224, 10448)),
        "held out": tuple(Case(both == 0, evidence=Evidence(people=(both, 3))) for both in (0, 1)),
        "CNN reads more faces right": compared("CNN", "MobileNetV2"),
    },
    "B": {
        "read twice": tuple(
            Case(since > 20, put(system_b_curves, "SINCE", since)) for since in (8, 20, 21)
        ),
        "always above training": (
            Case(True, evidence=curves(*[0.01] * 20)),
            Case(False, evidence=curves(*[0.01] * 19, 0.0)),
            Case(False, evidence=curves(*[0.01] * 19, -0.01)),
        ),
        "runs away": (
            Case(True, evidence=curves(*[0.01] * 7, *[-0.01] * 13)),
            Case(False, evidence=curves(*[0.01] * 8, *[-0.01] * 12)),
            Case(False, evidence=curves(*[-0.01] * 19, 0.0)),
            Case(None, evidence=curves(*[-0.01] * 7)),
        ),
        "impressive": (Case(False), Case(True, state("B", "CNN", "accuracy", 0.7))),
        "fear and contempt": (Case(False), Case(True, put(C, "FER2013", labels.FERPLUS))),
    },
    "C": {
        "Samples add up": tuple(
            Case(total == 33_100, report("C_REPORT", C, total=total)) for total in (33_099, 33_100, 33_101)
        ),
        "Samples per class": (
            Case(True, evidence=Evidence(fer2013=SUPPORTS_C)),
            Case(False, evidence=Evidence(fer2013={**SUPPORTS_C, "disgust": 2499})),
        ),
        "test set, 15 %": tuple(
            Case(abs(total - 5383) <= 7, report("C_REPORT", C, total=total)) for total in (5375, 5376, 5390, 5391)
        ),
        "beside recall": tuple(
            Case(0.7322 < value < 0.742, report("C_REPORT", C, accuracy=value)) for value in (0.73, 0.74, 0.75)
        ),
        "Accuracy per class": tuple(
            Case(abs(change) < 0.015, put(C, "C_ACCURACY", {label: one + change for label, one in ONE_VS_REST.items()}))
            for change in (-0.019, -0.011, 0.011, 0.019)
        ),
        "Overall precision": tuple(
            Case(holds, put(C, "C_OVERALL", {**claims.C_OVERALL, "precision": value}))
            for value, holds in ((0.72, False), (0.74, True), (0.77, True), (0.78, False))
        ),
        "Overall recall": tuple(
            Case(holds, put(C, "C_OVERALL", {**claims.C_OVERALL, "recall": value}))
            for value, holds in ((0.70, False), (0.71, True), (0.74, True), (0.75, False))
        ),
        "Overall f1": tuple(
            Case(holds, put(C, "C_OVERALL", {**claims.C_OVERALL, "f1": value}))
            for value, holds in ((0.71, False), (0.72, True), (0.75, True), (0.76, False))
        ),
        "harmonic mean": (
            Case(True),
            Case(False, row("C_REPORT", C, "fear", f1=0.61)),
            Case(False, row("C_REPORT", C, "fear", f1=0.66)),
        ),
        "Some confusion matrix": (
            Case(True, precision_of_c(0)),
            Case(False, precision_of_c(0.03)),
            Case(False, precision_of_c(-0.03)),
        ),
        "Recall in Fig. 3": (
            Case(True, put(C, "C_FIGURE_3", RECALLS_C)),
            Case(False, put(C, "C_FIGURE_3", {**RECALLS_C, "fear": 0.61})),
            Case(False, put(C, "C_FIGURE_3", {**RECALLS_C, "fear": 0.63})),
        ),
        "balanced distribution": tuple(
            Case(1000 / least < 1.5, evidence=Evidence(fer2013={**EQUAL, "disgust": least})) for least in (690, 640)
        ),
    },
    "D": {
        "Training images per class": (
            Case(True, evidence=Evidence(fer2013_train=claims.D_TRAIN)),
            Case(False, evidence=Evidence(fer2013_train={**claims.D_TRAIN, "fear": 4096})),
            Case(False, evidence=Evidence(fer2013_train={**claims.D_TRAIN, "fear": 4098})),
            Case(False, put(C, "D_TRAIN", {**claims.D_TRAIN, "fear": 4098})),
        ),
        "stops early": tuple(Case(images > 35_887, put(C, "IMAGES", images)) for images in (35_887, 35_888)),
        # Of 7,178 images 4,416 to 4,420 are 61.52, 61.54, 61.55, 61.56 and 61.58 %.
        "all 7,178 test images": tuple(
            Case(holds, state("D", "Custom CNN", "accuracy", value))
            for value, holds in ((0.6153, False), (0.6154, True), (0.6156, True), (0.6157, False))
        ),
        "α of the focal loss": (
            Case(False),
            Case(True, put(C, "_weigh_classes", lambda: (0.25, 11.1))),
            Case(False, put(C, "_weigh_classes", lambda: (0.25, 10.9))),
        ),
        "better than the fine-tuned": compared("Custom CNN", "MobileNetV2, fine-tuned"),
        "better than training its head": compared("MobileNetV2, fine-tuned", "MobileNetV2, head only"),
    },
    "E": {
        "Training and test images": (
            Case(False),
            Case(True, both(put(C, "E_TRAIN", claims.E_TEST), put(C, "E_TEST", claims.E_TRAIN))),
        ),
        "Images per class": (
            Case(True, evidence=Evidence(fer2013=claims.FER2013_COUNTS)),
            Case(False, evidence=Evidence(fer2013={**claims.FER2013_COUNTS, "fear": 5120})),
            Case(False, evidence=Evidence(fer2013={**claims.FER2013_COUNTS, "fear": 5122})),
        ),
        "nearly 5,000": tuple(
            Case(faces <= 5000, evidence=Evidence(fer2013={**EQUAL, label: faces}))
            for label in ("happiness", "neutral")
            for faces in (5000, 5001)
        ),
        "recalls of Fig. 9": tuple(
            Case(0.656 < value < 0.756, put_item(claims.E_LITERATURE, "proposed", value))
            for value in (0.65, 0.657, 0.755, 0.76)
        ),
        "Table 3 are accuracies": (Case(False), Case(True, put_item(claims.E_LITERATURE, "CNN", 0.6668))),
        "outperforms several": (
            Case(True, put_item(claims.E_LITERATURE, "proposed", 0.60)),
            Case(False, put_item(claims.E_LITERATURE, "proposed", 0.50)),
        ),
        "Batch size": (Case(False), Case(True, state("E", "CNN", "batch size", 32, "Table 2"))),
        "support vector machine": compared("CNN", "SVM, cited"),
    },
}  # fmt: skip
"""System → words of a statement → changes; at least one makes the statement hold, and one not."""

METHOD = {
    "advantage over MobileNetV2", "nearly 5,000",
    "Supports add up, CNN", "Supports add up, MobileNetV2", "precision, recall and F1, CNN",
    "precision, recall and F1, MobileNetV2", "Macro F1, CNN", "Macro F1, MobileNetV2", "Parameters of the CNN",
    "INT8 weights", "times as fast", "depthwise", "Imbalance ratio", "MobileNetV2's accuracy (Fig. 5)",
    "outperforms several", "CNN reads more faces right", "better than the fine-tuned", "better than training its head",
    "support vector machine", "Training images per class",
}  # fmt: skip
"""Statements whose sentence only says how the value was computed, which is true either way."""

STATEMENTS = [pytest.param(system, words, id=f"{system} {words}") for system, cases in CASES.items() for words in cases]


def judge(system: str, words: str, case: Case) -> Finding:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(system_a_network, "analyse_both", networks)
        case.change(patch)
        (finding,) = [one for one in contradictions.findings(system, case.evidence) if words in one.claim]
    return finding


@pytest.mark.parametrize(("system", "words"), STATEMENTS)
def test_a_verdict_turns_with_its_number(system: str, words: str) -> None:
    cases = CASES[system][words]
    judged = [judge(system, words, case) for case in cases]
    assert [finding.holds for finding in judged] == [case.holds for case in cases]
    reasons: dict[bool | None, set[str]] = {True: set(), False: set(), None: set()}
    numbers: dict[bool | None, set[tuple[str, str]]] = {True: set(), False: set(), None: set()}
    for finding in judged:
        reasons[finding.holds].add(finding.why)
        numbers[finding.holds].add((finding.published, finding.recomputed))
        cell = {True: "yes", False: "**no**", None: "open"}[finding.holds]
        shown = page(system, [], {}, [finding])
        assert f"| {cell} |" in shown
        assert {True: "1 hold, 0 do not", False: "0 hold, 1 do not", None: "1 cannot be decided"}[
            finding.holds
        ] in shown
        assert all((finding.published, finding.recomputed, finding.why))
    assert reasons[True]
    assert reasons[False]
    assert not numbers[True] & numbers[False]
    if words not in METHOD:
        assert not reasons[True] & reasons[False]


FULL = {
    "A": Evidence(measured=(run("CNN", 0.9), run("MobileNetV2", 0.8))),
    "B": curves(*[0.1] * 20),
    "D": Evidence(measured=tuple(run(model, 0.5) for model in published("D").recipes)),
    "E": Evidence(measured=(run("CNN", 0.7), run("SVM, cited", 0.5))),
}


def test_statements_on_methods_are_among_the_others() -> None:
    assert {words for cases in CASES.values() for words in cases} >= METHOD


@pytest.mark.parametrize("system", CLAIMS)
def test_every_statement_is_turned(system: str) -> None:
    statements = [finding.claim for finding in contradictions.findings(system, FULL.get(system))]
    turned = {words: [claim for claim in statements if words in claim] for words in CASES[system]}
    assert all(len(matches) == 1 for matches in turned.values()), turned
    assert sorted(claim for matches in turned.values() for claim in matches) == sorted(statements)


def test_the_loss_of_d_decides_what_alpha_weighs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One α weighs no class; one for each class would, as the recipe's own loss shows."""
    alpha, ratio = contradictions._weigh_classes()
    assert alpha == 0.25
    assert ratio == pytest.approx(1.0)
    alphas = [0.25] * len(claims.D_TRAIN)
    alphas[list(claims.D_TRAIN).index("disgust")] = 2.5
    plan = recipes.load("system-d-cnn").with_values({"loss.alpha": alphas})
    monkeypatch.setattr(recipes, "load", lambda _: plan)
    assert contradictions._weigh_classes()[1] == pytest.approx(10.0)


CLASSES = (*labels.FERPLUS.labels,)
CONFUSION = [[40 - 3 * row if row == column else (row + 2 * column) % 3 for column in range(8)] for row in range(8)]


def metrics(confusion: list[list[int]]) -> dict[str, Any]:
    right, faces = sum(confusion[index][index] for index in range(8)), sum(map(sum, confusion))
    accuracy = right / faces
    own = {"faces": faces, "accuracy": accuracy, "interval": [accuracy - 0.03, accuracy + 0.03]}
    per_class: dict[str, Any] = {label: {} for label in CLASSES}
    return {**own, "log_loss": 0.5, "confusion": confusion, "per_class": per_class, "without_training_copies": own}


def outcome(system: str, model: str, better: int = 0) -> Outcome:
    """A run of the model's first recipe; ``better``: faces of each class that are right instead of wrong."""
    confusion = [list(counts) for counts in CONFUSION]
    for index, counts in enumerate(confusion):
        counts[index] += better
        counts[(index + 1) % 8] = max(counts[(index + 1) % 8] - better, 0)
    name = published(system).recipes[model][0]
    return Outcome(model, recipes.load_any(name), (metrics(confusion),), Path())


def prepare(monkeypatch: pytest.MonkeyPatch, epochs: int, best: int) -> None:
    """Let runs have a history, and intervals few draws."""
    monkeypatch.setattr(measured, "DRAWS", 100)
    history = [SimpleNamespace(validation_loss=abs(epoch - best) + 1.0) for epoch in range(1, epochs + 1)]
    monkeypatch.setattr(measured, "read_history", lambda _: history)


def rows_of(system: str, result: Outcome) -> dict[str, tuple[str, str, str, str]]:
    """Place of a claim → claimed, measured, interval and verdict."""
    return {
        f"{row.what} {row.source}": (row.claimed, row.measured, row.interval, row.verdict)
        for row in compare_claims(system, result)
        if row.claimed
    }


MEASURED = [
    pytest.param(system, claim, id=f"{system} {claim.model} {claim.what} {claim.value}")
    for system, about in CLAIMS.items()
    for claim in about.claims
    if claim.model in about.recipes
    and (claim.unit == "" or claim.what in ("loss", "epochs", "best epoch"))
    and claim.what != "training accuracy"
]
"""The claims that a run measures."""


def verdict_on(system: str, claim: Claim, value: float, result: Outcome) -> tuple[str, str, str, str]:
    about = published(system)
    changed = tuple(replace(one, value=value) if one is claim else one for one in about.claims)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CLAIMS, system, replace(about, claims=changed))
        matching = [cells for name, cells in rows_of(system, result).items() if name.endswith(claim.where)
                    and name.startswith(f"{claim.model}: {claim.what} ")]  # fmt: skip
    (cells,) = matching
    return cells


@pytest.mark.parametrize(("system", "claim"), MEASURED)
def test_a_claim_is_inside_or_outside_of_what_was_measured(
    system: str, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(monkeypatch, 20, 9)
    monkeypatch.setattr(measured, "fitting_means", lambda *_: ["weighted"])  # whatever value C would state
    result = outcome(system, claim.model)
    quantity = measured._measure(claim, result, measured._mean_of(system, claim))
    assert quantity is not None
    gap = 0.02 if claim.unit == "" else 2
    low, high = quantity.interval or (quantity.value - gap / 2, quantity.value + gap / 2)
    below = verdict_on(system, claim, low - gap, result)
    within = verdict_on(system, claim, quantity.value, result)
    above = verdict_on(system, claim, high + gap, result)
    assert (below[3][0], within[3][0], above[3][0]) == ("+", "+", "−")
    assert len({cells[0] for cells in (below, within, above)}) == 3  # the claim as stated
    assert below[1:3] == within[1:3] == above[1:3]  # what was measured stays
    if quantity.interval is None:
        assert "claim" not in within[3]
    else:
        assert [cells[3].rsplit(", ", 1)[1] for cells in (below, within, above)] == [
            "claim outside", "claim inside", "claim outside",
        ]  # fmt: skip


@pytest.mark.parametrize(("system", "claim"), MEASURED)
def test_what_was_measured_follows_the_run(system: str, claim: Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(monkeypatch, 20, 9)
    worse = verdict_on(system, claim, claim.value, outcome(system, claim.model))
    prepare(monkeypatch, 30, 12)
    result = outcome(system, claim.model, better=1)
    result.test[0]["log_loss"] = 0.4
    better = verdict_on(system, claim, claim.value, result)
    assert worse[0] == better[0]
    assert worse[1] != better[1]
    assert worse[3] != better[3]
