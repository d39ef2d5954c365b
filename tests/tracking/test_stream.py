"""``Recognizer.stream``: the results of ``read``, with ids and time; a cadence; replaying leads to the same state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support import noise, write_model

pytest.importorskip("scipy")

import mien
from mien.errors import ImageError, OptionError
from mien.recognition.crop import CropSpec
from mien.recognition.detection.detect import Detection
from mien.results import Box
from mien.tracking.stream import Follower, Following

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Walker:
    """Finds the faces that the first pixels of a picture tell of: their left sides."""

    name = "walker"
    crop = CropSpec(1.0, 0.0, False)

    def __init__(self) -> None:
        self.searched = 0

    def detect(self, pixels: NDArray[np.uint8]) -> tuple[Detection, ...]:
        self.searched += 1
        lefts = [float(value) for value in pixels[0, :4, 0] if value]
        return tuple(Detection(Box(left, 20.0, 40.0, 40.0), 0.9, None) for left in lefts)


def picture(*lefts: int, seed: int = 0) -> NDArray[np.uint8]:
    pixels = noise(90, 200, seed)
    pixels[0, :4, 0] = (*lefts, *[0] * (4 - len(lefts)))
    return pixels


@pytest.fixture
def recognizer(tmp_path: Path) -> mien.Recognizer:
    write_model(tmp_path / "tiny.onnx")
    return mien.load(tmp_path / "tiny.onnx", detector=Walker(), threads=1)


FRAMES = [(0.04 * at, picture(10 + 2 * at, *([150 - 2 * at] if at % 5 else []), seed=at)) for at in range(30)]


def test_a_stream_reads_what_read_reads(recognizer: mien.Recognizer) -> None:
    results = list(recognizer.stream(FRAMES, smooth=0))
    for number, (result, (seconds, pixels)) in enumerate(zip(results, FRAMES, strict=True)):
        faces = recognizer.predict(pixels).faces
        assert (result.frame, result.seconds, result.width, result.height) == (number, seconds, 200, 90)
        assert [person.box for person in result.people] == [face.box for face in faces]
        assert [person.raw for person in result.people] == [face.values for face in faces]
        assert [person.values for person in result.people] == [face.values for face in faces]
        assert [person.quality for person in result.people] == [face.quality for face in faces]
        assert all(person.seen for person in result.people)
    assert {person.id for result in results for person in result.people} == {1, 2}
    assert results[5].people[0].id == 1
    assert [person.id for person in results[5].missing] == [2]


def test_smoothing_changes_values_but_neither_raw_nor_ids(recognizer: mien.Recognizer) -> None:
    plain, smooth = (list(recognizer.stream(FRAMES, smooth=constant)) for constant in (0, 0.3))
    for one, other in zip(plain, smooth, strict=True):
        assert [(p.id, p.raw) for p in one.people] == [(p.id, p.raw) for p in other.people]
        assert all(sum(person.values) == pytest.approx(1) for person in other.people)
    assert [p.values for r in plain for p in r.people] != [p.values for r in smooth for p in r.people]


def test_with_a_cadence_people_are_carried_on_between_searches(recognizer: mien.Recognizer) -> None:
    every = [(seconds, picture(10 + 2 * at, seed=at)) for at, (seconds, _) in enumerate(FRAMES)]
    detector: Any = recognizer.detector
    results = list(recognizer.stream(every, detect_every=3))
    assert detector.searched == 10
    assert [len(result.people) for result in results] == [1] * 30
    assert [result.people[0].seen for result in results] == [at % 3 == 0 for at in range(30)]
    between = results[20].people[0]
    assert (between.raw, between.score, between.quality) == (None, None, None)
    assert between.box.left == pytest.approx(10 + 2 * 20, abs=2)
    assert between.values == results[18].people[0].values


def test_replayed_results_lead_to_the_same_state(recognizer: mien.Recognizer) -> None:
    for every in (1, 3):
        whole = list(recognizer.stream(FRAMES, detect_every=every))
        follower = Follower(recognizer, Following(detect_every=every))
        assert [follower.replay(replace(result, missing=())) for result in whole[:17]] == whole[:17]
        rest = [(at, *FRAMES[at]) for at in range(17, 30)]
        assert [follower.step(_frame(*each)) for each in rest] == whole[17:]


def _frame(number: int, seconds: float, pixels: NDArray[np.uint8]) -> Any:
    from mien.tracking.stream import _Still

    return _Still(number, seconds, pixels)


def test_a_film_that_changes_its_size_loses_nobody(recognizer: mien.Recognizer) -> None:
    import cv2

    class Scaled(Walker):
        def detect(self, pixels: NDArray[np.uint8]) -> tuple[Detection, ...]:
            factor = pixels.shape[1] / 200
            return (Detection(Box(60 * factor, 20 * factor, 40 * factor, 40 * factor), 0.9, None),)

    recognizer.detector = Scaled()
    small, large = picture(60), np.asarray(cv2.resize(picture(60), (400, 180)), np.uint8)
    results = list(recognizer.stream([(0.0, small), (0.04, large), (0.08, small)]))
    assert [person.id for result in results for person in result.people] == [1, 1, 1]
    assert [result.width for result in results] == [200, 400, 200]


def test_pictures_without_times_are_timed_as_they_come(recognizer: mien.Recognizer) -> None:
    times = [result.seconds for result in recognizer.stream([picture(10), picture(12)])]
    assert 0 <= times[0] <= times[1] < 60


def test_pixels_are_kept_only_if_asked_for(recognizer: mien.Recognizer) -> None:
    (result,) = recognizer.stream(FRAMES[:1])
    assert result.pixels is None
    with pytest.raises(OptionError, match="keep_pixels=True"):
        result.draw()
    (kept,) = recognizer.stream(FRAMES[:1], keep_pixels=True)
    assert kept.draw().size == (200, 90)
    assert kept == result


def test_one_frame_is_held_at_a_time(recognizer: mien.Recognizer) -> None:
    given = []

    def endless() -> Any:
        while True:
            given.append(0)
            yield 0.04 * len(given), picture(10)

    results = recognizer.stream(endless())
    for count in range(1, 20):
        next(results)
        assert len(given) == count


def test_the_state_does_not_grow_with_the_people_who_left(recognizer: mien.Recognizer) -> None:
    follower = Follower(recognizer, Following(bridge=0.1))
    for at in range(100):
        result = follower.step(_frame(at, float(at), picture(10 if at % 2 else 150)))
    assert result.people[0].id == 100
    assert len(follower._tracker.expected()) == len(follower._smoother._means) == 1


def test_wrong_settings_and_pictures(recognizer: mien.Recognizer) -> None:
    with pytest.raises(OptionError, match="detect_every = 0"):
        recognizer.stream([], detect_every=0)
    with pytest.raises(OptionError, match="bridge = -1"):
        recognizer.stream([], bridge=-1)
    with pytest.raises(OptionError, match="smooth = -1"):
        list(recognizer.stream([picture(10)], smooth=-1))
    with pytest.raises(ImageError):
        list(recognizer.stream([(0.0, np.zeros((4, 4), np.float32))]))


def test_values_and_json(recognizer: mien.Recognizer) -> None:
    (result,) = recognizer.stream(FRAMES[1:2])
    told = result.to_dict()
    assert (told["frame"], told["seconds"], told["width"], told["height"]) == (0, 0.04, 200, 90)
    one = told["people"][0]
    person = result.people[0]
    assert one["id"] == 1
    assert one["probabilities"] == person.probabilities
    assert one["raw"] == dict(zip(person.labels, person.raw or (), strict=True))
    assert one["emotion"] == person.emotion == max(person.probabilities, key=lambda name: person.probabilities[name])
    assert one["confidence"] == person.confidence == max(person.values)
