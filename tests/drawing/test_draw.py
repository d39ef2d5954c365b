"""The annotated picture: legible, inside the frame, and never the caller's own pixels."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mien.drawing import draw as drawing
from mien.drawing.draw import COLOURS, OWN, Rectangle, _ink, _label, assign_colours, draw, hidden
from mien.errors import OptionError
from mien.labels import FER2013
from mien.results import Box, Face

VALUES = (0.1, 0.05, 0.05, 0.6, 0.1, 0.05, 0.05)
FACE = Face(Box(100, 100, 120, 150), 0.9, None, FER2013.labels, VALUES, False)
GREY = np.full((400, 400, 3), 128, np.uint8)


def painted(size: tuple[int, int], *faces: Face) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Where drawing changed the picture."""
    pixels = np.full((*size, 3), 128, np.uint8)
    return np.asarray((np.asarray(draw(pixels, faces)) != 128).any(axis=2))


def test_pixels_are_left_alone() -> None:
    pixels = GREY.copy()
    pixels.flags.writeable = False
    assert np.asarray(draw(pixels, [FACE])).std() > 0
    assert (pixels == 128).all()
    assert np.array_equal(np.asarray(draw(pixels, [])), pixels)


def test_box_stands_where_the_face_is() -> None:
    mask = painted((400, 400), FACE)
    assert mask[100:250, 100].all()
    assert mask[100:250, 220].all()
    assert mask[250, 100:220].all()
    assert not mask[110:240, 110:210].any()


@pytest.mark.parametrize(
    "box",
    [
        Box(0, 0, 120, 80), Box(330, 0, 70, 90), Box(300, 350, 100, 50), Box(-50, -60, 500, 550), Box(395, 395, 80, 80),
        Box(600, 600, 40, 40), Box(-300, 100, 20, 20), Box(200, 200, 0, 0),
    ],
)  # fmt: skip
def test_label_stays_inside(box: Box) -> None:
    assert label_pixels(box) == label_pixels(FACE.box)


def label_pixels(box: Box) -> int:
    picture = Image.fromarray(GREY)
    _label(ImageDraw.Draw(picture), replace(FACE, box=box), "happiness 60%", 14, size=picture.size)
    return int((np.asarray(picture) != 128).any(axis=2).sum())


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (40, 40)])
def test_small_pictures(size: tuple[int, int]) -> None:
    assert draw(np.zeros((*size, 3), np.uint8), [FACE, replace(FACE, uncertain=True)]).size == size[::-1]


def test_lines_and_letters_grow_with_the_picture() -> None:
    small = painted((500, 500), replace(FACE, box=Box(125, 125, 150, 187)))
    large = painted((1000, 1000), replace(FACE, box=Box(250, 250, 300, 375)))
    assert large.mean() == pytest.approx(small.mean(), rel=0.25)


def test_uncertain_is_dashed() -> None:
    mask = painted((400, 400), replace(FACE, uncertain=True))
    side = mask[100:250, 100]
    assert 0.3 < side.mean() < 0.75
    assert np.abs(np.diff(side.astype(int))).sum() > 6
    assert mask[100, 100]
    assert mask[250, 220]


def test_every_emotion_has_a_colour_of_its_own() -> None:
    assert set(COLOURS) == {*FER2013.labels, "contempt"}
    for one, two in itertools.combinations(COLOURS.values(), 2):
        assert np.abs(np.subtract(one, two)).sum() > 60


def test_ink_contrasts_with_every_label() -> None:
    def luminance(colour: tuple[int, ...]) -> float:
        parts = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return float(np.dot(parts, (0.2126, 0.7152, 0.0722)))

    for colour in (*COLOURS.values(), *OWN):
        low, high = sorted((luminance(colour), luminance(_ink(colour))))
        assert (high + 0.05) / (low + 0.05) > 4.5


