"""``world8`` keeps what its file, the model card and the committed tables state, measured again on the real data."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import mien

pytest.importorskip("pyarrow")

from mien.datasets import protocol, terms
from mien.datasets.faces import FaceSet
from mien.datasets.formats import photos
from mien.evaluation.photos import read_photos
from mien.evaluation.protocol import face_crops
from mien.recognition.detection.detect import get_detector
from mien.recognition.model_files.bundle import read
from mien.recognition.model_files.names import FILES, WEIGHTS

ROOT = Path(__file__).parents[2]
RUN = ROOT / "docs" / "runs" / "world8"
TERMS = ("affectnet7", "affectnet_contempt", "fer2013", "rafdb", "taiwanese", "ferplus", "dlib_face_resnet29")


def _row(table: str, corpus: str) -> str:
    lines = (RUN / table).read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith(f"| {corpus}"))


def _accuracy(table: str, corpus: str) -> float:
    return float(_row(table, corpus).split("|")[4].split("%")[0]) / 100


def test_the_default_is_small() -> None:
    assert mien.load().name == "world8"
    assert (WEIGHTS / FILES["world8"]).stat().st_size <= 12_000_000


def test_all_corpora_are_stated_with_the_terms_of_today() -> None:
    stated = read("world8").trained_on
    assert {corpus.name for corpus in stated} == set(TERMS)
    assert stated == tuple(terms.corpus(corpus.name, corpus.use) for corpus in stated)
    assert "non-commercial" in read("world8").licence


def test_metrics_in_the_file_agree_with_the_committed_run() -> None:
    names = ("metrics.json", "metrics-float16.json", "metrics-recalibrated.json")
    runs = [json.loads((RUN / name).read_text(encoding="utf-8")) for name in names]
    for name in ("validation", "test"):
        assert read("world8").metrics[name]["accuracy"] == runs[-1][name]["accuracy"]
    assert runs[-1]["validation"]["log_loss"] < runs[0]["validation"]["log_loss"]  # which decided
    assert [run["test_scorings"] for run in runs] == [2, 1, 2]  # by the export and the suite; halved; as the first


@pytest.mark.parametrize("page", ["README.md", "MODEL_CARD.md"])
@pytest.mark.parametrize(
    ("table", "corpus"),
    [
        ("suite-validation.md", "RAF-DB validation"),
        ("suite-test.md", "FER+ PrivateTest, own frame"),
        ("suite-test.md", "KDEF"),
        ("suite-test.md", "CK+ 350"),
        ("suite-test.md", "AffectNet-7 test"),
        ("suite-test.md", "Taiwanese test"),
    ],
)
def test_pages_state_the_measured_accuracy(page: str, table: str, corpus: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    accuracy = _accuracy(table, corpus)
    assert re.search(rf"{accuracy * 100:.1f}\s?%", text), f"{page} does not state {accuracy:.1%} of {corpus}"


@pytest.mark.data
def test_contempt_is_rare_in_photos_from_the_web(data_dir: Path) -> None:
    """With all eight classes allowed: for a while every seventh of RAF-DB's faces was read as contempt."""
    (entry,) = (entry for entry in protocol.PROTOCOL if entry.name == "rafdb")
    material = protocol.read(entry, data_dir, entry.part(validation=True) or "")
    crops = face_crops.collect(material, "detector", get_detector("yunet"), None)
    recognizer = mien.load("world8", detector="whole")
    named = [recognizer.labels[index] for index in recognizer.classify(crops.pixels).argmax(1)]
    assert np.mean([name == "contempt" for name in named]) < 0.03
    right = [name == sample.label for name, sample in zip(named, material.samples, strict=True)]
    assert np.mean(right) == pytest.approx(0.817, abs=0.01)


@pytest.mark.data
def test_accuracy_on_ferplus(ferplus_faces: FaceSet) -> None:
    private = ferplus_faces.part("PrivateTest")
    probabilities = mien.load("world8", detector="whole").classify(np.asarray(private.pixels))
    accuracy = float((probabilities.argmax(1) == private.labels).mean())
    assert accuracy == pytest.approx(_accuracy("suite-test.md", "FER+ PrivateTest, own frame"), abs=0.002)


@pytest.mark.data
@pytest.mark.parametrize(("zipped", "corpus"), [("kdef_frontal350.zip", "KDEF"), ("ckplus350.zip", "CK+ 350")])
def test_end_to_end_on_corpora_that_it_never_saw(data_dir: Path, zipped: str, corpus: str) -> None:
    read_faces = read_photos(mien.load("world8", classes="fer2013"), photos.read(data_dir / zipped))
    assert read_faces.accuracy == pytest.approx(_accuracy("suite-test.md", corpus), abs=0.01)
