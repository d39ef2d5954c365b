"""Somebody's own photos: words and people as they are, copies and people in one part, warnings that are true."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from corpora import face, plant, png

pytest.importorskip("pyarrow")
pytest.importorskip("sklearn")

from mien.datasets import manifest, own
from mien.datasets.formats import photos
from mien.datasets.prepare import prepare
from mien.errors import DataError, OptionError
from mien.preprocess import PreprocessSpec, apply
from mien.recognition.detection.detect import get_detector

PEOPLE = "p[0-9]+"


def corpus(folder: Path, people: int = 9, classes: tuple[str, ...] = ("wide awake", "Müde")) -> Path:
    files: dict[str, bytes | str] = {
        f"{word}/p{person}_{shot}.png": png(face(person * 100 + number * 10 + shot))
        for number, word in enumerate(classes)
        for person in range(people)
        for shot in range(2)
    }
    return plant(folder, files)


def gathered(source: Path, out: Path, people: str = "") -> manifest.Manifest:
    return manifest.read(own.gather(source, out / "photos.parquet", people).path)


def test_words_and_people_stay_as_they_are(tmp_path: Path) -> None:
    whole = gathered(corpus(tmp_path / "photos"), tmp_path, PEOPLE)
    assert set(whole.column("label")) == {"wide awake", "Müde"}
    assert set(whole.column("subject")) == {f"p{number}" for number in range(9)}
    assert whole.info["labels"] == "own"
    grouped = gathered(tmp_path / "photos", tmp_path, "p([0-9]+)_")
    assert set(grouped.column("subject")) == {str(number) for number in range(9)}


def test_list_may_name_people_itself(tmp_path: Path) -> None:
    plant(tmp_path, {f"{number}.png": png(face(number)) for number in range(4)})
    (tmp_path / "list.csv").write_text("path,label,subject\n0.png,a,x\n1.png,b,x\n2.png,a,y\n3.png,,y\n")
    found = own.gather(tmp_path / "list.csv", tmp_path / "m.parquet")
    whole = manifest.read(found.path)
    assert list(zip(whole.column("label"), whole.column("subject"), strict=True)) == [
        ("a", "x"),
        ("b", "x"),
        ("a", "y"),
    ]
    assert [str(each) for each in found.first_problems] == ["list.csv:5: No name for a class ''"]


def test_what_cannot_be_read_is_listed_and_stops_nothing(tmp_path: Path) -> None:
    source = plant(
        corpus(tmp_path / "photos"),
        {
            "Müde/notes.txt": "x",
            "Müde/broken.png": b"\x89PNG\r\n",
            "stray.png": png(face(1)),
            "a,b/1.png": png(face(2)),
        },
    )
    found = own.gather(source, tmp_path / "m.parquet")
    assert (found.rows, found.problems) == (36, 4)
    assert {each.where for each in found.first_problems} == {
        "Müde/notes.txt",
        "Müde/broken.png",
        "stray.png",
        "a,b/1.png",
    }


def test_mistakes_are_told(tmp_path: Path) -> None:
    source = corpus(tmp_path / "photos")
    with pytest.raises(OptionError, match="not a regular expression"):
        own.gather(source, tmp_path / "m.parquet", "(")
    with pytest.raises(DataError, match="32 of 36 files, but not"):
        own.gather(source, tmp_path / "m.parquet", "p[1-8]")
    with pytest.raises(DataError, match="expected at least two"):
        own.gather(corpus(tmp_path / "one", classes=("alone",)), tmp_path / "m.parquet")


def test_nobody_is_in_two_parts(tmp_path: Path) -> None:
    found = own.assign_parts(gathered(corpus(tmp_path / "photos"), tmp_path, PEOPLE))
    assert found.by == "people"
    pairs = set(zip(found.manifest.column("subject"), found.manifest.column("split"), strict=True))
    assert len(pairs) == 9
    assert {assign_parts for _, assign_parts in pairs} == set(own.PARTS)


def test_copies_share_their_part(tmp_path: Path) -> None:
    """Each picture four times: as it is, as JPEG, mirrored, brighter; no two of them may be parted."""
    source = tmp_path / "photos"
    for number in range(24):
        picture = face(number)
        jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes()
        brighter = np.clip(picture.astype(int) + 10, 0, 255).astype(np.uint8)
        word = "ab"[number % 2]
        views = {"0.png": png(picture), "1.jpg": jpeg, "2.png": png(picture[:, ::-1]), "3.png": png(brighter)}
        plant(source, {f"{word}/{number}_{name}": content for name, content in views.items()})
    found = own.assign_parts(gathered(source, tmp_path))
    assert (found.by, found.copies) == ("images", 96)
    pictures = [Path(member).stem.split("_")[0] for member in found.manifest.column("member")]
    assert len(set(zip(pictures, found.manifest.column("split"), strict=True))) == 24


def test_copies_that_join_people_are_named(tmp_path: Path) -> None:
    """Eight people, but all with the same two pictures: one group, which no pattern for people can part."""
    files = {f"{word}/p{person}.png": png(face(at)) for at, word in enumerate("ab") for person in range(8)}
    whole = gathered(plant(tmp_path / "photos", files), tmp_path, PEOPLE)
    with pytest.raises(DataError, match=r"16 images of 8 people form 1 independent group: 16 images are duplicates"):
        own.assign_parts(whole)


def test_parts_of_folders_are_kept(tmp_path: Path) -> None:
    files = {f"{assign_parts}/{word}/{number}.png": png(face(place * 10 + number)) for place, (assign_parts, word) in enumerate((assign_parts, word) for assign_parts in ("train", "val", "test") for word in "ab") for number in range(3)}  # fmt: skip # noqa: E501
    found = own.assign_parts(gathered(plant(tmp_path / "photos", files), tmp_path))
    assert found.by == "folders"
    assert found.manifest.counts() == {assign_parts: {"a": 3, "b": 3} for assign_parts in sorted(own.PARTS)}


def parted(folder: Path, parts: tuple[str, ...], count: int = 8) -> dict[str, str]:
    """Return member → split of class folders below folders with these names, as ``own.assign_parts`` assigns it."""
    files = {
        f"{assign_parts}/{word}/{number}.png".lstrip("/"): png(face(place * 1000 + at * 100 + number))
        for place, assign_parts in enumerate(parts) for at, word in enumerate("ab") for number in range(count)
    }  # fmt: skip
    found = own.assign_parts(gathered(plant(folder / "photos", files), folder)).manifest
    return dict(zip(found.column("member"), found.column("split"), strict=True))


@pytest.mark.parametrize(
    ("names", "kept", "drawn"),
    [
        (("train", "test"), {"test"}, "validation"),
        (("Training_set", "Test Images"), {"test"}, "validation"),
        (("train", "val"), {"validation"}, "test"),
        (("Training", "PublicTest", "PrivateTest"), {"validation", "test"}, ""),
    ],
)
def test_parts_that_are_there_are_kept_and_the_missing_one_comes_from_training(
    tmp_path: Path, names: tuple[str, ...], kept: set[str], drawn: str
) -> None:
    found = parted(tmp_path, names)
    assert set(found.values()) == set(own.PARTS)
    for member, assign_parts in found.items():
        if member.startswith(names[0]):
            assert assign_parts in ("train", drawn)
        else:
            assert assign_parts in kept


def test_a_single_part_is_no_split(tmp_path: Path) -> None:
    assert set(parted(tmp_path, ("train",)).values()) == set(own.PARTS)


def test_half_a_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"16 of 48 images are in none of the splits train, test, such as a/0\.png"):
        parted(tmp_path / "half", ("train", "test", ""))
    with pytest.raises(DataError, match="none for training"):
        parted(tmp_path / "none", ("val", "test"))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_too_few_photos_are_an_error_that_names_the_class(tmp_path: Path, count: int) -> None:
    with pytest.raises(DataError, match=r"a has none in \w+|independent groups"):
        parted(tmp_path, ("",), count)


def test_hidden_and_system_folders_are_no_classes(tmp_path: Path) -> None:
    source = corpus(tmp_path / "photos")
    for name in (".ipynb_checkpoints", "Müde/.ipynb_checkpoints", "@eaDir", ".Trash-1000/files", "__MACOSX/Müde"):
        plant(source, {f"{name}/1.png": png(face(1))})
    plant(source, {"Müde/Thumbs.db": "x", ".DS_Store": "x", "Müde/._p1_0.png": "x"})
    found = own.gather(source, tmp_path / "m.parquet")
    assert (found.rows, found.problems) == (36, 0)
    assert found.nouns == {"wide awake", "Müde"}
    assert found.passed_over == {
        ".ipynb_checkpoints": 2, "@eaDir": 1, ".Trash-1000": 1, "__MACOSX": 1, "Thumbs.db": 1, ".DS_Store": 1,
        "._p1_0.png": 1,
    }  # fmt: skip


def test_letters_that_macos_takes_apart_make_no_other_class(tmp_path: Path) -> None:
    files = {f"{word}/{n}.png": png(face(n)) for n, word in enumerate(("Mu\u0308de", "M\u00fcde", "wach"))}
    found = own.gather(plant(tmp_path / "photos", files), tmp_path / "m.parquet")
    assert found.nouns == {"M\u00fcde", "wach"}


def test_class_that_cannot_be_everywhere_is_named(tmp_path: Path) -> None:
    source = plant(
        corpus(tmp_path / "photos"), {f"rare/p1_{number}.png": png(face(900 + number)) for number in range(5)}
    )
    with pytest.raises(DataError, match="rare has none in"):
        own.assign_parts(gathered(source, tmp_path, PEOPLE))


def test_warnings(tmp_path: Path) -> None:
    even = gathered(corpus(tmp_path / "even", people=20), tmp_path)
    assert own.find_warnings(even) == []
    assert not own.is_uneven(even)
    uneven = gathered(plant(tmp_path / "even", {f"rare/{number}.png": png(face(900 + number)) for number in range(9)}), tmp_path)  # fmt: skip # noqa: E501
    told = own.find_warnings(uneven)
    assert told[0].startswith("rare has 9 images, which is few")
    assert "4.4 times the images of rare" in told[1]
    assert own.is_uneven(uneven)


def test_crops_are_told_from_photos(tmp_path: Path) -> None:
    assert own.is_cropped(gathered(corpus(tmp_path / "crops"), tmp_path))
    plant(tmp_path / "crops", {"Müde/wide.png": png(face(1, 64)[:48])})
    assert not own.is_cropped(gathered(tmp_path / "crops", tmp_path))


def test_crop_is_what_predict_shows_the_network(examples: Path, tmp_path: Path) -> None:
    """Same detector, same framing, same resize: training faces and served faces are the same pixels."""
    from mien.recognition.recognizer import load

    photo = (examples / "astronaut.jpg").read_bytes()
    whole = gathered(plant(tmp_path / "photos", {"a/1.jpg": photo, "b/1.jpg": photo}), tmp_path)
    detector = get_detector("yunet")
    made = prepare(whole, tmp_path / "faces", detector, clahe=False, framed=True, interpolation="area")
    (stored, _) = manifest.read(made.manifest).pixels([0, 1])
    recognizer = load("ferplus8", detector=detector, threads=1)
    (crop,) = recognizer.find(photo).crops
    spec = recognizer.bundle.preprocess
    assert crop.shape[0] > spec.size
    np.testing.assert_array_equal(apply([stored], spec), apply([crop], spec))
    plain = PreprocessSpec(size=48, interpolation="area", scale=1.0, standardise="none")
    np.testing.assert_array_equal(stored, apply([crop], plain)[0, 0].astype(np.uint8))


def test_photos_for_evaluation_keep_a_models_words(tmp_path: Path) -> None:
    source = plant(tmp_path / "photos", {"happy/1.png": png(face(1)), "Müde/2.png": png(face(2))})
    assert {each.label for each in photos.read(source, ("happy", "Müde"))} == {"happy", "Müde"}
    with pytest.raises(DataError, match="Unknown emotion 'Müde'"):
        list(photos.read(source))
