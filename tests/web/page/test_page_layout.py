"""The page at every width, text size, in dark, with own classes, in forced colours and below a path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from browsing import audit, dark, drop, every, media, module, one, overflow, resize, shoot, wait_for, wait_until
from serving import Quarters, encoded
from support import noise, write_model

from mien.drawing.draw import assign_colours
from mien.labels import LabelSet
from mien.recognition.recognizer import load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from selenium.webdriver import Chrome

    Visit = Callable[[str], Chrome]
    Serve = Callable[..., str]

PHOTO = ("photo.jpg", "image/jpeg", encoded(noise(64, 64), "JPEG"))
LONG = ("an-emotion-whose-name-nobody-has-shortened-" * 6, "short", "LOUDER" * 30)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A model of own classes with names that do not fit into a line."""
    write_model(tmp_path / "own.onnx", labels=LabelSet("own", LONG))
    return tmp_path / "own.onnx"


@pytest.mark.parametrize("width", [360, 768, 1280, 2560])
def test_every_width_holds_long_names_and_large_text(visit: Visit, serve: Serve, own: Path, width: int) -> None:
    page = visit(serve(load(own, detector=Quarters(), threads=1)))
    resize(page, width, 900)
    drop(page, [PHOTO, ("a-name-without-a-break" * 12 + ".jpg", "image/jpeg", PHOTO[2])])
    wait_for(page, "#photos .thumb", 4)
    one(page, "#options summary").click()
    assert overflow(page) == 0
    page.execute_script("document.documentElement.style.fontSize = '200%'")
    assert overflow(page) == 0
    track = one(page, "#photos .bars .track").rect["width"]
    assert track > 150, "bars are still bars where text is twice as large"
    shoot(page, f"large-text-{width}")


def test_a_phone_of_360_pixels(page: Chrome) -> None:
    resize(page, 360, 740)
    one(page, "#sample").click()
    wait_for(page, "#photos .bars li")
    assert overflow(page) == 0
    small = page.execute_script(
        "return [...document.querySelectorAll('button, .button, select')].filter((b) => b.offsetParent)"
        ".map((b) => b.getBoundingClientRect().height).filter((high) => high < 44)"
    )
    assert small == []
    assert audit(page) == []
    shoot(page, "phone")


def test_bars_contrast_with_their_tracks_and_classes_differ(visit: Visit, serve: Serve) -> None:
    page = visit(serve())
    names = [*module(page, "colours.js", "Object.keys(m.COLOURS)"), *(f"own{index}" for index in range(12))]
    assert "contempt" in names
    for track in ("#dfe3e8", "#363b44"):
        shades = module(page, "colours.js", f"{names}.map((name) => m.shade(m.colour(name), '{track}'))")
        assert len(set(shades)) == len(names)
        ratios = module(page, "colours.js", f"{shades}.map((shade) => m.contrast(shade, '{track}'))")
        assert min(ratios) >= 3
    tracks = []
    for night in (False, True):
        dark(page, night)
        tracks.append(
            page.execute_script("return getComputedStyle(document.documentElement).getPropertyValue('--track')")
        )
    assert tracks == ["#dfe3e8", "#363b44"], "the colours that the shades are made for"


def test_own_classes_have_the_colours_of_annotated_pictures(visit: Visit, serve: Serve) -> None:
    page = visit(serve())
    labels = ["tired", "joie", "bored", "anger", "Zen"]
    shown = module(page, "colours.js", f"(m.useClasses({labels}), {labels}.map(m.colour))")
    assigned = assign_colours(tuple(labels))
    assert shown == ["#{:02x}{:02x}{:02x}".format(*assigned[label]) for label in labels]


def test_bars_are_there_in_forced_colours(visit: Visit, serve: Serve) -> None:
    page = visit(serve())
    media(page, "forced-colors", "active")
    drop(page, [PHOTO])
    wait_for(page, "#photos .bars li")
    background = "return getComputedStyle(arguments[0]).backgroundColor"
    fill = page.execute_script(background, one(page, "#photos .bars .fill"))
    assert fill != page.execute_script(background, one(page, "#photos .bars .track"))
    shoot(page, "forced-colours")


def test_below_a_path(visit: Visit, serve: Serve) -> None:
    page = visit(f"{serve(root_path='/mien')}/mien")
    assert page.current_url.endswith("/mien/")
    drop(page, [PHOTO])
    wait_until(lambda: one(page, "#status").text == "4 faces in the photo.")
    one(page, "#camera").click()
    wait_until(lambda: int(one(page, "#live").get_attribute("data-frames") or 0) >= 1)
    one(page, "#stop").click()
    names = page.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname)"
    )
    own_names = [name for name in names if "/v1/" in name or "/static/" in name]
    assert own_names
    assert all(name.startswith("/mien/") for name in own_names)
    assert len(every(page, "#photos .thumb")) == 4
