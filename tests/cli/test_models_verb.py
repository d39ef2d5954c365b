"""``mien models`` shows what the model files say, within 80 columns, and nothing of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mien.cli import main
from mien.recognition.model_files import bundle, names
from mien.recognition.model_files.corpus import Corpus

FIGURES: dict[str, Any] = {"faces": 40, "accuracy": 0.625, "interval": [0.5, 0.75], "macro_f1": 0.5, "ece": 0.1}


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["models", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_the_table_names_every_model_and_its_corpora(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys).splitlines()
    for name in names.FILES:
        about = bundle.read(name)
        (row,) = [line for line in lines if line.startswith(f"{name} ")]
        measured = about.metrics["private_test" if name != "world8" else "test"]
        assert f"{measured['accuracy'] * 100:.1f} % of {measured['faces']:,}" in row
        assert f" {len(about.labels)} " in row
        assert f"{about.preprocess.size}×{about.preprocess.size} {'grey' if about.preprocess.grey else 'RGB'}" in row
    text = " ".join(" ".join(lines).split())
    for name in names.FILES:
        for corpus in bundle.read(name).trained_on:
            assert f"{corpus.name} {corpus.terms} learned by" in text
    assert all(f"{alias}" in text for alias in names.ALIASES)


@pytest.mark.parametrize("arguments", [[], ["default"], ["nano", "fer7"]])
def test_all_fits_into_80_columns(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert max(map(len, shown(capsys, *arguments).splitlines())) <= 80


def test_many_aliases_and_long_names_fit_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for alias in ("another", "yet-another", "one-more"):
        monkeypatch.setitem(names.ALIASES, alias, "fer7")
    lines = shown(capsys).splitlines()
    assert max(map(len, lines)) <= 80
    assert all(any(alias in line for line in lines) for alias in ("another", "yet-another", "one-more"))


def test_json_lists_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(shown(capsys, "--json"))
    assert [each["model"] for each in listed] == list(names.shipped())
    first = listed[0]
    about = bundle.read("default")
    assert first["aliases"] == list(names.aliases(first["model"]))
    assert first["headline"]["accuracy"] == about.metrics["test"]["accuracy"]
    assert first["trained_on"] == [each.to_dict() for each in about.trained_on]
    assert (first["labels"], first["digest"]) == (list(about.labels.labels), about.digest)


def described(model: Path, run: Path, **changes: Any) -> Path:
    """Write the small model into a run folder, with another description."""
    about = bundle.read(model)
    keys = ("name", "labels", "preprocess", "temperature", "uncertain_below", "provenance", "licence", "recipe_digest")
    values = {key: getattr(about, key) for key in keys}
    run.mkdir()
    bundle.write(run / "model.onnx", about.graph, **{**values, "metrics": {}, **changes})
    return run


def test_the_card_of_a_run_folder(capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path) -> None:
    stated = [Corpus("holiday", "own data (terms not stated)"), Corpus("imagenet", "for research", "pretraining")]
    metrics = {"validation": {**FIGURES, "accuracy": 0.9}, "test": FIGURES, "uncertain": {}}
    run = described(model, tmp_path / "run", metrics=metrics, trained_on=stated, provenance={"recipe": "mine"})
    card = shown(capsys, run)
    assert card.startswith("linear\n")
    for told in ("62.50%", "90.00%", "50.0% – 75.0%", "training: own data", "pretraining: for research", "recipe"):
        assert told in card
    (listed,) = json.loads(shown(capsys, run, "--json"))
    assert listed["headline"] == {"part": "test", "faces": 40, "accuracy": 0.625}


def test_a_file_without_corpora_or_figures_says_so(
    capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path
) -> None:
    run = described(model, tmp_path / "run", metrics={"validation": FIGURES})
    assert "The corpora are not stated in the file." in shown(capsys, run)
    (listed,) = json.loads(shown(capsys, run, "--json"))
    assert (listed["headline"], listed["trained_on"], listed["aliases"]) == (None, [], [])


def test_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "fer77"]) == 2
    assert "Did you mean 'fer7'?" in capsys.readouterr().err
