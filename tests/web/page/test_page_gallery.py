"""Many photos at once: progress, cancel, retry, clear, counts; a small network behind."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import browsing
import pytest
from browsing import audit, dark, drop, every, one, press, resize, shoot, texts, wait_for, wait_until
from PIL import Image
from serving import Held, encoded
from support import noise

from mien.recognition.recognizer import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

    Visit = Callable[[str], Chrome]
    Serve = Callable[..., str]


@pytest.fixture(scope="module")
def picture() -> bytes:
    return encoded(noise(64, 64), "JPEG")


@pytest.fixture
def held() -> Iterator[Held]:
    """A detector that waits; let go at the end, so that the server can stop."""
    detector = Held()
    yield detector
    detector.go.set()


def photos(picture: bytes, count: int, name: str = "photo") -> list[tuple[str, str, bytes]]:
    return [(f"{name}{index:02d}.jpg", "image/jpeg", picture) for index in range(count)]


def test_40_photos_and_a_text_file(visit: Visit, serve: Serve, picture: bytes) -> None:
    page = visit(serve())
    drop(page, [*photos(picture, 40), ("notes.txt", "text/plain", b"to do: nothing\n")])
    wait_until(lambda: one(page, "#status").text.startswith("40 photos read. 160 faces: "))
    assert one(page, "#status").text.endswith("1 could not be read; the reason stands with each.")
    assert not one(page, "#progress-part").is_displayed()
    assert len(every(page, ".item[data-state=done]")) == 40
    assert texts(page, ".item[data-state=failed] .bad") == [
        "This is a text file, not a photo. Photos are JPEG, PNG, WebP, GIF, AVIF, BMP and TIFF files."
    ]
    assert every(page, ".item-actions button") == [], "no file is worth another try"
    # The gallery is one stop of the Tab key; the photo chosen there is the one shown.
    page.execute_script("document.querySelectorAll('.item input')[7].click()")
    assert one(page, "#photos h3").text == "photo07.jpg"
    assert audit(page) == []
    shoot(page, "gallery")
    resize(page, 360, 740)
    assert browsing.overflow(page) == 0
    dark(page, True)
    assert audit(page) == []
    shoot(page, "gallery-phone")


def test_progress_cancel_retry_and_cancel_all(
    visit: Visit, serve: Serve, model: Path, held: Held, picture: bytes
) -> None:
    page = visit(serve(load(model, detector=held, threads=1)))
    drop(page, photos(picture, 6))
    wait_until(lambda: held.entered == 2)
    assert one(page, "#progress-words").text == "0 of 6 photos"
    assert len(every(page, ".item[data-state=waiting]")) == 4
    one(page, "[aria-label='Cancel: photo05.jpg']").click()
    one(page, "[aria-label='Cancel: photo00.jpg']").click()
    wait_until(lambda: len(every(page, ".item[data-state=cancelled]")) == 2)
    assert browsing.focused(page) == "Try again", "the focus stays with the photo"
    held.go.set()
    wait_until(lambda: "2 photos were cancelled." in one(page, "#status").text)
    assert one(page, "#status").text.startswith("4 photos read. 16 faces: ")
    one(page, "[aria-label='Try again: photo05.jpg']").click()
    wait_until(lambda: one(page, "#status").text.startswith("5 photos read. 20 faces: "))
    held.go.clear()
    drop(page, photos(picture, 4, "more"))
    press(page, "Cancel all")
    wait_until(lambda: len(every(page, ".item[data-state=cancelled]")) == 5)
    assert not one(page, "#progress-part").is_displayed()


def test_batches_that_overlap_are_counted_together(
    visit: Visit, serve: Serve, model: Path, held: Held, picture: bytes
) -> None:
    page = visit(serve(load(model, detector=held, threads=1)))
    drop(page, photos(picture, 3, "first"))
    wait_until(lambda: held.entered == 2)
    drop(page, photos(picture, 2, "second"))
    assert one(page, "#progress-words").text == "0 of 5 photos"
    held.go.set()
    wait_until(lambda: one(page, "#status").text.startswith("5 photos read. 20 faces: "))


def test_clear_while_photos_are_read(visit: Visit, serve: Serve, model: Path, held: Held, picture: bytes) -> None:
    page = visit(serve(load(model, detector=held, threads=1)))
    drop(page, photos(picture, 4))
    wait_until(lambda: held.entered == 2)
    press(page, "Clear")
    held.go.set()
    drop(page, photos(picture, 1, "after"))
    wait_until(lambda: one(page, "#status").text == "4 faces in the photo.")
    assert texts(page, "#photos h3") == ["after00.jpg"]
    assert not one(page, "#gallery-part").is_displayed()


def test_failed_and_cancelled_photos_are_in_the_files(
    visit: Visit, serve: Serve, picture: bytes, downloads: Path
) -> None:
    page = visit(serve())
    drop(page, [("a.jpg", "image/jpeg", picture), ("b.mp4", "video/mp4", b"\0\0\0\x18ftypisom" + bytes(60))])
    wait_until(lambda: "could not be read" in one(page, "#status").text)
    (downloads / "mien.json").unlink(missing_ok=True)
    press(page, "Save JSON")
    wait_until((downloads / "mien.json").is_file)
    first, second = json.loads((downloads / "mien.json").read_text("utf-8"))["results"]
    assert (first["source"], first["faces_found"], first["truncated"], len(first["faces"])) == ("a.jpg", 4, False, 4)
    assert second["source"] == "b.mp4"
    assert "mien video" in second["error"]


def test_a_photo_above_the_limits_is_made_smaller(visit: Visit, serve: Serve) -> None:
    page = visit(serve(max_pixels=10_000))
    buffer = io.BytesIO()
    Image.fromarray(noise(200, 400)).save(buffer, "PNG")
    drop(page, [("large.png", "image/png", buffer.getvalue())])
    wait_until(lambda: one(page, "#status").text == "4 faces in the photo.")
    assert "Made smaller in this browser, from 0.1 to 0.0 megapixels" in one(page, "#photos").text
    outline, image = every(page, "#photos .outline")[0].rect, one(page, "#photos img").rect
    assert outline["width"] / image["width"] == pytest.approx(0.5, abs=0.02), "outlines fit the photo that is shown"


def test_more_faces_than_the_server_reads(visit: Visit, serve: Serve, picture: bytes) -> None:
    page = visit(serve(max_faces=3))
    drop(page, photos(picture, 1))
    wait_for(page, "#photos .thumb", 3)
    assert texts(page, "#photos .note")[0] == (
        "The photo has 4 faces; the best 3 detections are shown, as many as this server reads."
    )
