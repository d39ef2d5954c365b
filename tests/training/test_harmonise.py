from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
pytest.importorskip("pydantic")

from mien.datasets.faces import FaceSet  # noqa: E402
from mien.labels import FERPLUS  # noqa: E402
from mien.recipes import recipe  # noqa: E402
from mien.recipes.tables import AugmentTable  # noqa: E402
from mien.training.harmonise import CorpusFaces, filled, masked, warped  # noqa: E402

SIDE = 60


def _draw() -> np.random.Generator:
    return np.random.default_rng(0)


def _gradient() -> np.ndarray:
    across = np.linspace(40, 220, SIDE)
    return np.stack(
        [np.tile(across, (SIDE, 1)), np.tile(across[:, None], (1, SIDE)), np.full((SIDE, SIDE), 90)], 2
    ).astype(np.uint8)


@pytest.mark.parametrize("grey", [False, True])
def test_a_mask_leaves_the_middle_and_blackens_the_corners(grey: bool) -> None:
    face = _gradient()[:, :, 0] if grey else _gradient()
    cut = masked(face, _draw())
    assert (cut[SIDE // 2 - 8 : SIDE // 2 + 8, SIDE // 2 - 8 : SIDE // 2 + 8] == face[22:38, 22:38]).all()
    assert not cut[0, 0].any()
    assert not cut[-1, -1].any()


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_what_lies_around_a_cut_out_face_is_filled_and_the_face_is_not(grey: bool, seed: int) -> None:
    face = _gradient()[:, :, 0] if grey else _gradient()
    cut = masked(face, _draw())
    whole = filled(cut, np.full_like(face, 200), np.random.default_rng(seed))
    assert (whole[22:38, 22:38] == face[22:38, 22:38]).all()
    assert (whole[:4, :4] != cut[:4, :4]).any()


def test_a_dark_pupil_is_no_surroundings() -> None:
    face = _gradient()
    face[28:32, 20:24] = 0
    assert (filled(masked(face, _draw()), np.full_like(face, 200), _draw())[28:32, 20:24] == 0).all()


def test_a_face_that_is_not_cut_out_stays() -> None:
    assert (filled(_gradient(), _gradient(), _draw()) == _gradient()).all()


def test_without_augmentation_warping_only_resizes() -> None:
    still = AugmentTable(flip=0.0)
    assert (warped(_gradient(), SIDE, still, _draw()) == _gradient()).all()
    small = warped(_gradient(), 30, still, _draw())
    assert small.shape == (30, 30, 3)
    assert np.abs(small.astype(int) - _gradient().reshape(30, 2, 30, 2, 3).mean((1, 3))).max() <= 4


def test_mirroring_is_that_of_the_recipe() -> None:
    assert (warped(_gradient(), SIDE, AugmentTable(flip=1.0), _draw()) == _gradient()[:, ::-1]).all()


def test_batches_have_the_epoch_s_size_and_come_again() -> None:
    pixels = np.stack([_gradient()] * 8)
    faces = FaceSet(
        FERPLUS,
        pixels,
        np.arange(8),
        np.array(["train"] * 8),
        tuple("abcdefgh"),
        datasets=np.array(["affectnet7"] * 4 + ["rafdb"] * 4),
    )
    plan, epoch = recipe.load("world8"), [0]
    batches = CorpusFaces(faces, torch.arange(8), plan, lambda: epoch[0])
    crops, targets = batches[[1, 5]]
    assert crops.shape == (2, 3, plan.size_at(0), plan.size_at(0))
    assert targets.tolist() == [1, 5]
    assert torch.equal(crops, batches[[1, 5]][0])
    epoch[0] = plan.train.epochs - 1
    assert batches[[1, 5]][0].shape[-1] == plan.preprocess.size


def test_an_uncut_corpus_gets_the_outlines_of_the_masked_one() -> None:
    square = _gradient()
    square[:12] = square[-12:] = 0
    square[:, :12] = square[:, -12:] = 0  # an outline that no oval has
    pixels = np.stack([square] * 4 + [_gradient()] * 4)
    names = np.array(["affectnet7"] * 4 + ["affectnet_contempt"] * 4)
    faces = FaceSet(FERPLUS, pixels, np.arange(8), np.array(["train"] * 8), tuple("abcdefgh"), datasets=names)
    plan = recipe.load("world8")
    still: dict[str, Any] = {"harmonise": plan.harmonise.model_copy(update={"fill": 0.0, "grey": 0.0, "cast": 0.0})}
    still |= {"augment": AugmentTable(flip=0.0), "degrade": type(plan.degrade)()}
    plan = plan.model_copy(update=still)
    batches = CorpusFaces(faces, torch.arange(8), plan, lambda: 0)
    cut, own = (batches._face(row, pixels[row], SIDE, _draw()) for row in (5, 1))
    assert (cut == 0).all(axis=2).tolist() == (own == 0).all(axis=2).tolist()
    assert (cut[20:40, 20:40] == _gradient()[20:40, 20:40]).all()
