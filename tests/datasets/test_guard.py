"""The guard finds planted copies and people, and finds nothing where nothing was planted."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from corpora import face, pack_zip, png
from PIL import Image

pytest.importorskip("pyarrow")

from mien.datasets import guard, manifest
from mien.datasets.compare import Variant
from mien.datasets.fingerprints import COUNTS, recognise_splits
from mien.datasets.index import index
from mien.datasets.manifest import Manifest
from mien.labels import FER2013

TRAINING = {number: face(number) for number in range(12)}


def jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=50)
    return buffer.getvalue()


def corpus(folder: Path, held_out: dict[str, bytes], **more: bytes) -> Manifest:
    files: dict[str, bytes | str] = {f"train/happy/{number:02d}.png": png(image) for number, image in TRAINING.items()}
    files |= {f"test/{name}": content for name, content in held_out.items()}
    files |= {name.replace("__", "/"): content for name, content in more.items()}
    return manifest.read(index([pack_zip(folder / "c.zip", files)], folder / "m.parquet").path)


def shifted(image: np.ndarray) -> np.ndarray:
    return np.pad(image, 1, mode="edge")[2:, :-2]


COPIES = {
    "exact": png(TRAINING[0]),
    "jpeg": jpeg(TRAINING[1]),
    "brighter": png(np.clip(TRAINING[2] * 0.8 + 40, 0, 255).astype(np.uint8)),
    "shifted": png(shifted(TRAINING[3])),
    "resized": png(np.asarray(Image.fromarray(TRAINING[4]).resize((96, 96), Image.Resampling.BICUBIC))),
    "mirrored": png(TRAINING[5][:, ::-1]),
    "turned": png(Variant("", degrees=-5.0).apply(TRAINING[6])),
    "zoomed": png(Variant("", zoom=1 / 0.9).apply(TRAINING[7])),
}
KINDS = {
    "exact": "exact", "jpeg": "near", "brighter": "near", "shifted": "near", "resized": "near", "mirrored": "mirrored",
    "turned": "augmented", "zoomed": "augmented",
}  # fmt: skip


def test_every_kind_of_copy_is_found_as_its_kind(tmp_path: Path) -> None:
    held = {f"happy/{name}.png": content for name, content in COPIES.items() if name != "jpeg"}
    held |= {"happy/jpeg.jpg": COPIES["jpeg"], "happy/other.png": png(face(99))}
    whole = corpus(tmp_path, held)
    report = guard.check(whole, augmented=True)
    ids = whole.column("id")
    found = {
        Path(ids[second]).stem: (leak.kind, int(Path(ids[first]).stem))
        for leak in report.leaks
        for first, second in leak.pairs
    }
    assert found == {name: (KINDS[name], number) for number, name in enumerate(COPIES)}
    assert not report.clean
    quick = guard.check(whole)
    assert {leak.kind: leak.copies for leak in quick.leaks} == {"exact": 1, "near": 4, "mirrored": 1}


def test_dropping_takes_the_training_side_only(tmp_path: Path) -> None:
    whole = corpus(tmp_path, {f"happy/{name}.png": COPIES[name] for name in ("exact", "shifted", "mirrored")})
    report = guard.check(whole)
    clean = guard.drop_leaks(whole, report)
    assert clean.counts() == {"test": {"happiness": 3}, "train": {"happiness": 9}}
    assert guard.check(clean).clean
    assert clean.info["dropped_leaks"]["rows"] == 3
    exact_only = guard.drop_leaks(whole, report, ["exact"])
    assert len(exact_only) == len(whole) - 1
    assert guard.check(exact_only).leaks


def test_clean_corpus_is_clean(tmp_path: Path) -> None:
    report = guard.check(
        corpus(tmp_path, {f"happy/{seed}.png": png(face(seed)) for seed in range(50, 70)}), augmented=True
    )
    assert report.clean
    assert (report.leaks, report.repeated, report.conflicts) == ((), 0, 0)


def test_blank_images_are_counted_but_are_no_copies(tmp_path: Path) -> None:
    blank = png(np.zeros((48, 48), np.uint8))
    files = {"sad/blank.png": blank, "sad/second.png": blank}
    whole = corpus(tmp_path, files, **{"train__happy__blank.png": blank})
    report = guard.check(whole)
    assert report.clean
    assert report.blank == {"test": 2, "train": 1}


def test_repeats_and_conflicts_within_a_split(tmp_path: Path) -> None:
    whole = corpus(tmp_path, {"sad/1.png": png(face(80)), "angry/2.png": png(face(80)), "sad/3.png": png(face(80))})
    report = guard.check(whole)
    assert (report.repeated, report.conflicts) == (2, 1)
    assert report.clean


def test_people_on_both_sides_are_counted(tmp_path: Path) -> None:
    whole = corpus(tmp_path, {f"happy/{seed}.png": png(face(seed)) for seed in range(50, 56)})
    people = [f"P{place % 4}" for place in range(len(whole))]
    report = guard.check(whole.with_column("subject", people))
    (shared,) = report.subjects
    assert (shared.training, shared.held_out, len(shared.shared), shared.people) == ("train", "test", 4, 4)
    apart = ["A" if split == "train" else "B" for split in whole.column("split")]
    assert not guard.check(whole.with_column("subject", apart)).subjects
    # Two corpora may use the same name for two people.
    datasets = ["one" if split == "train" else "two" for split in whole.column("split")]
    assert not guard.check(whole.with_column("subject", people).with_column("dataset", datasets)).subjects


def test_validation_is_held_out_from_training_and_test_from_both(tmp_path: Path) -> None:
    whole = corpus(tmp_path, {"happy/1.png": png(face(0))}, **{"val__happy__2.png": png(face(0))})
    report = guard.check(whole)
    sides = {(leak.training, leak.held_out) for leak in report.leaks}
    assert sides == {("train", "validation"), ("train", "test"), ("validation", "test")}
    clean = guard.drop_leaks(whole, report)
    assert clean.counts()["test"] == {"happiness": 1}
    assert "validation" not in clean.counts()


def counts(*parts: str, off: int = 0) -> dict[str, int]:
    total = [sum(COUNTS[part][place] for part in parts) for place in range(7)]
    return dict(zip(FER2013.labels, [total[0] - off, *total[1:]], strict=True))


@pytest.mark.parametrize(
    ("split", "parts", "says", "expected"),
    [
        ("test", ("PublicTest", "PrivateTest"), "test is PublicTest + PrivateTest", False),
        ("test", ("PublicTest",), "test is PublicTest called 'test'", False),
        ("validation", ("PrivateTest",), "PrivateTest called 'validation'", False),
        ("train", ("Training", "PublicTest", "PrivateTest"), "chosen on PrivateTest", False),
        ("train", ("Training",), "train is Training", True),
        ("PrivateTest", ("PrivateTest",), "PrivateTest is PrivateTest", True),
    ],
)
def test_fingerprints(split: str, parts: tuple[str, ...], says: str, expected: bool) -> None:
    (found,) = recognise_splits({split: counts(*parts)})
    assert (found.parts, found.expected, found.off) == (parts, expected, 0)
    assert says in str(found)


def test_fingerprint_of_a_folder_that_lacks_a_few(tmp_path: Path) -> None:
    (found,) = recognise_splits({"test": counts("PublicTest", off=9)})
    assert (found.parts, found.off) == (("PublicTest",), 9)
    assert "9 images more or fewer" in str(found)
    assert not recognise_splits({"test": counts("PublicTest", off=200)})
    assert not recognise_splits({"test": counts("PublicTest") | {"contempt": 1}})


def test_report_is_json_ready(tmp_path: Path) -> None:
    import json

    whole = corpus(tmp_path, {"happy/1.png": png(face(0))})
    report = json.loads(json.dumps(guard.check(whole).to_dict()))
    assert report["leaks"] == [{"kind": "exact", "training": "train", "held_out": "test", "copies": 1, "pairs": 1}]
    assert replace(guard.check(whole), leaks=()).to_dict()["clean"]
