"""Balance, degraded fitting faces and the threshold: what calibration puts behind a network's logits."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.train
pytest.importorskip("torch")

import torch  # noqa: E402

torch.set_num_threads(1)

from mien.datasets.faces import FaceSet  # noqa: E402
from mien.errors import RecipeError  # noqa: E402
from mien.evaluation.metrics.calibration import fit_temperature, log_loss  # noqa: E402
from mien.labels import LabelSet  # noqa: E402
from mien.networks import networks  # noqa: E402
from mien.recipes import recipe  # noqa: E402
from mien.training import calibrate  # noqa: E402
from mien.training.module import network_of  # noqa: E402

COUNTS = {"Training": (800, 150, 50), "PublicTest": (400, 75, 25), "PrivateTest": (40, 8, 2)}
"""Faces of each class: shares of 0.8, 0.15 and 0.05."""


def plan(**values: object) -> recipe.Recipe:
    written = {"name": "calibrated", "train": {"epochs": 1}, "degrade": {"noise": 0.5}, "calibrate": values}
    return recipe.parse(written)


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    draw = np.random.default_rng(0)
    labels = np.concatenate([np.repeat(np.arange(3), counts) for counts in COUNTS.values()])
    splits = np.concatenate([np.repeat(name, sum(counts)) for name, counts in COUNTS.items()])
    pixels = draw.integers(0, 256, (len(labels), 48, 48)).astype(np.uint8)
    return FaceSet(LabelSet("own", ("a", "b", "c")), pixels, labels, splits, tuple(map(str, range(len(labels)))))


@pytest.fixture(scope="module")
def answers(faces: FaceSet) -> np.ndarray:
    """Logits of a network that knows all there is to know: of a sign (3) in noise (2), and of the classes' shares."""
    labels = faces.part("PublicTest").labels
    seen = 3 * np.eye(3)[labels] + np.random.default_rng(1).normal(0, 2, (len(labels), 3))
    return (seen * 3 / 2**2 + np.log([0.8, 0.15, 0.05])).astype(np.float32)


def test_full_balance_takes_the_shares_of_the_classes_out_again(faces: FaceSet, answers: np.ndarray) -> None:
    network = torch.nn.Identity()
    whole = calibrate.scale_logits(network, answers, plan(balance=1.0), faces)(torch.from_numpy(answers)).numpy()
    np.testing.assert_allclose(whole, answers - np.log([0.8, 0.15, 0.05]), atol=1e-5)
    half = calibrate.scale_logits(network, answers, plan(balance=0.5), faces)(torch.from_numpy(answers)).numpy()
    np.testing.assert_allclose(half, (answers + whole) / 2, atol=1e-5)


def test_balance_finds_more_of_the_rare_and_less_of_all(faces: FaceSet, answers: np.ndarray) -> None:
    labels = faces.part("PublicTest").labels
    shares = []
    for balance in (0.0, 0.5, 1.0):
        found = (answers + calibrate.shift(plan(balance=balance), faces)).argmax(1)
        shares.append(((found == labels).mean(), np.mean([(found[labels == k] == k).mean() for k in range(3)])))
    accuracy, balanced = zip(*shares, strict=True)
    assert accuracy[0] > accuracy[1] > accuracy[2]
    assert balanced[0] < balanced[1] < balanced[2]


