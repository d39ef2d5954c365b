"""Class order and class words."""

from __future__ import annotations

import pytest

from mien.errors import DataError
from mien.labels import FER2013, LabelSet, canonical


def test_fer2013_codes() -> None:
    assert dict(enumerate(FER2013.labels)) == {
        0: "anger", 1: "disgust", 2: "fear", 3: "happiness", 4: "sadness", 5: "surprise", 6: "neutral",
    }  # fmt: skip
    assert len(FER2013) == 7


@pytest.mark.parametrize(
    ("word", "noun"),
    [("Angry", "anger"), ("HA", "happiness"), ("AF", "fear"), (" sad ", "sadness"), ("contempt", "contempt")],
)
def test_corpus_words(word: str, noun: str) -> None:
    assert canonical(word) == noun


def test_index_takes_both_languages() -> None:
    assert FER2013.index("happy") == FER2013.index("happiness") == 3


def test_index_prefers_the_sets_own_words() -> None:
    # System A keeps "anger" of CK+ and "angry" of KDEF apart.
    ten = LabelSet("ten", ("anger", "angry"))
    assert (ten.index("anger"), ten.index("angry")) == (0, 1)


def test_refusals_name_the_word() -> None:
    with pytest.raises(DataError, match=r"'hapy'.*Did you mean 'happy'"):
        canonical("hapy")
    with pytest.raises(DataError, match="no 'contempt'"):
        FER2013.index("contempt")
    with pytest.raises(DataError, match="distinct"):
        LabelSet("double", ("anger", "anger"))
    with pytest.raises(DataError, match="at least one"):
        LabelSet("none", ())
