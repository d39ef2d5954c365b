"""Findings are recomputed: they have the numbers of pencil and paper, and follow the data that they are given."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

from mien.errors import OptionError  # noqa: E402
from mien.reproduction import (  # noqa: E402
    claims,
    contradictions,
    system_a_contradictions,
    system_b_curves,
)
from mien.reproduction.claims import A_CNN, CLAIMS, FER2013_COUNTS, Report, Scores  # noqa: E402
from mien.reproduction.contradictions import findings  # noqa: E402
from mien.reproduction.finding import Evidence, Finding, Speed  # noqa: E402


def named(found: list[Finding], words: str) -> Finding:
    """The one finding whose claim holds ``words``."""
    (finding,) = [each for each in found if words in each.claim]
    return finding


@pytest.fixture(scope="module")
def system_a() -> list[Finding]:
    return findings("A")


@pytest.fixture(scope="module")
def system_c() -> list[Finding]:
    return findings("C")


@pytest.mark.parametrize("system", CLAIMS)
def test_each_system_has_findings_of_its_own(system: str) -> None:
    found = findings(system)
    assert {finding.system for finding in found} == {system}
    assert len({finding.claim for finding in found}) == len(found) >= 3
    assert any(not finding.holds for finding in found)
    for finding in found:
        assert finding.published
        assert finding.recomputed
        assert finding.why


def test_unknown_system() -> None:
    with pytest.raises(OptionError, match="No system 'F'"):
        findings("F")


@pytest.mark.parametrize(
    ("claim", "recomputed", "holds"),
    [
        ("FLOPs per block", "43.8 / 63.7 / 63.7 / 63.7 / 0.5, total 235.4 MFLOPs", False),
        ("Block 3", "27.1 %", False),
        ("Receptive field", "5 / 14 / 32 / 68", False),
        ("follows from equation 12", "3 / 7 / 15 / 31", False),
        ("each neuron sees", "4 of 36 units", False),
        ("accuracy (Fig. 2) is that", "93.87 % to 94.33 %: 1,226 to 1,232 right", False),
        ("Weighted F1 beside", "0.94 beside 0.94", False),
        ("progress line", "0 whole numbers of 1,306 give it", False),
        ("MobileNetV2's accuracy", "1,149 to 1,154 right", True),
        ("Supports add up, CNN", "1,306", True),
        ("Macro F1, CNN", "0.918", True),
        ("Macro F1, MobileNetV2", "0.899", True),
        ("higher F1 (Fig. 11)", "anger, contempt, sadness; the CNN on 7 of 10", False),
        ("Parameters of the CNN", "1,439,082", True),
        ("Parameters of the fine-tuned", "2.27 M", False),
        ("batches of 64", "21 steps; 41 with batches of 32", False),
        ("INT8", "1.44 MB", True),
        ("entropy of the labels", "H(y) = 2.061 nats on Table I", False),
        ("Information surplus", "1.995 against uniform labels, 1.753 against Table I's", False),
        ("VC bound", "no real value", False),
        ("depthwise", "8.69 ×", False),
        ("Faces in the corpus", "1,307", False),
        ("per class (section III.A)", "140", False),
        ("Imbalance ratio", "17.2", True),
        ("after augmentation", "5,224", False),
        ("held out", "67 of 70 people on both sides", False),
    ],
)
def test_system_a(system_a: list[Finding], claim: str, recomputed: str, holds: bool) -> None:
    finding = named(system_a, claim)
    assert finding.recomputed == recomputed
    assert finding.holds is holds


def test_mobilenet_does_less_arithmetic(system_a: list[Finding]) -> None:
    finding = named(system_a, "advantage over MobileNetV2")
    assert finding.recomputed == "CNN 235.4, MobileNetV2 33.2 MFLOPs at 48×48"
    assert not finding.holds


def test_a_consistent_report_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same code finds nothing where the report is that of the accuracy."""
    monkeypatch.setattr(system_a_contradictions, "RIGHT", 1230 / 1306)
    assert system_a_contradictions._accuracy()[0].holds
    rows = {**A_CNN.rows, "happy": Scores(1.0, 1.0, 0.5, 185)}
    matrix = system_a_contradictions._report("CNN", replace(A_CNN, rows=rows))[1]
    assert matrix.recomputed == "1,299 to 1,310 predictions, 1 rows with another F1"
    assert not matrix.holds


