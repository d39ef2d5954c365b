"""A model's card: what its file says, in Python as on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mien
from mien.cli import main
from mien.errors import ModelError
from mien.recognition.model_files import bundle


def test_the_card_says_what_the_file_says() -> None:
    card, file = mien.ModelCard.read(), bundle.read("default")
    assert (card.name, card.labels, card.bytes) == (file.name, file.labels.labels, len(file.graph))
    assert (card.metrics, card.trained_on, card.licence) == (file.metrics, file.trained_on, file.licence)
    assert card.aliases == ("default",)
    assert card.headline is not None
    assert card.headline.accuracy == file.metrics["test"]["accuracy"]
    assert repr(card) == f"<ModelCard world8: 8 classes, 8.8 MB, {card.headline.accuracy:.1%} of 6,928 faces of test>"


@pytest.mark.parametrize("name", mien.list_models())
def test_it_prints_what_mien_models_prints(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    card = mien.ModelCard.read(name)
    assert main(["models", name]) == 0
    assert capsys.readouterr().out == f"{card}\n\n"
    assert main(["models", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [json.loads(json.dumps(card.to_dict()))]
    for corpus in card.trained_on:
        assert corpus.name in str(card)


def test_a_recognizer_has_the_card_of_its_file(model: Path) -> None:
    assert mien.load("nano", threads=1).card == mien.ModelCard.read("nano")
    assert mien.load(model, threads=1).card == mien.ModelCard.read(model)
    # Fewer classes do not change what was measured, so the card keeps to the file.
    fewer = mien.load("nano", threads=1, classes=["happiness", "sadness"])
    assert fewer.labels == ("happiness", "sadness")
    assert fewer.card == mien.ModelCard.read("nano")


def test_an_unknown_model_has_no_card() -> None:
    with pytest.raises(ModelError, match="Did you mean 'fer7'"):
        mien.ModelCard.read("fer77")
