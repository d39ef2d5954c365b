"""Index → manifest → pixels is a round trip; what is broken is counted, listed, and fatal if strict."""

from __future__ import annotations

import csv
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import bars, face, pack_tar, pack_zip, plant, png, write_csv, write_folder, write_zip
from PIL import Image

pytest.importorskip("pyarrow")

import pyarrow as pa
from pyarrow import parquet

from mien.datasets import manifest, pixels
from mien.datasets.faces import FaceSet, load
from mien.datasets.index import BATCH, index
from mien.datasets.manifest import Manifest
from mien.errors import DataError, FileMissingError, OptionError
from mien.labels import grouped, scheme


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    return bars({"Training": 40, "PublicTest": 2, "PrivateTest": 2})


@pytest.fixture(scope="module")
def indexed(faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("indexed")
    return manifest.read(index([write_zip(faces, folder / "fer.zip")], folder / "fer.parquet").path)


def as_set(faces: FaceSet) -> set[tuple[bytes, int, str]]:
    rows = zip(faces.pixels, faces.labels.tolist(), faces.splits.tolist(), strict=True)
    return {(image.tobytes(), label, split) for image, label, split in rows}


def test_schema_is_the_promised_one(indexed: Manifest) -> None:
    assert indexed.table.column_names == [
        "id", "source", "member", "label", "votes", "dataset", "split", "subject", "session", "pose", "width", "height",
        "sha256", "phash", "flags",
    ]  # fmt: skip
    assert len(set(indexed.column("id"))) == len(indexed) == 308
    assert set(indexed.column("source")) == {"fer.zip"}
    assert set(indexed.column("width")) == set(indexed.column("height")) == {48}


def test_metadata_says_where_it_came_from(indexed: Manifest) -> None:
    (source,) = indexed.info["sources"]
    assert (source["path"], source["reader"], source["rows"]) == ("fer.zip", "fer2013-folders", 308)
    assert len(source["digest"]) == 64
    assert source["bytes"] == (indexed.base / "fer.zip").stat().st_size
    assert (indexed.info["labels"], indexed.info["problems"]) == ("fer2013", 0)


@pytest.mark.parametrize("write", [write_zip, write_folder, write_csv])
def test_manifest_and_corpus_give_the_same_faces(
    write: Callable[[FaceSet, Path], Path], faces: FaceSet, tmp_path: Path
) -> None:
    names: dict[Any, str] = {write_zip: "c.zip", write_folder: "c", write_csv: "c.csv"}
    path = write(faces, tmp_path / names[write])
    found = load(index([path], tmp_path / "m.parquet").path)
    assert as_set(found) == as_set(load(path)) == as_set(faces)
    assert found.label_set == faces.label_set


def test_images_come_in_order_and_in_batches(indexed: Manifest) -> None:
    batches = list(indexed.images(batch=100))
    assert [(batch.start, len(batch), len(batch.rows)) for batch in batches] == [
        (0, 100, 100), (100, 100, 100), (200, 100, 100), (300, 8, 8),
    ]  # fmt: skip
    images = [image for batch in batches for image in batch.pixels]
    assert [pixels.checksum(image) for image in images] == indexed.column("sha256")
    assert pixels.compute_hashes(images).tolist() == indexed.column("phash")
    some = indexed.pixels([7, 3, 300])
    assert all(np.array_equal(image, images[place]) for image, place in zip(some, (7, 3, 300), strict=True))


@pytest.mark.parametrize("pack", ["zip", "tar.gz"])
def test_rows_of_a_packed_csv_are_read_in_any_order(pack: str, faces: FaceSet, tmp_path: Path) -> None:
    text = write_csv(faces.where(np.arange(len(faces)) < 30), tmp_path / "fer2013.csv").read_text()
    files: dict[str, bytes | str] = {"fer2013/fer2013.csv": text}
    path = (pack_zip if pack == "zip" else pack_tar)(tmp_path / f"f.{pack}", files)
    whole = manifest.read(index([path], tmp_path / "m.parquet").path)
    for places in (range(30), [29, 0, 13, 13]):
        read = whole.pixels(list(places))
        assert [image.tobytes() for image in read] == [faces.pixels[place].tobytes() for place in places]


def test_where_take_and_columns(indexed: Manifest) -> None:
    public = indexed.where(indexed.array("split") == "PublicTest")
    assert public.counts() == {"PublicTest": dict.fromkeys(sorted(set(indexed.column("label"))), 2)}
    assert indexed.take([5, 2]).column("id") == [indexed.column("id")[5], indexed.column("id")[2]]
    moved = indexed.with_column("subject", [str(place) for place in range(len(indexed))], made="here")
    assert moved.array("subject")[11] == "11"
    assert moved.info["made"] == "here"
    assert set(indexed.column("subject")) == {""}
    with pytest.raises(OptionError, match="Did you mean 'split'"):
        indexed.column("splits")
    with pytest.raises(OptionError, match="no column 'more'"):
        indexed.with_column("more", [])


def test_written_elsewhere_the_sources_are_still_found(indexed: Manifest, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    moved = manifest.read(indexed.where(np.arange(len(indexed)) < 5).write(tmp_path / "deep" / "part.parquet"))
    assert [image.tobytes() for image in moved.pixels(range(5))] == [
        image.tobytes() for image in indexed.pixels(range(5))
    ]
    assert moved.info["sources"][0]["path"] == moved.column("source")[0] != "fer.zip"


def test_gone_or_changed_sources_are_named(faces: FaceSet, tmp_path: Path) -> None:
    corpus = write_folder(faces.where(np.arange(len(faces)) < 3), tmp_path / "c")
    whole = manifest.read(index([corpus], tmp_path / "m.parquet").path)
    victim = corpus / whole.column("member")[1]
    victim.write_bytes(b"broken")
    with pytest.raises(DataError, match=rf"{victim.name}.*changed since it was indexed"):
        whole.pixels([1])
    corpus.rename(tmp_path / "elsewhere")
    with pytest.raises(FileMissingError, match="source c is not at"):
        whole.pixels([0])


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match="mien data index"):
        manifest.read(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(DataError, match="not a manifest of Mien"):
        manifest.read(tmp_path / "text.parquet")


def test_another_schema_version_is_refused(indexed: Manifest, tmp_path: Path) -> None:
    later = replace(indexed, info={**indexed.info, "schema": 99})
    with pytest.raises(DataError, match="schema 99; expected 1"):
        manifest.read(later.write(tmp_path / "later.parquet"))


def test_several_corpora_make_one_manifest(tmp_path: Path) -> None:
    plant(tmp_path / "ck", {"CK+48/anger/S010_004_00000019.png": png(face(1))})
    plant(tmp_path / "kdef", {"KDEF/AF01ANS.JPG": png(face(2)), "KDEF/AF01SAS.JPG": png(face(3))})
    whole = manifest.read(index([tmp_path / "ck", tmp_path / "kdef"], tmp_path / "both.parquet").path)
    assert whole.column("dataset") == ["ckplus", "kdef", "kdef"]
    assert whole.column("id")[0] == "ck/CK+48/anger/S010_004_00000019.png"
    # System A does not unify the words of the two.
    faces = FaceSet.from_manifest(whole, scheme("system-a"))
    assert [faces.label_set.labels[label] for label in faces.labels] == ["anger", "angry", "sad"]
    groups = FaceSet.from_manifest(whole, grouped("valence", {"negative": ["sad"], "positive": ["happy"]}))
    assert (len(groups), groups.left_out) == (1, 2)


def test_more_rows_than_a_batch_keep_their_order(tmp_path: Path) -> None:
    count = BATCH + 5
    image = face(0)
    files: dict[str, bytes | str] = {f"happy/{number:04d}.png": png(image + number % 2) for number in range(count)}
    whole = manifest.read(index([pack_zip(tmp_path / "c.zip", files)], tmp_path / "m.parquet").path)
    assert whole.column("member") == sorted(files)


# Broken inputs: each is reported with file and row, counted, and none is dropped silently.

ROW = " ".join(["7 9"] * 1152)
GOOD = f"0,{ROW},Training\n"


def large_png(width: int, height: int) -> bytes:
    """A grey PNG whose header says that it has so many pixels."""
    head = b"IHDR" + struct.pack(">LLBBBBB", width, height, 8, 0, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1000))
    parts = (struct.pack(">L", len(part) - 4) + part + struct.pack(">L", zlib.crc32(part)) for part in (head, data))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def broken_corpora(folder: Path) -> dict[str, tuple[Path, str, str]]:
    """What is broken → (corpus, where it is, what is said)."""
    lines = {
        "short row": (f"0,{ROW[:-2]},Training\n", "2303 pixel values"),
        "long row": (f"0,{ROW} 1,Training\n", "2305 pixel values"),
        "no numbers": (f"0,{ROW[:-1]}x,Training\n", "invalid literal"),
        "emotion 9": (f"9,{ROW},Training\n", "emotion '9'"),
        "empty Usage": (f"0,{ROW},\n", "Usage ''"),
        "header again": ("emotion,pixels,Usage\n", "header is repeated"),
        "no text": ("\udcff\udcfe,1,Training\n", "cannot be read"),
    }
    found = {}
    for name, (line, says) in lines.items():
        path = folder / f"{name}.csv"
        path.write_bytes(f"emotion,pixels,Usage\n{GOOD}{line}{GOOD}".encode("utf-8", "surrogateescape"))
        found[name] = (path, f"{name}.csv:3", says)
    image, noise = png(face(0)), png(np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8))
    files: dict[str, bytes | str] = {"happy/1.png": image, "happy/2.png": noise}
    path = pack_zip(folder / "truncated.zip", files, 0)
    path.write_bytes(path.read_bytes().replace(noise[-900:], bytes(900)))
    found["truncated member"] = (path, "happy/2.png", "truncated or damaged in the zip")
    path = pack_zip(folder / "cut.zip", {"happy/1.png": image, "happy/2.png": noise[:900]})
    found["truncated image"] = (path, "happy/2.png", "damaged or cut off")
    path = plant(folder / "text", {"happy/1.png": image, "happy/2.png": "no picture"})
    found["unreadable"] = (path, "happy/2.png", "not a picture in a known format")
    path = plant(folder / "suffix", {"happy/1.png": image, "happy/notes.txt": "hello"})
    found["wrong suffix"] = (path, "happy/notes.txt", ".txt is not an image")
    path = plant(folder / "bomb", {"happy/1.png": image, "happy/2.png": large_png(14_000, 13_000)})
    found["image bomb"] = (path, "happy/2.png", "182000000 pixels: expected at most 100000000")
    path = pack_zip(folder / "slip.zip", {"happy/1.png": image, "../happy/2.png": image})
    found["zip slip"] = (path, "../happy/2.png", "unsafe name")
    path = plant(folder / "class", {"happy/1.png": image, "holiday/2.png": image})
    found["no class"] = (path, "holiday/2.png", "Unknown emotion")
    path = plant(folder / "fer", {"train/happy/Training_1.png": image, "train/happy/Training_2.png": png(face(1, 40))})
    found["size"] = (path, "train/happy/Training_2.png", "40×40")
    return found


