"""Letters beyond ASCII are drawn as they are where a font has them, and in ASCII where none has."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from mien.drawing import fonts
from mien.drawing.draw import draw
from mien.results import Box, Face

FACE = Face(Box(40, 60, 80, 100), 0.9, None, ("Müde", "悲しい"), (0.9, 0.1), False)
GREY = np.full((200, 300, 3), 128, np.uint8)


@pytest.fixture
def none_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer without fonts."""
    monkeypatch.setattr(fonts, "_candidates", lambda: ())
    fonts.font_file.cache_clear()


def test_plain_text_keeps_what_it_can() -> None:
    assert fonts.plain("Müde") == "Mude"
    assert fonts.plain("Zoë 90%") == "Zoe 90%"
    assert fonts.plain("悲") == "\\u60b2"


def test_ascii_is_drawn_in_pillows_own_font() -> None:
    font, text = fonts.choose("happiness 90%", 14)
    assert text == "happiness 90%"
    assert font.getlength(text) == ImageFont.load_default(14).getlength(text)


def test_a_font_that_has_the_letters_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    file = pytest.importorskip("matplotlib").get_data_path() + "/fonts/ttf/DejaVuSans.ttf"
    monkeypatch.setattr(fonts, "_candidates", lambda: ("/none.ttf", file))
    fonts.font_file.cache_clear()
    font, text = fonts.choose("Müde", 14)
    assert text == "Müde"
    assert isinstance(font, ImageFont.FreeTypeFont)
    assert font.path == file
    assert bytes(font.getmask("ü")) != bytes(font.getmask("\U0010ffff"))
    assert fonts.font_file("ü悲") is None
    assert fonts.choose("悲", 14)[1] == "\\u60b2"
    fonts.font_file.cache_clear()


def test_a_font_of_last_resort_is_none() -> None:
    assert fonts._is_font("DejaVuSans.ttf")
    assert not fonts._is_font("LastResortHE-Regular.ttf")


def test_without_a_font_the_label_is_in_ascii(none_found: None) -> None:
    plain = replace(FACE, labels=("Mude", "x"))
    assert np.array_equal(np.asarray(draw(GREY, [FACE])), np.asarray(draw(GREY, [plain])))
    fonts.font_file.cache_clear()


@pytest.mark.parametrize("found", [True, False])
def test_plots_warn_of_no_letter(found: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """matplotlib warns where it draws a box, and a warning is an error here."""
    pytest.importorskip("matplotlib")
    from mien.reporting import figures

    if not found:
        monkeypatch.setattr(fonts, "_candidates", lambda: ())
    fonts.font_file.cache_clear()
    figure = figures.new(3, 2)
    axes = figure.add_subplot()
    axes.set_xticks([0, 1], ["Müde", "悲しい"])
    axes.set_title("悲しい")
    assert figures.render(figure, "png").startswith(b"\x89PNG")
    fonts.font_file.cache_clear()


def test_sheets_draw_any_caption(none_found: None) -> None:
    pytest.importorskip("pyarrow")
    from mien.reporting import sheets

    tile = np.zeros((48, 48), np.uint8)
    buffer = io.BytesIO()
    sheets.draw_sheet([("悲しい", [(tile, "Müde")])]).save(buffer, "PNG")
    assert buffer.getvalue()
    assert Path(fonts.__file__).name == "fonts.py"
