"""The figures that the issue of the data layer asks for, on the real sets; each read once a session."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyarrow")

from mien.datasets import faces, guard, manifest, split
from mien.datasets.faces import FaceSet
from mien.datasets.fingerprints import COUNTS
from mien.datasets.formats import ferplus
from mien.datasets.index import Indexed, index
from mien.datasets.manifest import Manifest
from mien.datasets.rows import Options, Row
from mien.labels import FER2013, FERPLUS, plurality
from mien.recipes.tables import DataTable

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def report(fer2013_manifest: Manifest) -> guard.Report:
    return guard.check(fer2013_manifest)


@pytest.fixture(scope="module")
def ckplus48(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return read(index([data_dir / "ckplus48.zip"], tmp_path_factory.mktemp("ck") / "m.parquet"))


def read(found: Indexed) -> Manifest:
    assert found.problems == 0
    return manifest.read(found.path)


def test_fer2013_counts(fer2013_manifest: Manifest) -> None:
    found = fer2013_manifest.counts()
    assert {part: sum(row.values()) for part, row in found.items()} == {
        "Training": 28_709, "PublicTest": 3_589, "PrivateTest": 3_589,
    }  # fmt: skip
    assert {part: tuple(row[noun] for noun in FER2013.labels) for part, row in found.items()} == COUNTS
    assert fer2013_manifest.flagged(manifest.BLANK).sum() == 12


def test_fer2013_copies(report: guard.Report) -> None:
    exact = {(leak.training, leak.held_out): leak.copies for leak in report.leaks if leak.kind == "exact"}
    assert exact[("Training", "PrivateTest")] == 288
    # 280 images are equal to the byte; one of them is blank, as are the eleven Training images it equals.
    assert exact[("Training", "PublicTest")] == 279
    assert report.blank == {"PublicTest": 1, "Training": 11}
    near = {leak.held_out: leak.copies for leak in report.leaks if leak.kind == "near" and leak.training == "Training"}
    assert near["PublicTest"] > 100
    assert near["PrivateTest"] > 100
    assert [part.expected for part in report.parts] == [True, True, True]


def test_fer2013_without_leaks(fer2013_manifest: Manifest, report: guard.Report) -> None:
    clean = guard.drop_leaks(fer2013_manifest, report)
    splits = clean.array("split")
    assert (splits == "PrivateTest").sum() == 3_589
    sides = [set(clean.where(splits == part).column("sha256")) for part in ("Training", "PrivateTest")]
    assert not sides[0] & sides[1]


def test_sample_has_the_pixels_of_the_zip(data_dir: Path, fer2013_manifest: Manifest, tmp_path: Path) -> None:
    sample = read(index([data_dir / "fer2013_sample.csv"], tmp_path / "s.parquet"))
    assert len(sample) == 700
    whole = zip(*(fer2013_manifest.column(name) for name in ("sha256", "label", "split")), strict=True)
    assert set(zip(*(sample.column(name) for name in ("sha256", "label", "split")), strict=True)) <= set(whole)


def test_ferplus_join(data_dir: Path, fer2013_manifest: Manifest) -> None:
    join = ferplus.open_join(data_dir / "ferplus", "majority")
    columns = zip(*(fer2013_manifest.column(name) for name in ("member", "label", "split")), strict=True)
    rows = [join(Row(member, label, "fer2013", part)) for member, label, part in columns]
    assert dict(join.counts) == {"unique": 33_299, "duplicate": 2_286, "ambiguous": 125, "without votes": 177}
    joined = [row for row in rows if isinstance(row, Row)]
    assert len(joined) == 35_887 - 125
    labels = fer2013_manifest.column("label")
    same = [row.label == label for row, label in zip(rows, labels, strict=True) if isinstance(row, Row) and row.votes]
    assert 0.55 < np.mean(same) < 0.75
    assert {row.label for row in joined if row.label} == set(FERPLUS.labels)


def test_ferplus_as_the_papers_count_it(data_dir: Path) -> None:
    join = ferplus.open_join(data_dir / "ferplus", "plurality")
    kept = Counter(usage for usage, _, votes in join.votes if plurality(votes) in FERPLUS.labels)
    assert dict(kept) == {"Training": 28_559, "PublicTest": 3_579, "PrivateTest": 3_573}


def test_one_apex_frame_of_each_ckplus48_sequence(data_dir: Path, tmp_path: Path) -> None:
    found = read(index([data_dir / "ckplus48.zip"], tmp_path / "m.parquet", options=Options(last=1)))
    assert len(found) == 327
    assert len(set(zip(found.column("subject"), found.column("session"), strict=True))) == 327


def test_ckplus48_image_level_split_shares_people(ckplus48: Manifest) -> None:
    assert len(ckplus48) == 981
    assert len(set(ckplus48.column("subject"))) == 118
    by_image = guard.check(split.ratios(ckplus48, (80, 20)))
    (shared,) = by_image.subjects
    assert len(shared.shared) == shared.people > 80
    assert {leak.kind for leak in by_image.leaks} == {"near"}
    by_subject = guard.check(split.ratios(ckplus48, (80, 20), by="subject"))
    assert by_subject.clean


@pytest.mark.parametrize(("name", "sizes"), [("ckplus_subjects48", (890, 123, 8)), ("kdef_frontal350", (979, 70, 7))])
def test_other_corpora(name: str, sizes: tuple[int, ...], data_dir: Path, tmp_path: Path) -> None:
    found = read(index([data_dir / f"{name}.zip"], tmp_path / "m.parquet"))
    assert (len(found), len(set(found.column("subject"))), len(set(found.column("label")))) == sizes
    assert guard.check(split.ratios(found, (80, 20), by="subject")).clean


def test_who_reads_only_what_a_limited_recipe_needs_trains_on_the_same_faces(
    data_dir: Path, fer2013_faces: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mien.datasets.index import load

    parts = pytest.importorskip("mien.training.parts", exc_type=ImportError)
    table = DataTable(limit=56)
    decoded: list[str] = []

    def note(read: Any, row: Any) -> Any:
        decoded.append(row.member)
        return load(read, row)

    monkeypatch.setattr("mien.datasets.index.load", note)
    few = faces.load(data_dir / "fer2013.zip", limit=table.reading_limit, seed=table.seed)
    assert len(decoded) == len(few) <= 3 * 7 * 56
    assert parts.describe(parts.arrange(few, table)) == parts.describe(parts.arrange(fer2013_faces, table))
