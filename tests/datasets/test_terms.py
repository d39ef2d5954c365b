"""Every corpus that Mien reads has its terms, and an own one says that it has none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

from mien.datasets import terms
from mien.datasets.formats.readers import READERS
from mien.recognition.model_files.corpus import Corpus, parse


def test_every_reader_of_a_corpus_states_its_terms() -> None:
    assert [name for name, reader in READERS.items() if (reader.terms is None) != reader.general] == []


def test_the_page_lists_every_format() -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")
    table = page.split("\n| format | ")[1].split("\n\n")[0]
    assert re.findall(r"^\| `([a-z0-9-]+)` \|", table, re.M) == list(READERS)


@pytest.mark.parametrize("name", sorted(terms.TERMS))
def test_terms_fit_a_model_file(name: str) -> None:
    stated = terms.corpus(name)
    assert parse([stated.to_dict()]) == (stated,)
    assert stated.terms != terms.OWN
    assert all((terms.TERMS[name].title, terms.TERMS[name].source))


def test_an_own_corpus_states_no_terms() -> None:
    assert terms.corpus("holiday") == Corpus("holiday", "own data (terms not stated)", "training")
    assert terms.corpus("").name == "own"
    assert terms.corpus("two\nlines").name.isprintable()


def test_labels_bring_the_corpus_of_their_images_along() -> None:
    assert [each.name for each in terms.corpora(["ferplus"])] == ["fer2013", "ferplus"]
    assert [each.name for each in terms.corpora(["ckplus", "fer2013", "ferplus"])] == ["ckplus", "fer2013", "ferplus"]
