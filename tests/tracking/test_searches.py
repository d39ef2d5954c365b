"""When a frame is searched in full and when at the size of its faces, and that a replayed run decides alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support import write_model

pytest.importorskip("scipy")

import mien
from mien.errors import OptionError
from mien.recognition.crop import CropSpec
from mien.recognition.detection.detect import Detection
from mien.results import Box
from mien.tracking.searches import SIDES, Searches
from mien.tracking.stream import Follower, Following, _Still

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGE = (1920, 1080)


def shares(width: float, left: float = 0.4) -> tuple[float, float, float, float]:
    """Return the box of a face as wide as high, in shares of a frame of 1920×1080."""
    return left, 0.4, width / 1920, width / 1080


@pytest.mark.parametrize(
    ("widths", "side"), [((300,), 320), ((200,), 640), ((300, 120), 896), ((78,), None), ((300, 20), None)]
)
def test_the_smallest_face_decides_the_size(widths: tuple[int, ...], side: int | None) -> None:
    searches = Searches(0.4)
    searches.took(0.0, [shares(width, 0.1 * at) for at, width in enumerate(widths)])
    assert searches.side(0.04, LARGE) == side


def test_a_small_frame_is_searched_as_it_is() -> None:
    searches = Searches(0.4)
    searches.took(0.0, [shares(300)])
    assert searches.side(0.04, (320, 180)) is None
    assert searches.side(0.04, (640, 360)) == SIDES[0]


def test_full_searches_come_by_the_clock() -> None:
    searches, full = Searches(0.4), []
    for at in range(50):
        if searches.side(at / 25, LARGE) is None:
            full.append(at)
        searches.took(at / 25, [shares(300)])
    assert full == [0, 10, 20, 30, 40]


def test_without_a_face_and_with_0_every_search_is_full() -> None:
    empty, always = Searches(0.4), Searches(0)
    for at in range(5):
        assert empty.side(at / 25, LARGE) is None
        assert always.side(at / 25, LARGE) is None
        empty.took(at / 25, [])
        always.took(at / 25, [shares(300)])


def test_a_face_more_less_or_elsewhere_is_not_the_same() -> None:
    searches = Searches(0.4)
    searches.took(0.0, [shares(300), shares(100, 0.1)])
    near = [shares(310, 0.41), shares(100, 0.11)]
    assert searches.shows_the_same(near)
    assert searches.shows_the_same(near[::-1])
    assert not searches.shows_the_same(near[:1])
    assert not searches.shows_the_same([*near, shares(50, 0.8)])
    assert not searches.shows_the_same([near[0], shares(100, 0.8)])
    assert not searches.shows_the_same([])


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_seconds_out_of_range(seconds: float) -> None:
    with pytest.raises(OptionError, match="full_every"):
        Searches(seconds)


@dataclass
class Sharp:
    """Detects what stands in the first pixels, in tens of pixels: left sides, then widths; searches focused or not."""

    log: list[int | None] = field(default_factory=list)
    side: int | None = None
    name: str = "sharp"
    crop: CropSpec = field(default_factory=lambda: CropSpec(1.0, 0.0, False))

    def focused(self, side: int) -> Sharp:
        return replace(self, side=side)

    def detect(self, pixels: NDArray[np.uint8]) -> tuple[Detection, ...]:
        self.log.append(self.side)
        faces = [(float(left) * 10, float(width) * 10) for left, width in pixels[0, :4, :2] if width]
        least = 0 if self.side is None else 16 * pixels.shape[1] / self.side
        return tuple(Detection(Box(left, 200.0, width, width), 0.9, None) for left, width in faces if width >= least)


def frames() -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Yield three shots: a face, beside which a small one appears; another face; a third face elsewhere."""
    for at in range(40):
        pixels = np.zeros((720, 1280, 3), np.uint8)
        shown = [(20, 20), *([(80, 3)] if at > 14 else [])] if at < 25 else [(90 if at < 35 else 40, 16)]
        for index, (left, width) in enumerate(shown):
            pixels[0, index, :2] = left, width
        yield at / 25, pixels


@pytest.fixture
def recognizer(tmp_path: Path) -> mien.Recognizer:
    write_model(tmp_path / "tiny.onnx")
    return mien.load(tmp_path / "tiny.onnx", detector=Sharp(), threads=1)


def test_who_appears_is_seen_by_the_next_full_search_and_a_cut_at_once(recognizer: mien.Recognizer) -> None:
    detector: Any = recognizer.detector
    results = list(recognizer.stream(frames(), full_every=0.4))
    widths = [sorted(person.box.width for person in result.people) for result in results]
    assert widths == [[200.0]] * 20 + [[30.0, 200.0]] * 5 + [[160.0]] * 15
    # With a face of 30 pixels every search is full. Frame 35, after a cut, is searched twice.
    assert detector.log == [
        *[None, *[320] * 9] * 2, *[None] * 6, *[448] * 4, None, *[448] * 4, 448, None, *[448] * 4
    ]  # fmt: skip


def test_a_replayed_run_decides_alike(recognizer: mien.Recognizer) -> None:
    detector: Any = recognizer.detector
    whole, searched = list(recognizer.stream(frames(), full_every=0.4)), list(detector.log)
    for cut in (3, 17, 26, 33):
        follower = Follower(recognizer, Following(full_every=0.4))
        assert [follower.replay(replace(result, missing=())) for result in whole[:cut]] == whole[:cut]
        detector.log.clear()
        rest = [_Still(at, *pair) for at, pair in enumerate(frames())][cut:]
        assert [follower.step(frame) for frame in rest] == whole[cut:]
        assert detector.log == searched[-len(detector.log) :]


def test_with_0_every_frame_is_searched_in_full(recognizer: mien.Recognizer) -> None:
    detector: Any = recognizer.detector
    assert len(list(recognizer.stream(frames(), full_every=0))) == 40
    assert detector.log == [None] * 40


def test_by_default_searches_are_full_every_two_fifths_of_a_second(recognizer: mien.Recognizer) -> None:
    detector: Any = recognizer.detector
    by_default, searches = list(recognizer.stream(frames())), list(detector.log)
    detector.log.clear()
    assert by_default == list(recognizer.stream(frames(), full_every=0.4))
    assert searches == detector.log
    assert set(searches) > {None}
