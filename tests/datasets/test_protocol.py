"""The protocol's corpora: which rows of a part are scored, what is left out and counted, and what limits do."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from corpora import bars, face, members, pack_zip, plant, png, write_csv

pytest.importorskip("pyarrow")

from mien.datasets import protocol
from mien.datasets.rows import Row
from mien.errors import DataError, FileMissingError, OptionError
from mien.labels import FER2013, FERPLUS

KDEF = {
    f"KDEF/{word}/{session}{actor}{code}S.png": png(face(seed))
    for seed, (word, session, actor, code) in enumerate(
        [
            ("angry", "A", "F01", "AN"),
            ("happy", "A", "F01", "HA"),
            ("happy", "B", "M02", "HA"),
            ("sad", "A", "M31", "SA"),
        ]
    )
}
ENTRIES = {entry.name: entry for entry in protocol.PROTOCOL}


def votes(verdicts: list[str], usages: list[str]) -> str:
    """FER+'s list; a verdict is a class that all ten chose, or ``split`` for no majority."""
    columns = [*FERPLUS.labels, "unknown", "NF"]
    lines = ["Usage,Image name," + ",".join(columns)]
    for number, (verdict, usage) in enumerate(zip(verdicts, usages, strict=True)):
        counts = [5, 5, *[0] * 8] if verdict == "split" else [10 * (name == verdict) for name in columns]
        lines.append(f"{usage},fer{number:07d}.png,{','.join(map(str, counts))}")
    return "\n".join(lines) + "\n"


def test_a_whole_corpus_with_the_sexes_that_its_names_tell(tmp_path: Path) -> None:
    pack_zip(tmp_path / "kdef_frontal350.zip", KDEF)
    material = protocol.read(ENTRIES["kdef"], tmp_path, "")
    assert [sample.label for sample in material.samples] == ["anger", "happiness", "happiness", "sadness"]
    assert Counter(sample.groups["sex"] for sample in material.samples) == {"female": 2, "male": 2}
    assert material.samples[0].image == KDEF[material.samples[0].id]  # encoded, as a photo is given to predict
    assert (material.available, material.left_out) == (4, {})


def test_a_part_is_scored_and_classes_that_are_not_told_apart_are_counted(tmp_path: Path) -> None:
    plant(tmp_path / "fer2013.zip", members(bars({"Training": 2, "PublicTest": 1, "PrivateTest": 3})))
    entry = replace(ENTRIES["fer2013"], classes=replace(FER2013, labels=FER2013.labels[:5]))
    material = protocol.read(entry, tmp_path, "PrivateTest")
    assert len(material.samples) == 15
    assert all("PrivateTest" in sample.id for sample in material.samples)
    assert material.left_out == {"neutral": 3, "surprise": 3}
    assert len(protocol.read(entry, tmp_path, "PublicTest").samples) == 5


def test_votes_become_labels_and_faces_without_a_majority_are_counted(tmp_path: Path) -> None:
    faces = bars({"PrivateTest": 1})
    write_csv(faces, tmp_path / "fer.csv")
    verdicts = ["contempt", "split", "happiness", "NF", "fear", "unknown", "neutral"]
    plant(tmp_path / "ferplus", {"fer2013new.csv": votes(verdicts, ["PrivateTest"] * 7)})
    material = protocol.read(replace(ENTRIES["ferplus"], file="fer.csv"), tmp_path, "PrivateTest")
    assert [sample.label for sample in material.samples] == ["contempt", "happiness", "fear", "neutral"]
    assert material.left_out == {"no label": 3}
    np.testing.assert_array_equal(material.samples[0].image, faces.pixels[0])


def test_ambiguous_votes_are_counted_in_their_part_alone(tmp_path: Path) -> None:
    files = members(bars({"PublicTest": 1, "PrivateTest": 1}))
    plant(tmp_path / "fer2013.zip", files)
    table = ["path,ferplus_row,match,fer_classes_in_group"]
    for name in files:
        ambiguous = 2 if "happy" in name else 1
        table.append(f"{name},0,unique,{ambiguous}")
    listed = {"fer2013new.csv": votes(["anger"], ["PublicTest"]), "fer2013_to_ferplus.csv": "\n".join(table) + "\n"}
    plant(tmp_path / "ferplus", listed)
    material = protocol.read(ENTRIES["ferplus"], tmp_path, "PrivateTest")
    assert (len(material.samples), material.left_out) == (6, {"ambiguous votes": 1})


