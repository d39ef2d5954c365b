"""Non-faces, doubtful labels, the review list, and the referee."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("pyarrow")

import corpora

from mien.datasets import index, manifest
from mien.datasets.quality import clean, referee, review, suspects
from mien.datasets.quality.review import Verdict
from mien.errors import DataError
from mien.recognition.detection.detect import get_detector

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def wrong() -> np.ndarray:
    return np.random.default_rng(1).choice(210, 20, replace=False)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory, wrong: np.ndarray) -> manifest.Manifest:
    folder = tmp_path_factory.mktemp("corpus")
    drawn = corpora.bars({"Training": 30})
    labels = drawn.labels.copy()
    labels[wrong] = (labels[wrong] + 3) % 7
    source = corpora.write_csv(replace(drawn, labels=labels), folder / "fer2013.csv")
    return manifest.read(index.index([source], folder / "faces.parquet").path)


def test_wrong_labels_are_doubted(faces: manifest.Manifest, wrong: np.ndarray) -> None:
    pixels = [image for batch in faces.images() for image in batch.pixels]
    hog = suspects._hog()
    features = np.stack([hog.compute(image) for image in pixels])
    codes = np.unique(faces.array("label"), return_inverse=True)[1]
    shares = suspects.predict_out_of_fold(features, codes, np.arange(len(codes)))
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-4)
    truth = np.isin(np.arange(len(codes)), wrong)
    assert referee._auc(truth, shares[np.arange(len(codes)), codes]) > 0.95
    doubted = suspects.find_doubtful(shares, codes)
    assert (doubted & truth).sum() >= 15
    assert (doubted & ~truth).sum() <= 5


def test_copies_do_not_vouch_for_themselves() -> None:
    draw = np.random.default_rng(0)
    features = np.repeat(draw.normal(size=(40, 60)).astype(np.float32), 2, axis=0)
    labels = np.repeat(draw.integers(0, 3, 40), 2)
    shares = suspects.predict_out_of_fold(features, labels, np.arange(80) // 2)
    assert (shares.argmax(axis=1) == labels).mean() < 0.6


def test_page_and_list(faces: manifest.Manifest, tmp_path: Path) -> None:
    found = clean.clean(faces, tmp_path, get_detector("yunet", threshold=0.01), face=0.0)
    verdicts = review.read(found.review)
    assert (found.rows, found.non_faces) == (210, 0)
    assert len(verdicts) == found.drop + found.relabel + found.keep > 0
    assert "data:image/jpeg" in found.page.read_text("utf-8")
    applied = review.apply(faces, verdicts)
    assert len(applied) == 210 - found.drop


def test_review_is_honoured(faces: manifest.Manifest, tmp_path: Path) -> None:
    ids = faces.column("id")
    listed = [Verdict(ids[0], "drop"), Verdict(ids[1], "relabel", "happiness"), Verdict(ids[2], "keep")]
    applied = review.apply(faces, review.read(review.write(listed, tmp_path / "review.csv")))
    again = manifest.read(applied.write(tmp_path / "new.parquet"))
    assert again.column("id") == ids[1:]
    assert again.column("label")[0] == "happiness"
    assert again.column("label")[1:] == faces.column("label")[2:]
    assert again.info["review"] == {"drop": 1, "relabel": 1, "keep": 1}


@pytest.mark.parametrize(
    ("line", "told"),
    [("a,dorp,,", "Did you mean 'drop'"), ("a,relabel,hapy,", "review.csv:2"), ("a,drop,,x", "review.csv:2")],
)
def test_wrong_lines_are_named(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "review.csv"
    path.write_text(f"id,action,new_label,score\n{line}\n")
    with pytest.raises(DataError, match=told):
        review.read(path)


def test_foreign_ids_are_refused(faces: manifest.Manifest) -> None:
    with pytest.raises(DataError, match="not an id of this manifest"):
        review.apply(faces, [Verdict("elsewhere", "drop")])


def test_noise_is_no_face() -> None:
    draw = np.random.default_rng(0)
    tiles = [draw.integers(0, 256, (48, 48)).astype(np.uint8), np.full((48, 48), 9, np.uint8)]
    assert max(suspects._score_tiles(tiles, get_detector("yunet", threshold=0.01))) < 0.3


@pytest.fixture(scope="module")
def training(voted_manifest: Callable[[str], manifest.Manifest]) -> manifest.Manifest:
    made = voted_manifest("corpus")
    return made.where(made.array("split") == "Training")


@pytest.mark.data
def test_non_faces_against_votes(training: manifest.Manifest) -> None:
    """Every eighth face with votes, all that FER+ saw no face in, and all that it left over."""
    votes = training.column("votes")
    no_face = np.array([each is None or each[-1] >= 2 for each in votes])
    chosen = training.where(no_face | (np.arange(len(training)) % 8 == 0))
    faces, _ = suspects.score_images(chosen, get_detector("yunet", threshold=0.01))
    nothing = np.zeros(len(chosen), bool)
    found = referee.score_proposals(chosen, faces, clean.FACE, faces, nothing)
    assert found["non-face: two NF votes or more"]["AUC"] >= 0.75
    assert found["non-face: two NF votes, or left over by FER+"]["AUC"] >= 0.85


@pytest.mark.data
def test_mislabels_against_votes(training: manifest.Manifest) -> None:
    """Every second face of Training; with all of them the AUC is 0.77."""
    chosen = training.take(range(0, len(training), 2))
    hog = suspects._hog()
    features = np.stack([hog.compute(image) for batch in chosen.images() for image in batch.pixels])
    codes = np.unique(chosen.array("label"), return_inverse=True)[1]
    groups = np.unique(chosen.array("sha256"), return_inverse=True)[1]
    shares = suspects.predict_out_of_fold(features, codes, groups)
    own = shares[np.arange(len(codes)), codes]
    found = referee.score_proposals(chosen, own, 0.0, own, suspects.find_doubtful(shares, codes))[
        "mislabel: FER+ majority differs"
    ]
    assert found["AUC"] >= 0.75
    assert found["precision"] >= 1.4 * found["positives"] / found["rows"]