BROKEN = (
    "short row", "long row", "no numbers", "emotion 9", "empty Usage", "header again", "no text", "truncated member",
    "truncated image", "image bomb", "unreadable", "wrong suffix", "zip slip", "no class", "size",
)  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_input_is_listed_and_counted(name: str, tmp_path: Path) -> None:
    path, where, says = broken_corpora(tmp_path)[name]
    found = index([path], tmp_path / "m.parquet")
    assert (found.problems, found.dropped) == (1, 1)
    assert found.rows == len(manifest.read(found.path)) == (2 if path.suffix == ".csv" else 1)
    assert found.problem_file is not None
    (listed,) = csv.DictReader(found.problem_file.read_text(encoding="utf-8").splitlines())
    assert listed["where"] == where == found.first_problems[0].where
    assert says in listed["what"]
    assert manifest.read(found.path).info["problems"] == 1


@pytest.mark.parametrize("name", BROKEN)
def test_strict_makes_it_an_error_and_leaves_no_manifest(name: str, tmp_path: Path) -> None:
    path, where, _ = broken_corpora(tmp_path)[name]
    with pytest.raises(DataError, match=where.replace("+", r"\+")):
        index([path], tmp_path / "m.parquet", strict=True)
    assert not list(tmp_path.glob("m.parquet*"))