def test_the_temperature_is_that_of_the_shares_that_balance_stands_for(faces: FaceSet, answers: np.ndarray) -> None:
    labels, balanced = faces.part("PublicTest").labels, plan(balance=1.0)
    moved = (answers + calibrate.shift(balanced, faces)).astype(np.float32)
    # With equal shares there would be 400 of each class, as there are of the first.
    rows = np.concatenate([np.repeat(np.flatnonzero(labels == k), 400 // (labels == k).sum()) for k in range(3)])
    found = calibrate.temperature(balanced, moved, faces)
    assert found == pytest.approx(fit_temperature(moved[rows], labels[rows]), rel=0.02)
    assert found > 1.1 * fit_temperature(moved, labels)  # which takes the corpus for the world


def test_degraded_faces_follow_the_others(faces: FaceSet) -> None:
    validation = faces.part("PublicTest")
    np.testing.assert_array_equal(calibrate.fitting_faces(plan(), faces).pixels, validation.pixels)
    both = calibrate.fitting_faces(plan(degraded=True), faces)
    np.testing.assert_array_equal(both.pixels[:500], validation.pixels)
    np.testing.assert_array_equal(both.labels, np.tile(validation.labels, 2))
    changed = (both.pixels[500:] != validation.pixels).any((1, 2)).mean()
    assert 0.4 < changed < 0.6
    np.testing.assert_array_equal(calibrate.fitting_faces(plan(degraded=True), faces).pixels, both.pixels)


def test_nothing_to_degrade_with_is_an_error() -> None:
    with pytest.raises(RecipeError, match=r"calibrate\.degraded needs a \[degrade\] table"):
        recipe.parse({"name": "plain", "train": {"epochs": 1}, "calibrate": {"degraded": True}})


def test_other_plans_have_the_defaults() -> None:
    assert calibrate.table_of(recipe.load_any("hog-svm")).certain == 0.8
    assert calibrate.table_of(recipe.load("fer8")).certain == 0.95


def neighbours(crops: torch.Tensor, share: float) -> torch.Tensor:
    """Smooth float (N, C, H, W) along rows, then columns, with zeros around."""
    for axis in (2, 3):
        frame = torch.zeros_like(crops.narrow(axis, 0, 1))
        wide = torch.cat([frame, crops, frame], axis)
        length = crops.shape[axis]
        before, own, after = (wide.narrow(axis, place, length) for place in range(3))
        crops = share * before + (1 - 2 * share) * own + share * after
    return crops


@pytest.mark.parametrize(("channels", "stride", "padding"), [(1, 1, 1), (3, 2, 0), (1, 2, 3)])
def test_a_smoothed_network_reads_as_one_of_smoothed_crops(channels: int, stride: int, padding: int) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(channels, 4, 3, stride, padding), torch.nn.ReLU())
    crops = torch.zeros(2, channels, 24, 24)
    crops[:, :, 4:20, 4:20] = torch.randn(2, channels, 16, 16)  # nothing at the edge, where frames of zeros meet
    with torch.inference_mode():
        expected = network(neighbours(crops, 0.12))
        found = calibrate.smooth_input(network, 0.12)(crops)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected)


def test_what_cannot_be_smoothed_is_refused_and_zero_changes_nothing() -> None:
    for network in (
        torch.nn.Linear(4, 2),
        torch.nn.Conv2d(1, 2, 3, dilation=2),
        torch.nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"),
        torch.nn.Conv2d(1, 2, 3, padding="same"),
    ):
        with pytest.raises(RecipeError, match=r"calibrate\.smooth = 0"):
            calibrate.smooth_input(network, 0.1)
    first = torch.nn.Conv2d(1, 2, 3)
    assert calibrate.smooth_input(first, 0.0).weight.shape == (2, 1, 3, 3)


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_the_convolution_that_is_smoothed_is_the_one_that_reads_the_crops(name: str) -> None:
    network, read = networks.build(name, 7, 1, 48).eval(), []
    calibrate.first_convolution(network).register_forward_pre_hook(lambda _, given: read.append(given[0]))
    crops = torch.randn(2, 1, 48, 48)
    with torch.inference_mode():
        network(crops)
    assert len(read) == 1
    torch.testing.assert_close(read[0], crops)


def test_a_network_that_cannot_be_smoothed_is_refused_before_it_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "build", lambda *_, **__: torch.nn.Linear(4, 2))
    assert isinstance(network_of(plan(), 7), torch.nn.Linear)
    with pytest.raises(RecipeError, match=r"calibrate\.smooth .*None"):
        network_of(plan(smooth=0.1), 7)


@pytest.mark.parametrize("value", [-0.01, 0.26])
def test_smoothing_beyond_the_mean_of_three_is_refused(value: float) -> None:
    with pytest.raises(RecipeError, match="smooth"):
        plan(smooth=value)


def test_a_class_that_a_corpus_lacks_is_learned_to_be_rare_in_it() -> None:
    """Faces of ``web`` look like class c, which its labels do not have; of 40 faces of ``lab`` ten are c."""
    draw = np.random.default_rng(0)
    datasets = np.repeat(["web", "lab"], [160, 40])
    labels = np.concatenate([np.tile([0, 1], 80), np.repeat([0, 1, 2], [15, 15, 10])])
    logits = (
        2.0 * np.eye(3)[labels]
        + draw.normal(0, 0.7, (200, 3))
        + np.where(datasets == "web", 2.5, 0.5)[:, None] * [0, 0, 1]
    )
    pixels, ids = np.zeros((200, 48, 48), np.uint8), tuple(map(str, range(200)))
    splits = np.full(200, "validation")
    faces = FaceSet(LabelSet("own", ("a", "b", "c")), pixels, labels, splits, ids, datasets=datasets)
    table = {
        "corpora": {"shares": {"web": 1.0, "lab": 1.0}, "draws": 64, "heads": [{"name": "lab", "datasets": ["lab"]}]}
    }
    shares, losses = {}, {}
    for absent in ("masked", "counted"):
        values: dict[str, object] = {"name": "absent", "data": table, "train": {"epochs": 1}}
        values["calibrate"] = {"method": "vector", "absent": absent}
        scaling = calibrate.fit_scaling(logits.astype(np.float32), recipe.parse(values), faces)
        scaled = logits * scaling.scale + scaling.bias
        shares[absent] = float((scaled[datasets == "web"].argmax(1) == 2).mean())
        losses[absent] = log_loss(scaled, labels)
    assert shares["masked"] > 0.4
    assert shares["counted"] < 0.05
    assert losses["counted"] < losses["masked"]
