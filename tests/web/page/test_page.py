"""The page in a real browser: photos and their faces, downloads, languages, models; with the shipped models."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING

import browsing
import pytest
from browsing import audit, choose, dark, drop, every, module, one, percent, press, shoot, texts, wait_for, wait_until
from PIL import Image, ImageOps
from selenium.webdriver import ActionChains, Keys

import mien
from mien.recognition.columns import csv_columns
from mien.web.app import STATIC

if TYPE_CHECKING:
    from pathlib import Path

    from selenium.webdriver import Chrome

DETAIL = "#photos .detail"


@pytest.fixture(scope="module")
def group(examples: Path) -> bytes:
    """A photo of 24 faces: the astronaut's, mirrored every second time and of many sizes and brightnesses."""
    head = Image.open(examples / "astronaut.jpg").convert("RGB").crop((120, 30, 320, 230))
    sheet = Image.new("RGB", (1260, 840), (110, 120, 115))
    for index in range(24):
        tile = head.resize((150 + index % 5 * 12,) * 2)
        tile = ImageOps.mirror(tile) if index % 2 else tile
        sheet.paste(
            tile.point(lambda value, part=1 - index / 40: int(value * part)), (index % 6 * 210, index // 6 * 210)
        )
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def test_a_chosen_photo_gets_outlines_and_bars(page: Chrome, examples: Path) -> None:
    choose(page, examples / "astronaut.jpg")
    wait_for(page, f"{DETAIL} .bars li")
    (face,) = mien.load().predict(examples / "astronaut.jpg").faces
    assert one(page, f"{DETAIL} h4").text == f"{face.emotion} {percent(face.confidence)}"
    assert one(page, "#status").text == "1 face in the photo."
    ranked = sorted(face.probabilities, key=lambda label: -face.probabilities[label])
    visible = [label for label in ranked if percent(face.probabilities[label]) != "< 1%"]
    assert texts(page, f"{DETAIL} .bars .label") == visible
    assert texts(page, f"{DETAIL} .bars .number") == [percent(face.probabilities[label]) for label in visible]
    folded = one(page, f"{DETAIL} details")
    assert folded.text == f"{len(ranked) - len(visible)} other classes, each < 1%"
    folded.find_element("tag name", "summary").click()
    rest = folded.find_element("tag name", "p").text.split(", ")
    assert [*visible, *rest] == ranked
    assert one(page, "#photos img").get_attribute("alt") == "astronaut.jpg: 1 face: 1 happiness."
    outline = one(page, "#photos .outline").rect
    image = one(page, "#photos img").rect
    assert (outline["x"] - image["x"]) / image["width"] == pytest.approx(face.box.left / 512, abs=0.01)
    assert outline["height"] / image["height"] == pytest.approx(face.box.height / 512, abs=0.01)


def test_percentages_are_never_0_or_100(page: Chrome) -> None:
    values = [0, 1e-9, 0.0049, 0.005, 0.5, 0.994, 0.9951, 1]
    assert module(page, "words.js", f"{values}.map(m.percent)") == [
        "< 1%", "< 1%", "< 1%", "1%", "50%", "99%", "> 99%", "> 99%",
    ]  # fmt: skip


def test_a_group_of_24_faces(page: Chrome, group: bytes) -> None:
    drop(page, [("group.jpg", "image/jpeg", group)])
    wait_for(page, "#photos .thumb", 24)
    counts = [int(head.rsplit(" ", 1)[1]) for head in texts(page, "#photos .group-head")]
    assert sum(counts) == 24
    assert counts == sorted(counts, reverse=True), "the emotion of most faces comes first"
    assert one(page, "#photos .summary").text.startswith("24 faces: ")
    assert len(every(page, "#photos .outline")) == 24
    assert len(every(page, f"{DETAIL} .figure")) == 1, "one face is shown in full, not 24"
    assert one(page, "#photos .photo").rect["height"] < 1600
    # A click in the photo chooses the face in the strip, and the other way round.
    every(page, "#photos .outline")[5].click()
    assert one(page, f"{DETAIL} h4").text.startswith("Face 6: ")
    assert str(one(page, "#photos .thumb input:checked").get_attribute("id")).endswith("-face-5")
    page.execute_script("document.querySelector('#photos [id$=face-11]').click()")
    assert one(page, f"{DETAIL} h4").text.startswith("Face 12: ")
    press(page, "Heat map")  # of a face beyond those that the server explains in one request
    wait_for(page, f"{DETAIL} .score")
    assert "against random maps" in one(page, f"{DETAIL} .score").text
    for night in (False, True):
        dark(page, night)
        assert audit(page) == []
        shoot(page, f"group-{'dark' if night else 'light'}")
    browsing.resize(page, 360, 740)
    assert browsing.overflow(page) == 0
    assert audit(page) == []
    shoot(page, "group-phone")


def test_numbers_vanish_where_outlines_are_too_small_for_them(page: Chrome, group: bytes) -> None:
    drop(page, [("group.jpg", "image/jpeg", group)])
    wait_for(page, "#photos .thumb", 24)
    assert every(page, "#photos .outline.bare") == []
    page.execute_script("document.querySelector('#photos .stage').style.width = '160px'")
    wait_until(lambda: len(every(page, "#photos .outline.bare")) == 24)


def test_the_heat_map_of_a_face(page: Chrome) -> None:
    one(page, "#sample").click()
    wait_for(page, f"{DETAIL} canvas")
    pixels = "return document.querySelector('#photos .detail canvas').toDataURL()"
    plain = page.execute_script(pixels)
    button = press(page, "Heat map")
    wait_for(page, f"{DETAIL} .score")
    assert browsing.focused(page) == "Heat map", "the focus stays"
    assert button.get_attribute("aria-pressed") == "true"
    assert "against random maps" in one(page, f"{DETAIL} .score").text
    assert page.execute_script(pixels) != plain
    assert audit(page) == []
    shoot(page, "heat-map")
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert page.execute_script(pixels) == plain


def test_an_uncertain_face_says_so(page: Chrome) -> None:
    one(page, "[data-sample='covered.jpg']").click()
    wait_for(page, f"{DETAIL} .bars li")
    assert one(page, f"{DETAIL} h4").text.endswith(", uncertain")
    assert len(every(page, f"{DETAIL} .bars li")) > 1
    assert every(page, "#photos .outline.uncertain")


def test_an_empty_page_has_an_example_that_the_model_named_gives(page: Chrome) -> None:
    wait_for(page, "#example .thumb", 6)
    (shown,) = json.loads((STATIC / "example.json").read_text("utf-8"))["results"]
    assert shown["model"] in one(page, "#example-model").text
    result = mien.load(shown["model"]).predict(STATIC / "six.jpg")
    assert len(result) == len(shown["faces"]) == 6
    for face in shown["faces"]:
        close = min(
            result,
            key=lambda other: abs(other.box.left - face["box"]["left"]) + abs(other.box.top - face["box"]["top"]),
        )
        assert close.emotion == face["emotion"]
        assert close.confidence == pytest.approx(face["confidence"], abs=0.01)
    assert audit(page) == []
    shoot(page, "empty")
    one(page, "#sample").click()
    wait_for(page, f"{DETAIL} .bars li")
    assert not one(page, "#example").is_displayed()
    press(page, "Clear")
    assert one(page, "#example").is_displayed()
    assert browsing.focused(page) == "files"


def test_a_pasted_photo_is_read(page: Chrome, examples: Path) -> None:
    content = base64.b64encode((examples / "astronaut.jpg").read_bytes()).decode()
    script = """
        const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], "pasted.jpg", { type: "image/jpeg" }));
        document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data }));
    """
    page.execute_script(script, content)
    wait_for(page, f"{DETAIL} .bars li")
    assert one(page, "#photos h3").text == "pasted.jpg"


def test_downloads_have_the_shape_of_the_api_and_of_the_command_line(
    page: Chrome, examples: Path, downloads: Path
) -> None:
    choose(page, examples / "astronaut.jpg")
    wait_for(page, f"{DETAIL} .bars li")
    for text in ("Save JSON", "Save CSV", "Save picture"):
        press(page, text)
    names = ("mien.json", "mien.csv", "astronaut-faces.png")
    wait_until(lambda: all((downloads / name).is_file() for name in names))
    expected = mien.load().predict(examples / "astronaut.jpg")
    item = {**expected.to_dict(), "source": "astronaut.jpg", "faces_found": 1, "truncated": False}
    assert json.loads((downloads / "mien.json").read_text("utf-8")) == {"results": [item]}
    head, row = (downloads / "mien.csv").read_text("utf-8").splitlines()
    assert head.split(",") == csv_columns(expected.faces[0].labels)
    assert row.split(",")[7] == "happiness"
    pose = expected.faces[0].pose
    assert pose is not None
    assert float(row.split(",")[11]) == pose.yaw
    with Image.open(downloads / "astronaut-faces.png") as picture:
        assert picture.size == (512, 512)


def test_names_of_emotions_come_from_the_library_s_table(page: Chrome) -> None:
    one(page, "#sample").click()
    wait_for(page, f"{DETAIL} .bars li")
    one(page, "#options summary").click()
    codes = [option.get_attribute("value") for option in every(page, "#language option")]
    assert codes == list(mien.drawing.languages.known())
    page.execute_script(
        "const s = arguments[0]; s.value = 'de'; s.dispatchEvent(new Event('change'))", one(page, "#language")
    )
    assert one(page, f"{DETAIL} h4").text.startswith("Freude ")
    assert page.current_url.endswith("?labels=de")
    browsing.open_page(page, page.current_url)
    one(page, "#sample").click()
    wait_for(page, f"{DETAIL} .bars li")
    assert one(page, f"{DETAIL} h4").text.startswith("Freude ")


def test_another_model_reads_the_photos_again_and_has_its_card(page: Chrome, examples: Path) -> None:
    choose(page, examples / "astronaut.jpg")
    wait_for(page, f"{DETAIL} .bars li")
    one(page, "#options summary").click()
    assert ", ".join(mien.load().labels) in one(page, "#card").text
    page.execute_script(
        "const s = arguments[0]; s.value = 'fer7'; s.dispatchEvent(new Event('change'))", one(page, "#model")
    )
    recognizer = mien.load("fer7")
    (face,) = recognizer.predict(examples / "astronaut.jpg")
    wait_until(lambda: texts(page, f"{DETAIL} h4") == [f"happiness {percent(face.confidence)}"])
    bundle = recognizer.bundle
    card = one(page, "#card").text
    assert bundle.licence in card
    for corpus in bundle.trained_on:
        assert corpus.name in card
        assert corpus.terms in card
    assert one(page, "#threshold").get_attribute("value") == str(round(bundle.uncertain_below * 100))
    assert audit(page) == []
    shoot(page, "options")


def test_the_threshold_decides_what_is_uncertain(page: Chrome) -> None:
    one(page, "#options summary").click()
    field = one(page, "#threshold")
    field.clear()
    field.send_keys("100", Keys.TAB)
    one(page, "#sample").click()
    wait_for(page, f"{DETAIL} .bars li")
    wait_until(lambda: one(page, f"{DETAIL} h4").text.endswith(", uncertain"))
    press(page, "Threshold of the model")
    assert "uncertain" not in one(page, f"{DETAIL} h4").text
    field.clear()
    field.send_keys("400", Keys.TAB)
    assert one(page, "#threshold-problem").is_displayed()


def test_nothing_is_asked_of_another_host(page: Chrome, site: str) -> None:
    one(page, "#sample").click()
    wait_for(page, f"{DETAIL} .bars li")
    names = page.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert names
    assert all(name.startswith((site, "blob:")) for name in names)


def test_by_keyboard_alone(page: Chrome, group: bytes) -> None:
    def press_key(key: str) -> None:
        ActionChains(page).send_keys(key).perform()

    press_key(Keys.TAB)
    assert browsing.focused(page) == "files"
    ringed = """
        const all = [...document.querySelectorAll("#drop *")];
        return all.filter((e) => getComputedStyle(e).outlineStyle === "solid").map((e) => e.textContent);
    """
    assert page.execute_script(ringed)[-1:] == ["Choose photos"]
    assert "Webcam" not in page.execute_script(ringed), "one button has the ring"
    for expected in ("camera", "sample"):
        press_key(Keys.TAB)
        assert browsing.focused(page) == expected
    drop(page, [("group.jpg", "image/jpeg", group)])
    wait_for(page, "#photos .thumb", 24)
    stops = 0
    while not (browsing.focused(page) or "").startswith("photo-"):
        press_key(Keys.TAB)
        stops += 1
        assert stops < 20
    before = one(page, f"{DETAIL} h4").text
    press_key(Keys.ARROW_RIGHT)
    assert one(page, f"{DETAIL} h4").text != before, "arrows choose another face"
    press_key(Keys.TAB)
    assert not browsing.focused(page).startswith("photo-"), "24 faces are one stop of the Tab key"
