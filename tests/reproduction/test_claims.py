"""The published tables are copied right: sums, pages and lookups that a slip of the pen would break."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.train
pytest.importorskip("pydantic")

from mien.errors import OptionError  # noqa: E402
from mien.labels import FER2013, SYSTEM_A  # noqa: E402
from mien.reproduction import claims  # noqa: E402
from mien.reproduction.claims import CLAIMS, Claim, published  # noqa: E402
from mien.reproduction.finding import Finding  # noqa: E402
from mien.reproduction.rounding import (  # noqa: E402
    bound_correct,
    bound_predictions,
    column,
    find_wrong_f1,
    join,
    mean,
    possible_counts,
)
from mien.reproduction.systems_page import Row, page  # noqa: E402

UNCLAIMED = {"CNN", "HOG + SVM", "PCA + SVM", "PCA + KNN"}
"""Models of B, which prints no figure for any of them."""


def test_tables_have_the_classes_of_their_system() -> None:
    for table in (claims.A_CNN.rows, claims.A_MOBILENET.rows, claims.A_SOURCES):
        assert tuple(table) == SYSTEM_A.labels
    others = (claims.C_REPORT.rows, claims.C_ACCURACY, claims.C_FIGURE_3, claims.D_TRAIN, claims.E_TRAIN, claims.E_TEST)
    for names in (*map(set, others), set(claims.FER2013_COUNTS)):
        assert names == set(FER2013.labels)


def test_sums_that_the_documents_print() -> None:
    assert sum(claims.A_MFLOPS.values()) == pytest.approx(220.9)
    assert sum(claims.D_TRAIN.values()) == sum(claims.E_TEST.values()) == 28709
    assert sum(claims.E_TRAIN.values()) == 7178
    assert sum(claims.FER2013_COUNTS.values()) == 35887
    assert sum(column(claims.A_CNN, "support").values()) == 1306
    assert column(claims.A_CNN, "support") == column(claims.A_MOBILENET, "support")


def test_claims_stand_under_their_system() -> None:
    for name, system in CLAIMS.items():
        assert system.claims
        assert {claim.system for claim in system.claims} == {name}
        assert all(claim.where and (claim.unit or 0 <= claim.value <= 1) for claim in system.claims)
        assert set(system.recipes) & {claim.model for claim in system.claims}
        assert set(system.recipes) - {claim.model for claim in system.claims} <= UNCLAIMED
        assert len(set(system.claims)) == len(system.claims)


@pytest.mark.parametrize(
    ("system", "model", "values"),
    [
        ("A", "CNN", {0.9051, 0.8990, 0.94}),
        ("A", "MobileNetV2", {0.8806}),
        ("C", "CNN", {0.86}),
        ("D", "MobileNetV2, head only", {0.4223}),
        ("E", "VGGNet, cited", {0.7328}),
    ],
)
def test_accuracies(system: str, model: str, values: set[float]) -> None:
    found = {claim.value for claim in published(system).claims if claim.what == "accuracy" and claim.model == model}
    assert found == values


def test_text_of_a_claim() -> None:
    assert Claim("A", "accuracy", "CNN", 0.9051, "Fig. 2").text() == "90.51 %"
    assert Claim("A", "time", "CNN", 3, "Table V", "ms/step").text() == "3 ms/step"


def test_unknown_system() -> None:
    with pytest.raises(OptionError, match="there are A, B, C, D, E"):
        published("F")


def test_counts_behind_a_rounded_share() -> None:
    assert list(possible_counts(0.93, 153)) == [142, 143]
    assert list(possible_counts(0.75, 12)) == [9]
    assert list(possible_counts(1.0, 4)) == [4]
    assert list(possible_counts(0.0, 4)) == [0]
    assert list(possible_counts(0.4, 4)) == []
    assert list(possible_counts(0.125, 4, 2)) == []
    assert list(possible_counts(0.12, 8)) == list(possible_counts(0.13, 8)) == [1]  # 0.125 may go either way
    assert list(possible_counts(0.6154, 3589, 4)) == []
    assert list(possible_counts(0.6154, 7178, 4)) == [4417]


def report(*rows: tuple[float, float, float, int]) -> claims.Report:
    named = {str(number): claims.Scores(*row) for number, row in enumerate(rows)}
    return claims.Report(named, sum(row[3] for row in rows), 0.5)


def test_ranges_of_a_report() -> None:
    # A confusion matrix of [[3, 1], [2, 4]]: precision 3/5 and 4/5, recall 3/4 and 4/6.
    real = report((0.60, 0.75, 0.67, 4), (0.80, 0.67, 0.73, 6))
    assert bound_correct(real) == (7, 7)
    assert bound_predictions(real) == (10, 10)
    assert find_wrong_f1(real) == []
    generous = report((0.95, 0.75, 0.84, 4), (0.95, 0.67, 0.79, 6))  # precise and yet short of answers
    assert bound_predictions(generous)[1] < 10
    assert find_wrong_f1(report((0.60, 0.75, 0.70, 4), (0.80, 0.67, 0.73, 6))) == ["0"]


def test_means_and_rows() -> None:
    assert mean({"a": 0.2, "b": 0.6}) == pytest.approx(0.4)
    assert mean({"a": 0.2, "b": 0.6}, {"a": 3, "b": 1}) == pytest.approx(0.3)
    assert join([1234.56, 7], 1) == "1,234.6 / 7.0"


def test_page() -> None:
    row = Row(
        "CNN, accuracy\n| one view",
        "61.54 %",
        "60.1 %",
        "58.9–61.2 %",
        "d-custom",
        "Table 1",
        "−1.4 points",
        "published",
    )
    findings = [
        Finding("D", "Sum", "28,709", "28,709", True, "adds up"),
        Finding("D", "Weights", "balanced", "1.0", False, "one α"),
        Finding("D", "Speed", "5 ×", "not timed", None, "no machine"),
    ]
    text = page("D", [row], {"d-custom": "other\nsplit"}, findings)
    assert text.startswith("# System D: Three models under focal loss\n\n")
    cells = ("61.54 %", "60.1 %", "58.9–61.2 %", "−1.4 points", "published", "`d-custom`", "Table 1")
    measured = f"| CNN, accuracy \\| one view | {' | '.join(cells)} |"
    assert measured in text.splitlines()
    assert "- `d-custom`: other split" in text.splitlines()
    assert "| Weights | balanced | 1.0 | **no** | one α |" in text.splitlines()
    assert "| Speed | 5 × | not timed | open | no machine |" in text.splitlines()
    assert "3 statements" in text
    assert "1 hold, 1 do not, 1 cannot be decided here." in text
    assert text.endswith(" |\n")
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert [line.replace("\\|", "").count("|") for line in tables] == [9] * 3 + [6] * 5


def test_page_without_rows() -> None:
    text = page("B", [Row("CNN", "", "0.5", "", "", "")], {}, [])
    assert "| CNN | – | 0.5 | – | – | – | – | – |" in text.splitlines()
    assert "Nothing was measured." in page("B", [], {}, [])
    with pytest.raises(OptionError):
        page("Z", [], {}, [])
