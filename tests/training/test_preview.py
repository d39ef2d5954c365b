"""The previewed batch is what training would feed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import corpora

from mien import preprocess
from mien.recipes import recipe
from mien.training import preview

PLAN = {"name": "tiny", "train": {"epochs": 1}, "augment": {"flip": 1.0}, "preprocess": {"channels": 3}}


def test_batch_is_preprocessed_then_augmented() -> None:
    plain, changed, labels = preview.batch(recipe.parse(PLAN), corpora.bars({"Training": 2, "PublicTest": 1}), count=5)
    assert plain.shape == changed.shape == (5, 3, 48, 48)
    assert len(labels) == 5
    assert np.allclose(changed, plain[..., ::-1])


def test_plain_batch_comes_from_the_one_pixel_path() -> None:
    faces, plan = corpora.bars({"Training": 1, "PublicTest": 1}), recipe.parse(PLAN)
    plain, _, labels = preview.batch(plan, faces, count=7)
    expected = preprocess.apply(list(faces.part("Training").pixels), plan.preprocess)
    order = [faces.label_set.labels.index(label) for label in labels]
    assert np.array_equal(plain, expected[order])


def test_caption_tells_shape_and_range(tmp_path: Path) -> None:
    told = preview.write(
        recipe.parse(PLAN), corpora.bars({"Training": 1, "PublicTest": 1}), tmp_path / "batch.png", count=4
    )
    assert told.startswith("(4, 3, 48, 48) float32, -")
    assert told.endswith("3 channels")
    assert (tmp_path / "batch.png").stat().st_size > 1000