CONES: dict[str, list[list[float]]] = {
    "all": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""Linear RGB as people without one kind of cones see it (Machado, Oliveira and Fernandes 2009, severity 1)."""


def seen(colours: list[tuple[int, int, int]], cones: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """CIELAB (N, 3) of 8-bit sRGB colours, with white of D65."""
    shares = np.array(colours) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.transpose(CONES[cones]), 0, 1)
    to_xyz = np.array([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]])
    parts = linear @ to_xyz.T / (0.9505, 1, 1.0888)
    x, y, z = np.where(parts > 0.008856, np.cbrt(parts), 7.787 * parts + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@pytest.mark.parametrize("cones", CONES)
def test_own_classes_can_be_told_apart_with_any_cones(cones: str) -> None:
    own, eight = seen(list(OWN), cones), seen(list(COLOURS.values()), cones)
    apart = np.linalg.norm(own[:, None] - own, axis=2) + 1e3 * np.eye(len(OWN))
    assert apart[:6, :6].min() > 29
    assert apart.min() > 21
    assert np.linalg.norm(own[:, None] - eight, axis=2).min() > 14


def test_own_classes_keep_their_colours_in_any_order() -> None:
    labels = ("tired", "bored", "joie", "anger")
    assigned = assign_colours(labels)
    assert assigned == {"tired": OWN[1], "bored": OWN[0], "joie": COLOURS["happiness"], "anger": COLOURS["anger"]}
    assert assign_colours(labels[::-1]) == assigned
    many = assign_colours(tuple(f"class {index:02}" for index in range(14)))
    assert list(many.values()) == [*OWN, *OWN[:2]]


def test_labels_of_other_models() -> None:
    face = replace(FACE, labels=("contempt", "ennui"), values=(0.3, 0.7))
    assert painted((400, 400), face).any()
    pixels = np.asarray(draw(GREY, [face]))
    assert (pixels == OWN[0]).all(axis=2).sum() > 500
    assert not (pixels == 200).all(axis=2).any()  # the grey of classes that a model does not have


def test_hidden_faces_cannot_be_told_apart() -> None:
    """Two pictures that differ in fine detail only look the same afterwards; what is around stays."""
    random = np.random.default_rng(0)
    pictures = [GREY.copy() for _ in range(2)]
    for picture in pictures:
        picture[100:250, 100:220] += random.integers(-60, 60, (150, 120, 3)).astype(np.uint8)
    one, two = (hidden(picture, [FACE]).astype(int) for picture in pictures)
    inside = slice(100, 250), slice(100, 220)
    assert np.abs(one[inside] - two[inside]).mean() < 8
    assert np.abs(pictures[0][inside].astype(int) - pictures[1][inside]).mean() > 20
    assert (one[:40] == 128).all()
    assert pictures[0].std() > 10  # the picture itself is left alone


@pytest.mark.parametrize("place", [(-300, 10), (10, -400), (500, 500), (390, 10), (-350, -350)])
def test_a_face_outside_the_picture_hides_nothing_else(place: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (400, 400, 3), np.uint8)
    found = hidden(picture, [replace(FACE, box=Box(*place, 60, 60))])
    assert (found[100:300, 100:300] == picture[100:300, 100:300]).all()


def crowd(count: int, side: int) -> list[Face]:
    """Faces side by side, whose names would be wider than they are."""
    boxes = [Box(20 + at % 8 * (side + 10), 60 + at // 8 * (side + 30), side, side) for at in range(count)]
    return [replace(FACE, box=box) for box in boxes]


def papers(monkeypatch: pytest.MonkeyPatch, faces: list[Face], **options: str) -> tuple[list[str], list[Rectangle]]:
    """Return the texts and rectangles of all labels."""
    texts: list[str] = []
    found: list[Rectangle] = []

    def noted(canvas: ImageDraw.ImageDraw, face: Face, text: str, *more: Any, **named: Any) -> Rectangle:
        texts.append(text)
        found.append(_label(canvas, face, text, *more, **named))
        return found[-1]

    monkeypatch.setattr(drawing, "_label", noted)
    draw(np.full((700, 900, 3), 128, np.uint8), faces, **options)
    return texts, found


def test_labels_are_as_large_as_the_face(monkeypatch: pytest.MonkeyPatch) -> None:
    _, (small, large) = papers(monkeypatch, [replace(FACE, box=Box(50, 200, 40, 40)), replace(FACE, box=Box(400, 200, 300, 300))])  # fmt: skip # noqa: E501
    assert small[3] - small[1] < 0.7 * (large[3] - large[1])


def test_labels_dodge_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = [replace(FACE, box=Box(100 + 60 * at, 200, 50, 60)) for at in range(4)]
    _, found = papers(monkeypatch, faces)
    for one, two in itertools.combinations(found, 2):
        assert min(one[2], two[2]) < max(one[0], two[0]) or min(one[3], two[3]) < max(one[1], two[1])


def test_crowds_are_numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = crowd(16, 60)
    texts, found = papers(monkeypatch, faces)
    assert texts == [str(at) for at in range(16)]
    for one, face in zip(found, faces, strict=True):
        assert one[2] - one[0] < face.box.width
    assert papers(monkeypatch, crowd(3, 60))[0][0].startswith("happiness")
    assert papers(monkeypatch, crowd(3, 60), labels="numbers")[0] == ["0", "1", "2"]
    assert papers(monkeypatch, faces, labels="names")[0][0].startswith("happiness")
    with pytest.raises(OptionError, match="Did you mean 'numbers'"):
        draw(GREY, [], labels="number")
