"""Every recipe of the package trains in its smoke variant, on generated faces of its own classes, to a model file."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from corpora import bars

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from mien import labels  # noqa: E402
from mien.classical.classical import load as load_model  # noqa: E402
from mien.datasets.faces import FaceSet  # noqa: E402
from mien.evaluation.predictions import read as read_predictions  # noqa: E402
from mien.recipes.recipe import ClassicalRecipe, Recipe, load, load_any, shipped  # noqa: E402
from mien.recognition.model_files.bundle import read  # noqa: E402
from mien.runs import runs  # noqa: E402
from mien.training.fit import read_history  # noqa: E402

COUNTS = {"Training": 12, "PublicTest": 3, "PrivateTest": 3}


def faces_for(recipe: Recipe | ClassicalRecipe) -> FaceSet:
    """Faces of all classes of the recipe's scheme, with votes, of 18 people or more who show each emotion once."""
    classes = labels.scheme(recipe.data.scheme or "fer2013").classes
    share = recipe.data.hold_out or 1.0
    times = math.ceil(2 / (COUNTS["Training"] * share))  # of every class at least two are held out
    counts = {split: count * times for split, count in COUNTS.items()}
    faces = bars(counts, classes=classes)
    people = [f"{split}/{place}" for split, count in counts.items() for _ in classes.labels for place in range(count)]
    return replace(faces, subjects=np.array(people), votes=np.eye(len(classes), dtype=np.float32)[faces.labels])


NAMES = {
    kind: [name for name in shipped() if isinstance(load_any(name), kind) and not load_any(name).data.corpora.shares]
    for kind in (Recipe, ClassicalRecipe)
}
"""Those of several corpora are trained in ``test_several_corpora``."""


@pytest.mark.parametrize("name", NAMES[ClassicalRecipe])
def test_a_baseline_is_fitted_and_scored(name: str, tmp_path: Path) -> None:
    recipe = load_any(name, "smoke")
    assert isinstance(recipe, ClassicalRecipe)
    figures = runs.train(recipe, faces_for(recipe), tmp_path / "run")
    model, scores = (
        load_model(tmp_path / "run" / "model.npz"),
        json.loads((tmp_path / "run" / "metrics.json").read_text()),
    )
    assert figures is not None
    assert figures["private_test"]["accuracy"] == scores["private_test"]["accuracy"] >= 0.9
    assert model.classes == scores["private_test"]["faces"] // COUNTS["PrivateTest"]
    answers = read_predictions(tmp_path / "run" / "predictions.parquet")
    assert answers.about.temperature == scores["temperature"]
    assert answers.part("PrivateTest").right.mean() == pytest.approx(scores["private_test"]["accuracy"])


@pytest.mark.parametrize("name", NAMES[Recipe])
def test_it_trains_two_epochs_and_exports(name: str, tmp_path: Path) -> None:
    recipe = load(name, "smoke")
    faces = faces_for(recipe)
    figures = runs.train(recipe, faces, tmp_path / "run")
    history, bundle = read_history(tmp_path / "run"), read(tmp_path / "run" / "model.onnx")
    assert [row.epoch for row in history] == [0, 1]
    assert all(np.isfinite([row.loss, row.validation_loss]).all() for row in history)
    assert bundle.labels == faces.label_set
    assert (bundle.name, bundle.recipe_digest) == (f"{name}-smoke", recipe.digest())
    assert bundle.preprocess == recipe.preprocess
    assert bundle.metrics == figures
