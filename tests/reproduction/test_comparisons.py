"""Comparisons of a system's models, and the measured side of its claims, on numbers that were worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.train
pytest.importorskip("torch")
pytest.importorskip("torchvision")

from mien.errors import DataError, FileMissingError  # noqa: E402
from mien.recipes.recipe import load_any  # noqa: E402
from mien.reproduction import measured as module  # noqa: E402
from mien.reproduction.claims import CLAIMS, Claim  # noqa: E402
from mien.reproduction.comparisons import decide, difference_interval, explain_acquaintance, findings  # noqa: E402
from mien.reproduction.finding import Evidence, Measured, Speed  # noqa: E402
from mien.reproduction.measured import Outcome, Quantity, compare_claims, describe_schedule, judge  # noqa: E402
from mien.reproduction.speed import measure  # noqa: E402


def run(model: str, accuracy: float, half: float = 0.01, faces: int = 100, recipe: str = "some") -> Measured:
    return Measured(model, recipe, accuracy, accuracy - half, accuracy + half, faces, "published")


def test_interval_of_a_difference() -> None:
    low, high = difference_interval(run("a", 0.7, 0.03), run("b", 0.6, 0.04))
    assert (low, high) == pytest.approx((0.05, 0.15))  # √(0.03² + 0.04²) = 0.05
    assert [decide(low, high), decide(-0.1, -0.01), decide(-0.01, 0.1), decide(0.0, 0.1)] == [True, False, None, None]


@pytest.mark.parametrize(("cnn", "verdict"), [(0.70, True), (0.65, None), (0.60, False)])
def test_a_comparison_follows_the_runs(cnn: float, verdict: bool | None) -> None:
    finding, *others = findings("D", [run("Custom CNN", cnn), run("MobileNetV2, fine-tuned", 0.65)])
    assert others == []  # the head alone was not run
    assert finding.holds is verdict
    assert finding.published == "61.54 % against 57.06 %"
    assert finding.recomputed.startswith(
        f"{100 * cnn:.2f} % against 65.00 %: {100 * (cnn - 0.65):+.1f}".replace("-", "−")
    )


def test_other_test_sets_decide_nothing() -> None:
    (finding,) = findings("E", [run("CNN", 0.7), run("SVM, cited", 0.5, faces=99)])
    assert finding.holds is None
    assert finding.why == "Test sets of 100 and 99 faces."


def test_acquaintance_needs_both_splits() -> None:
    known, strangers = run("CNN", 0.94, recipe="system-a-cnn-2core"), run("CNN", 0.86, recipe="system-a-cnn-by-subject")
    assert "94.00 % where the split is by image, 86.00 %" in explain_acquaintance([known, strangers])
    assert explain_acquaintance([known, strangers]).endswith("−8.0 points.")
    assert explain_acquaintance([known]) == explain_acquaintance([]) == ""


@pytest.mark.parametrize(
    ("claimed", "value", "interval", "verdict"),
    [
        (0.60, 0.65, (0.62, 0.68), "+5.00 points, claim outside"),
        (0.67, 0.65, (0.62, 0.68), "−2.00 points, claim inside"),
        (0.67, 0.65, None, "−2.00 points"),
    ],
)
def test_judge(claimed: float, value: float, interval: tuple[float, float] | None, verdict: str) -> None:
    assert judge(Claim("A", "accuracy", "CNN", claimed, "Fig. 2"), Quantity("", value, interval)) == verdict


def test_units_of_a_verdict() -> None:
    assert judge(Claim("A", "loss", "CNN", 0.3, "Fig. 2", "nats"), Quantity("", 0.25)) == "−0.05 nats"
    assert judge(Claim("B", "epochs", "CNN", 8, "Fig. 2", "epochs"), Quantity("", 19)) == "+11 epochs"


METRICS: dict[str, Any] = {
    "faces": 10, "accuracy": 0.7, "interval": [0.4, 0.9], "log_loss": 1.0,
    # Precision 3/5 and 4/5, recall 3/4 and 4/6, F1 6/9 and 8/11; the third class has no face.
    "confusion": [[3, 1, 0], [2, 4, 0], [0, 0, 0]],
    "per_class": {"fear": {}, "happiness": {}, "disgust": {}},
    "without_training_copies": {"faces": 10, "accuracy": 0.7, "interval": [0.4, 0.9]},
}  # fmt: skip


def rows(system: str, model: str, recipe: str) -> dict[str, str]:
    outcome = Outcome(model, load_any(recipe, "2core"), (METRICS,), Path())
    return {row.what: row.measured for row in compare_claims(system, outcome)}


def test_system_cs_overall_scores_are_compared_with_weighted_means() -> None:
    assert rows("C", "CNN", "system-c") == {
        "CNN: accuracy": "70.00 %",
        "CNN: precision (weighted mean)": "72.00 %",  # 0.4 · 3/5 + 0.6 · 4/5
        "CNN: recall (weighted mean)": "70.00 %",
        "CNN: F1 (weighted mean)": "70.30 %",  # 0.4 · 6/9 + 0.6 · 8/11
    }


def test_the_mean_is_the_one_that_the_documents_table_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "fitting_means", lambda *_: ["macro"])
    assert rows("C", "CNN", "system-c")["CNN: precision (macro mean)"] == "70.00 %"


def test_macro_and_weighted_f1_and_recalls() -> None:
    measured = rows("A", "CNN", "system-a-cnn")
    assert (measured["CNN: macro F1"], measured["CNN: weighted F1"]) == ("69.70 %", "70.30 %")
    outcome = Outcome("CNN", load_any("system-e-tuned"), (METRICS,), Path())
    monkey = {row.what: row for row in compare_claims("E", _only(outcome))}
    assert monkey["CNN: recall of happiness"].measured == "66.67 %"
    assert "CNN: recall of disgust" not in monkey  # no face of it


def _only(outcome: Outcome) -> Outcome:
    labels = ["fear", "happiness", "disgust", "sadness", "neutral", "surprise"]
    confusion = [[*row, 0, 0, 0] for row in METRICS["confusion"]] + [[0] * 6] * 3
    metrics = {**METRICS, "per_class": {label: {} for label in labels}, "confusion": confusion}
    return Outcome(outcome.model, outcome.recipe, (metrics,), outcome.folder)


@pytest.mark.parametrize(
    ("system", "recipe", "budget", "schedule"),
    [
        ("A", "system-a-cnn", "", "published"),
        ("A", "system-a-cnn", "apex", "published"),
        ("A", "system-a-cnn", "80-20", "published"),
        ("A", "system-a-cnn", "algorithm1", "published"),
        ("A", "system-a-cnn", "2core", "Mien's"),
        ("B", "system-b", "2core", "published"),  # its table changes nothing but the text
        ("B", "system-b-tuned", "", "Mien's"),
        ("B", "hog-svm", "", "Mien's"),
        ("D", "system-d-cnn", "smoke", "Mien's"),
        ("E", "system-e", "", "published"),
    ],
)
def test_schedules(system: str, recipe: str, budget: str, schedule: str) -> None:
    assert describe_schedule(system, load_any(recipe, budget)) == schedule


def test_published_schedules_are_recipes_of_their_system() -> None:
    for system in CLAIMS.values():
        assert set(system.schedules) <= {name for names in system.recipes.values() for name in names}
        assert system.schedules


def test_evidence_is_kept_beside_the_page(tmp_path: Path) -> None:
    counted = Evidence(ckplus={"anger": 3}, kdef={"anger": 2}, people=(1, 3), speed=Speed(2.0, 1.0, 1, 5))
    counted.write(tmp_path / "A.json")
    assert Evidence.read(tmp_path / "A.json") == counted
    with pytest.raises(FileMissingError, match=r"B\.json does not exist; `mien reproduce` writes it"):
        Evidence.read(tmp_path / "B.json")
    for damaged in ("{", "[]", '{"faces": 3}', '{"speed": {"cnn": 1}}'):
        (tmp_path / "B.json").write_text(damaged, encoding="utf-8")
        with pytest.raises(DataError, match="is not evidence that `mien reproduce` wrote"):
            Evidence.read(tmp_path / "B.json")


def test_both_networks_are_timed() -> None:
    timed = measure(1, seconds=0.0)
    assert timed.cnn > 0
    assert timed.mobilenet > 0
    assert (timed.threads, timed.rounds) == (1, 1)
