"""The names of the classes in other languages."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

import mien
from mien.drawing import languages
from mien.drawing.draw import COLOURS, _colour, check_labels
from mien.errors import OptionError
from mien.labels import HARMONISED
from mien.results import Box, Face


def test_every_language_has_every_class_once() -> None:
    assert {"en", "de", "fr", "es", "it", "pt", "nl", "pl", "tr", "ru", "ja", "zh", "ko"} <= set(languages.known())
    for language, table in languages.words().items():
        assert set(table) == set(HARMONISED.labels), language
        assert len(set(table.values())) == len(table), language
        assert all(name == name.strip() and name.isprintable() and "," not in name for name in table.values())


def test_no_word_means_two_emotions() -> None:
    """Colours, and explanations of a class by its name, go from the word back to the class."""
    meanings = defaultdict(set)
    for table in languages.words().values():
        for label, name in table.items():
            meanings[name.casefold()].add(label)
    assert {name: labels for name, labels in meanings.items() if len(labels) > 1} == {}


def test_codes() -> None:
    assert languages.translate(("happiness", "mine"), "de") == ("Freude", "mine")
    assert languages.translate(("anger",), "pt_BR") == languages.translate(("anger",), "PT") == ("raiva",)
    assert languages.translate(("fear",), "zh-Hant") == ("恐懼",)
    with pytest.raises(OptionError, match="expected a language of"):
        languages.translate(("anger",), "xx")


def test_a_recognizer_speaks_a_language(model: Path, examples: Path) -> None:
    german, english = (mien.load(model, labels=code, threads=1) for code in ("de", None))
    assert german.labels == ("Wut", "Ekel", "Angst", "Freude", "Trauer", "Überraschung", "neutral")
    photo = examples / "astronaut.jpg"
    face, plain = german.predict(photo)[0], english.predict(photo)[0]
    assert face.values == plain.values
    assert list(face.probabilities) == list(german.labels)
    assert german.renamed("other").labels == german.labels


def test_drawing_in_a_language() -> None:
    face = Face(Box(0, 0, 9, 9), 1.0, None, ("Freude", "Wut"), (0.8, 0.2), False)
    assert _colour(face) == COLOURS["happiness"]
    assert [check_labels(name) for name in ("auto", "ja")] == ["auto", "ja"]
    with pytest.raises(OptionError, match="Did you mean 'names'"):
        check_labels("nams")
