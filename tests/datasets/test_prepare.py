"""Algorithm 1: crops, what was not detected, and that a second run redoes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("pyarrow")

import corpora

from mien.datasets import index, landmarks, manifest, prepare
from mien.datasets.faces import FaceSet, load
from mien.errors import DataError, OptionError
from mien.recognition.crop import CropSpec
from mien.recognition.detection.detect import Detection
from mien.results import Box


@dataclass
class Bright:
    """Finds the left half of images whose mean is above a threshold."""

    least: float = 0.0
    seen: list[np.ndarray] = field(default_factory=list)
    name: str = "bright"
    crop: CropSpec = prepare.BOX

    def detect(self, pixels: np.ndarray) -> tuple[Detection, ...]:
        self.seen.append(pixels)
        found = Detection(Box(4, 4, 24, 24), 0.9, None)
        return (found,) if pixels.mean() >= self.least else ()


@pytest.fixture
def faces(tmp_path: Path) -> manifest.Manifest:
    source = corpora.write_zip(corpora.bars({"Training": 2}), tmp_path / "faces.zip")
    return manifest.read(index.index([source], tmp_path / "faces.parquet").path)


def test_crop_is_clahe_then_box_then_bicubic(faces: manifest.Manifest, tmp_path: Path) -> None:
    found = prepare.prepare(faces, tmp_path / "out", Bright(), size=48)
    made = manifest.read(found.manifest)
    assert (found.detected, found.undetected, len(made)) == (14, 0, 14)
    assert made.column("label") == faces.column("label")
    to_equalised_grey = cv2.createCLAHE(2.0, (8, 8)).apply(faces.pixels([3])[0])
    expected = cv2.resize(to_equalised_grey[4:28, 4:28], (48, 48), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(made.pixels([3])[0], expected)


def test_without_clahe_the_pixels_are_the_images(faces: manifest.Manifest, tmp_path: Path) -> None:
    found = prepare.prepare(faces, tmp_path / "out", Bright(), clahe=False, size=24)
    assert np.array_equal(manifest.read(found.manifest).pixels([5])[0], faces.pixels([5])[0][4:28, 4:28])


def test_second_run_looks_at_nothing(faces: manifest.Manifest, tmp_path: Path) -> None:
    first = prepare.prepare(faces, tmp_path / "out", Bright())
    again = Bright()
    second = prepare.prepare(faces, tmp_path / "out", again)
    assert (first.fresh, second.fresh, again.seen) == (14, 0, [])
    assert second.detected == 14


def test_interrupted_run_goes_on(faces: manifest.Manifest, tmp_path: Path) -> None:
    prepare.prepare(faces, tmp_path / "out", Bright())
    journal = tmp_path / "out" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:6]) + lines[6][:20])
    assert prepare.prepare(faces, tmp_path / "out", Bright()).fresh == 9
    assert prepare.prepare(faces, tmp_path / "out", Bright()).fresh == 0


def test_undetected_are_counted_and_listed(faces: manifest.Manifest, tmp_path: Path) -> None:
    means = sorted(prepare.to_equalised_grey(image, clahe=True).mean() for image in faces.pixels(range(14)))
    found = prepare.prepare(faces, tmp_path / "out", Bright(least=float(means[5])))
    assert (found.detected, found.undetected) == (9, 5)
    assert len(found.listed.read_text().splitlines()) == 6
    whole = prepare.prepare(faces, tmp_path / "kept", Bright(least=float(means[5])), keep_undetected=True)
    kept = manifest.read(whole.manifest)
    assert (len(kept), int(kept.flagged(prepare.UNDETECTED).sum()), whole.undetected) == (14, 5, 5)


def test_other_settings_are_refused(faces: manifest.Manifest, tmp_path: Path) -> None:
    prepare.prepare(faces, tmp_path / "out", Bright())
    with pytest.raises(OptionError, match="another folder"):
        prepare.prepare(faces, tmp_path / "out", Bright(), clahe=False)


@dataclass
class Pointing(Bright):
    """As ``Bright``, and says where eyes, nose and mouth are."""

    def detect(self, pixels: np.ndarray) -> tuple[Detection, ...]:
        points = ((10.0, 12.0), (22.0, 13.0), (16.0, 18.0), (12.0, 23.0), (20.0, 23.0))
        return tuple(Detection(Box(4, 6, 32, 18), one.score, points) for one in super().detect(pixels))


def test_boxes_and_landmarks_are_columns_of_the_manifest(faces: manifest.Manifest, tmp_path: Path) -> None:
    means = sorted(prepare.to_equalised_grey(image, clahe=True).mean() for image in faces.pixels(range(14)))
    half = Pointing(least=float(means[7]))
    made = manifest.read(prepare.prepare(faces, tmp_path / "out", half, size=96, keep_undetected=True).manifest)
    seen = ~made.flagged(prepare.UNDETECTED)
    assert 0 < seen.sum() < 14
    assert {value for value, there in zip(made.column("box_width"), seen, strict=True) if there} == {32.0}
    assert made.column("box_height")[int(np.flatnonzero(~seen)[0])] is None
    found = landmarks.from_columns(FaceSet.from_manifest(made))
    assert found is not None
    # The square has a side of 24, half of the picture's, and its corner at (8, 3).
    np.testing.assert_allclose(
        found[seen][0], (np.array([[10, 12], [22, 13], [16, 18], [12, 23], [20, 23]]) - (8, 3)) * 4
    )
    assert np.isnan(found[~seen]).all()
    assert "nose_x" not in manifest.read(prepare.prepare(faces, tmp_path / "bare", Bright()).manifest).own_columns


def tinted(path: Path, count: int = 70) -> manifest.Manifest:
    """A zip of colour pictures, twice the same at the end, with a person, a split and votes' worth of columns each."""
    pictures = [corpora.face(seed, 48)[..., None] // np.array([1, 2, 3], np.uint8) for seed in range(count)]
    pictures.append(pictures[0])
    kinds = ("happy", "sad")
    files = {f"train/{kinds[at % 2]}/{at:03}.png": corpora.png(picture) for at, picture in enumerate(pictures)}
    source = corpora.pack_zip(path / "tinted.zip", dict(files))
    whole = manifest.read(index.index([source], path / "tinted.parquet").path)
    people = [f"p{row % 7}" for row in range(len(whole))]
    votes = [[row, 1, 0, 0, 0, 0, 0, 0, 0, 0] for row in range(len(whole))]
    return whole.with_column("subject", people).with_column("votes", votes).with_own("age", list(range(len(whole))))


def framed(whole: manifest.Manifest, out: Path, **options: object) -> prepare.Prepared:
    given = {"clahe": False, "framed": True, "size": 40, "interpolation": "area", "keep_undetected": True}
    return prepare.prepare(whole, out, Half(), **{**given, "colour": True, "store": "array", **options})  # type: ignore[arg-type]


@dataclass
class Half(Bright):
    """A face in the middle of every picture that is not too dark; can be sent to another process."""

    least: float = 75.0

    def detect(self, pixels: np.ndarray) -> tuple[Detection, ...]:
        side = len(pixels)
        found = Detection(Box(side * 0.3, side * 0.3, side * 0.4, side * 0.4), 0.9, None)
        return (found,) if pixels.mean() >= self.least else ()


def test_result_does_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    whole = tinted(tmp_path)
    one, two = framed(whole, tmp_path / "one"), framed(whole, tmp_path / "two", workers=2)
    assert 0 < one.undetected < len(whole)
    assert (one.detected, one.undetected, one.fresh) == (two.detected, two.undetected, two.fresh)
    for name in ("crops.npy", "journal.jsonl", "undetected.csv", "sheet.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    assert manifest.read(one.manifest).table.equals(manifest.read(two.manifest).table)


def test_equal_images_share_a_crop_and_each_row_keeps_what_is_known_of_it(tmp_path: Path) -> None:
    whole = tinted(tmp_path)
    made = framed(whole, tmp_path / "out")
    kept = manifest.read(made.manifest)
    for name in ("id", "label", "votes", "dataset", "split", "subject", "session", "pose", "age"):
        assert kept.column(name) == whole.column(name), name
    assert made.fresh == len(whole) - 1 == len(np.load(tmp_path / "out" / "crops.npy"))
    first, *_, last = kept.column("member")
    again = dict(zip(kept.column("id"), kept.column("member"), strict=True))
    assert again["train/happy/070.png"] == again["train/happy/000.png"] == first
    assert last != first


def test_array_is_loaded_in_colour_and_in_grey(tmp_path: Path) -> None:
    whole = tinted(tmp_path, 12)
    made = framed(whole, tmp_path / "out").manifest
    colour, plain = load(made, colour=True), load(made)
    assert colour.pixels.shape == (13, 40, 40, 3)
    np.testing.assert_array_equal(plain.pixels[5], cv2.cvtColor(colour.pixels[5], cv2.COLOR_RGB2GRAY))
    red, green, _ = np.moveaxis(np.asarray(colour.pixels), -1, 0)
    assert red.mean() > 1.9 * green.mean()
    np.testing.assert_array_equal(colour.part("train").pixels, colour.pixels)


def test_png_and_array_hold_the_same_crops(tmp_path: Path) -> None:
    whole = tinted(tmp_path, 12)
    files = load(framed(whole, tmp_path / "files", store="png").manifest, colour=True)
    array = load(framed(whole, tmp_path / "array").manifest, colour=True)
    np.testing.assert_array_equal(files.pixels, array.pixels)


def test_grey_and_colour_corpora_are_loaded_together(faces: manifest.Manifest, tmp_path: Path) -> None:
    grey = framed(faces, tmp_path / "grey", colour=False).manifest
    both = load([grey, framed(tinted(tmp_path, 6), tmp_path / "colour").manifest], colour=True)
    assert both.pixels.shape == (14 + 7, 40, 40, 3)
    np.testing.assert_array_equal(both.pixels[:14], np.repeat(np.asarray(load(grey).pixels)[..., None], 3, axis=3))


def test_row_of_another_crop_is_noticed(tmp_path: Path) -> None:
    made = framed(tinted(tmp_path, 12), tmp_path / "out").manifest
    path = tmp_path / "out" / "crops.npy"
    crops = np.load(path)
    np.save(path, crops[::-1])
    with pytest.raises(DataError, match=r"crops\.npy:0 is not the crop that the manifest lists"):
        load(made)


def test_interrupted_array_goes_on_behind_the_last_line_of_the_journal(tmp_path: Path) -> None:
    whole = tinted(tmp_path, 12)
    made = framed(whole, tmp_path / "out")
    expected = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    journal = tmp_path / "out" / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:6]))
    assert framed(whole, tmp_path / "out").fresh == 7
    for name in ("crops.npy", "journal.jsonl", "undetected.csv"):
        assert (tmp_path / "out" / name).read_bytes() == expected[name], name
    assert load(made.manifest, colour=True).pixels.shape == (13, 40, 40, 3)


def test_journal_without_its_array_is_refused(tmp_path: Path) -> None:
    whole = tinted(tmp_path, 4)
    framed(whole, tmp_path / "out")
    (tmp_path / "out" / "crops.npy").unlink()
    with pytest.raises(DataError, match=r"crops\.npy is missing"):
        framed(whole, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"framed": True}, "framed = True .*clahe = False"),
        ({"colour": True}, "colour = True .*clahe = False"),
        ({"workers": 0}, "workers = 0"),
    ],
)
def test_options_that_do_not_go_together(
    faces: manifest.Manifest, tmp_path: Path, options: dict[str, bool], told: str
) -> None:
    with pytest.raises(OptionError, match=told):
        prepare.prepare(faces, tmp_path / "out", Bright(), **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_colour_without_framing_is_cut_by_the_box(tmp_path: Path) -> None:
    whole = tinted(tmp_path, 4)
    made = prepare.prepare(whole, tmp_path / "out", Bright(), clahe=False, size=24, colour=True)
    np.testing.assert_array_equal(manifest.read(made.manifest).pixels([2])[0], whole.pixels([2])[0][4:28, 4:28])
