"""Training on faces that are read batch by batch: the same batches, weights and metrics as from memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import bars, members, plant, write_zip
from support import linear_graph

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
torch.set_num_threads(1)

from mien.datasets.faces import FaceSet, load  # noqa: E402
from mien.datasets.index import index  # noqa: E402
from mien.datasets.lazy import LazyPixels  # noqa: E402
from mien.errors import DataError  # noqa: E402
from mien.export import export  # noqa: E402
from mien.recipes.recipe import Recipe, parse  # noqa: E402
from mien.recognition import classifier  # noqa: E402
from mien.recognition.session import OnnxSession  # noqa: E402
from mien.runs import models  # noqa: E402
from mien.training import loaders, parts  # noqa: E402
from mien.training.fit import Epoch, fit, read_history  # noqa: E402


def recipe(**tables: Any) -> Recipe:
    tables["train"] = {"epochs": 3, "batch_size": 16, "rate": 0.003, **tables.get("train", {})}
    return parse({"name": "tiny", "preprocess": {"size": 16}, "augment": {"shift": 0.02}} | tables)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    return index([write_zip(bars({"Training": 8, "PublicTest": 3, "PrivateTest": 3}), folder / "c.zip")], folder / "m.parquet").path  # fmt: skip # noqa: E501


@pytest.fixture(scope="module")
def whole(corpus: Path) -> FaceSet:
    return load(corpus)


@pytest.fixture
def lazy(corpus: Path) -> FaceSet:
    faces = load(corpus, memory=0)
    assert isinstance(faces.pixels, LazyPixels)
    return faces


def with_corpora(faces: FaceSet) -> FaceSet:
    return replace(faces, datasets=np.where(np.arange(len(faces)) % 2 == 0, "web", "lab"))


CORPORA = {"shares": {"web": 2.0, "lab": 1.0}, "masked": ["web"]}


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"data": {"oversample": 0.5}},
        {"data": {"split": "image", "limit": 40}},
        {"degrade": {"light": 0.5, "noise": 0.5}},
        {"data": {"corpora": CORPORA}, "harmonise": {"fill": 1.0, "mask": 0.5}},
    ],
)
def test_batches_are_those_of_faces_in_memory(tables: dict[str, Any], whole: FaceSet, lazy: FaceSet) -> None:
    plan = recipe(**tables)
    arranged = [parts.arrange(with_corpora(faces), plan.data) for faces in (whole, lazy)]
    assert isinstance(arranged[1].part(parts.TRAIN).pixels, LazyPixels)
    assert parts.describe(arranged[0]) == parts.describe(arranged[1])
    for make in (loaders.training_loader, loaders.validation_loader):
        ours, theirs = (list(make(plan, faces)) for faces in arranged)
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))


def test_faces_whose_crops_do_not_fit_are_preprocessed_by_the_batch(whole: FaceSet) -> None:
    plan = recipe()
    little = plan.with_values({"data.memory": 1e-6})
    assert isinstance(loaders.training_loader(plan, whole).dataset, torch.utils.data.TensorDataset)
    assert isinstance(loaders.training_loader(little, whole).dataset, loaders.PreparedFaces)
    pairs = zip(loaders.training_loader(plan, whole), loaders.training_loader(little, whole), strict=True)
    assert all(torch.equal(ours[0], theirs[0]) for ours, theirs in pairs)


class CutError(Exception):
    """Stands for a power cut."""


def test_cut_off_and_resumed_run_has_the_weights_of_one_from_memory(
    whole: FaceSet, lazy: FaceSet, tmp_path: Path
) -> None:
    def cut(epoch: Epoch) -> None:
        if epoch.epoch == 1:
            raise CutError

    fit(recipe(), whole, tmp_path / "whole")
    with pytest.raises(CutError):
        fit(recipe(data={"memory": 0.0}), lazy, tmp_path / "lazy", watch=cut)
    fit(recipe(data={"memory": 0.0}), lazy, tmp_path / "lazy", resume=True)
    ours, theirs = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "lazy")
    )
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    rows = [[replace(row, minutes=0.0) for row in read_history(tmp_path / name)] for name in ("whole", "lazy")]
    assert rows[0] == rows[1]
    assert models.arrange(tmp_path / "lazy", whole) is not None
    assert models.arrange(tmp_path / "whole", lazy) is not None


def test_a_damaged_image_in_mid_training_is_named(tmp_path: Path) -> None:
    files = members(bars({"Training": 8, "PublicTest": 2}))
    folder = plant(tmp_path / "c", dict(files))
    faces = load(index([folder], tmp_path / "m.parquet").path, memory=0)
    damaged = folder / next(name for name in files if "Training" in name)

    def damage(epoch: Epoch) -> None:
        damaged.write_bytes(b"no image any more")

    with pytest.raises(DataError, match=damaged.name):
        fit(recipe(), faces, tmp_path / "run", watch=damage)


def test_scores_are_those_of_faces_in_memory_and_no_crops_are_kept(
    whole: FaceSet, lazy: FaceSet, tmp_path: Path
) -> None:
    plan = recipe()
    session = OnnxSession(linear_graph(plan.preprocess, 7))
    ours, theirs = (export.score(session, plan, parts.arrange(faces, plan.data)) for faces in (whole, lazy))
    assert ours.metrics == theirs.metrics
    assert ours.predictions.about == theirs.predictions.about
    assert ours.predictions.crops is not None
    assert theirs.predictions.crops is None
    theirs.write(tmp_path, "0" * 64)
    test = whole.part(parts.TEST)
    assert models.holds_test(tmp_path, test)
    assert models.holds_test(tmp_path, lazy)
    assert not models.holds_test(tmp_path, replace(test, ids=tuple(f"other/{name}" for name in test.ids)))


def test_large_crops_are_computed_in_smaller_batches_where_faces_do_not_fit(whole: FaceSet, lazy: FaceSet) -> None:
    sizes = [16, 96, 112, 224, 1024]
    specs = [replace(recipe().preprocess, size=size) for size in sizes]
    assert [classifier.batch_size(whole.pixels, spec) for spec in specs] == [256] * 5
    assert [classifier.batch_size(lazy.pixels, spec) for spec in specs] == [256, 256, 188, 47, 8]
