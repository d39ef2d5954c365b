"""What goes wrong is said once, where it happens, in the page's own words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import browsing
import pytest
from browsing import ONLINE, audit, drop, every, one, press, shoot, wait_until
from selenium.webdriver import Keys
from serving import Held, encoded, post
from support import noise

from mien.recognition.recognizer import load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from selenium.webdriver import Chrome

    Visit = Callable[[str], Chrome]
    Serve = Callable[..., str]

TOKEN = "a-token-of-some-length"
PICTURE = encoded(noise(64, 64), "JPEG")
PHOTO = ("photo.jpg", "image/jpeg", PICTURE)


@pytest.mark.parametrize(
    ("file", "words", "again"),
    [
        (("film.mp4", "video/mp4", b"\0\0\0\x18ftypisom" + bytes(60)), "This is a video", False),
        (("film.webm", "video/webm", b"\x1aE\xdf\xa3" + bytes(60)), "mien video FILE", False),
        (("list.txt", "text/plain", b"milk, bread"), "This is a text file, not a photo.", False),
        (("paper.pdf", "application/pdf", b"%PDF-1.7 " + bytes(60)), "This is a document, not a photo.", False),
        (("none.jpg", "image/jpeg", b""), "The file is empty.", False),
        (("cut.jpg", "image/jpeg", PICTURE[:200]), "This photo could not be read. It may be damaged", False),
        (("new.heic", "image/heic", b"\0\0\0\x18ftypheic" + bytes(60)), "do not read HEIC", False),
    ],
)
def test_files_that_are_no_photos(
    visit: Visit, serve: Serve, file: tuple[str, str, bytes], words: str, again: bool
) -> None:
    page = visit(serve())
    drop(page, [file])
    wait_until(lambda: words in one(page, "#photos").text)
    everything = one(page, "body").text
    assert everything.count(words) == 1, "it is said once"
    assert ("Try again" in everything) == again
    for server_words in ("max_pixels", "Authorization", "expected", "pip install"):
        assert server_words not in one(page, "#photos").text
    assert audit(page) == []


def test_without_a_server_photos_wait_and_go_on(visit: Visit, serve: Serve) -> None:
    page = visit(serve())
    page.execute_cdp_cmd("Network.emulateNetworkConditions", {**ONLINE, "offline": True})
    drop(page, [PHOTO, PHOTO, PHOTO])
    wait_until(lambda: one(page, "#halt").is_displayed())
    assert one(page, "#halt-words").text == "The server cannot be reached. 3 photos wait."
    assert one(page, "body").text.count("cannot be reached") == 1
    assert audit(page) == []
    shoot(page, "server-gone")
    page.execute_cdp_cmd("Network.emulateNetworkConditions", ONLINE)
    press(page, "Try again")
    wait_until(lambda: one(page, "#status").text.startswith("3 photos read. 12 faces: "))
    assert not one(page, "#halt").is_displayed()


def test_a_page_that_loses_its_server_at_once_says_so(visit: Visit, serve: Serve) -> None:
    page = visit(serve())
    page.execute_script("window.stopped = true")
    page.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*v1/models*"]})
    page.refresh()
    wait_until(lambda: one(page, "#start-problem").is_displayed())
    assert one(page, "#start-words").text == "The server cannot be reached."
    page.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
    press(page, "Try again")
    wait_until(lambda: "Model" in one(page, "#about").text)
    assert not one(page, "#start-problem").is_displayed()


def test_a_full_server_is_asked_again_by_itself(visit: Visit, serve: Serve, model: Path) -> None:
    held = Held()
    address = serve(load(model, detector=held, threads=1), threads=1, queue=1, max_images=1)
    page = visit(address)
    drop(page, [PHOTO] * 4)  # two at once fill thread and queue
    try:
        wait_until(lambda: held.entered == 1)
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as other:
            refused = other.submit(
                post, f"{address}/v1/predict", content=PICTURE, headers={"Content-Type": "image/jpeg"}
            )
            page.execute_script("document.querySelector(\"[aria-label^='Cancel']\").click()")
            wait_until(lambda: one(page, "#halt").is_displayed())
            words = one(page, "#halt-words").text
            held.go.set()
            refused.result()
    finally:
        held.go.set()
    assert words.startswith("The server is busy. Trying again in ")
    assert "max_" not in words
    wait_until(lambda: one(page, "#status").text.startswith("3 photos read."))


def test_a_server_with_a_token_asks_for_it_once(visit: Visit, browser: Chrome, serve: Serve) -> None:
    address = serve(token=TOKEN)
    browser.get(address)
    wait_until(lambda: one(browser, "#token").is_displayed())
    assert browsing.focused(browser) == "word"
    assert "Authorization" not in one(browser, "body").text
    one(browser, "#word").send_keys("a-token-that-is-wrong", Keys.ENTER)
    wait_until(lambda: "does not accept this token" in one(browser, "#token").text)
    drop(browser, [PHOTO, PHOTO])
    wait_until(lambda: len(every(browser, ".item[data-state=waiting]")) == 2)
    assert audit(browser) == []
    shoot(browser, "token")
    field = one(browser, "#word")
    field.clear()
    field.send_keys(TOKEN, Keys.ENTER)
    wait_until(lambda: one(browser, "#status").text.startswith("2 photos read. 8 faces: "))
    assert not one(browser, "#token").is_displayed()
