"""Predictions come back from their file bit for bit; another file is refused in one line that says what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import bars

pa = pytest.importorskip("pyarrow")

from pyarrow import parquet  # noqa: E402

from mien.datasets.faces import FaceSet  # noqa: E402
from mien.errors import DataError, FileMissingError  # noqa: E402
from mien.evaluation import predictions  # noqa: E402
from mien.evaluation.predictions import KEY, Predictions, check_same_faces, compute_digest, from_faces, join, read  # noqa: E402
from mien.labels import FER2013, LabelSet  # noqa: E402
from mien.recognition.classifier import softmax  # noqa: E402


def answered(faces: FaceSet, seed: int = 0, **about: Any) -> Predictions:
    draw = np.random.default_rng(seed)
    probabilities = softmax(draw.normal(0, 1, (len(faces), len(faces.label_set))))
    told = {"model": f"model {seed}", "model_digest": str(seed) * 64, "temperature": 1.3, **about}
    return from_faces(probabilities, faces, draw.random(len(faces)) < 0.3, **told)


@pytest.fixture
def faces() -> FaceSet:
    return bars({"PublicTest": 2, "PrivateTest": 3})


@pytest.fixture
def file(faces: FaceSet, tmp_path: Path) -> Path:
    return answered(faces).write(tmp_path / "seed=0.parquet")


def check_equal(found: Predictions, expected: Predictions) -> None:
    for name in ("probabilities", "labels", "split", "source", "copy", "crops"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype.kind == theirs.dtype.kind
    assert (found.label_set, found.about) == (expected.label_set, expected.about)


def test_the_file_holds_everything(faces: FaceSet, file: Path) -> None:
    check_equal(read(file), answered(faces))
    assert not list(file.parent.glob("*.part"))


def test_a_folder_named_like_a_partition_adds_no_column(faces: FaceSet, tmp_path: Path) -> None:
    (tmp_path / "seed=0").mkdir()
    check_equal(read(answered(faces).write(tmp_path / "seed=0" / "predictions.parquet")), answered(faces))


def test_crops_are_optional_and_compressed(faces: FaceSet, file: Path, tmp_path: Path) -> None:
    blank = replace(faces, pixels=np.zeros_like(faces.pixels))
    assert answered(blank).write(tmp_path / "blank.parquet").stat().st_size < file.stat().st_size / 3
    none = read(replace(answered(faces), crops=None).write(tmp_path / "none.parquet"))
    assert none.crops is None
    np.testing.assert_array_equal(none.labels, faces.labels)


def test_the_file_can_be_read_without_its_crops(faces: FaceSet, file: Path) -> None:
    whole, light = read(file), read(file, crops=False)
    assert whole.crops is not None
    assert light.crops is None
    np.testing.assert_array_equal(light.probabilities, whole.probabilities)
    assert light.about == whole.about


def test_parts_and_what_is_right(faces: FaceSet) -> None:
    found = answered(faces)
    private = found.part("PrivateTest")
    assert len(private) == 21
    assert private.crops is not None
    np.testing.assert_array_equal(private.crops, faces.part("PrivateTest").pixels)
    np.testing.assert_array_equal(private.right, found.right[faces.splits == "PrivateTest"])
    np.testing.assert_array_equal(found.right, found.probabilities.argmax(1) == faces.labels)
    with pytest.raises(DataError, match="No predictions of 'Training'; there are PrivateTest, PublicTest"):
        found.part("Training")


def test_parts_put_together_are_the_whole(faces: FaceSet) -> None:
    whole = answered(faces)
    found = join([whole.part("PublicTest"), whole.part("PrivateTest")])
    check_equal(found, replace(whole, about=found.about))
    with pytest.raises(DataError, match="2 different models"):
        join([whole, answered(faces, 1)])


def test_the_digest_is_of_pixels_labels_parts_and_sources(faces: FaceSet) -> None:
    others = [
        replace(faces, pixels=255 - np.asarray(faces.pixels)),
        replace(faces, labels=faces.labels[::-1].copy()),
        replace(faces, splits=np.full(len(faces), "test")),
        replace(faces, ids=tuple(reversed(faces.ids))),
    ]
    assert len({compute_digest(each) for each in [faces, *others]}) == 5
    assert compute_digest(replace(faces)) == compute_digest(faces)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "missing or unknown columns: copy": lambda table: table.drop_columns(["copy"]),
    "missing or unknown columns: extra": lambda table: table.append_column("extra", [[0] * len(table)]),
    "Unknown labels joy": lambda table: table.set_column(1, "label", [["joy"] * len(table)]),
    "NaN": lambda table: table.set_column(0, "probabilities", [[[float("nan")] * 7] * len(table)]),
    "sum to": lambda table: table.set_column(0, "probabilities", [[[0.5] * 7] * len(table)]),
    "Probabilities of shape": lambda table: table.set_column(0, "probabilities", [[[0.5] * 2] * len(table)]),
    "A crop is not an image": lambda table: table.set_column(5, "crop", [[b"no"] * len(table)]),
}


@pytest.mark.parametrize("says", CHANGES)
def test_a_changed_file_is_refused(says: str, file: Path) -> None:
    table = parquet.ParquetFile(file).read()
    parquet.write_table(CHANGES[says](table).replace_schema_metadata(table.schema.metadata), file)
    with pytest.raises(DataError, match=says) as caught:
        read(file)
    assert str(file) in str(caught.value)
    assert "mien evaluate" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_version_or_another_file_is_refused(file: Path, tmp_path: Path) -> None:
    table = parquet.ParquetFile(file).read()
    info = json.loads(table.schema.metadata[KEY])
    parquet.write_table(table.replace_schema_metadata({KEY: json.dumps({**info, "schema": 2})}), file)
    with pytest.raises(DataError, match="schema 2; expected 1"):
        read(file)
    parquet.write_table(table.replace_schema_metadata(None), file)
    with pytest.raises(DataError, match="predictions of Mien"):
        read(file)
    file.write_bytes(b"no parquet at all")
    with pytest.raises(DataError, match="predictions of Mien"):
        read(file)
    with pytest.raises(FileMissingError, match="mien evaluate"):
        read(tmp_path / "nowhere.parquet")


def test_arrays_of_other_lengths_are_refused(faces: FaceSet) -> None:
    found = answered(faces)
    with pytest.raises(DataError, match="expected equal lengths"):
        replace(found, source=found.source[1:])
    with pytest.raises(DataError, match="expected equal lengths"):
        replace(found, crops=found.crops[1:])  # type: ignore[index]
    with pytest.raises(DataError, match="Probabilities of shape"):
        replace(found, labels=found.labels[1:])


def test_the_same_faces(faces: FaceSet) -> None:
    first, second = answered(faces), answered(faces, 1)
    check_same_faces(first, second)
    check_same_faces(first.part("PrivateTest"), answered(faces.part("PrivateTest"), 1))
    bare = [replace(each, crops=None) for each in (first, second)]
    check_same_faces(*bare)
    order = LabelSet("other order", tuple(sorted(FER2013.labels)))
    turn = np.array([order.labels.index(label) for label in FER2013.labels])
    check_same_faces(first, replace(second, label_set=order, labels=turn[second.labels]))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda faces: faces.part("PublicTest"), "have 35 and 14 faces"),
        (lambda faces: replace(faces, splits=faces.splits[::-1]), "differ in their splits, first in row 0"),
        (lambda faces: replace(faces, ids=tuple(reversed(faces.ids))), "differ in their sources"),
        (lambda faces: replace(faces, labels=(faces.labels + 1) % 7), "'anger' and 'disgust'"),
        (lambda faces: replace(faces, pixels=255 - np.asarray(faces.pixels)), "the pixels differ"),
    ],
)
def test_other_faces_are_named(change: Callable[[FaceSet], FaceSet], says: str, faces: FaceSet) -> None:
    with pytest.raises(DataError, match=says) as caught:
        check_same_faces(answered(faces), answered(change(faces), 1))
    assert "model 0 and model 1" in str(caught.value)
    assert "Evaluate both" in str(caught.value)


def test_without_crops_other_pixels_are_noticed_by_the_digest(faces: FaceSet) -> None:
    first = replace(answered(faces), crops=None)
    second = replace(answered(replace(faces, pixels=255 - np.asarray(faces.pixels)), 1), crops=None)
    with pytest.raises(DataError, match="the pixels differ"):
        check_same_faces(first, second)


def test_the_columns_are_what_the_page_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for column in predictions.COLUMNS:
        assert f"`{column}`" in page
