"""Each corruption does what its name says, more so with each severity, and the same again with the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from corpora import face

from mien.datasets import landmarks

pytest.importorskip("pyarrow")

from mien.datasets.quality.measures import of_image
from mien.errors import DataError, OptionError
from mien.evaluation.robustness.corruptions import (
    _CHUNK,
    CORRUPTIONS,
    GLASSES_GREY,
    MASK_GREY,
    SEVERITIES,
    corrupt,
    describe,
    parse_names,
)

# Structure at the scales of a face, and fine grain, so that there is something to lose at every resolution.
FACES = np.stack(
    [np.clip(face(seed) + np.random.default_rng(seed).normal(0, 15, (48, 48)), 0, 255) for seed in range(6)]
).astype(np.uint8)
FLAT = np.full((400, 48, 48), 128, np.uint8)


def distance(name: str, severity: int, faces: np.ndarray = FACES) -> float:
    return float(np.abs(corrupt(faces, name, severity).astype(float) - faces).mean())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_step_is_worse_than_the_last(name: str) -> None:
    before = FACES.copy()
    steps = [distance(name, severity) for severity in SEVERITIES]
    assert steps == sorted(set(steps))
    assert steps[0] > 0
    np.testing.assert_array_equal(FACES, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("side", [32, 96])
def test_shape_stays_and_the_seed_decides(name: str, side: int) -> None:
    faces = np.stack([face(seed, side) for seed in range(3)])
    found = corrupt(faces, name, 3, seed=1)
    assert found.shape == faces.shape
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, corrupt(faces, name, 3, seed=1))
    random = not np.array_equal(found, corrupt(faces, name, 3, seed=2))
    assert random == (name in ("noise", "shot-noise", "motion-blur"))


def test_many_faces_are_many_draws() -> None:
    found = corrupt(FLAT, "noise", 3)
    assert len({each.tobytes() for each in found}) == len(FLAT) > _CHUNK
    np.testing.assert_array_equal(found[:300], corrupt(FLAT[:300], "noise", 3))


@pytest.mark.parametrize(("severity", "sigma"), [(1, 0.04), (3, 0.12)])
def test_noise_has_the_deviation_it_says(severity: int, sigma: float) -> None:
    assert corrupt(FLAT, "noise", severity).std() == pytest.approx(255 * sigma, rel=0.01)


def test_shot_noise_has_the_deviation_of_counted_photons() -> None:
    found = corrupt(FLAT, "shot-noise", 1).astype(float)
    assert found.mean() == pytest.approx(128, abs=0.2)
    assert found.std() == pytest.approx(255 / 250 * np.sqrt(128 / 255 * 250), rel=0.03)  # rounding adds some


@pytest.mark.parametrize(("name", "shift"), [("brighter", 51), ("darker", -51)])
def test_light_is_added_and_clipped(name: str, shift: int) -> None:
    found = corrupt(FACES, name, 2)
    np.testing.assert_array_equal(found, np.clip(FACES.astype(int) + shift, 0, 255))


def test_contrast_shrinks_around_each_faces_mean() -> None:
    for before, after in zip(FACES, corrupt(FACES, "contrast", 2), strict=True):
        assert after.mean() == pytest.approx(before.mean(), abs=0.2)
        assert after.std() == pytest.approx(before.std() / 2, rel=0.02)


@pytest.mark.parametrize("name", ["blur", "motion-blur", "low-resolution"])
def test_blur_takes_detail_and_leaves_light(name: str) -> None:
    sharpness = [of_image(corrupt(FACES, name, severity)[0])["sharpness"] for severity in (1, 5)]
    assert sharpness[1] < sharpness[0] < of_image(FACES[0])["sharpness"]
    assert corrupt(FACES, name, 5).mean() == pytest.approx(FACES.mean(), abs=3)


def test_blur_is_as_wide_for_a_larger_crop() -> None:
    """Enlarged, blurred and shrunk is about blurred: the strength goes with the side."""
    large = corrupt(np.kron(FACES, np.ones((1, 2, 2), np.uint8)).astype(np.uint8), "blur", 4)
    back = large.reshape(6, 48, 2, 48, 2).mean((2, 4))
    assert np.abs(back - corrupt(FACES, "blur", 4)).mean() < 0.1 * distance("blur", 4)


def test_movement_smears_along_a_line_as_long_as_it_says() -> None:
    spot = np.zeros((1, 48, 48), np.uint8)
    spot[0, 24, 24] = 255
    for severity, length in zip(SEVERITIES, (3, 5, 7, 9, 13), strict=True):
        ys, xs = np.nonzero(corrupt(spot, "motion-blur", severity)[0] > 255 / length / 4)
        assert np.hypot(np.ptp(ys), np.ptp(xs)) + 1 == pytest.approx(length, abs=2)


def test_bars_without_landmarks_lie_where_eyes_and_mouth_are_on_average() -> None:
    eyes, mouth = landmarks.AVERAGE[:2].mean(0) * 48, landmarks.AVERAGE[3:].mean(0) * 48
    for severity in SEVERITIES:
        rows, columns = np.nonzero((corrupt(FLAT[:1], "glasses", severity) == GLASSES_GREY)[0])
        assert (columns.mean(), rows.mean()) == pytest.approx(tuple(eyes), abs=1)
        covered = (corrupt(FLAT[:1], "mask", severity) == MASK_GREY)[0]
        assert covered[int(mouth[1]), int(mouth[0])]
    nose = landmarks.AVERAGE[2] * 48
    places = int(nose[1]), int(nose[0])
    hidden = [bool(corrupt(FLAT[:1], "mask", severity)[0][places] == MASK_GREY) for severity in SEVERITIES]
    assert hidden == [False, False, True, True, True]


def test_bars_follow_the_landmarks_and_fall_back_face_by_face() -> None:
    points = np.stack([landmarks.AVERAGE * 48] * 2)
    points[0] = points[0][:, ::-1]  # a face that lies on its side
    points[1] = np.nan
    turned, average = corrupt(FLAT[:2], "glasses", 2, points=points) == GLASSES_GREY
    np.testing.assert_array_equal(average, (corrupt(FLAT[:1], "glasses", 2) == GLASSES_GREY)[0])
    assert np.ptp(np.nonzero(turned)[0]) > np.ptp(np.nonzero(turned)[1])
    assert np.ptp(np.nonzero(average)[0]) < np.ptp(np.nonzero(average)[1])


def test_names_are_chosen_by_words() -> None:
    assert parse_names("all") == tuple(CORRUPTIONS)
    assert parse_names("none") == ()
    assert parse_names("blur, noise,blur") == ("blur", "noise")
    for text, says in (
        ("blurr", "Did you mean 'blur'"),
        (",", "is empty"),
        ("noise,mist", "No corruption 'mist'"),
    ):
        with pytest.raises(OptionError, match=says):
            parse_names(text)


def test_what_cannot_be_corrupted_is_refused() -> None:
    for name, severity in (("blur", 0), ("blur", 6), ("fog", 1)):
        with pytest.raises(OptionError, match=f"{name!r} of severity {severity}"):
            corrupt(FACES, name, severity)
    refused: tuple[np.ndarray, ...] = (FACES[0], FACES.astype(float), FACES[:0])
    for faces in refused:
        with pytest.raises(DataError, match="expected uint8"):
            corrupt(faces, "blur", 1)
    with pytest.raises(DataError, match=r"Landmarks of shape \(1, 5, 2\) for 6 faces"):
        corrupt(FACES, "mask", 1, points=np.zeros((1, 5, 2)))


def test_strengths_can_be_read() -> None:
    (row,) = describe(["jpeg"])
    assert row == ("jpeg", "quality of libjpeg, 100 is best", "60; 40; 25; 15; 8")
    assert all(len(each.strengths) == len(SEVERITIES) for each in CORRUPTIONS.values())


def test_the_pages_strengths_are_the_codes() -> None:
    page = (Path(__file__).parents[3] / "docs" / "audit.md").read_text(encoding="utf-8")
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ")[1:6] for line in page.splitlines() if " | " in line}
    expected = {name: [*each.strengths] for name, each in CORRUPTIONS.items() if name not in ("darker", "mask")}
    expected["brighter, darker"] = expected.pop("brighter")
    expected["mask"] = [(round(low - up, 2), wide) for up, low, wide in CORRUPTIONS["mask"].strengths]
    for name, strengths in expected.items():
        assert [tuple(map(float, cell.split(" × "))) for cell in rows[name]] == [
            tuple(np.atleast_1d(each).astype(float)) for each in strengths
        ]
    assert CORRUPTIONS["darker"].strengths == tuple(-each for each in CORRUPTIONS["brighter"].strengths)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_colour_faces_are_made_worse_too_and_grey_ones_alike(name: str) -> None:
    colour = np.stack([FACES, FACES[:, ::-1], FACES // 2], axis=3)
    worse = corrupt(colour, name, 3)
    assert worse.shape == colour.shape
    assert worse.dtype == np.uint8
    changed = np.abs(worse.astype(int) - colour).mean((0, 1, 2))
    assert (changed > 0).all()
    if name not in ("noise", "shot-noise", "jpeg"):  # these mix or draw channels by themselves
        np.testing.assert_array_equal(worse[..., 0], corrupt(FACES, name, 3))


def test_a_bar_has_one_grey_in_every_channel() -> None:
    colour = np.repeat(FLAT[:1, :, :, None], 3, axis=3)
    bar = corrupt(colour, "mask", 3)
    assert (bar[0][(bar[0] != 128).any(axis=2)] == MASK_GREY).all()