def test_wrong_extension_is_read_and_reported(tmp_path: Path) -> None:
    Image.fromarray(face(0)).save(tmp_path / "a.jpg")
    path = plant(tmp_path / "c", {"happy/1.png": (tmp_path / "a.jpg").read_bytes(), "happy/2.png": png(face(1))})
    found = index([path], tmp_path / "m.parquet")
    assert (found.rows, found.problems, found.dropped) == (2, 1, 0)
    assert "the file is a JPEG" in found.first_problems[0].what
    with pytest.raises(DataError, match="wrong extension"):
        index([path], tmp_path / "m.parquet", strict=True)


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    plant(tmp_path / "c", {"happy/1.png": "none", "happy/2.png": ""})
    with pytest.raises(DataError, match=r"no usable image. 2 problems: happy/1\.png"):
        index([tmp_path / "c"], tmp_path / "m.parquet")
    plant(tmp_path / "none", {"readme.txt": ""})
    with pytest.raises(DataError, match="layout of a known corpus"):
        index([tmp_path / "none"], tmp_path / "m.parquet")
    assert not (tmp_path / "m.parquet").exists()


def test_loading_a_broken_corpus_straight_away_is_an_error(tmp_path: Path) -> None:
    path, where, _ = broken_corpora(tmp_path)["truncated image"]
    with pytest.raises(DataError, match=where):
        load(path)


