"""A finished network's features under neighbours and support-vector machines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.train
pytest.importorskip("onnx")
pytest.importorskip("sklearn")
pytest.importorskip("skimage")
pytest.importorskip("pydantic")

from mien.classical import classical  # noqa: E402
from mien.classical.descriptors import descriptors  # noqa: E402
from mien.classical.trunk import check_preprocess, read_trunk  # noqa: E402
from mien.errors import ImageError, ModelError, RecipeError  # noqa: E402
from mien.recipes import recipe  # noqa: E402
from mien.recipes.classical_table import ClassicalTable  # noqa: E402

TABLE = ClassicalTable(features="network", trunk="ferplus8", classifier="knn", neighbours=1)


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((14, 1, 48, 48)).astype(np.float32)


def test_features_are_the_trunks(crops: np.ndarray) -> None:
    expected = read_trunk("ferplus8").features(crops)
    assert np.array_equal(descriptors(crops, TABLE), expected)
    assert expected.shape[1] > 7


def test_a_trunk_in_colour_takes_colour(crops: np.ndarray) -> None:
    table = TABLE.model_copy(update={"trunk": "world8"})
    colour = np.random.default_rng(1).standard_normal((4, 3, 112, 112)).astype(np.float32)
    assert np.array_equal(descriptors(colour, table), read_trunk("world8").features(colour))
    with pytest.raises(ImageError, match=r"need \(N, 3, S, S\)"):
        descriptors(crops, table)


def test_a_model_is_fitted_kept_and_read(crops: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(14) % 7
    model = classical.train(TABLE, crops, labels, 7)
    assert np.array_equal(model.logits(crops).argmax(1), labels)  # each face is its own neighbour
    classical.save(model, tmp_path / "model.npz")
    assert np.array_equal(classical.load(tmp_path / "model.npz").logits(crops), model.logits(crops))
    monkeypatch.setattr(classical, "_trunk_digest", lambda _: "another")
    with pytest.raises(ModelError, match="its trunk ferplus8 is another model now"):
        classical.load(tmp_path / "model.npz")


def test_crops_of_another_size_are_refused(crops: np.ndarray) -> None:
    with pytest.raises(RecipeError, match=r"reads crops of 48 pixels; these have 32\. Set preprocess\.size"):
        descriptors(crops[..., :32, :32], TABLE)


def test_a_trunk_and_its_features_need_each_other() -> None:
    for values in ({"features": "network"}, {"features": "hog", "trunk": "default"}):
        with pytest.raises(ValueError, match="need each other"):
            ClassicalTable.model_validate(values)


def test_other_preprocessing_is_refused() -> None:
    values = {"name": "odd", "preprocess": {"size": 32}, "classical": TABLE.model_dump(exclude_defaults=True)}
    with pytest.raises(RecipeError, match=r"\(classical\.trunk\) was trained with preprocess\.size = 48"):
        check_preprocess(read_trunk("ferplus8"), recipe.parse_any(values, "odd"), "classical")
