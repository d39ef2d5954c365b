"""Class order and class words."""

from __future__ import annotations

import pytest

from mien.errors import DataError, OptionError
from mien.labels import FER2013, LabelSet, canonical, grouped, own, scheme, smallest


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


def test_every_set_and_scheme() -> None:
    names = {"fer2013": 7, "ferplus": 8, "ckplus": 7, "kdef": 7, "harmonised": 8, "system-a": 10}
    assert {name: len(scheme(name).classes) for name in names} == names
    with pytest.raises(OptionError, match="Did you mean 'ferplus'"):
        scheme("ferpls")


def test_system_a_keeps_the_words_of_its_two_corpora_apart() -> None:
    ten = scheme("system-a")
    nouns = scheme("harmonised").classes.labels
    assert {ten.of(noun, "ckplus") for noun in nouns} | {ten.of(noun, "kdef") for noun in nouns} == set(
        ten.classes.labels
    )
    assert (ten.of("anger", "ckplus"), ten.of("anger", "kdef")) == ("anger", "angry")
    assert (ten.of("sadness", "ckplus"), ten.of("sadness", "kdef")) == ("sadness", "sad")


def test_groups_of_the_users_own() -> None:
    mine = grouped("valence", {"negative": ["angry", "fear", "SA"], "positive": ["joy"]})
    assert mine.classes.labels == ("negative", "positive")
    assert [mine.of(noun) for noun in ("sadness", "happiness", "neutral", None)] == ["negative", "positive", None, None]
    with pytest.raises(DataError, match="fear stands in 'a' and in 'b'"):
        grouped("twice", {"a": ["fear"], "b": ["afraid"]})


def test_smallest_set_that_holds_all() -> None:
    assert smallest({"anger", "neutral"}).classes is FER2013
    assert smallest({"anger", "contempt"}).classes.name == "ckplus"
    assert smallest({"neutral", "contempt"}).classes.name == "ferplus"
    assert smallest({"yawning", "anger"}).classes == LabelSet("own", ("anger", "yawning"))


def test_own_classes_keep_their_words_and_order() -> None:
    found = own(["sleepy", "happy"])
    assert found.classes == LabelSet("own", ("sleepy", "happy"))
    assert (found.of("happy"), found.of("happiness")) == ("happy", None)


@pytest.mark.parametrize("words", [["a,b", "c"], [" a", "c"], ["", "c"], ["a\nb", "c"], ["a", "a"], []])
def test_own_classes_need_names_that_fit_a_list(words: list[str]) -> None:
    with pytest.raises(DataError):
        own(words)
