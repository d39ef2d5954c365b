"""``mien reproduce`` from the command line, on a generated corpus and one recipe of each system."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from corpora import bars, write_zip

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from mien.cli import DONE, FAILED, main  # noqa: E402
from mien.reproduction import claims  # noqa: E402


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    faces = bars({"Training": 8, "PublicTest": 2, "PrivateTest": 2})
    return write_zip(faces, tmp_path_factory.mktemp("data") / "fer2013.zip")


def test_it_trains_once_and_names_the_page(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(claims.CLAIMS["B"], recipes={"CNN": ("system-b",), "PCA + KNN": ("pca-knn",)})
    monkeypatch.setattr(claims, "CLAIMS", {**claims.CLAIMS, "B": short})
    arguments = ["reproduce", "B", "--data", str(corpus), "--out", str(tmp_path / "out"), "--budget", "smoke"]
    assert main([*arguments, "--page-only"]) == DONE
    assert "Nothing was measured." in (tmp_path / "out" / "B.md").read_text(encoding="utf-8")
    assert "epoch" not in capsys.readouterr().err
    assert main(arguments) == DONE
    first = capsys.readouterr()
    page = Path(first.out.strip())
    assert page == tmp_path / "out" / "B.md"
    assert [line.split()[:2] for line in first.err.splitlines() if line.startswith("epoch")] == [
        ["epoch", "1"], ["epoch", "2"],
    ]  # fmt: skip
    written = page.read_text(encoding="utf-8")
    assert "| CNN: epochs | 20 epochs | 2 epochs |" in written
    assert main(arguments) == DONE
    again = capsys.readouterr()
    assert "epoch " not in again.err
    assert (again.out, page.read_text(encoding="utf-8")) == (first.out, written)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["F", "--data", "{corpus}"], "'F' is none of A, B, C, D, E, all."),
        (["A", "--data", "{corpus}"], "System A needs ckplus48 and kdef; given: fer2013.zip (fer2013-folders). Pass"),
        (["all", "--data", "{corpus}"], "System A needs ckplus48 and kdef"),
        (["E", "--data", "{corpus}", "--data", "{corpus}"], "System E needs one fer2013; given: "),
        (["E", "--data", "nowhere.zip"], "nowhere.zip does not exist"),
        (["E"], "--data"),
        (
            ["E", "--data", "{corpus}", "--budget", "smok"],
            "system-e has no budget 'smok'; it has 2core, smoke. Did you",
        ),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], says: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [each.format(corpus=corpus) for each in arguments]
    assert main(["reproduce", *given, "--out", str(tmp_path / "out")]) == FAILED
    printed = capsys.readouterr().err.strip().splitlines()
    assert says in printed[-1]
    assert printed[-1].startswith("mien: error: ")
    assert len(printed) == 1
    assert not (tmp_path / "out").exists()
