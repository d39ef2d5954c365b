"""Which face trains, which chooses, which is only scored: drawn as the recipe says, and nobody on two sides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from corpora import bars

pytestmark = pytest.mark.train
pytest.importorskip("pydantic")
pytest.importorskip("sklearn")

from mien.datasets.faces import FaceSet  # noqa: E402
from mien.errors import DataError  # noqa: E402
from mien.labels import LabelSet  # noqa: E402
from mien.recipes.tables import DataTable  # noqa: E402
from mien.training import parts  # noqa: E402


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    """Seven classes of 20, 2 and 2 faces; the n-th face of each class is of person n."""
    found = bars({"Training": 20, "PublicTest": 2, "PrivateTest": 2})
    starts = {"Training": 0, "PublicTest": 20, "PrivateTest": 22}
    order = [starts[split] + place for split, count in (("Training", 20), ("PublicTest", 2), ("PrivateTest", 2))
             for _ in range(7) for place in range(count)]  # fmt: skip
    return replace(found, subjects=np.array([f"some/{number:02}" for number in order]))


def sizes(faces: FaceSet) -> dict[str, int]:
    names, counts = np.unique(faces.splits, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def test_own_parts_stay(faces: FaceSet) -> None:
    assert parts.arrange(faces, DataTable()) is faces


def test_a_limit_keeps_a_few_faces_of_each_split_corpus_and_class(faces: FaceSet) -> None:
    two = replace(faces, datasets=np.array(["a", "b"])[np.arange(len(faces)) % 2])
    small = parts.arrange(two, DataTable(limit=30))
    assert sizes(small) == {"Training": 28, "PublicTest": 14, "PrivateTest": 14}
    training = small.part(parts.TRAIN)
    assert training.datasets is not None
    assert set(training.counts().values()) == {4}
    assert sorted(training.datasets.tolist()) == ["a"] * 14 + ["b"] * 14
    assert set(training.ids) <= set(two.part(parts.TRAIN).ids)
    assert parts.arrange(two, DataTable(limit=30)).ids == small.ids
    assert parts.arrange(two, DataTable(limit=30, seed=1)).ids != small.ids
    assert sizes(parts.arrange(two, DataTable(limit=1))) == {"Training": 14, "PublicTest": 14, "PrivateTest": 14}


def test_hold_out_chooses_on_training_faces_and_tests_on_all_others(faces: FaceSet) -> None:
    arranged = parts.arrange(faces, DataTable(hold_out=0.1))
    assert sizes(arranged) == {"train": 126, "validation": 14, "test": 28}
    assert set(arranged.part(parts.VALIDATION).counts().values()) == {2}
    assert set(arranged.ids) == set(faces.ids)
    was = dict(zip(faces.ids, faces.splits.tolist(), strict=True))
    assert {was[name] for name in arranged.part(parts.TEST).ids} == {"PublicTest", "PrivateTest"}
    assert {was[name] for name in arranged.part(parts.VALIDATION).ids} == {"Training"}


def test_each_face_and_person_is_tested_in_one_fold(faces: FaceSet) -> None:
    """168 faces of 12 people in 4 folds: 3 people each, of whom nobody is in training or validation."""
    known = replace(faces, subjects=np.array([f"p{row % 12}" for row in range(len(faces))]))
    tested: list[str] = []
    for fold in range(1, 5):
        arranged = parts.arrange(known, DataTable(split="subject", folds=4, fold=fold))
        people = [set(arranged.part(name).subjects.tolist()) for name in (parts.TRAIN, parts.VALIDATION, parts.TEST)]  # type: ignore[union-attr]
        assert [len(names) for names in people[2:]] == [3]
        assert len(set.union(*people)) == sum(map(len, people)) == 12
        tested += arranged.part(parts.TEST).ids
    assert sorted(tested) == sorted(faces.ids)


def test_too_few_people_for_a_validation_set_are_an_error(faces: FaceSet) -> None:
    known = replace(faces, subjects=np.array([f"p{row % 4}" for row in range(len(faces))]))
    with pytest.raises(DataError, match=r"leaves 3 people, too few for a validation set of 5%. Set data.hold_out"):
        parts.arrange(known, DataTable(split="subject", folds=4, fold=1, hold_out=0.05))


def test_folds_by_image_draw_validation_faces_from_the_other_folds(faces: FaceSet) -> None:
    arranged = parts.arrange(faces, DataTable(split="image", folds=4, fold=2, hold_out=1 / 9))
    assert sizes(arranged) == {"train": 112, "validation": 14, "test": 42}
    assert set(arranged.part(parts.TEST).counts().values()) == {6}


@pytest.mark.parametrize("table", [{"hold_out": 0.1}, {"split": "image"}, {"split": "subject"}])
def test_the_draw_hangs_on_its_seed_alone(faces: FaceSet, table: dict[str, Any]) -> None:
    first, again, other = (parts.arrange(faces, DataTable(seed=seed, **table)) for seed in (0, 0, 1))
    assert (first.splits == again.splits).all()
    assert (first.splits != other.splits).any()


def test_split_by_image_keeps_every_class_in_proportion(faces: FaceSet) -> None:
    arranged = parts.arrange(faces, DataTable(split="image", shares=(50.0, 25.0, 25.0)))
    assert sizes(arranged) == {"train": 84, "validation": 42, "test": 42}
    assert set(arranged.part(parts.TEST).counts().values()) == {6}


def test_split_by_subject_has_nobody_on_two_sides(faces: FaceSet) -> None:
    arranged = parts.arrange(faces, DataTable(split="subject"))
    assert arranged.subjects is not None
    people = [set(arranged.subjects[arranged.splits == part]) for part in ("train", "validation", "test")]
    assert len(set.union(*people)) == sum(len(each) for each in people) == 24
    assert all(people)
    assert sizes(arranged)["train"] == pytest.approx(0.7 * 168, abs=7)


def test_faces_of_nobody_are_not_split_by_subject(faces: FaceSet) -> None:
    with pytest.raises(DataError, match=r"no subjects.*data\.split = 'image'"):
        parts.arrange(replace(faces, subjects=None), DataTable(split="subject"))


def test_a_missing_part_is_named_with_the_remedy(faces: FaceSet) -> None:
    with pytest.raises(DataError, match=r"No split 'PublicTest'; this data has Training.*data\.hold_out"):
        parts.arrange(faces.where(faces.splits == "Training"), DataTable())
    with pytest.raises(DataError, match="No split 'Training'"):
        parts.arrange(faces.where(faces.splits != "Training"), DataTable())


def test_other_corpora_words_for_the_parts(faces: FaceSet) -> None:
    words = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
    renamed = faces.resplit([words[split] for split in faces.splits.tolist()])
    assert len(parts.arrange(renamed, DataTable()).part(parts.TRAIN)) == 140


def test_a_class_without_training_faces_is_named(faces: FaceSet) -> None:
    disgust = faces.label_set.index("disgust")
    with pytest.raises(DataError, match=r"No training face of disgust\..*data\.scheme .*a label set without it"):
        parts.arrange(faces.where((faces.labels != disgust) | (faces.splits != "Training")), DataTable())


def test_one_class_is_not_enough(faces: FaceSet) -> None:
    one = replace(faces.where(faces.labels == 0), label_set=LabelSet("one", ("anger",)))
    with pytest.raises(DataError, match="label set one has one class"):
        parts.arrange(one, DataTable())


def test_votes_are_targets_where_a_face_has_some(faces: FaceSet) -> None:
    votes = np.zeros((len(faces), 7), np.float32)
    votes[0] = (0.5, 0, 0, 0, 0, 0, 0.5)
    voted = replace(faces, votes=votes)
    found = parts.targets(voted, DataTable(votes=True))
    assert found[0].tolist() == [0.5, 0, 0, 0, 0, 0, 0.5]
    assert (found[1:] == np.eye(7)[faces.labels[1:]]).all()
    assert (parts.targets(voted, DataTable()) == np.eye(7)[faces.labels]).all()
    with pytest.raises(DataError, match="the data has no votes"):
        parts.targets(faces, DataTable(votes=True))


def changed(faces: FaceSet, part: str, what: str) -> FaceSet:
    place = int(np.flatnonzero(faces.splits == part)[0])
    if what == "pixels":
        pixels = np.array(faces.pixels)
        pixels[place, 0, 0] ^= 1
        return replace(faces, pixels=pixels)
    labels = faces.labels.copy()
    labels[place] = (labels[place] + 1) % 7
    return replace(faces, labels=labels)


@pytest.mark.parametrize("what", ["pixels", "labels"])
def test_the_digest_sees_what_trained_or_chose(faces: FaceSet, what: str) -> None:
    before = parts.describe(faces)
    assert before["parts"] == {"PrivateTest": 14, "PublicTest": 14, "Training": 140}
    assert before["label_set"] == "fer2013"
    for part in ("Training", "PublicTest"):
        assert parts.describe(changed(faces, part, what))["digest"] != before["digest"]
    assert parts.describe(changed(faces, "PrivateTest", what))["digest"] == before["digest"]
    assert parts.describe(parts.arrange(faces, DataTable(split="image")))["digest"] != before["digest"]


def sequences() -> FaceSet:
    """CK+: two sequences of three frames, the first with its neutral frame; KDEF: three photographs of one session."""
    whole = bars({"Training": 2})
    names = ("S1_001_00000001", "S1_001_00000012", "S1_001_00000010", "S1_001_00000011", "S1_002_00000007",
             "S1_002_00000009", "S1_002_00000008", "AF01ANS", "AF01HAS", "AF01SUS")  # fmt: skip
    count = len(names)
    return replace(
        whole.where(np.arange(len(whole)) < count),
        labels=np.array([6, 0, 0, 0, 3, 3, 3, 0, 3, 5]),
        ids=tuple(f"folder/{name}.png" for name in names),
        datasets=np.array(["ckplus"] * 7 + ["kdef"] * 3),
        subjects=np.array(["ckplus/S1"] * 7 + ["kdef/AF01"] * 3),
        columns={"session": np.array(["001"] * 4 + ["002"] * 3 + ["A"] * 3, object)},
    )


def stems(faces: FaceSet) -> list[str]:
    return [name.rpartition("/")[2].removesuffix(".png") for name in faces.ids]


def test_apex_keeps_the_last_frames_of_each_sequence_and_other_corpora() -> None:
    neutral, others = "S1_001_00000001", ["AF01ANS", "AF01HAS", "AF01SUS"]
    assert stems(parts._keep_apex(sequences(), 1)) == [neutral, "S1_001_00000012", "S1_002_00000009", *others]
    two = ["S1_001_00000012", "S1_001_00000011", "S1_002_00000009", "S1_002_00000008"]
    assert stems(parts._keep_apex(sequences(), 2)) == [neutral, *two, *others]
    assert len(parts._keep_apex(sequences(), 9)) == 10


def test_arrange_keeps_the_apex_before_it_splits(faces: FaceSet) -> None:
    """Each person of 24 has a sequence of two frames a class: half of the faces are left, a frame of each sequence."""
    twice = replace(
        faces,
        datasets=np.array(["ckplus"] * len(faces)),
        subjects=np.array([f"ckplus/{row // 2}" for row in range(len(faces))]),
        columns={"session": np.array(["001"] * len(faces), object)},
    )
    arranged = parts.arrange(twice, DataTable(apex=1, split="image", shares=(2.0, 1.0, 1.0)))
    assert twice.subjects is not None
    assert len(arranged) == len(set(zip(twice.subjects.tolist(), twice.labels.tolist(), strict=True))) < len(twice)


def test_apex_needs_sequences() -> None:
    faces = sequences()
    for damaged in (
        replace(faces, datasets=np.array(["kdef"] * len(faces))),
        replace(faces, datasets=None),
        replace(faces, columns={}),
    ):
        with pytest.raises(DataError, match=r"data\.apex is for CK\+"):
            parts._keep_apex(damaged, 1)
    with pytest.raises(DataError, match="names no subject and sequence"):
        parts._keep_apex(replace(faces, columns={"session": np.array([None] * len(faces), object)}), 1)
