"""What docs/systems/A.json to E.json say of the corpora, counted again from their files; no image is decoded."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pages import ROOT

pytest.importorskip("pyarrow")

from mien.datasets import faces, index
from mien.datasets.formats import readers
from mien.datasets.rows import Options, Row
from mien.datasets.sources.archive import open_source
from mien.reproduction.finding import Evidence

pytestmark = pytest.mark.data


def read_rows(path: Path, *angles: str) -> list[Row]:
    with open_source(path) as source:
        items = list(index.items(source, readers.detect(source)[0], Options(angles=angles)))
    rows = [item for item in items if isinstance(item, Row)]
    assert len(rows) == len(items)
    return rows


def count(rows: list[Row]) -> dict[str, int]:
    return dict(Counter(str(row.label) for row in rows))


def evidence(system: str) -> Evidence:
    return Evidence.read(ROOT / f"docs/systems/{system}.json")


@pytest.fixture(scope="module")
def fer2013(data_dir: Path) -> list[Row]:
    return read_rows(data_dir / "fer2013.zip")


@pytest.fixture(scope="module")
def rows_of_a(data_dir: Path) -> tuple[list[Row], list[Row]]:
    return read_rows(data_dir / "ckplus48.zip"), read_rows(data_dir / "kdef_frontal350.zip", "S")


@pytest.mark.parametrize("system", "BCDE")
def test_fer2013(system: str, fer2013: list[Row]) -> None:
    training = [row for row in fer2013 if row.split == "Training"]
    assert evidence(system) == Evidence(fer2013=count(fer2013), fer2013_train=count(training))


def test_the_sizes_that_statements_are_judged_by(fer2013: list[Row]) -> None:
    contradictions = pytest.importorskip("mien.reproduction.contradictions", exc_type=ImportError)
    sizes = Counter(row.split for row in fer2013)
    assert len(fer2013) == contradictions.IMAGES
    assert sizes["Training"] == contradictions.TRAINING
    assert sizes["PublicTest"] == sizes["PrivateTest"] == contradictions.PART


def test_the_corpora_of_a(rows_of_a: tuple[list[Row], list[Row]]) -> None:
    counted = evidence("A")
    assert (counted.ckplus, counted.kdef) == tuple(map(count, rows_of_a))


def test_the_people_on_both_sides_of_a(rows_of_a: tuple[list[Row], list[Row]]) -> None:
    """The split is drawn by class and row, so that one pixel stands for each face."""
    parts = pytest.importorskip("mien.training.parts", exc_type=ImportError)
    recipe = pytest.importorskip("mien.recipes.recipe", exc_type=ImportError)
    table = recipe.load("system-a-cnn").data
    rows = [replace(row, pixels=np.zeros((1, 1), np.uint8)) for corpus in rows_of_a for row in corpus]
    arranged = parts.arrange(faces._collect(rows, table.label_scheme()), table)
    training, test = (set(arranged.part(part).subjects.tolist()) for part in (parts.TRAIN, parts.TEST))
    assert evidence("A").people == (len(training & test), len(training | test))