def test_sizes_that_differ_need_preparing(tmp_path: Path) -> None:
    plant(tmp_path / "c", {"happy/1.png": png(face(1)), "happy/2.png": png(face(1, 60))})
    with pytest.raises(DataError, match=r"2 sizes .*mien data prepare"):
        load(tmp_path / "c")


# Pixels, checksum and hash.


def test_decode_agrees_with_the_one_door_for_pixels() -> None:
    from mien import images

    colour = np.stack([face(1), face(2), face(3)], axis=2)
    assert np.array_equal(pixels.decode(png(colour)), images.load(png(colour)))
    assert np.array_equal(pixels.decode(png(face(1))), face(1))
    assert np.array_equal(pixels.decode(png(np.repeat(face(1)[..., None], 3, 2))), face(1))


def test_checksum_tells_shape_and_pixels_apart() -> None:
    image = face(1)
    assert pixels.checksum(image) == pixels.checksum(image[:, ::-1][:, ::-1])
    assert pixels.checksum(image) != pixels.checksum(image.reshape(24, 96))
    assert pixels.checksum(image) != pixels.checksum(image ^ np.uint8(1))


def bits(one: np.ndarray, other: np.ndarray) -> list[int]:
    return [int(value).bit_count() for value in (one ^ other).tolist()]


def test_hash_survives_what_leaves_the_picture_alone() -> None:
    originals = [face(seed) for seed in range(30)]
    base = pixels.compute_hashes(originals)
    assert max(bits(base, pixels.compute_hashes([(image * 0.7 + 20).astype(np.uint8) for image in originals]))) <= 4
    large = [np.asarray(Image.fromarray(image).resize((96, 96))) for image in originals]
    assert max(bits(base, pixels.compute_hashes(large))) <= 4
    mixed = pixels.compute_hashes([large[0], originals[1]])
    assert mixed.tolist() == [pixels.compute_hashes([large[0]])[0], base[1]]
    assert min(bits(base[:-1], base[1:])) > 12


def test_hash_of_a_mirror_needs_no_pixels() -> None:
    originals = [face(seed) for seed in range(30)]
    assert np.array_equal(
        pixels.compute_hashes(originals) ^ pixels.MIRROR, pixels.compute_hashes([image[:, ::-1] for image in originals])
    )


