"""FER2013's three layouts are one corpus; broken files are named, never skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import bars, members, png, write_csv, write_folder, write_zip

pytest.importorskip("pyarrow")

from mien.datasets.faces import FaceSet, also_in, load
from mien.datasets.formats import fer2013
from mien.errors import DataError, FileMissingError


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    return bars({"Training": 2, "PublicTest": 1, "PrivateTest": 1})


def as_set(faces: FaceSet) -> set[tuple[bytes, int, str]]:
    rows = zip(faces.pixels, faces.labels.tolist(), faces.splits.tolist(), strict=True)
    return {(pixels.tobytes(), label, split) for pixels, label, split in rows}


@pytest.mark.parametrize(
    ("write", "name"), [(write_zip, "corpus.zip"), (write_folder, "corpus"), (write_csv, "corpus.csv")]
)
def test_every_layout_gives_the_same_faces(
    write: Callable[[FaceSet, Path], Path], name: str, faces: FaceSet, tmp_path: Path
) -> None:
    read = load(write(faces, tmp_path / name))
    assert as_set(read) == as_set(faces)
    assert read.label_set.labels[3] == "happiness"


def test_icml_header_with_blanks(faces: FaceSet, tmp_path: Path) -> None:
    read = load(write_csv(faces, tmp_path / "icml.csv", "emotion, pixels, Usage"))
    np.testing.assert_array_equal(read.pixels, faces.pixels)


@pytest.mark.parametrize("kind", ["semicolons", "tabs", "commas between pixels", "quoted commas", "other letters"])
def test_copies_of_the_csv_in_other_writing(kind: str, faces: FaceSet, tmp_path: Path) -> None:
    path = write_csv(faces, tmp_path / "copy.csv")
    lines = [line.split(",") for line in path.read_text().splitlines()]
    rows = {
        "semicolons": [";".join(cells) for cells in lines],
        "tabs": ["\t".join(cells) for cells in lines],
        "commas between pixels": [",".join([a, b.replace(" ", ","), c]) for a, b, c in lines],
        "quoted commas": [f'{a},"{b.replace(" ", ", ")}",{c}' for a, b, c in lines],
        "other letters": [",".join([a, b, c.lower()]) for a, b, c in lines],
    }[kind]
    path.write_text("\n".join(rows) + "\n")
    assert as_set(load(path)) == as_set(faces)


def test_a_csv_without_usage_has_no_parts(faces: FaceSet, tmp_path: Path) -> None:
    path = write_csv(faces, tmp_path / "copy.csv")
    path.write_text("".join(f"{line.rpartition(',')[0]}\n" for line in path.read_text().splitlines()))
    read = load(path)
    assert {split for _, _, split in as_set(read)} == {""}
    assert {pixels for pixels, _, _ in as_set(read)} == {pixels for pixels, _, _ in as_set(faces)}


def test_rows_pass_through_the_watcher(faces: FaceSet, tmp_path: Path) -> None:
    seen: list[str] = []

    def watch(rows: Iterable[Any]) -> Iterator[Any]:
        for row in rows:
            seen.append(row.member)
            yield row

    read = load(write_zip(faces, tmp_path / "corpus.zip"), watch=watch)
    assert tuple(seen) == read.ids


ROW = " ".join(["7"] * 2304)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (f"0,{ROW} 7,Training", "2305 pixel values"),
        ("0,1 2 3,Training", "3 pixel values"),
        (f"0,{ROW[:-1]}x,Training", "invalid literal"),
        (f"0,{ROW[:-1]}256,Training", "from 0 to 255"),
        (f"9,{ROW},Training", "emotion '9'"),
        (f"0,{ROW},", "Usage ''"),
        (f"0,{ROW}", "Usage ''"),
        ("emotion,pixels,Usage", "header is repeated"),
    ],
)
def test_broken_row_is_named(row: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.csv"
    path.write_text(f"emotion,pixels,Usage\n0,{ROW},Training\n{row}\n")
    with pytest.raises(DataError, match=r"broken\.csv:3") as caught:
        load(path)
    assert says in str(caught.value)


def test_wrong_columns(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("label,pixels\n0,1\n")
    with pytest.raises(DataError, match=r"lacks the columns \['Usage', 'emotion'\]"):
        load(path, reader="fer2013-csv")


def test_missing_empty_and_binary(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match="does not exist"):
        load(tmp_path / "nothing")
    with pytest.raises(DataError, match="not have the layout of a known corpus"):
        load(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x80" * 9)
    with pytest.raises(DataError, match="not have the layout of a known corpus"):
        load(tmp_path / "binary")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("test/angry/123.png", png(np.zeros((48, 48), np.uint8)), "official split is unknown"),
        ("test/grumpy/PublicTest_1.png", png(np.zeros((48, 48), np.uint8)), "Unknown emotion 'grumpy'"),
        ("test/angry/PublicTest_1.png", png(np.zeros((40, 48), np.uint8)), "48×40 pixels"),
        ("test/angry/PublicTest_1.png", b"not a picture", "PublicTest_1.png: 13 bytes"),
        ("test/angry/PublicTest_1.png", png(np.zeros((48, 48), np.uint8))[:40], "broken PNG"),
    ],
)
def test_broken_member_is_named(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        load(tmp_path, reader="fer2013-folders")
    assert says.replace(" is unknown", "") in str(caught.value)


def test_exact_copies_across_splits(faces: FaceSet) -> None:
    pixels = np.array(faces.pixels)
    private = np.flatnonzero(faces.splits == "PrivateTest")
    training = np.flatnonzero(faces.splits == "Training")
    pixels[private[2]] = pixels[training[5]]
    copied = FaceSet(faces.label_set, pixels, faces.labels, faces.splits, faces.ids)
    found = also_in(copied.part("PrivateTest"), copied.part("Training"))
    assert np.flatnonzero(found).tolist() == [2]


def test_unknown_split_names_the_nearest(faces: FaceSet) -> None:
    with pytest.raises(DataError, match="Did you mean 'PrivateTest'"):
        faces.part("PrivatTest")


def test_member_order_does_not_depend_on_the_archive(faces: FaceSet, tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "reversed.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in reversed(members(faces).items()):
            archive.writestr(name, content)
    assert load(path).ids == load(write_zip(faces, tmp_path / "plain.zip")).ids


@pytest.mark.data
def test_real_counts_and_copies(fer2013_faces: FaceSet) -> None:
    parts = {split: fer2013_faces.part(split) for split in fer2013.SPLITS}
    assert [len(part) for part in parts.values()] == [28_709, 3_589, 3_589]
    assert list(parts["PublicTest"].counts().values()) == [467, 56, 496, 895, 653, 415, 607]
    assert list(parts["PrivateTest"].counts().values()) == [491, 55, 528, 879, 594, 416, 626]
    assert also_in(parts["PublicTest"], parts["Training"]).sum() == 279
    assert also_in(parts["PrivateTest"], parts["Training"]).sum() == 288


@pytest.mark.data
def test_csv_sample_holds_the_same_pixels_as_the_zip(fer2013_faces: FaceSet, data_dir: Path) -> None:
    sample = load(data_dir / "fer2013_sample.csv")
    assert len(sample) == 700
    assert as_set(sample) <= as_set(fer2013_faces)
