"""Every corpus that Mien reads has its terms, and an own one says that it has none."""

from __future__ import annotations

import pytest

from mien.datasets import terms
from mien.recognition.model_files.corpus import Corpus, parse

READ = ("fer2013", "ferplus", "ckplus", "kdef", "jaffe", "rafdb", "affectnet")


@pytest.mark.parametrize("name", sorted({*READ, *terms.TERMS}))
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
