"""Quick forms of benchmarks/fuzz.py and kills.py; the first test shows that the fuzzer sees what is wrong."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

pytest.importorskip("psutil")
if not hasattr(signal, "SIGKILL"):
    pytest.skip("kills and limits processes as only Unix can", allow_module_level=True)

import fuzz
import kills
from fuzz_mutate import binary, text


def run(door: str, out: Path, *options: str) -> dict[str, object]:
    code = fuzz.main([door, "--workers", "1", "--out", str(out), *options])
    summary: dict[str, object] = json.loads((out / f"{door}-0.json").read_text())
    assert code == (0 if set(summary["outcomes"]) <= set(fuzz.GOOD) else 1)  # type: ignore[call-overload]
    return summary


def test_every_outcome_is_seen_and_kept_and_a_run_is_gone_on_with(tmp_path: Path) -> None:
    options = ("--count", "8", "--patience", "2")
    summary = run("itself", tmp_path, *options)
    assert summary["outcomes"] == {"read": 2, "refused": 1, "traceback": 1, "memory": 1, "crash": 2, "hang": 1}
    findings = {finding["case"]: finding for finding in summary["findings"]}  # type: ignore[attr-defined]
    assert {case: finding["outcome"] for case, finding in findings.items()} == {
        2: "traceback", 3: "memory", 4: "crash", 5: "hang", 6: "crash",
    }  # fmt: skip
    assert "KeyError" in findings[2]["why"]
    assert (tmp_path / "findings" / "itself-0-5.bin").read_bytes().startswith(b"case 5 ")
    again = run("itself", tmp_path, *options)
    assert (again["ran"], again["outcomes"]) == (0, summary["outcomes"])


@pytest.mark.parametrize(
    ("door", "count", "needs"),
    [
        ("images", 76, "fastapi"), ("films", 14, "av"), ("archives", 28, "pyarrow"), ("manifests", 30, "pyarrow"),
        ("models", 30, "onnx"), ("recipes", 60, "pydantic"),
    ],
)  # fmt: skip
def test_a_door_reads_or_refuses(door: str, count: int, needs: str, tmp_path: Path) -> None:
    pytest.importorskip(needs)
    summary = run(door, tmp_path, "--count", str(count), "--patience", "30")
    assert set(summary["outcomes"]) == {"read", "refused"}, summary["findings"]  # type: ignore[call-overload]


@pytest.mark.parametrize("change", [binary, text])
def test_the_same_numbers_make_the_same_file(change: object) -> None:
    from random import Random

    seed = b'name = "a"\n[train]\nepochs = 3\nrate = 0.5\n' * 3
    made = [[change(seed, Random(case), [seed]) for case in range(50)] for _ in range(2)]  # type: ignore[operator]
    assert made[0] == made[1]
    assert len(set(made[0])) > 40


@pytest.mark.parametrize("verb", ["predict", "index"])
def test_a_killed_run_is_resumed_to_the_same(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyarrow")
    assert kills.main(["--kills", "1", "--verbs", verb, "--out", str(tmp_path)]) == 0
    summary = json.loads((tmp_path / f"{verb}-0.json").read_text())
    assert summary["kills"] >= 1
    assert f"| {verb} | {summary['kills']} | " in capsys.readouterr().out


def test_a_run_that_ends_otherwise_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    kept = kills.Index.result
    monkeypatch.setattr(kills, "finish", lambda verb, out, resume: None)
    monkeypatch.setattr(kills.Index, "result", lambda verb, out: kept(verb, out) if out.name == "0" else {"rows": []})
    assert kills.main(["--kills", "1", "--verbs", "index", "--out", str(tmp_path)]) == 1
    cases = json.loads((tmp_path / "index-0.json").read_text())["cases"]
    assert "differs: rows, problems" in [case["wrong"] for case in cases]
