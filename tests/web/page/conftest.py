"""Headless Chromium with a camera that is a file, and servers for it."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

collect_ignore_glob = [] if all(map(find_spec, ("fastapi", "httpx", "selenium"))) else ["test_*.py"]
"""Nothing here can be imported without the extra ``serve``, httpx and selenium."""

EXPECTED = ("ERR_INTERNET_DISCONNECTED",)
"""What the browser notes itself where a test takes the network away."""


@pytest.fixture(scope="package")
def site() -> Iterator[str]:
    """A server with the shipped models."""
    from serving import serving

    from mien.web.settings import Settings

    with serving(Settings(models=("default", "fer7"), threads=1, timeout=300, log_level="error")) as address:
        yield address


@pytest.fixture(scope="package")
def film(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A camera's film: one second of the example photo moving sideways, 640×480 Motion JPEG."""
    path = tmp_path_factory.mktemp("camera") / "film.mjpeg"
    astronaut = Image.open(examples / "astronaut.jpg").resize((480, 480))
    with path.open("wb") as film:
        for index in range(30):
            frame = Image.new("RGB", (640, 480), (70, 80, 90))
            frame.paste(astronaut, (60 + abs(index - 15) * 2, 0))
            frame.save(film, "JPEG", quality=85)
    return path


@pytest.fixture(scope="package")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="package")
def browser(film: Path, downloads: Path) -> Iterator[Chrome]:
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    flags = (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={film}", "--window-size=1280,1000",
        "--disable-background-networking", "--disable-component-update", "--no-first-run",
    )  # fmt: skip
    for flag in flags:
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(executable_path=DRIVER))
    driver.set_script_timeout(120)
    yield driver
    driver.quit()


@pytest.fixture
def visit(browser: Chrome) -> Iterator[Callable[[str], Chrome]]:
    """Open the page of a server, freshly; what a test emulated ends with it."""
    from browsing import ONLINE, open_page

    def open_fresh(address: str) -> Chrome:
        browser.execute_cdp_cmd("Network.enable", {})
        open_page(browser, address)
        browser.get_log("browser")  # type: ignore[no-untyped-call]
        return browser

    yield open_fresh
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", ONLINE)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.get("about:blank")
    browser.get_log("browser")  # type: ignore[no-untyped-call]


@pytest.fixture
def page(visit: Callable[[str], Chrome], site: str) -> Iterator[Chrome]:
    """The page with the shipped models; at the end nothing may stand in the browser's console."""
    browser = visit(site)
    yield browser
    log: list[dict[str, str]] = browser.get_log("browser")  # type: ignore[no-untyped-call]
    noted = [entry["message"] for entry in log if entry["level"] == "SEVERE"]
    assert [line for line in noted if not any(word in line for word in EXPECTED)] == []
