"""The webcam: mirrored, one camera at a time, people followed, a record, and what it says when something is missing."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from browsing import audit, every, focused, module, one, press, shoot, wait_until
from selenium.webdriver import ActionChains, Keys
from serving import serving

from mien.web.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from selenium.webdriver import Chrome

    Visit = Callable[[str], Chrome]
    Serve = Callable[..., str]

TOKEN = "a-token-of-some-length"

_COUNT_CAMERAS = """
    window.media = [];
    const own = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      const one = await own(wanted);
      window.media.push(one);
      return one;
    };
"""
_DRAWN = """
    const c = document.getElementById(arguments[0]);
    return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((value) => value);
"""


def frames(page: Chrome) -> int:
    return int(one(page, "#live").get_attribute("data-frames") or 0)


def test_the_webcam_shows_boxes_a_timeline_and_a_record(page: Chrome, downloads: Path) -> None:
    one(page, "#sample").click()
    wait_until(lambda: one(page, "#status").text == "1 face in the photo.")
    one(page, "#camera").click()
    wait_until(lambda: frames(page) >= 5)
    assert one(page, "#now").text.startswith("Person 1: happiness")
    assert one(page, "#status").text == "1 face in the photo.", "the webcam leaves the photos' status alone"
    assert len(every(page, "#legend li")) == 8
    assert page.execute_script(_DRAWN, "overlay")
    assert page.execute_script(_DRAWN, "timeline")
    assert "matrix(-1" in page.execute_script("return getComputedStyle(document.getElementById('video')).transform")
    assert float(str(one(page, "#live").get_attribute("data-latency"))) > 0
    assert audit(page) == []
    shoot(page, "webcam")
    press(page, "Stop the webcam")
    assert not one(page, "#live").is_displayed()
    assert focused(page) == "camera"
    press(page, "Save the record (CSV)")
    file = downloads / "mien-webcam.csv"
    wait_until(file.is_file)
    rows = list(csv.DictReader(file.read_text("utf-8").splitlines()))
    assert len(rows) >= 4
    assert rows[0]["person"] == "1"
    assert [float(row["seconds"]) for row in rows] == sorted(float(row["seconds"]) for row in rows)
    total = sum(float(value) for name, value in rows[-1].items() if name.startswith("p_"))
    assert abs(total - 1) < 1e-5


def test_a_double_click_opens_one_camera_which_stops(visit: Visit, serve: Serve) -> None:
    page = visit(serve())
    page.execute_script(_COUNT_CAMERAS)
    ActionChains(page).double_click(one(page, "#camera")).perform()
    wait_until(lambda: frames(page) >= 2)
    assert page.execute_script("return window.media.length") == 1
    press(page, "Stop the webcam")
    states = "return window.media.flatMap((media) => media.getTracks().map((track) => track.readyState))"
    assert page.execute_script(states) == ["ended"]


def test_a_lost_connection_leaves_nothing_old(visit: Visit, browser: Chrome) -> None:
    with serving(Settings(models=("default",), threads=1, log_level="error")) as address:
        page = visit(address)
        one(page, "#camera").click()
        wait_until(lambda: frames(page) >= 2)
    wait_until(lambda: one(page, "#now").text == "No connection")
    assert not page.execute_script(_DRAWN, "overlay")
    wait_until(lambda: one(page, "#live-status").text.startswith("The server cannot be reached."))
    wait_until(lambda: one(page, "#reconnect").is_displayed())
    assert one(page, "#live-status").text == "The server cannot be reached."
    press(page, "Stop the webcam")


def test_a_server_without_a_free_stream_says_so(visit: Visit, serve: Serve) -> None:
    address = serve(streams=1)
    first = visit(address)
    first.execute_script("window.other = new WebSocket(location.href.replace('http', 'ws') + 'v1/stream')")
    wait_until(lambda: first.execute_script("return window.other.readyState") == 1)
    one(first, "#camera").click()
    wait_until(lambda: "no free live stream" in one(first, "#live-status").text)
    first.execute_script("window.other.close()")
    wait_until(lambda: frames(first) >= 1)
    assert one(first, "#live-status").text == ""
    press(first, "Stop the webcam")


def test_the_webcam_of_a_server_with_a_token(browser: Chrome, serve: Serve) -> None:
    browser.get(serve(token=TOKEN))
    wait_until(lambda: one(browser, "#token").is_displayed())
    one(browser, "#camera").click()
    wait_until(lambda: "needs a token" in one(browser, "#live-status").text)
    one(browser, "#word").send_keys(TOKEN, Keys.ENTER)
    wait_until(lambda: frames(browser) >= 1)
    press(browser, "Stop the webcam")
    browser.get("about:blank")
    browser.get_log("browser")  # type: ignore[no-untyped-call]


def test_a_refused_webcam_says_what_to_do(visit: Visit, serve: Serve) -> None:
    page = visit(serve())
    page.execute_script(
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('x', 'NotAllowedError'); }"
    )
    one(page, "#camera").click()
    wait_until(lambda: "Allow it for this page" in one(page, "#camera-problem").text)
    assert not one(page, "#live").is_displayed()


def test_people_keep_their_numbers_and_probabilities_are_smoothed(visit: Visit, serve: Serve) -> None:
    page = visit(serve())
    face = "({ box: { left: %d, top: 0, width: 100, height: 100 }, probabilities: { calm: %s, loud: %s } })"
    first, moved, other = face % (0, "1", "0"), face % (30, "0", "1"), face % (400, "1", "0")
    updates = f"p.update([{first}], 0, 0.7), p.update([{other}, {moved}], 0.5, 0.7), p.update([{first}], 9, 0.7)"
    steps = f"(() => {{ const p = new m.People(); return [{updates}]; }})()"
    begun, later, back = module(page, "people.js", steps)
    assert [face["id"] for face in begun] == [1]
    assert [face["id"] for face in later] == [2, 1]
    assert abs(later[1]["probabilities"]["loud"] - 0.632) < 0.001
    assert (later[1]["emotion"], later[1]["uncertain"]) == ("loud", True)
    assert [face["id"] for face in back] == [3], "whoever is away for long is somebody new"
