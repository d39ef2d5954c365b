"""Films searched at the size of their faces: none is lost, and small ones that come in are late by a bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

pytest.importorskip("scipy")
pytest.importorskip("skimage")

import films
from skimage import data as pictures

import mien
from mien.recognition.detection.detect import YuNet, get_detector
from mien.results import Box
from mien.tracking.track import overlap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

pytestmark = pytest.mark.data

WIDTH, HEIGHT, RATE, SHOT = 1280, 720, 12.5, 1.6
LATE = 0.4  # seconds between full searches
PEOPLE = ("AF10", "AM10", "AF11", "AM11", "AF12", "AM12")
# Face widths in pixels, and the seconds of their shot at which they come in. A cut is between two shots.
SHOTS = (
    ((300, 0.0), (150, 0.5)),
    ((110, 0.0), (90, 0.0), (80, 0.7)),
    ((260, 0.0), (60, 0.5), (30, 0.9)),
    ((200, 0.0), (190, 0.0)),
    ((45, 0.0), (25, 0.0), (220, 0.8)),
)


@dataclass(frozen=True)
class Visitor:
    """A photo with its face's box, shown with a face of a width from a time on, drifting from a place."""

    photo: Pixels
    box: Box
    width: float
    enters: float
    place: tuple[float, float]
    speed: tuple[float, float]

    def draw(self, canvas: Pixels, seconds: float) -> Box:
        """Draw the head into a canvas, which it fits into; return the box of the face."""
        scale = self.width / self.box.width
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        photo = cv2.resize(self.photo, None, fx=scale, fy=scale, interpolation=method)
        centre = np.array([self.box.left + self.box.width / 2, self.box.top + self.box.height / 2]) * scale
        half = np.minimum(np.array([0.75 * self.width, 0.95 * self.box.height * scale]), centre).astype(int)
        (left, top), (right, bottom) = np.round(centre - half).astype(int), np.round(centre + half).astype(int)
        head = photo[top:bottom, left:right]
        mask: np.ndarray = np.zeros(head.shape[:2], np.float32)
        cv2.ellipse(mask, (int(half[0]), int(half[1])), (int(half[0]) - 3, int(half[1]) - 3), 0, 0, 360, 1.0, -1)
        mask = cv2.GaussianBlur(mask, (5, 5), 0)[..., None]
        x, y = (round(at + speed * seconds) for at, speed in zip(self.place, self.speed, strict=True))
        under = canvas[y - half[1] : y - half[1] + len(head), x - half[0] : x - half[0] + head.shape[1]]
        under[:] = (under * (1 - mask) + head * mask).astype(np.uint8)
        height = self.box.height * scale
        return Box(x - self.width / 2, y - height / 2, self.width, height)


def clutter(rng: np.random.Generator) -> Pixels:
    """Return pieces of photographs without people, in any size and place."""
    sources = [pictures.coffee(), pictures.chelsea(), pictures.rocket(), pictures.stereo_motorcycle()[0]]
    canvas = np.full((HEIGHT, WIDTH, 3), rng.integers(0, 256, 3), np.uint8)
    for _ in range(60):
        piece, side, size = sources[rng.integers(len(sources))], int(rng.integers(40, 300)), int(rng.integers(36, 240))
        top, left = (int(rng.integers(0, limit - side)) for limit in piece.shape[:2])
        y, x = int(rng.integers(0, HEIGHT - size)), int(rng.integers(0, WIDTH - size))
        canvas[y : y + size, x : x + size] = cv2.resize(piece[top : top + side, left : left + side], (size, size))
    return canvas


def cast(archive: Path, rng: np.random.Generator) -> Iterator[list[Visitor]]:
    """Yield who is in each shot; their places are apart from each other."""
    detector, looks = get_detector("yunet"), films.faces_of_kdef(archive, PEOPLE)
    photos = [photo for faces in looks.values() for photo in faces.values()]
    for shot in SHOTS:
        columns = np.linspace(0, WIDTH, len(shot) + 1)
        visitors = []
        for (width, enters), left, right in zip(shot, columns, columns[1:], strict=False):
            photo = photos[int(rng.integers(len(photos)))]
            (face, *_) = detector.detect(photo)
            place = float((left + right) / 2), float(rng.uniform(0.4, 0.6) * HEIGHT)
            speed = float(rng.uniform(-30, 30)), float(rng.uniform(-15, 15))
            visitors.append(Visitor(photo, face.box, width, enters, place, speed))
        yield visitors


def scenes(archive: Path, seed: int = 0) -> Iterator[tuple[float, Pixels, list[Box]]]:
    """Yield seconds, the picture and the boxes of its faces."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 9, (HEIGHT, WIDTH, 3), np.uint8)
    for number, visitors in enumerate(cast(archive, rng)):
        background = clutter(rng)
        for at in range(round(SHOT * RATE)):
            seconds, canvas = at / RATE, background.copy()
            boxes = [one.draw(canvas, seconds) for one in visitors if one.enters <= seconds]
            grain = np.roll(noise, (int(rng.integers(HEIGHT)), int(rng.integers(WIDTH))), (0, 1))
            yield number * SHOT + seconds, cv2.add(canvas, grain), boxes  # type: ignore[misc]


def matches(box: Box, other: Box) -> bool:
    corners = [(one.left, one.top, one.width, one.height) for one in (box, other)]
    return overlap(*corners) >= 0.4


def counts(results: Sequence[mien.FrameResult], truth: Sequence[list[Box]]) -> tuple[Counter[int], int]:
    """Return how many frames show each width's face as found, and the number of false faces."""
    found: Counter[int] = Counter()
    false = 0
    for result, boxes in zip(results, truth, strict=True):
        people = [person.box for person in result.people]
        found.update(round(box.width) for box in boxes if any(matches(box, one) for one in people))
        false += sum(not any(matches(box, one) for box in boxes) for one in people)
    return found, false


def test_only_small_faces_that_come_in_are_late(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched: Counter[int] = Counter()
    detect_at = YuNet.detect_at

    def noted(self: YuNet, pixels: Pixels, side: int) -> object:
        searched[side] += max(pixels.shape[:2]) == WIDTH
        return detect_at(self, pixels, side)

    monkeypatch.setattr(YuNet, "detect_at", noted)
    recognizer = mien.load("nano")
    frames = list(scenes(data_dir / "kdef_frontal350.zip"))
    shown = [(seconds, pixels) for seconds, pixels, _ in frames]
    truth = [boxes for _, _, boxes in frames]
    full, wrong = counts(list(recognizer.stream(shown, full_every=0)), truth)
    assert not searched
    found, false = counts(list(recognizer.stream(shown, full_every=LATE)), truth)
    there = Counter(round(box.width) for boxes in truth for box in boxes)
    print(f"\nfound / by full searches / there: { {w: (found[w], full[w], there[w]) for w in sorted(there)} }")  # noqa: T201
    print(f"false: {false}, by full searches {wrong}; searches at {dict(searched)} of {len(frames)} frames")  # noqa: T201
    entering = {width for shot in SHOTS for width, enters in shot if enters}
    assert full.total() > 0.8 * there.total()
    assert all(found[width] >= full[width] for width in there if width not in entering)
    assert all(found[width] >= full[width] - LATE * RATE for width in entering)
    assert false <= wrong
    assert searched.total() > len(frames) / 2
