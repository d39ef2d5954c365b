"""What tests of the page share: waiting, files dropped on it, its own modules, pictures of it, axe."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import serving
from selenium.common.exceptions import StaleElementReferenceException

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

PATIENCE = 120
"""Seconds: browser, server and whatever else runs share the machine's cores."""

ONLINE = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}

_DROP = """
    const data = new DataTransfer();
    for (const [name, type, content] of arguments[0]) {
      data.items.add(new File([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))], name, { type }));
    }
    document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
"""


def wait_until(holds: Callable[[], object]) -> None:
    """Wait until a condition holds; it does not while the page replaces an element that the condition looks at."""

    def settled() -> bool:
        try:
            return bool(holds())
        except StaleElementReferenceException:
            return False

    serving.wait_until(settled, PATIENCE)


def percent(value: float) -> str:
    """Return a probability as the page shows it."""
    whole = int(value * 100 + 0.5)
    return "> 99%" if whole >= 100 else "< 1%" if whole < 1 else f"{whole}%"


def one(browser: Chrome, selector: str) -> WebElement:
    return browser.find_element("css selector", selector)


def every(browser: Chrome, selector: str) -> list[WebElement]:
    elements: list[WebElement] = browser.find_elements("css selector", selector)
    return elements


def wait_for(browser: Chrome, selector: str, count: int = 1) -> WebElement:
    wait_until(lambda: len(every(browser, selector)) >= count)
    return every(browser, selector)[-1]


def texts(browser: Chrome, selector: str) -> list[str]:
    """Return the elements' visible texts, of one moment: a page that draws itself anew would replace some of them."""
    script = "return [...document.querySelectorAll(arguments[0])].map((element) => element.innerText.trim())"
    visible: list[str] = browser.execute_script(script, selector)
    return visible


def press(browser: Chrome, text: str) -> WebElement:
    """Click the visible button with this text."""
    (button,) = [element for element in every(browser, "button") if element.text == text and element.is_displayed()]
    button.click()
    return button


def open_page(browser: Chrome, address: str) -> None:
    """Open the page and wait until it knows the server's models."""
    browser.get(address)
    wait_until(lambda: "Model" in one(browser, "#about").text)


def drop(browser: Chrome, files: Sequence[tuple[str, str, bytes]]) -> None:
    """Drop files, given by name, type and content."""
    browser.execute_script(_DROP, [(name, kind, base64.b64encode(content).decode()) for name, kind, content in files])


def choose(browser: Chrome, *paths: Path) -> None:
    one(browser, "#files").send_keys("\n".join(map(str, paths)))


def module(browser: Chrome, name: str, expression: str) -> Any:
    """Return the value of an expression of JavaScript on one of the page's modules, ``m``."""
    script = (
        f"const done = arguments[0]; import('/static/{name}').then(async (m) => done(JSON.stringify({expression})))"
    )
    return json.loads(browser.execute_async_script(script))


def dark(browser: Chrome, on: bool) -> None:
    media(browser, "prefers-color-scheme", "dark" if on else "light")


def media(browser: Chrome, feature: str, value: str) -> None:
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": feature, "value": value}]})


def resize(browser: Chrome, width: int, height: int) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def overflow(browser: Chrome) -> int:
    """Return by how many pixels the page is wider than the window."""
    script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    pixels: int = browser.execute_script(script)
    return pixels


def focused(browser: Chrome) -> str:
    element = browser.switch_to.active_element
    return element.get_attribute("id") or element.text or element.tag_name


def shoot(browser: Chrome, name: str) -> None:
    """Keep a picture of the whole page where SCREENSHOTS names a folder, to be looked at."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        Path(folder, f"{name}.png").write_bytes(base64.b64decode(shot["data"]))


def audit(browser: Chrome) -> list[str]:
    """Return what axe-core reports on the page as it is.

    Without the rule ``radiogroup``, which allows no button between radio buttons; axe-core 4 has dropped it.
    """
    axe = pytest.importorskip("axe_selenium_python", reason="needs axe-selenium-python for its axe-core")
    script = Path(axe.__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
    browser.execute_script(script.read_text("utf-8"))
    report = browser.execute_async_script("axe.run({ rules: { radiogroup: { enabled: false } } }).then(arguments[0])")
    return [f"{rule['id']}: {rule['help']} {rule['nodes'][0]['html'][:160]}" for rule in report["violations"]]
