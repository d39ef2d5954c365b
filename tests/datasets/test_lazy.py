"""Pixels read when asked for are those that would lie in memory, and leave nothing in memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from corpora import bars, face, members, pack_tar, plant, png, write_csv, write_folder, write_zip

pytestmark = pytest.mark.train
pytest.importorskip("pyarrow")

from mien.datasets import manifest  # noqa: E402
from mien.datasets.faces import FaceSet, also_in, load  # noqa: E402
from mien.datasets.index import index  # noqa: E402
from mien.datasets.lazy import LazyPixels  # noqa: E402
from mien.datasets.manifest import COLUMNS, Manifest  # noqa: E402
from mien.datasets.pixels import checksum  # noqa: E402
from mien.datasets.sources import packed  # noqa: E402
from mien.errors import DataError  # noqa: E402
from mien.labels import scheme  # noqa: E402

FACES = bars({"Training": 3, "PublicTest": 1, "PrivateTest": 1})
COLOUR = np.random.default_rng(0).integers(0, 256, (300, 16, 16, 3)).astype(np.uint8)


def write_array(folder: Path, crops: np.ndarray) -> Path:
    """Write crops as ``mien data prepare --store array`` does, with a manifest of two labels and a split by tens."""
    import pyarrow as pa

    folder.mkdir(parents=True)
    writer = packed.Writer(folder / "crops.npy", crops.shape[1:], 0)
    rows = [writer.add(crop) for crop in crops]
    writer.close()
    values = {name: [None] * len(rows) for name in COLUMNS.names} | {
        "id": [f"face_{row}" for row in rows],
        "source": ["crops.npy"] * len(rows),
        "member": [f"crops.npy:{row}" for row in rows],
        "label": [("anger", "happiness", "sadness")[row % 3] for row in rows],
        "dataset": ["generated"] * len(rows),
        "split": [{8: "validation", 9: "test"}.get(row % 10, "train") for row in rows],
        "width": [crops.shape[2]] * len(rows),
        "height": [crops.shape[1]] * len(rows),
        "sha256": [checksum(crop) for crop in crops],
        "flags": [[]] * len(rows),
    }
    table = pa.table([pa.array(values[field.name], field.type) for field in COLUMNS], COLUMNS)
    return Manifest(table, {"schema": manifest.SCHEMA}, folder).write(folder / "manifest.parquet")


def pack(faces: FaceSet, path: Path) -> Path:
    return pack_tar(path, members(faces), "w")


def check_same(lazy: FaceSet, whole: FaceSet) -> None:
    """All fields are equal, their types included."""
    assert isinstance(lazy.pixels, LazyPixels)
    assert isinstance(whole.pixels, np.ndarray)
    assert (lazy.pixels.shape, lazy.pixels.ndim, lazy.pixels.nbytes) == (
        whole.pixels.shape,
        whole.pixels.ndim,
        whole.pixels.nbytes,
    )
    np.testing.assert_array_equal(np.asarray(lazy.pixels), whole.pixels)
    assert (lazy.label_set, lazy.ids, lazy.left_out) == (whole.label_set, whole.ids, whole.left_out)
    for name in ("labels", "splits", "subjects", "votes", "datasets"):
        ours, theirs = getattr(lazy, name), getattr(whole, name)
        assert (ours is None) == (theirs is None), name
        if theirs is not None:
            assert ours.dtype == theirs.dtype, name
            np.testing.assert_array_equal(ours, theirs)
    assert set(lazy.columns) == {"session", "pose"}
    for name, values in lazy.columns.items():
        assert values.tolist() == whole.columns[name].tolist()


@pytest.mark.parametrize(("write", "name"), [(write_zip, "c.zip"), (write_folder, "c"), (pack, "c.tar")])
@pytest.mark.parametrize("colour", [False, True])
def test_lazy_faces_are_those_in_memory(
    write: Callable[[FaceSet, Path], Path], name: str, colour: bool, tmp_path: Path
) -> None:
    path = index([write(FACES, tmp_path / name)], tmp_path / "m.parquet").path
    check_same(load(path, memory=0, colour=colour), load(path, colour=colour))


def test_labels_votes_people_and_sessions_of_several_corpora_are_those_in_memory(tmp_path: Path) -> None:
    first = manifest.read(index([write_zip(FACES, tmp_path / "c.zip")], tmp_path / "m.parquet").path)
    count = len(first)
    votes = [[0, 0, 5, 0, 3, 0, 2, 0, 0, 0] if row % 2 else None for row in range(count)]
    first = first.with_column("votes", votes).with_column("dataset", ["kdef"] * count)
    first = first.with_column("subject", [f"p{row % 4}" if row % 3 else None for row in range(count)])
    first = first.with_column("session", [f"s{row % 2}" if row % 5 else None for row in range(count)])
    first = first.with_column("label", [None if row == 3 else label for row, label in enumerate(first.column("label"))])
    paths = [first.write(tmp_path / "first.parquet")]
    paths.append(write_array(tmp_path / "array", COLOUR[:9, :, :, 0].repeat(3, 1).repeat(3, 2)))
    for words in (None, scheme("system-a")):
        check_same(load(paths, words, memory=0, colour=True), load(paths, words, colour=True))


@pytest.mark.parametrize("colour", [False, True])
def test_rows_of_an_array_are_those_in_memory(colour: bool, tmp_path: Path) -> None:
    path = write_array(tmp_path / "a", COLOUR)
    check_same(load(path, memory=0, colour=colour), load(path, colour=colour))


def test_faces_that_fit_or_can_only_be_read_in_order_are_kept_in_memory(tmp_path: Path) -> None:
    path = index([write_zip(FACES, tmp_path / "c.zip")], tmp_path / "m.parquet").path
    gibibytes = FACES.pixels.nbytes / 2**30
    assert isinstance(load(path, memory=gibibytes).pixels, np.ndarray)
    assert isinstance(load(path, memory=gibibytes * 0.99).pixels, LazyPixels)
    for corpus in (write_csv(FACES, tmp_path / "c.csv"), pack_tar(tmp_path / "c.tar.gz", members(FACES))):
        path = index([corpus], tmp_path / "ordered.parquet").path
        np.testing.assert_array_equal(load(path, memory=0).pixels, load(corpus).pixels)


def test_indexing_reads_and_selecting_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = load(write_array(tmp_path / "a", COLOUR), memory=0, colour=True).pixels
    assert isinstance(pixels, LazyPixels)
    mask = np.arange(300) % 7 == 3
    for rows in (5, -1, slice(10, 40, 3), slice(300, 400), [7, 2, 2, 299], np.array([[1, 0]])[0], mask):
        np.testing.assert_array_equal(pixels[rows], COLOUR[rows])
    np.testing.assert_array_equal(list(pixels), COLOUR)
    with pytest.raises(ValueError, match="always a copy"):
        pixels.__array__(copy=False)
    with monkeypatch.context() as patch:
        patch.setattr("mien.datasets.lazy.Images.read", None)
        chosen = pixels.select(mask).select(np.array([4, 1]))
    np.testing.assert_array_equal(chosen, COLOUR[mask][[4, 1]])


def test_copies_are_marked_as_in_memory(tmp_path: Path) -> None:
    crops = COLOUR.copy()
    crops[8], crops[0], crops[18] = crops[1], 7, 7  # a copy in validation, and blank faces, which are no copies
    path = write_array(tmp_path / "a", crops)
    for faces in (load(path, colour=True), load(path, memory=0, colour=True)):
        held_out, training = faces.part("validation"), faces.part("train")
        assert np.flatnonzero(also_in(held_out, training)).tolist() == [0]


def test_other_sizes_and_rows_without_a_class_are_refused_as_in_memory(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        f"c/{name}/{seed}.png": png(face(seed, side))
        for name, side in (("happy", 24), ("sad", 32))
        for seed in range(2)
    }
    path = index([plant(tmp_path, files) / "c"], tmp_path / "m.parquet").path
    for memory in (0, 1.0):
        with pytest.raises(DataError, match=r"Images of 2 sizes \(24×24, 32×32\)"):
            load(path, memory=memory)
    sad = manifest.read(path)
    sad.where(sad.array("label") == "sadness").with_column("label", ["neutral"] * 2).write(tmp_path / "n.parquet")
    with pytest.raises(DataError, match="None of 2 rows has a class of the label set ckplus"):
        load(tmp_path / "n.parquet", scheme("ckplus"), memory=0)


def test_damage_names_the_image(tmp_path: Path) -> None:
    corpus = write_folder(FACES, tmp_path / "c")
    faces = load(index([corpus], tmp_path / "m.parquet").path, memory=0)
    damaged = sorted(corpus.rglob("*.png"))[5]
    damaged.write_bytes(damaged.read_bytes()[:40])
    with pytest.raises(DataError, match=damaged.name):
        list(faces.pixels)
    damaged.write_bytes(png(face(0, 32)))
    with pytest.raises(DataError, match=rf"{damaged.name}.*shape \(32, 32\); the manifest lists \(48, 48\)"):
        list(faces.pixels)


def test_replaced_row_of_an_array_is_noticed(tmp_path: Path) -> None:
    path = write_array(tmp_path / "a", COLOUR)
    mapped = np.lib.format.open_memmap(tmp_path / "a" / "crops.npy", "r+")
    mapped[17] += 1
    mapped.flush()
    pixels = load(path, memory=0, colour=True).pixels
    assert len(pixels[:17]) == 17
    with pytest.raises(DataError, match=r"crops.npy:17 is not the crop"):
        pixels[[3, 17]]


def resident(kind: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(kind))


def test_reading_all_faces_takes_the_memory_of_a_few(tmp_path: Path) -> None:
    crops = np.broadcast_to(COLOUR[0].repeat(4, 0).repeat(4, 1), (3000, 64, 64, 3))
    path = write_array(tmp_path / "a", crops)
    tracemalloc.start()
    try:
        faces = load(path, memory=0, colour=True)
        pixels = replace(faces, ids=faces.ids).part("train").pixels
        assert isinstance(pixels, LazyPixels)
        for block in pixels.blocks():
            assert len(block) <= 256
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert faces.pixels.nbytes > 36e6
    assert peak < 12e6


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's sizes of a process")
def test_mapped_rows_do_not_stay(tmp_path: Path) -> None:
    crops = np.broadcast_to(np.arange(3000, dtype=np.uint8)[:, None, None], (3000, 128, 128))
    faces = load(write_array(tmp_path / "a", crops), memory=0)
    faces.pixels[:2]
    before = resident("RssFile")
    assert sum(int(image[0, 0]) for image in faces.pixels) == sum(row % 256 for row in range(3000))
    assert resident("RssFile") - before < 12e6 < faces.pixels.nbytes / 4
