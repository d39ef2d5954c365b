"""The page in a real browser: headless Chromium, a camera that is a file, and the shipped model behind it."""

from __future__ import annotations

import base64
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from serving import serving, wait_until

from mien.recognition.recognizer import load
from mien.web.settings import Settings

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
Keys = webdriver.Keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver (Debian: chromium, chromium-driver)"
)


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with serving(Settings(threads=2, log_level="error")) as address:
        yield address


@pytest.fixture(scope="module")
def film(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A camera's film: one second of the example photo moving sideways, 640×480 Motion JPEG."""
    path = tmp_path_factory.mktemp("camera") / "film.mjpeg"
    astronaut = Image.open(examples / "astronaut.jpg").resize((480, 480))
    with path.open("wb") as film:
        for place in range(30):
            frame = Image.new("RGB", (640, 480), (70, 80, 90))
            frame.paste(astronaut, (60 + abs(place - 15) * 2, 0))
            frame.save(film, "JPEG", quality=85)
    return path


@pytest.fixture(scope="module")
def browser(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    flags = (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={film}", "--window-size=1280,1000",
        "--disable-background-networking", "--disable-component-update", "--no-first-run",
    )  # fmt: skip
    for flag in flags:
        options.add_argument(flag)
    downloads = tmp_path_factory.mktemp("downloads")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(executable_path=DRIVER))
    driver.downloads = downloads
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: Chrome, site: str) -> Iterator[Chrome]:
    """The page, freshly opened; at the end nothing may stand in the browser's console."""
    browser.execute_cdp_cmd("Network.enable", {})
    browser.get(site)
    wait_until(lambda: "Model" in find(browser, "#about").text)
    browser.get_log("browser")
    yield browser
    told = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    browser.get("about:blank")
    assert [line for line in told if "ERR_INTERNET_DISCONNECTED" not in line] == []


