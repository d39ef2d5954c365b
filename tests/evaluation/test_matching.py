"""Classes that only one side has are left out and counted, or named; the others keep their meaning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from corpora import bars

from mien.errors import DataError
from mien.evaluation.matching import match_classes
from mien.labels import CKPLUS, FER2013, FERPLUS, KDEF, SYSTEM_A, LabelSet, scheme_of


def nouns(found: LabelSet, labels: np.ndarray) -> list[str]:
    return [found.labels[place] for place in labels]


def test_ckplus_for_a_model_of_fer2013_loses_contempt_and_lacks_neutral() -> None:
    faces = bars({"": 3}, classes=CKPLUS)
    found = match_classes(faces, FER2013)
    assert found.left_out == {"contempt": 3}
    assert found.faces.label_set == FER2013
    assert found.faces.counts()["neutral"] == 0
    kept = [place for place, noun in enumerate(nouns(CKPLUS, faces.labels)) if noun != "contempt"]
    np.testing.assert_array_equal(found.faces.pixels, faces.pixels[kept])
    assert nouns(FER2013, found.faces.labels) == [nouns(CKPLUS, faces.labels)[place] for place in kept]


def test_the_same_classes_in_another_order_keep_their_nouns() -> None:
    faces = bars({"test": 2}, classes=KDEF)
    found = match_classes(faces, FER2013)
    assert found.left_out == {}
    assert nouns(FER2013, found.faces.labels) == nouns(KDEF, faces.labels)
    assert found.faces.labels.tolist() != faces.labels.tolist()


def test_the_same_classes_are_not_touched() -> None:
    faces = bars({"test": 1})
    votes = np.eye(7, dtype=np.float32)
    found = match_classes(replace(faces, votes=votes), FER2013).faces
    assert found.votes is votes
    np.testing.assert_array_equal(found.labels, faces.labels)


def test_system_a_calls_the_anger_of_kdef_angry() -> None:
    faces = bars({"test": 1}, classes=KDEF)
    of_kdef = match_classes(replace(faces, datasets=np.full(7, "kdef")), SYSTEM_A).faces
    of_ckplus = match_classes(replace(faces, datasets=np.full(7, "ckplus")), SYSTEM_A).faces
    assert nouns(SYSTEM_A, of_kdef.labels)[:2] == ["angry", "disgust"]
    assert nouns(SYSTEM_A, of_ckplus.labels)[:2] == ["anger", "disgust"]
    assert "happy" in nouns(SYSTEM_A, of_kdef.labels)


def test_a_set_that_mien_does_not_know_takes_its_nouns() -> None:
    found = match_classes(bars({"test": 2}), LabelSet("two", ("sadness", "anger")))
    assert nouns(found.faces.label_set, found.faces.labels) == ["anger", "anger", "sadness", "sadness"]
    assert sum(found.left_out.values()) == 10
    assert scheme_of(FERPLUS).classes == FERPLUS


def test_nothing_in_common_is_an_error() -> None:
    with pytest.raises(DataError, match="No face has a class of the model"):
        match_classes(bars({"test": 1}), LabelSet("other", ("contempt", "boredom")))