def test_real_corpora_take_the_place_of_the_documents_numbers() -> None:
    nouns = ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
    plenty = dict.fromkeys(nouns, 1000)
    found = findings("A", Evidence(ckplus={"anger": 45, "contempt": 18}, kdef={"anger": 140, "neutral": 139}))
    assert named(found, "Faces in the corpus").recomputed == "342"
    assert named(found, "per class (section III.A)").recomputed == "140"
    assert named(found, "fits their source").recomputed.startswith("0 of 10")
    found = findings("A", Evidence(ckplus=plenty, kdef=plenty))
    assert named(found, "fits their source").holds
    # Table I: 19 of anger, all CK+, stand for (19 − 1)·5 = 90 faces at least; KDEF's anger does not help.
    short = findings("A", Evidence(ckplus={**plenty, "anger": 90}, kdef=plenty))
    assert named(short, "fits their source").recomputed == "9 of 10; too few faces for anger"
    assert named(findings("A", Evidence(ckplus={**plenty, "anger": 91}, kdef=plenty)), "fits their source").holds


def test_subjects_on_both_sides_are_counted() -> None:
    leaky = named(findings("A", Evidence(people=(1, 3))), "held out")
    assert (leaky.recomputed, leaky.holds) == ("1 of 3 people on both sides", False)
    clean = named(findings("A", Evidence(people=(0, 3))), "held out")
    assert (clean.recomputed, clean.holds) == ("0 of 3 people on both sides", True)


def test_random_numbers_are_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    findings("A")
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize(
    ("claim", "recomputed", "holds"),
    [
        ("Samples add up", "33,100", False),
        ("Samples per class", "disgust 547, surprise 4,002, neutral 6,198", False),
        ("test set, 15 %", "5,383 samples", False),
        ("beside recall", "0.732 to 0.741", False),
        ("Overall precision", "macro 0.740, weighted 0.761", True),
        ("Overall recall", "macro 0.716, weighted 0.737", True),
        ("Overall f1", "macro 0.726, weighted 0.747", True),
        ("harmonic mean", "0 rows with another F1", True),
        ("Some confusion matrix", "31,591 to 32,440 predictions", False),
        ("balanced distribution", "largest / smallest 16.4; 2.6 in its own table", False),
    ],
)
def test_system_c(system_c: list[Finding], claim: str, recomputed: str, holds: bool) -> None:
    finding = named(system_c, claim)
    assert finding.recomputed == recomputed
    assert finding.holds is holds


def test_class_or_not_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    # A confusion matrix of [[3, 1], [2, 4]]: class or not is right on 7 of 10, for both.
    rows = {"a": Scores(3 / 5, 3 / 4, 0, 4), "b": Scores(4 / 5, 4 / 6, 0, 6)}
    monkeypatch.setattr(contradictions, "C_REPORT", Report(rows, 10, 0.7))
    assert contradictions._one_vs_rest() == pytest.approx({"a": 0.7, "b": 0.7})


def test_fer2013_counts_come_from_the_data_given() -> None:
    plenty = dict.fromkeys(FER2013_COUNTS, 7000)
    found = findings("C", Evidence(fer2013=plenty))
    assert named(found, "Samples per class").holds
    assert named(found, "balanced distribution").holds
    assert named(findings("E", Evidence(fer2013=plenty)), "nearly 5,000").recomputed == "happiness 7,000, neutral 7,000"
    assert not named(findings("E", Evidence(fer2013=plenty)), "Images per class").holds
    wrong = {**dict.fromkeys(FER2013_COUNTS, 1), "disgust": 436}
    finding = named(findings("D", Evidence(fer2013_train=wrong)), "Training images per class")
    assert (finding.recomputed, finding.holds) == ("28,709; 6 classes differ from the Training part given", False)