def find(browser: Chrome, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def finds(browser: Chrome, selector: str) -> list[Any]:
    found: list[Any] = browser.find_elements("css selector", selector)
    return found


def wait_for(browser: Chrome, selector: str, count: int = 1) -> Any:
    wait_until(lambda: len(finds(browser, selector)) >= count)
    return finds(browser, selector)[-1]


def shoot(browser: Chrome, name: str) -> None:
    """Keep a picture of the whole page where SCREENSHOTS names a folder, to be looked at."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        with open(f"{folder}/{name}.png", "wb") as file:  # noqa: PTH123
            file.write(base64.b64decode(shot["data"]))


def audit(browser: Chrome) -> list[str]:
    """Return what axe-core finds wrong on the page as it stands."""
    axe = pytest.importorskip("axe_selenium_python", reason="needs axe-selenium-python for its axe-core")
    from pathlib import Path

    script = Path(axe.__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
    browser.execute_script(script.read_text("utf-8"))
    found = browser.execute_async_script("axe.run().then(arguments[0])")
    return [f"{one['id']}: {one['help']} {one['nodes'][0]['html'][:120]}" for one in found["violations"]]


def dark(browser: Chrome, on: bool) -> None:
    features = [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def test_a_chosen_photo_gets_boxes_and_bars(page: Chrome, examples: Path) -> None:
    find(page, "#files").send_keys(str(examples / "astronaut.jpg"))
    wait_for(page, ".faces h4")
    expected = load().predict(examples / "astronaut.jpg").faces[0]
    assert find(page, ".faces h4").text == f"{expected.emotion} {expected.confidence:.0%}"
    assert find(page, "#status").text == "1 face in the photo."
    bars = [bar.text.split("\n") for bar in finds(page, ".bars li")]
    assert dict(bars) == {label: f"{value:.0%}" for label, value in expected.probabilities.items()}
    canvas = find(page, ".picture")
    assert canvas.get_attribute("aria-label") == f"astronaut.jpg, face 1: happiness {expected.confidence:.0%}"
    corner = page.execute_script(
        "const c = arguments[0]; return [...c.getContext('2d').getImageData(arguments[1], arguments[2], 1, 1).data]",
        canvas, round(expected.box.left), round(expected.box.top + expected.box.height / 2),
    )  # fmt: skip
    assert corner[:3] == [0xF0, 0xE4, 0x42], "the box is drawn in the colour of happiness"


def test_the_sample_the_heat_map_and_the_audits_in_light_and_dark(page: Chrome) -> None:
    find(page, "#sample").click()
    wait_for(page, ".faces h4")
    plain = page.execute_script("return document.querySelector('.picture').toDataURL()")
    for night in (False, True):
        dark(page, night)
        assert audit(page) == []
        shoot(page, f"page-{'dark' if night else 'light'}")
    dark(page, False)
    button = next(one for one in finds(page, ".photo button") if one.text == "Heat map")
    button.click()
    wait_until(lambda: button.get_attribute("aria-pressed") == "true")
    assert "against random maps" in find(page, ".score").text
    assert page.execute_script("return document.querySelector('.picture').toDataURL()") != plain
    assert audit(page) == []
    shoot(page, "page-heat")
    button.click()
    wait_until(lambda: button.get_attribute("aria-pressed") == "false")
    assert page.execute_script("return document.querySelector('.picture').toDataURL()") == plain


def test_a_pasted_photo_and_a_dropped_one(page: Chrome, examples: Path) -> None:
    content = base64.b64encode((examples / "astronaut.jpg").read_bytes()).decode()
    script = """
        const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], arguments[1] + ".jpg", { type: "image/jpeg" }));
        const event = arguments[1] === "paste" ? new ClipboardEvent("paste", { clipboardData: data })
          : new DragEvent("drop", { dataTransfer: data, cancelable: true });
        document.dispatchEvent(event);
    """
    for count, way in enumerate(("paste", "drop"), 1):
        page.execute_script(script, content, way)
        wait_for(page, ".faces h4", count)
    assert [one.text for one in finds(page, ".photo > h3")] == ["paste.jpg", "drop.jpg"]


def test_a_bad_file_among_good_ones_is_named(page: Chrome, examples: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    find(page, "#files").send_keys(f"{examples / 'astronaut.jpg'}\n{bad}")
    wait_until(lambda: "could not be read" in find(page, "#status").text)
    assert find(page, "#status").text == "1 face in 2 photos. 1 could not be read; see below."
    assert "not a picture" in find(page, ".photo .bad").text
    assert page.get_log("browser")  # the browser notes the 422 itself


def test_downloads(page: Chrome, examples: Path) -> None:
    folder: Path = page.downloads
    find(page, "#files").send_keys(str(examples / "astronaut.jpg"))
    wait_for(page, ".faces h4")
    for selector in ("#json", "#csv"):
        find(page, selector).click()
    next(one for one in finds(page, ".photo button") if one.text == "Save picture").click()
    names = ("mien.json", "mien.csv", "astronaut-faces.png")
    wait_until(lambda: all((folder / name).is_file() for name in names))
    expected = load().predict(examples / "astronaut.jpg")
    told = json.loads((folder / "mien.json").read_text("utf-8"))
    assert told == [{**expected.to_dict(), "source": "astronaut.jpg", "faces_found": 1, "truncated": False}]
    head, row = (folder / "mien.csv").read_text("utf-8").splitlines()
    assert head.startswith("source,face,left,top,width,height,score,emotion,confidence,uncertain,quality,p_neutral")
    assert row.split(",")[7] == "happiness"
    with Image.open(folder / "astronaut-faces.png") as picture:
        assert picture.size == (512, 512)


def test_the_webcam_shows_boxes_and_a_timeline(page: Chrome) -> None:
    find(page, "#camera").click()
    live = find(page, "#live")
    wait_until(lambda: int(live.get_attribute("data-frames") or 0) >= 20)
    assert find(page, "#now").text.startswith("happiness")
    assert len(finds(page, "#legend li")) == 8
    drawn = "const c = document.getElementById(arguments[0]); return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v)"  # noqa: E501
    assert page.execute_script(drawn, "overlay")
    assert page.execute_script(drawn, "timeline")
    assert float(live.get_attribute("data-latency")) > 0
    assert audit(page) == []
    shoot(page, "page-webcam")
    find(page, "#stop").click()
    assert not live.is_displayed()


def test_a_phone_of_360_pixels(page: Chrome) -> None:
    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    find(page, "#sample").click()
    wait_for(page, ".faces h4")
    assert page.execute_script("return document.documentElement.scrollWidth") <= 360
    small = page.execute_script(
        "return [...document.querySelectorAll('button, .button')].filter((b) => b.offsetParent)"
        ".map((b) => b.getBoundingClientRect().height).filter((high) => high < 44)"
    )
    assert small == []
    assert audit(page) == []
    shoot(page, "page-phone")
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_without_a_network_the_page_says_so_and_goes_on(page: Chrome) -> None:
    off = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    page.execute_cdp_cmd("Network.emulateNetworkConditions", off)
    find(page, "#sample").click()
    wait_until(lambda: "cannot be reached" in find(page, "#status").text)
    page.execute_cdp_cmd(
        "Network.emulateNetworkConditions", {**off, "offline": False, "downloadThroughput": -1, "uploadThroughput": -1}
    )
    find(page, "#sample").click()
    wait_for(page, ".faces h4")


def test_nothing_is_asked_of_another_host(page: Chrome, site: str) -> None:
    find(page, "#sample").click()
    wait_for(page, ".faces h4")
    names = page.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert names
    assert all(name.startswith((site, "blob:")) for name in names)


def test_by_keyboard_alone(page: Chrome) -> None:
    body = find(page, "body")
    reached = []
    for _ in range(4):
        body.send_keys(Keys.TAB)
        reached.append(page.switch_to.active_element.get_attribute("id"))
    assert reached[:3] == ["files", "sample", "camera"]
    find(page, "#sample").send_keys(Keys.ENTER)
    wait_for(page, ".faces h4")


def test_a_server_with_a_token_is_asked_for_it(browser: Chrome) -> None:
    with serving(Settings(threads=1, token="a-token-of-some-length", log_level="error")) as address:
        browser.get(address)
        wait_until(lambda: find(browser, "#token").is_displayed())
        find(browser, "#word").send_keys("a-token-of-some-length", Keys.ENTER)
        wait_until(lambda: "Model" in find(browser, "#about").text)
        find(browser, "#sample").click()
        wait_for(browser, ".faces h4")
        find(browser, "#camera").click()
        wait_until(lambda: int(find(browser, "#live").get_attribute("data-frames") or 0) >= 1)
        find(browser, "#stop").click()
        browser.get("about:blank")
        browser.get_log("browser")