def test_listed_leaks_and_rows_without_a_label_are_not_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack_zip(tmp_path / "affectnet7.zip", {f"test/happy/{number}.png": png(face(number)) for number in range(3)})
    rows = [
        Row("test/happy/0.png", "happiness", "affectnet7", "test", flags=("listed_leak",)),
        Row("test/happy/1.png", None, "affectnet7", "test"),
        Row("test/happy/3.png", "happiness", "affectnet7", "test", flags=("blank", "listed_conflict")),
        Row("test/happy/2.png", "happiness", "affectnet7", "test", own={"age": 31, "sex": None}),
        Row("train/happy/9.png", "happiness", "affectnet7", "train"),
    ]
    monkeypatch.setattr("mien.datasets.protocol.index.items", lambda *_, **__: iter(rows))
    material = protocol.read(ENTRIES["affectnet7"], tmp_path, "test")
    assert [sample.id for sample in material.samples] == ["test/happy/2.png"]
    assert material.samples[0].groups == {"age": "31"}
    assert material.left_out == {"listed conflict": 1, "listed leak": 1, "no label": 1}


def test_a_limit_is_spread_over_the_classes(tmp_path: Path) -> None:
    plant(tmp_path / "fer2013.zip", members(bars({"PrivateTest": 10})))
    material = protocol.read(ENTRIES["fer2013"], tmp_path, "PrivateTest", limit=14)
    assert (len(material.samples), material.available) == (14, 70)
    assert set(Counter(sample.label for sample in material.samples).values()) == {2}
    assert len(protocol.read(ENTRIES["fer2013"], tmp_path, "PrivateTest", limit=900).samples) == 70
    with pytest.raises(OptionError, match="limit = 0"):
        protocol.read(ENTRIES["fer2013"], tmp_path, "PrivateTest", limit=0)


def test_the_digest_is_of_the_pictures(tmp_path: Path) -> None:
    pack_zip(tmp_path / "kdef_frontal350.zip", KDEF)
    first = protocol.read(ENTRIES["kdef"], tmp_path, "")
    assert first.digest() == protocol.read(ENTRIES["kdef"], tmp_path, "").digest()
    renamed = replace(first, samples=(replace(first.samples[0], label="fear"), *first.samples[1:]))
    assert renamed.digest() == first.digest()
    other = replace(first, samples=(replace(first.samples[0], image=png(face(9))), *first.samples[1:]))
    assert len({first.digest(), other.digest(), replace(first, samples=first.samples[1:]).digest()}) == 3


def test_classes_can_be_left_out_later() -> None:
    samples = tuple(protocol.Sample(str(number), label, b"") for number, label in enumerate(("fear", "contempt")))
    material = protocol.Material(ENTRIES["ferplus"], "PrivateTest", samples, 2, {"no label": 4})
    kept = protocol.keep_classes(material, FER2013.labels)
    assert [sample.label for sample in kept.samples] == ["fear"]
    assert kept.left_out == {"contempt": 1, "no label": 4}


def test_which_parts_may_be_chosen_on() -> None:
    validation = {entry.name: entry.part(validation=True) for entry in protocol.PROTOCOL}
    assert {name for name, part in validation.items() if part is None} == {"kdef", "ckplus350", "ckplus48"}
    assert {part for part in validation.values() if part} <= set(protocol.VALIDATION)
    scored = {entry.name: entry.part(validation=False) for entry in protocol.PROTOCOL}
    assert scored["rafdb"] == "validation"  # its test part is out of reach
    assert (scored["ferplus"], scored["affectnet7"], scored["kdef"]) == ("PrivateTest", "test", "")


def test_corpora_are_chosen_by_name() -> None:
    assert protocol.select_entries(None) == protocol.PROTOCOL
    assert [entry.name for entry in protocol.select_entries("kdef, rafdb")] == ["rafdb", "kdef"]
    with pytest.raises(OptionError, match="Did you mean 'rafdb'"):
        protocol.select_entries("raf")
    with pytest.raises(OptionError, match="--corpora is empty"):
        protocol.select_entries(" , ")


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match="kdef_frontal350"):
        protocol.read(ENTRIES["kdef"], tmp_path, "")
    plant(tmp_path / "fer2013.zip", members(bars({"Training": 1})))
    with pytest.raises(DataError, match="no sample in the split 'PrivateTest'"):
        protocol.read(ENTRIES["fer2013"], tmp_path, "PrivateTest")