@pytest.mark.parametrize(
    ("system", "claim", "recomputed", "holds"),
    [
        ("B", "impressive", "0 results of its CNN on test faces", False),
        ("D", "validation loss", "35,887 − 28,709 − 7,178 = 0 images left for it", False),
        ("D", "all 7,178 test images", "4,417 / 4,096 / 3,031 right", True),
        ("E", "Training and test images", "28,709 and 7,178", False),
        ("E", "Images per class", "35,887; 0 classes differ", True),
        ("E", "fits the recalls", "65.6 % to 75.6 %", True),
        ("E", "Table 3 are accuracies", "3 of 4; not CNN", False),
        ("E", "outperforms several", "5 of 6; not VGGNet 73.28", True),
        ("E", "Batch size", "64 (Table 2)", False),
    ],
)
def test_systems_b_d_and_e(system: str, claim: str, recomputed: str, holds: bool) -> None:
    finding = named(findings(system), claim)
    assert finding.recomputed == recomputed
    assert finding.holds is holds


def test_alpha_of_the_focal_loss_weighs_no_class() -> None:
    assert "1.0, of 16.5" in named(findings("D"), "α of the focal loss").recomputed


def curves(*gaps: float) -> Evidence:
    """Curves of B's network of which validation − training has these values."""
    return Evidence(curves=([0.5] * len(gaps), [0.5 + gap for gap in gaps]))


@pytest.mark.parametrize(
    ("gaps", "above", "apart", "words"),
    [
        ([0.1] * 20, True, False, "does not overfit"),
        ([0.1] * 7 + [-0.1] * 13, False, True, "As stated"),
        ([0.1] * 12 + [-0.1] * 8, False, False, "in 8 of these epochs"),
        ([0.1, 0.1, -0.1], False, None, "The run has 3 epochs"),
    ],
)
def test_systems_bs_two_readings_are_judged_by_the_run(
    gaps: list[float], above: bool, apart: bool | None, words: str
) -> None:
    judged = findings("B", curves(*gaps))
    assert named(judged, "always above").holds is above
    late = named(judged, "runs away")
    assert late.holds is apart
    assert words in late.why
    both = named(judged, "read twice")
    assert (both.recomputed, both.holds) == ("both cannot be in 13 of 20 epochs", False)


def test_systems_bs_readings_agree_where_they_are_of_different_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_b_curves, "SINCE", 21)
    assert named(findings("B"), "read twice").holds


def test_curves_are_described() -> None:
    gaps = [0.1] * 8 + [-0.05, 0.0]
    judged = findings("B", curves(*gaps))
    assert named(judged, "always above").recomputed == "measured: above in 8 of 10 epochs"
    expected = "measured: above in 1 of 3 epochs from epoch 8 on; validation − training +0.000 at the end"
    assert named(judged, "runs away").recomputed == expected


@pytest.mark.parametrize(
    "module", sorted(Path(contradictions.__file__).parent.glob("*.py")), ids=lambda path: path.stem
)
def test_no_verdict_is_a_constant(module: Path) -> None:
    for call in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("Finding", "conclude", "finding"):
            assert not any(isinstance(value, ast.Constant) and value.value in (True, False) for value in call.args)


def speed(cnn: float, mobilenet: float) -> Finding:
    return named(findings("A", Evidence(speed=Speed(cnn, mobilenet, threads=1, rounds=3))), "times as fast")


def test_the_claim_on_speed_is_judged_by_what_was_timed() -> None:
    slower = speed(2.4, 0.8)
    assert slower.recomputed == "3.0 times slower: 2.40 against 0.80 ms a face on 1 thread"
    assert slower.holds is False
    faster = speed(0.8, 4.8)
    assert faster.recomputed == "6.0 times as fast: 0.80 against 4.80 ms a face on 1 thread"
    assert faster.holds is True
    assert speed(1.0, 5.2).holds is False  # 5.3 are claimed
    assert named(findings("A"), "times as fast").holds is None


def test_literature_of_e_follows_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(claims.E_LITERATURE, "proposed", 0.60)
    finding = named(findings("E"), "outperforms several")
    assert finding.recomputed == "2 of 6; not CNN 66.67, VGGNet 73.28, CLCM 63.00, ShuffleNetV2 65.00"
    assert finding.holds
    monkeypatch.setitem(claims.E_LITERATURE, "MobileNetV2", 0.61)
    assert not named(findings("E"), "outperforms several").holds