def test_columns_of_the_users_own_stay(indexed: Manifest, tmp_path: Path) -> None:
    sexes = [("F", "M", None)[place % 3] for place in range(len(indexed))]
    made = indexed.with_own("sex", sexes).with_own("age", list(range(len(indexed))))
    kept = manifest.read(made.take([5, 3]).write(tmp_path / "own.parquet"))
    assert kept.own_columns == ["sex", "age"]
    assert (kept.column("sex"), kept.column("age")) == ([None, "F"], [5, 3])
    assert manifest.read(made.with_own("sex", sexes[::-1]).write(tmp_path / "own.parquet")).column("sex") == sexes[::-1]


@pytest.mark.parametrize(("name", "values"), [("label", ["x"] * 308), ("sex", ["F"]), ("sex", [1] * 154 + ["F"] * 154)])
def test_columns_of_the_users_own_that_cannot_be(name: str, values: list[object], indexed: Manifest) -> None:
    with pytest.raises(OptionError, match=name) as caught:
        indexed.with_own(name, values)
    assert "\n" not in str(caught.value)


def test_a_face_keeps_what_its_columns_say(indexed: Manifest) -> None:
    ages = [20 + place if place % 2 else None for place in range(len(indexed))]
    faces = FaceSet.from_manifest(indexed.with_own("age", ages))
    assert list(faces.columns) == ["session", "pose", "age"]
    part = faces.where(faces.labels == 3)
    by_id = dict(zip(indexed.column("id"), ages, strict=True))
    assert part.columns["age"].tolist() == [by_id[name] for name in part.ids]
    assert set(part.columns["session"].tolist()) == {None}


def test_columns_as_other_programs_write_them_are_read(indexed: Manifest, tmp_path: Path) -> None:
    wider = {"int32": pa.int64(), "dictionary<values=string, indices=int32, ordered=0>": pa.string()}
    columns = {field.name: indexed.table.column(field.name) for field in indexed.table.schema}
    plain = {name: column.cast(wider.get(str(column.type), column.type)) for name, column in columns.items()}
    assert plain["label"].type == pa.string()
    table = pa.table(plain).replace_schema_metadata({manifest.KEY: json.dumps(indexed.info)})
    parquet.write_table(table, tmp_path / "m.parquet")
    again = manifest.read(tmp_path / "m.parquet")
    assert again.table.schema == indexed.table.schema
    assert again.table.to_pylist() == indexed.table.to_pylist()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("flags", "blank", "column"), ("source", 1.5, "No such|column|not at"), ("label", [1], "column"),
        ("width", "wide", "column"), ("member", None, "without member"), ("flags", None, "without flags"),
    ],
)  # fmt: skip
def test_a_column_of_another_kind_is_refused_at_once(
    indexed: Manifest, tmp_path: Path, name: str, value: object, reason: str
) -> None:
    """They were believed until something counted, joined or wrote them: a traceback, hours later."""
    index_ = indexed.table.schema.get_field_index(name)
    table = indexed.table.set_column(index_, name, pa.array([value] * len(indexed)))
    table = table.replace_schema_metadata({manifest.KEY: json.dumps(indexed.info)})
    parquet.write_table(table, tmp_path / "m.parquet")
    with pytest.raises((DataError, FileMissingError), match=reason):
        next(manifest.read(tmp_path / "m.parquet").images())


def test_metadata_that_is_no_object_is_refused(indexed: Manifest, tmp_path: Path) -> None:
    parquet.write_table(indexed.table.replace_schema_metadata({manifest.KEY: b"7"}), tmp_path / "m.parquet")
    with pytest.raises(DataError, match="schema None"):
        manifest.read(tmp_path / "m.parquet")


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000, "a\0b"])
def test_a_source_whose_name_no_file_can_have_is_missing(indexed: Manifest, name: str) -> None:
    with pytest.raises(FileMissingError, match="is not at"):
        indexed.source_path(name)
