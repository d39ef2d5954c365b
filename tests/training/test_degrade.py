"""Degraded training faces: each by its own draw, in its bounds, the same again for the same batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from corpora import bars

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from mien.preprocess import apply  # noqa: E402
from mien.recipes.recipe import Recipe, parse  # noqa: E402
from mien.recipes.tables import DegradeTable  # noqa: E402
from mien.training import fit, loaders, parts, preview  # noqa: E402
from mien.training.degrade import DegradedFaces, degrade  # noqa: E402

KINDS = tuple(DegradeTable.model_fields)


def waves(count: int = 60, side: int = 48) -> np.ndarray:
    """Faces with detail of every size: grey 30 to 220."""
    grid = np.arange(side) / side
    fine = np.sin(grid * 70)[None] * np.cos(grid * 50)[:, None] + np.sin(grid * 9)[None]
    return np.broadcast_to((125 + fine * 47).astype(np.uint8), (count, side, side)).copy()


def detail(faces: np.ndarray) -> np.ndarray:
    """Mean difference of neighbours, (N,)."""
    return np.asarray(np.abs(np.diff(faces.astype(float), axis=2)).mean((1, 2)))


def recipe(**table: float) -> Recipe:
    plan = {"name": "worse", "train": {"epochs": 2, "batch_size": 8}, "degrade": table}
    return parse({**plan, "network": {"name": "residual", "widths": [4, 8], "blocks": 1}})


def test_nothing_changes_when_all_is_off() -> None:
    np.testing.assert_array_equal(degrade(waves(), DegradeTable(), np.random.default_rng(0)), waves())


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_changes_its_share_of_the_faces_and_each_by_its_own_draw(kind: str) -> None:
    faces = waves(400)
    worse = degrade(faces, DegradeTable(**{kind: 0.5}), np.random.default_rng(1))
    changed = (worse != faces).any((1, 2))
    assert 0.4 < changed.mean() < 0.6
    assert worse.dtype == np.uint8
    assert worse.shape == faces.shape
    assert len({face.tobytes() for face in worse[changed]}) > 0.25 * changed.sum()  # JPEG has 69 qualities
    np.testing.assert_array_equal(faces, waves(400))


def test_what_each_kind_takes_away() -> None:
    plain, draw = waves(200), np.random.default_rng(2)
    found = {kind: degrade(plain, DegradeTable(**{kind: 1}), draw) for kind in KINDS}
    for kind in ("resolution", "blur"):
        assert (detail(found[kind]) <= detail(plain) + 0.5).all()
        assert detail(found[kind]).min() < detail(plain)[0] / 3
    assert (detail(found["noise"]) > detail(plain) - 0.5).all()
    assert detail(found["noise"]).max() > 1.2 * detail(plain)[0]
    means = found["light"].mean((1, 2))
    assert means.min() < 50
    assert means.max() > 170
    covered = (found["cover"] != plain).mean((1, 2))
    assert 0.2 < covered.max() < 0.35  # a face is never hidden as a whole
    assert 2 < np.abs(found["jpeg"].astype(float) - plain).mean() < 20


def test_crops_of_another_size_are_changed_as_much() -> None:
    draw = np.random.default_rng(3)
    small, large = (degrade(waves(200, side), DegradeTable(blur=1), draw) for side in (48, 96))
    lost = [detail(each).mean() / detail(waves(1, len(each[0])))[0] for each in (small, large)]
    assert lost[0] == pytest.approx(lost[1], abs=0.1)


def test_a_batch_depends_on_its_faces_and_the_seed_alone() -> None:
    faces, targets = waves(), torch.eye(60)
    plan = recipe(**dict.fromkeys(KINDS, 0.5))
    rows = [5, 3, 40]
    first, wanted = DegradedFaces(faces, targets, plan)[rows]
    again, _ = DegradedFaces(faces, targets, plan)[rows]
    other, _ = DegradedFaces(faces, targets, plan.with_values({"train.seed": 1}))[rows]
    assert first.shape == (3, 1, 48, 48)
    assert torch.equal(wanted, targets[rows])
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_training_sees_degraded_faces_and_validation_plain_ones(tmp_path: Path) -> None:
    faces = bars({"Training": 16, "PublicTest": 8})
    plan = recipe(cover=1.0)
    arranged = parts.arrange(faces, plan.data)
    plain = apply(arranged.part(parts.TRAIN).pixels, plan.preprocess)
    loader = loaders.training_loader(plan, arranged)
    order = list(loader.sampler)
    for (crops, _), rows in zip(loader, order, strict=True):
        assert (crops.numpy() != plain[rows]).any((1, 2, 3)).all()
    assert fit.fit(plan, faces, tmp_path / "run").exists()
    assert len(fit.read_history(tmp_path / "run")) == 2


def test_the_preview_shows_them() -> None:
    faces = bars({"Training": 16, "PublicTest": 8})
    plan = recipe(noise=1.0).with_values({"augment.flip": 0.0})
    before, after, _ = preview.batch(plan, faces)
    assert (before != after).any((1, 2, 3)).all()
