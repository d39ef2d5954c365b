"""The page's webcam loop in a real browser: headless Chromium, a camera that is a file, mien serve as a process.

    python benchmarks/serve_webcam.py --seconds 20

Browser and server share this machine's cores. Prints the page's own figures: answers a second, and the median of the
time from taking a frame to having drawn its boxes, over the last three seconds. Fails if the stream did not last: the
page counts its frames from the last connection on.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver
from serve_client import photo
from serve_topology import ROOT, answers, free_port, process, wait_for


def film(path: Path) -> None:
    """Write one second of a photo moving sideways, 640×480 Motion JPEG."""
    import io

    picture = Image.open(io.BytesIO(photo()))
    with path.open("wb") as file:
        for place in range(30):
            frame = Image.new("RGB", (640, 480), (90, 100, 110))
            frame.paste(picture, (abs(place - 15) * 2, 0))
            frame.save(file, "JPEG", quality=85)


def browser(camera: Path) -> webdriver.Chrome:
    """Start Chromium from the system's packages."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for flag in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={camera}", "--window-size=1280,1000",
    ):  # fmt: skip
        options.add_argument(flag)
    return webdriver.Chrome(options, webdriver.ChromeService(executable_path=shutil.which("chromedriver")))


def main() -> None:
    """Measure and print the row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    seconds, port = parser.parse_args().seconds, free_port()
    command = [sys.executable, "-m", "mien", "serve", "--port", str(port), "--log-level", "warning"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder, process(command, environment, Path(folder) / "log"):
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(address))
        film(Path(folder) / "film.mjpeg")
        driver = browser(Path(folder) / "film.mjpeg")
        driver.get(address)
        driver.execute_script("document.getElementById('camera').click()")
        time.sleep(seconds)
        rate, latency, frames = driver.execute_script(
            "const told = document.getElementById('live').dataset; return [told.rate, told.latency, told.frames]"
        )
        driver.quit()
    if int(frames) < 0.5 * float(rate) * seconds:
        raise SystemExit(f"{frames} frames at {rate} a second in {seconds:g} s: the connection was lost on the way.")
    print(f"| webcam, 640×480 | ≥ 15 frames/s, ≤ 200 ms | {rate} frames/s, {latency} ms; {frames} frames |")


if __name__ == "__main__":
    main()
