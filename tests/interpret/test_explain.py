"""Maps find what decides, their score says whether they do, and they are drawn where the face is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import gradient, linear_graph, noise, write_model

import mien
from mien.errors import DataError, OptionError
from mien.interpret import faithfulness
from mien.interpret.explain import Map, Occlusion, explain, explain_image
from mien.interpret.faithfulness import Faithfulness
from mien.interpret.overlay import overlay
from mien.labels import FER2013
from mien.preprocess import PreprocessSpec, apply
from mien.recognition.crop import CropSpec, cut
from mien.results import Box, Face

SIZE = 24
SPEC = PreprocessSpec(size=SIZE, standardise="none")
CORNERS = {"upper left": (0, 0), "upper right": (0, 16), "lower left": (16, 0), "lower right": (16, 16)}
HAPPINESS, SADNESS = FER2013.index("happiness"), FER2013.index("sadness")


def pattern(corner: tuple[int, int]) -> NDArray[np.float32]:
    """A chessboard of 8 × 8 pixels in one corner, −1 and 1; 0 elsewhere: nothing of it outlives a blur."""
    plane = np.zeros((SIZE, SIZE), np.float32)
    y, x = np.mgrid[:8, :8]
    plane[corner[0] : corner[0] + 8, corner[1] : corner[1] + 8] = 1 - 2 * ((y // 2 + x // 2) % 2)
    return plane


def crop_with(corner: tuple[int, int]) -> NDArray[np.uint8]:
    """A face crop with the chessboard in one corner and noise as strong everywhere else."""
    plane = np.random.default_rng(5).choice([-1.0, 1.0], (SIZE, SIZE))
    own = pattern(corner)
    plane[own != 0] = own[own != 0]
    return (128 + 90 * plane).astype(np.uint8)


def load(path: Path, corner: tuple[int, int], **changes: object) -> mien.Recognizer:
    """A network that sees the chessboard in one corner only: happiness if it is there, sadness if its negative is."""
    weights = np.zeros((SIZE * SIZE, len(FER2013)), np.float32)
    weights[:, HAPPINESS] = 0.25 * pattern(corner).ravel()
    weights[:, SADNESS] = -weights[:, HAPPINESS]
    graph = linear_graph(SPEC, len(FER2013), weights=weights)
    write_model(path / "corner.onnx", graph=graph, preprocess=SPEC, temperature=1.0)
    return mien.load(path / "corner.onnx", detector="whole", threads=1, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("corner", CORNERS.values(), ids=CORNERS)
def test_the_corner_that_decides_is_found_and_believed(tmp_path: Path, corner: tuple[int, int]) -> None:
    recognizer = load(tmp_path, corner)
    happy, sad = explain(recognizer, crop_with(corner), ("happiness", "sadness"))
    inside = pattern(corner) != 0
    assert happy.values.shape == (SIZE, SIZE)
    assert happy.values.dtype == np.float32
    assert inside.ravel()[happy.values.argmax()]
    assert happy.strength[inside].mean() > 5 * happy.strength[~inside].mean()
    assert inside.ravel()[sad.values.argmin()]
    assert sad.strength[inside].max() == 0  # what speaks against a class is no strength
    assert happy.probability > 0.9
    assert happy.faithfulness.explains
    assert happy.faithfulness.score > 0.2
    assert happy.faithfulness.insertion_score > 0.1


def test_a_map_of_another_place_is_not_believed(tmp_path: Path) -> None:
    recognizer = load(tmp_path, (0, 0))
    face = apply([crop_with((0, 0))], SPEC)[0]
    right, wrong = np.abs(pattern((0, 0))), np.abs(pattern((16, 16)))
    maps = np.stack([right, wrong, -right])
    found = faithfulness.measure(recognizer.classify_inputs, face, maps, [HAPPINESS] * 3, trials=20)
    assert [one.explains for one in found] == [True, False, False]
    assert found[0].beaten == 1
    assert found[2].score < 0
    assert found[0].score > found[1].score > found[2].score


def test_occlusion_is_the_same_for_each_class_alone(tmp_path: Path) -> None:
    recognizer = load(tmp_path, (0, 16))
    face = apply([crop_with((0, 16))], SPEC)[0]
    method = Occlusion(recognizer.classify_inputs, grid=4)
    both = method.maps(face, [HAPPINESS, SADNESS])
    alone = [method.maps(face, [one])[0] for one in (HAPPINESS, SADNESS)]
    np.testing.assert_allclose(both, alone, rtol=1e-5, atol=1e-6)


def test_a_network_without_an_opinion_has_an_empty_map(tmp_path: Path) -> None:
    graph = linear_graph(SPEC, len(FER2013), weights=np.zeros((SIZE * SIZE, len(FER2013)), np.float32))
    write_model(tmp_path / "blind.onnx", graph=graph, preprocess=SPEC)
    (one,) = explain(mien.load(tmp_path / "blind.onnx", detector="whole"), noise(40, 40))
    assert not one.strength.any()
    assert one.faithfulness.score == pytest.approx(0, abs=1e-9)
    assert not one.faithfulness.explains


def half_face() -> NDArray[np.float32]:
    """Ones above, minus ones below: mean 0."""
    face = np.ones((1, 20, 20), np.float32)
    face[:, 10:] = -1
    return face


def share_of_ones(batch: NDArray[np.float32]) -> NDArray[np.float64]:
    """A network of two classes: the share of the upper half that is still there, and the rest."""
    share = 2 * (batch == 1).mean((1, 2, 3))
    return np.stack([share, 1 - share], axis=1)


def test_areas_are_those_worked_out_by_hand() -> None:
    """The upper half first: 1 falls to 0 at the middle and stays, area 1/4; the lower half first: 3/4."""
    order = np.linspace(1, 0, 400).reshape(20, 20)
    areas = faithfulness.deletion_areas(share_of_ones, half_face(), np.stack([order, -order]), "mean")
    np.testing.assert_allclose(areas, [[0.25, 0.75], [0.75, 0.25]], atol=0.005)
    (found,) = faithfulness.measure(share_of_ones, half_face(), order[None], [0], baseline="mean")
    assert found.deletion == pytest.approx(0.25, abs=0.005)
    assert found.insertion == pytest.approx(0.75, abs=0.005)
    assert found.chance == pytest.approx(0.5, abs=0.005)  # pairs: exactly one half, but for rounding to pixels
    assert found.score == pytest.approx(found.insertion_score, abs=0.01)


def test_insertion_is_what_putting_pixels_back_gives() -> None:
    face, order = half_face(), faithfulness.random_maps(20, 3, 1)[0]
    ranked = np.argsort(np.argsort(-order.ravel())).reshape(20, 20)
    inserted = [np.where(ranked < 400 * step / 10, face, 0) for step in range(11)]
    shares = share_of_ones(np.stack(inserted).astype(np.float32))[:, 0]
    (found,) = faithfulness.measure(share_of_ones, face, order[None], [0], baseline="mean")
    assert found.insertion == pytest.approx(np.trapezoid(shares) / 10, abs=0.005)


def test_pixels_of_equal_value_go_in_no_direction() -> None:
    """A flat map is no better than chance: row by row it would take the upper half first."""
    flat = np.zeros((1, 20, 20), np.float32)
    (found,) = faithfulness.measure(share_of_ones, half_face(), flat, [0], baseline="mean")
    assert found.deletion == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("sigma", [1.5, 3.0, 6.0])
def test_smoothness_is_measured(sigma: float) -> None:
    maps = faithfulness.random_maps(96, sigma, 20)
    assert faithfulness.smoothness(maps) == pytest.approx(sigma, rel=0.15)


def test_random_maps_follow_their_seed() -> None:
    first, again, other = (faithfulness.random_maps(16, 2, 3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_what_stands_where_a_face_is_hidden() -> None:
    face = np.random.default_rng(0).normal(0.3, 1, (3, 32, 32)).astype(np.float32)
    mean, blur = faithfulness.hidden(face, "mean"), faithfulness.hidden(face)
    np.testing.assert_allclose(mean, np.broadcast_to(face.mean((1, 2))[:, None, None], face.shape), rtol=1e-5)
    np.testing.assert_allclose(blur.mean((1, 2)), face.mean((1, 2)), atol=0.05)
    assert 0 < blur.std() < face.std() / 4
    with pytest.raises(OptionError, match="expected blur or mean"):
        faithfulness.hidden(face, "black")  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"steps": 1}, {"trials": 3}, {"trials": 0}])
def test_settings_that_measure_nothing_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="even number of trials"):
        faithfulness.measure(share_of_ones, half_face(), np.zeros((1, 20, 20)), [0], **change)
    with pytest.raises(OptionError, match="one for each class"):
        faithfulness.measure(share_of_ones, half_face(), np.zeros((1, 9, 9)), [0])
    with pytest.raises(OptionError, match="at least 2 places"):
        Occlusion(share_of_ones, grid=1)


def test_classes_by_name_and_by_rank(tmp_path: Path) -> None:
    recognizer, crop = load(tmp_path, (0, 0)), crop_with((0, 0))
    assert [one.label for one in explain(recognizer, crop)] == ["happiness"]
    ranked = explain(recognizer, crop, 7)
    assert [one.probability for one in ranked] == sorted((one.probability for one in ranked), reverse=True)
    assert {one.label for one in ranked} == set(FER2013.labels)
    assert [one.label for one in explain(recognizer, crop, ["Sad", "fear"])] == ["sadness", "fear"]
    for wrong in (0, 8, [], ["happiness", "happy"]):
        with pytest.raises(OptionError):
            explain(recognizer, crop, wrong)
    with pytest.raises(DataError, match="no 'contempt'"):
        explain(recognizer, crop, ["contempt"])


def test_a_picture_without_a_face_is_drawn_as_it_is(tmp_path: Path) -> None:
    load(tmp_path, (0, 0))
    found = explain_image(mien.load(tmp_path / "corner.onnx"), gradient(120, 90))
    assert found.maps == ()
    assert found.to_dict()["faces"] == []
    assert found.draw().height > 120


def test_json_has_map_and_figures(tmp_path: Path) -> None:
    found = explain_image(load(tmp_path, (0, 0)), crop_with((0, 0)), 2)
    first, second = found.to_dict()["faces"][0]["maps"]
    assert (first["class"], first["method"]) == ("happiness", "occlusion")
    np.testing.assert_array_equal(np.array(first["map"], np.float32), found.maps[0][0].values)
    assert first["faithfulness"]["score"] == found.maps[0][0].faithfulness.score
    assert second["probability"] < first["probability"]


def flat_map(corner: tuple[int, int]) -> Map:
    """A map that is 1 in one corner."""
    told = Faithfulness(0.1, 0.9, (0.5, 0.5))
    return Map("happiness", 0.9, "by hand", np.abs(pattern(corner)), told)


@pytest.mark.parametrize("turn", [0.0, 25.0])
def test_a_map_lies_where_its_crop_was_cut(tmp_path: Path, turn: float) -> None:
    """The upper left corner of the map is the upper left of the face, as the face sees it, turned with it."""
    radians = np.deg2rad(turn)
    eyes = ((70.0, 80.0), (70.0 + 40 * np.cos(radians), 80.0 + 40 * np.sin(radians)))
    box = Box(50, 50, 80, 80)
    face = Face(box, 1.0, (*eyes, (90, 95), (75, 110), (105, 110)), FER2013.labels, (1.0, *[0.0] * 6), uncertain=False)
    found = explain_image(load(tmp_path, (0, 0)), np.full((180, 200, 3), (200, 40, 40), np.uint8))
    spec = CropSpec(scale=1.0, shift=0.0, align=True)
    found = replace(found, result=replace(found.result, faces=(face,)), maps=((flat_map((0, 0)),),), crop=spec)
    drawn = overlay(found).astype(int)
    coloured = np.ptp(drawn, axis=2) > 3
    assert coloured.sum() == pytest.approx(80 * 80, rel=0.03)  # the crop and nothing but the crop is coloured
    assert (drawn[5, 5] == drawn[5, 5, 0]).all()
    y, x = np.nonzero(drawn[:, :, 1] - drawn[:, :, 2] > 60)  # viridis ends in yellow
    offset = np.array([-80 / 3, -80 / 3])
    back = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    np.testing.assert_allclose([x.mean(), y.mean()], np.array([90, 90]) + back @ offset, atol=1.5)


def test_a_sheet_has_a_panel_for_each_class_and_a_row_for_each_face(tmp_path: Path, examples: Path) -> None:
    recognizer = load(tmp_path, (0, 0))
    one, three = (explain_image(recognizer, crop_with((0, 0)), count).draw() for count in (1, 3))
    assert three.width > one.width
    single = explain_image(mien.load(tmp_path / "corner.onnx", threads=1), examples / "astronaut.jpg")
    double = replace(single, result=replace(single.result, faces=single.result.faces * 2), maps=single.maps * 2)
    assert double.draw().height > single.draw().height + 240


def test_without_pixels_there_is_nothing_to_draw_on(tmp_path: Path) -> None:
    found = explain_image(load(tmp_path, (0, 0)), crop_with((0, 0)))
    with pytest.raises(OptionError, match="no pixels"):
        replace(found, result=replace(found.result, pixels=None)).draw()


def test_the_shipped_model_sees_a_smile_at_the_mouth(examples: Path) -> None:
    """Both eyes lie in the upper half of the face, the mouth in the lower; without torch and with the real weights."""
    recognizer = mien.load(threads=1)
    found = explain_image(recognizer, examples / "astronaut.jpg")
    (one,) = found.maps[0]
    assert one.label == "happiness"
    edge = round(0.15 * len(one.values))  # the crop's edges show hair and background
    face = one.values[edge:-edge, edge:-edge]
    upper, lower = np.array_split(face, 2)
    assert lower.max() > upper.max()
    assert lower.mean() > upper.mean()
    assert one.faithfulness.beaten == 1
    assert one.faithfulness.score > 0.2
    # Photo and crop tell the same story, one through the detector and one without.
    crop = cut(found.result.pixels, found.result.faces[0].box, found.result.faces[0].landmarks, recognizer.detector.crop)  # type: ignore[arg-type] # fmt: skip # noqa: E501
    assert explain(recognizer, crop)[0] == one


@pytest.mark.data
def test_the_shipped_model_is_explained_better_than_by_chance(data_dir: Path, fer2013_faces: object) -> None:
    """60 PrivateTest faces, every class's share as it is: deletion areas below those of random maps, Wilcoxon."""
    from scipy.stats import wilcoxon

    from mien.datasets.faces import FaceSet

    assert isinstance(fer2013_faces, FaceSet)
    private = fer2013_faces.part("PrivateTest")
    chosen = np.random.default_rng(0).choice(len(private), 60, replace=False)
    recognizer = mien.load(detector="whole")
    found = [explain(recognizer, private.pixels[index])[0].faithfulness for index in chosen]
    gains = [one.score for one in found]
    assert np.mean(gains) > 0.05
    assert wilcoxon(gains, alternative="greater").pvalue < 0.01
    assert np.mean([one.explains for one in found]) > 0.5
